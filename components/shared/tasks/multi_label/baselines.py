"""Baselines of several labels on texts: a logistic regression and a linear SVM a label, on TF-IDF."""

import dataclasses
import time
from collections.abc import Iterator, Sequence
from itertools import chain

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
from components.shared.tasks.multi_label.one_vs_rest import Examples, baselines_on

_WORK = 20_000_000  # values that are not zero, times labels, of one fit
_LEAST = 500  # examples
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
        own, unseen = Examples(rows, part.labels).first(most), _vectors(vectors, test)
        held = Examples(_vectors(vectors, validation.inputs), validation.labels)
        spent = time.perf_counter() - began
        for found in baselines_on(name, own, held, unseen, vectors.bytes):
            yield dataclasses.replace(found, seconds=found.seconds + spent)


def _first(examples: Labelled, count: int) -> Labelled:
    return Labelled([column[:count] for column in examples.inputs], examples.labels[:count])


def _vectors(vectors: TextVectors, inputs: Texts) -> csr_array:
    return side_by_side([vectors.transform(column) if column else vectors.transform([""])[:0] for column in inputs])


def _first_characters(train: Labelled) -> int:
    lengths = np.array([sum(map(len, texts)) for texts in zip(*train.inputs, strict=True)])
    return max(int(np.searchsorted(np.cumsum(lengths), _CHARACTERS)), 1)
