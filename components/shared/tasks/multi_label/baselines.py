"""Baselines of several labels: one logistic regression a label, on TF-IDF of words and of characters.

The threshold from which on a label is given, one for all labels, is chosen by micro-F1 on validation examples.
"""

import time
from collections.abc import Iterator, Sequence
from itertools import chain
from typing import Any

import numpy as np
from scipy.sparse import csr_array

from components.shared.baselines import Baseline, Labelled, Terms
from components.shared.baselines.vectors import (
    Characters,
    EmptyVocabularyError,
    TextVectors,
    Words,
    most_columns,
    side_by_side,
)
from components.shared.statistics.f1 import f1_of

PENALTIES = (1.0, 10.0, 100.0)  # scikit-learn's C; on vectors of unit length much of it
THRESHOLDS = np.arange(0.05, 0.951, 0.025)
_WORK = 20_000_000  # values that are not zero, times labels, of one fit
_LEAST = 500  # examples
_HELD = 5  # one part in so many is chosen on where there is no validation
_CHARACTERS = 2_000_000

Texts = Sequence[Sequence[str]]


def text_baselines(train: Labelled, validation: Labelled, test: Texts, terms: Terms) -> Iterator[Baseline]:
    """Yields words, and characters; penalty and threshold are chosen on validation, or on a part of the training.

    Args:
        train: What they learn from; its labels are bool [examples, labels].
        validation: What is chosen on; there may be none.
        test: Raw texts of the examples that are predicted.
        terms: How many labels there are.
    """
    columns = most_columns(terms.classes, len(train.inputs))
    makers: dict[str, TextVectors] = {"words": Words(columns, False, False), "characters": Characters(columns)}
    for name, vectors in makers.items():
        began = time.perf_counter()
        part = train if name == "words" else _first(train, _first_characters(train))
        try:
            vectors.fit([*chain.from_iterable(part.inputs)])
        except EmptyVocabularyError:  # not a word: signs alone
            continue
        rows = _vectors(vectors, part.inputs)
        most = max(int(_WORK / max(rows.nnz / max(len(part), 1) * terms.classes, 1.0)), _LEAST)
        rows, truth = rows[:most], part.labels[:most]
        if len(validation):
            held, wanted = _vectors(vectors, validation.inputs), validation.labels
            found = _chosen(rows, truth, held, wanted)
        else:
            cut = len(truth) - max(len(truth) // _HELD, 1)
            found = _chosen(rows[:cut], truth[:cut], rows[cut:], truth[cut:])
        penalty, threshold = found
        models = _fit(rows, truth, penalty)
        probabilities = _probabilities(models, _vectors(vectors, test))
        yield Baseline(
            f"Logistic regression on {name}",
            f"one a label, C = {penalty:g}; given from {threshold:.3g} on",
            np.stack([probabilities >= threshold, probabilities], axis=1).astype(np.float64),
            8 * terms.classes * (rows.shape[1] + 1) + vectors.bytes,
            time.perf_counter() - began,
            len(truth),
        )


def _chosen(rows: csr_array, truth: np.ndarray, held: csr_array, wanted: np.ndarray) -> tuple[float, float]:
    """Returns the penalty and the threshold with the best micro-F1; of equal ones the threshold nearest to one half."""
    best, found = -1.0, (PENALTIES[0], 0.5)
    for penalty in PENALTIES:
        probabilities = _probabilities(_fit(rows, truth, penalty), held)
        for threshold in sorted(THRESHOLDS.tolist(), key=lambda value: abs(value - 0.5)):
            given = probabilities >= threshold
            score = float(f1_of(*(np.asarray(part.sum()) for part in (given & wanted, given, wanted))))
            if score > best:
                best, found = score, (penalty, threshold)
    return found


def _fit(rows: csr_array, truth: np.ndarray, penalty: float) -> list[Any]:
    """Returns a model a label; of one that all examples have, or none, its share alone."""
    from sklearn.linear_model import LogisticRegression

    models: list[Any] = []
    for label in range(truth.shape[1]):
        there = truth[:, label]
        if there.all() or not there.any():
            models.append(float(there.mean()) if len(there) else 0.0)
        else:
            models.append(LogisticRegression(C=penalty, solver="liblinear", random_state=0).fit(rows, there))
    return models


def _probabilities(models: Sequence[Any], rows: csr_array) -> np.ndarray:
    """Returns float [examples, labels]."""
    columns = [
        np.full(rows.shape[0], model) if isinstance(model, float) else model.predict_proba(rows)[:, 1]
        for model in models
    ]
    return np.stack(columns, axis=1)


def _first(examples: Labelled, count: int) -> Labelled:
    return Labelled([column[:count] for column in examples.inputs], examples.labels[:count])


def _vectors(vectors: TextVectors, inputs: Texts) -> csr_array:
    return side_by_side([vectors.transform(column) if column else vectors.transform([""])[:0] for column in inputs])


def _first_characters(train: Labelled) -> int:
    lengths = np.array([sum(map(len, texts)) for texts in zip(*train.inputs, strict=True)])
    return max(int(np.searchsorted(np.cumsum(lengths), _CHARACTERS)), 1)
