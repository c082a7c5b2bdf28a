"""Baselines of several labels: a logistic regression and a linear SVM a label, on TF-IDF of words and of characters.

What an SVM gives becomes a probability by a sigmoid that is fitted to what is held out (Platt, 1999). The threshold
from which on a label is given, one for all labels, is chosen by micro-F1 on validation examples.
"""

import time
from collections.abc import Iterator, Sequence
from itertools import chain
from typing import Any

import numpy as np
from scipy.sparse import csr_array
from scipy.special import expit

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

SVM = "Linear SVM"
KINDS = {"Logistic regression": (1.0, 10.0, 100.0), SVM: (0.1, 1.0, 10.0)}
"""What is tried of scikit-learn's C; on vectors of unit length much of it."""
_UNCHANGED = np.array([[1.0, 0.0]])
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
        unseen, own = _vectors(vectors, test), (rows, truth)
        held = _vectors(vectors, validation.inputs), validation.labels
        if not len(validation):
            cut = len(truth) - max(len(truth) // _HELD, 1)
            own, held = (rows[:cut], truth[:cut]), (rows[cut:], truth[cut:])
        spent = time.perf_counter() - began
        for kind in KINDS:
            began = time.perf_counter()
            penalty, threshold, curves = _chosen(kind, *own, *held)
            probabilities = _probabilities(_fit(kind, rows, truth, penalty), unseen, curves)
            yield Baseline(
                f"{kind} on {name}",
                f"one a label, C = {penalty:g}; given from {threshold:.3g} on",
                np.stack([probabilities >= threshold, probabilities], axis=1).astype(np.float64),
                8 * terms.classes * (rows.shape[1] + 1) + vectors.bytes,
                spent + time.perf_counter() - began,
                len(truth),
            )


def _chosen(
    kind: str, rows: csr_array, truth: np.ndarray, held: csr_array, wanted: np.ndarray
) -> tuple[float, float, np.ndarray]:
    """Returns penalty and threshold with the best micro-F1, and what makes probabilities of margins, [labels, 2].

    Of equal ones it is the threshold that is nearest to one half.
    """
    best, found = -1.0, (KINDS[kind][0], 0.5, _UNCHANGED.repeat(truth.shape[1], axis=0))
    for penalty in KINDS[kind]:
        models = _fit(kind, rows, truth, penalty)
        curves = _curves(kind, models, held, wanted)
        probabilities = _probabilities(models, held, curves)
        for threshold in sorted(THRESHOLDS.tolist(), key=lambda value: abs(value - 0.5)):
            given = probabilities >= threshold
            score = float(f1_of(*(np.asarray(part.sum()) for part in (given & wanted, given, wanted))))
            if score > best:
                best, found = score, (penalty, threshold, curves)
    return found


def _curves(kind: str, models: Sequence[Any], held: csr_array, wanted: np.ndarray) -> np.ndarray:
    """Returns slope and intercept of a sigmoid for each label, float [labels, 2]; a logistic regression has its own."""
    from sklearn.linear_model import LogisticRegression

    found = _UNCHANGED.repeat(len(models), axis=0)
    for label, model in enumerate(models if kind == SVM else ()):
        there = wanted[:, label]
        if not isinstance(model, float) and there.any() and not there.all():
            fit = LogisticRegression(C=1.0).fit(model.decision_function(held)[:, None], there)
            found[label] = fit.coef_[0, 0], fit.intercept_[0]
    return found


def _fit(kind: str, rows: csr_array, truth: np.ndarray, penalty: float) -> list[Any]:
    """Returns a model a label; of one that all examples have, or none, its share alone."""
    from sklearn.linear_model import LogisticRegression
    from sklearn.svm import LinearSVC

    models: list[Any] = []
    for label in range(truth.shape[1]):
        there = truth[:, label]
        if there.all() or not there.any():
            models.append(float(there.mean()) if len(there) else 0.0)
        else:
            logistic = LogisticRegression(C=penalty, solver="liblinear", random_state=0)
            models.append((LinearSVC(C=penalty, random_state=0) if kind == SVM else logistic).fit(rows, there))
    return models


def _probabilities(models: Sequence[Any], rows: csr_array, curves: np.ndarray) -> np.ndarray:
    """Returns float [examples, labels]."""
    columns = [
        np.full(rows.shape[0], model) if isinstance(model, float) else expit(slope * model.decision_function(rows) + up)
        for model, (slope, up) in zip(models, curves, strict=True)
    ]
    return np.stack(columns, axis=1)


def _first(examples: Labelled, count: int) -> Labelled:
    return Labelled([column[:count] for column in examples.inputs], examples.labels[:count])


def _vectors(vectors: TextVectors, inputs: Texts) -> csr_array:
    return side_by_side([vectors.transform(column) if column else vectors.transform([""])[:0] for column in inputs])


def _first_characters(train: Labelled) -> int:
    lengths = np.array([sum(map(len, texts)) for texts in zip(*train.inputs, strict=True)])
    return max(int(np.searchsorted(np.cumsum(lengths), _CHARACTERS)), 1)
