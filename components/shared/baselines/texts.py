"""Baselines of texts: linear classifiers on words and on characters, everything about them chosen on validation.

Wahba et al. 2022 (2211.02563) and Lin et al. 2023 (Linear Classifier: An Often-Forgotten Baseline for Text
Classification) found such ones ahead of fine-tuned networks.
"""

import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import chain

import numpy as np
from scipy.sparse import csr_array

from components.shared.baselines import Baseline, Labelled, Terms, size_of
from components.shared.baselines.vectors import (
    Characters,
    EmptyVocabularyError,
    TextVectors,
    Words,
    most_columns,
    side_by_side,
)
from components.shared.linear import LOGISTIC, PENALTIES, SQUARED_HINGE, Linear, fit_linear, fit_once
from components.shared.selection import rank

# Values that are not zero, times classes: what one fit may have to do. Work, not seconds: the same on every machine.
_SEARCH_WORK = 10_000_000  # of each of the many fits of a search
_WORK = 400_000_000  # of the fit by what was chosen, half a minute
_LOGISTIC_WORK = 4_000_000  # that solver is slower
_CHARACTER_WORK = 60_000_000
_SEARCHED = 2_500  # examples
_LEAST = 500  # examples, however much work they are
_CHARACTERS = 2_000_000  # that sequences of characters are learned from
_LOGISTIC_FACTOR = 30.0  # of C: on vectors of unit length logistic regression wants so much less penalty than the SVM
_OPTIONS = {  # pairs, stop words; the first is what is taken where there is nothing to choose on
    "words, stop words left out": (False, True),
    "words": (False, False),
    "words and pairs of words": (True, False),
    "words and pairs of words, stop words left out": (True, True),
}

Texts = Sequence[Sequence[str]]


@dataclass(frozen=True)
class _Data:
    """Training and validation examples as vectors.

    Attributes:
        what: Which vectors, in words.
        vectors: What made them.
        rows: float32 [training examples, columns].
        labels: int [training examples].
        held: float32 [validation examples, columns].
        truth: int [validation examples].
    """

    what: str
    vectors: TextVectors
    rows: csr_array
    labels: np.ndarray
    held: csr_array
    truth: np.ndarray

    def fit(self, like: Linear, terms: Terms) -> Linear:
        """Fits a classifier by the loss, the penalty and the weights of classes of another one."""
        return fit_once(
            self.rows, self.labels, self.held, self.truth, terms.classes, terms.seed, like.loss, like.penalty,
            like.balanced,
        )  # fmt: skip


def text_baselines(train: Labelled, validation: Labelled, test: Texts, terms: Terms) -> Iterator[Baseline]:
    """Yields words with a linear SVM and with logistic regression, and characters with a linear SVM.

    Stop words, pairs of words, penalty and the weights of classes are chosen on the first training examples; what was
    chosen learns from all, or from as many as a bounded work allows: `examples` tells how many.
    """
    began, terms, first = time.perf_counter(), terms.chosen_by(train.labels), Linear.empty(SQUARED_HINGE)
    words = _search(train, validation, terms)
    if words is not None:
        what, first = words
        data = _data(what, _words(what, train, terms), train, validation)
        yield _learn("SVM on words", data, test, terms, first, _WORK, began)
        began, single = time.perf_counter(), what.replace("words and pairs of words", "words")
        if single != what:  # this solver holds all weights twenty times
            data = _data(single, _words(single, train, terms), train, validation)
        like = replace(first, loss=LOGISTIC, penalty=min(_LOGISTIC_FACTOR * first.penalty, max(PENALTIES)))
        yield _learn("Logistic regression on words", data, test, terms, like, _LOGISTIC_WORK, began)
    began = time.perf_counter()
    part = train.take(train.places(_first_characters(train)))
    characters = Characters(most_columns(terms.classes, len(train.inputs)))
    data = _data("two to five characters", characters, part, validation)
    yield _learn("SVM on characters", data, test, terms, replace(first, penalty=1.0), _CHARACTER_WORK, began)


def _search(train: Labelled, validation: Labelled, terms: Terms) -> tuple[str, Linear] | None:
    """Returns which words, and by what they are fitted; None where the texts have no words."""
    part, held = (examples.take(examples.places(_SEARCHED)) for examples in (train, validation))
    best: tuple[tuple[float, float], _Data] | None = None
    for what in _OPTIONS:
        try:
            data = _bounded(_data(what, _words(what, part, terms), part, held), terms, _SEARCH_WORK)
        except EmptyVocabularyError:  # not a word that is no stop word, or no word at all: signs alone
            continue
        score = rank(data.fit(Linear.empty(SQUARED_HINGE), terms).validation, terms.selection)
        if best is None or score > best[0]:
            best = score, data
    if best is None:
        return None
    data = best[1]
    found = fit_linear(
        data.rows, data.labels, data.held, data.truth, terms.classes, terms.seed,
        balances=terms.balances(data.labels), selection=terms.selection,
    )  # fmt: skip
    return data.what, found


def _learn(name: str, data: _Data, test: Texts, terms: Terms, like: Linear, work: int, began: float) -> Baseline:
    """Fits a classifier by the settings of another one, and predicts the test examples."""
    data = _bounded(data, terms, work)
    model = data.fit(like, terms)
    probabilities = model.probabilities(_vectors(data.vectors, test))
    return Baseline(
        name=name,
        what=f"{data.what}; {model.words}",
        predictions=probabilities,
        bytes=size_of(model) + data.vectors.bytes,
        seconds=time.perf_counter() - began,
        examples=len(data.labels),
    )


def _words(what: str, train: Labelled, terms: Terms) -> Words:
    return Words(most_columns(terms.classes, len(train.inputs)), *_OPTIONS[what])


def _data(what: str, vectors: TextVectors, train: Labelled, validation: Labelled) -> _Data:
    vectors.fit([*chain.from_iterable(train.inputs)])
    rows, held = (_vectors(vectors, examples.inputs) for examples in (train, validation))
    return _Data(what, vectors, rows, train.labels, held, validation.labels)


def _vectors(vectors: TextVectors, inputs: Texts) -> csr_array:
    return side_by_side([vectors.transform(column) if column else vectors.transform([""])[:0] for column in inputs])


def _bounded(data: _Data, terms: Terms, work: int) -> _Data:
    """Returns it with as many of the first training examples as a bounded work allows."""
    each = data.rows.nnz / max(len(data.labels), 1) * terms.classes
    places = Labelled([], data.labels).places(max(int(work / max(each, 1.0)), _LEAST))
    if len(places) == len(data.labels):
        return data
    return replace(data, rows=data.rows[places], labels=data.labels[places])


def _first_characters(train: Labelled) -> int:
    """Returns how many of the first examples have so many characters as are learned from."""
    lengths = np.array([sum(map(len, texts)) for texts in zip(*train.inputs, strict=True)])
    return max(int(np.searchsorted(np.cumsum(lengths), _CHARACTERS)), 1)
