"""Baselines of numbers: ridge regression on TF-IDF of words and of characters, and of pairs the cosine alone."""

import time
from collections.abc import Iterator, Sequence
from itertools import chain

import numpy as np
from scipy.sparse import csr_array

from components.shared.baselines import Baseline, Labelled, Terms
from components.shared.baselines.vectors import Characters, EmptyVocabularyError, TextVectors, Words, side_by_side

PENALTIES = (0.03, 0.1, 0.3, 1.0, 3.0, 10.0, 30.0)
_COLUMNS = 2**16  # of one text
_EXAMPLES = 20_000  # that ridge learns from
_CHARACTERS = 2_000_000
_MIDDLE = 1.0  # the penalty where there is nothing to choose on

Texts = Sequence[Sequence[str]]


def text_baselines(train: Labelled, validation: Labelled, test: Texts, terms: Terms) -> Iterator[Baseline]:
    """Yields ridge on words and on characters, the penalty chosen on validation; for pairs the cosine of both texts."""
    part = train.take(train.places(_EXAMPLES))
    makers: dict[str, TextVectors] = {"words": Words(_COLUMNS, True, False), "characters": Characters(_COLUMNS)}
    for name, vectors in makers.items():
        began = time.perf_counter()
        learned = part if name == "words" else part.take(part.places(_first_characters(part)))
        try:
            vectors.fit([*chain.from_iterable(learned.inputs)])
        except EmptyVocabularyError:  # not a word: signs alone
            continue
        sides = [_vectors(vectors, inputs) for inputs in (learned.inputs, validation.inputs, test)]
        if len(train.inputs) == 2 and name == "words":
            yield _cosine(sides, learned.labels, vectors.bytes, began)
        yield _ridge(f"Ridge on {name}", sides, learned.labels, validation.labels, vectors.bytes, began)


def _ridge(
    name: str, sides: Sequence[csr_array], truth: np.ndarray, held: np.ndarray, size: int, began: float
) -> Baseline:
    from sklearn.linear_model import Ridge

    fits = {penalty: Ridge(alpha=penalty, solver="sparse_cg").fit(sides[0], truth) for penalty in PENALTIES}
    errors = {penalty: abs(float(np.log(penalty / _MIDDLE))) for penalty in fits}
    if len(held):
        errors = {penalty: float(((fit.predict(sides[1]) - held) ** 2).mean()) for penalty, fit in fits.items()}
    best = min(errors, key=lambda penalty: errors[penalty])
    found = _within(fits[best].predict(sides[2]), truth)
    weights = 8 * (sides[0].shape[1] + 1)
    return Baseline(name, f"penalty {best:g}", found, size + weights, time.perf_counter() - began, len(truth))


def _cosine(sides: Sequence[csr_array], truth: np.ndarray, size: int, began: float) -> Baseline:
    """Returns the line that fits the cosine best: the last column of `side_by_side`."""
    cosines = [np.asarray(side[:, [side.shape[1] - 1]].todense(), np.float64).ravel() for side in (sides[0], sides[2])]
    spread = cosines[0].var()
    slope = float(np.cov(cosines[0], truth, bias=True)[0, 1] / spread) if spread > 0 else 0.0
    found = _within(truth.mean() + slope * (cosines[1] - cosines[0].mean()), truth)
    what = f"TF-IDF of words; slope {slope:.3g}"
    return Baseline("Cosine of both texts", what, found, size + 16, time.perf_counter() - began, len(truth))


def _within(found: np.ndarray, truth: np.ndarray) -> np.ndarray:
    """Keeps predictions within what was seen: a line goes on for ever."""
    return np.asarray(np.clip(found, truth.min(), truth.max()))


def _vectors(vectors: TextVectors, inputs: Texts) -> csr_array:
    return side_by_side([vectors.transform(column) if column else vectors.transform([""])[:0] for column in inputs])


def _first_characters(train: Labelled) -> int:
    lengths = np.array([sum(map(len, texts)) for texts in zip(*train.inputs, strict=True)])
    return max(int(np.searchsorted(np.cumsum(lengths), _CHARACTERS)), 1)
