"""The difference of two classifiers in macro-F1, with its interval.

F1 is no mean over examples, so that drawing right and wrong anew is not enough: what is drawn are the examples' true
class with both predictions. Efron & Tibshirani, An Introduction to the Bootstrap (1993), chapter 13; paired as in
Koehn, Statistical Significance Tests for Machine Translation Evaluation (2004).
"""

from collections.abc import Iterator

import numpy as np
from scipy.sparse import csr_array

from components.evaluate.comparison import CONFIDENCE, Difference, mcnemar

RESAMPLES = 2_000  # each costs as much as there are distinct cases, for accuracy only as much as three
_CELLS = 4_000_000  # counts held at once


def paired_f1_difference(
    labels: np.ndarray, model: np.ndarray, rival: np.ndarray, classes: int, seed: int
) -> Difference:
    """Compares two classifiers on the same examples by a paired percentile bootstrap.

    Macro-F1 is that of `components.shared.metrics`: the mean over the classes that occur, in the labels or in the
    predictions. A prediction that is none of the classes (-1) is wrong, and no class of its own.

    Args:
        labels: int [examples], the true classes.
        model: int [examples], what the model predicts.
        rival: The same of the rival.
        classes: How many there are.
        seed: Of the draws.
    """
    cases = _Cases(labels, model, rival, classes)
    values = cases.differences(cases.counts[None])
    drawn = np.concatenate(list(cases.draw(seed)))
    tail = (1 - CONFIDENCE) / 2
    low, high = np.quantile(drawn, (tail, 1 - tail))
    ours, theirs = model == labels, rival == labels
    gained, lost = int((ours & ~theirs).sum()), int((theirs & ~ours).sum())
    return Difference(
        metric="macro_f1",
        value=float(values[0]),
        low=float(low),
        high=float(high),
        confidence=CONFIDENCE,
        resamples=RESAMPLES,
        examples=len(labels),
        model_only=gained,
        baseline_only=lost,
        p_value=mcnemar(gained, lost),
    )


def macro_f1(labels: np.ndarray, predicted: np.ndarray, classes: int) -> float:
    """Returns the mean F1 over the classes that occur; predictions of -1 are wrong, and no class of their own."""
    right, found, there = (
        np.bincount(numbers[numbers >= 0], minlength=classes)
        for numbers in (np.where(predicted == labels, labels, -1), predicted, labels)
    )
    return float(_mean_f1(right, found, there))


class _Cases:
    """The distinct triples of true class, model's and rival's prediction, and how often each occurs."""

    def __init__(self, labels: np.ndarray, model: np.ndarray, rival: np.ndarray, classes: int) -> None:
        base = classes + 1
        codes = (labels.astype(np.int64) * base + model + 1) * base + rival + 1
        distinct, self.counts = np.unique(codes, return_counts=True)
        truth, ours, theirs = distinct // base**2, distinct // base % base - 1, distinct % base - 1
        self.there = _indicator(truth, classes)
        self.sides = [
            (_indicator(np.where(predicted == truth, truth, -1), classes), _indicator(predicted, classes))
            for predicted in (ours, theirs)
        ]
        self.at_once = max(1, _CELLS // max(len(distinct), classes))

    def draw(self, seed: int) -> Iterator[np.ndarray]:
        """Yields the differences of resamples, in bounded memory."""
        generator, total = np.random.default_rng(seed), self.counts.sum()
        for start in range(0, RESAMPLES, self.at_once):
            size = min(self.at_once, RESAMPLES - start)
            yield self.differences(generator.multinomial(total, self.counts / total, size=size))

    def differences(self, counts: np.ndarray) -> np.ndarray:
        """Returns the model's macro-F1 minus the rival's for counts of the cases, [resamples, cases]."""
        there = counts @ self.there
        model, rival = (_mean_f1(counts @ right, counts @ found, there) for right, found in self.sides)
        return np.asarray(model - rival)


def _indicator(numbers: np.ndarray, classes: int) -> csr_array:
    """Returns which case counts for which class, [cases, classes]; a number of -1 counts for none."""
    cases = np.flatnonzero(numbers >= 0)
    ones = np.ones(len(cases), np.int64)
    return csr_array((ones, (cases, numbers[cases])), shape=(len(numbers), classes))


def _mean_f1(right: np.ndarray, found: np.ndarray, there: np.ndarray) -> np.ndarray:
    """Takes how many of each class, [..., classes], were right, predicted and there."""
    total = found + there
    f1 = np.divide(2 * right, total, out=np.zeros(total.shape), where=total > 0)
    return np.asarray(f1.sum(-1) / (total > 0).sum(-1))
