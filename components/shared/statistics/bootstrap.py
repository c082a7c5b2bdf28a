"""How sure a metric is, and the gain of one model over another: a percentile bootstrap over the examples.

Efron & Tibshirani, An Introduction to the Bootstrap (1993), chapter 13; paired as in Koehn, Statistical Significance
Tests for Machine Translation Evaluation (2004).
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from components.shared.statistics.metric import Metric, written
from components.shared.statistics.statistics import Statistics

CONFIDENCE = 0.95
_NORMAL = 1.959963984540054  # the quantile of a normal distribution at 0.975
RESAMPLES = 10_000  # of a proportion, each of which costs three counts
_CELLS = 4_000_000  # weights held at once


@dataclass(frozen=True)
class Interval:
    """The value of a metric, with the ends of its interval."""

    value: float
    low: float
    high: float


@dataclass(frozen=True)
class Gain:
    """What a model gains over a rival (a baseline, another arm, the champion) on the same examples: above 0 is better.

    Attributes:
        metric: Its name.
        value: The difference, in the metric's unit; turned round for one of which less is better.
        low: Lower end of its interval.
        high: Upper end.
        confidence: Of the interval.
        resamples: Of the bootstrap.
        examples: How many both predicted.
        model_only: How many the model alone had right; None where nothing is right or wrong.
        baseline_only: How many the rival alone had right.
        p_value: Of McNemar's exact test: how probable it is that those two numbers differ so much by chance.
    """

    metric: str
    value: float
    low: float
    high: float
    confidence: float
    resamples: int
    examples: int
    model_only: int | None
    baseline_only: int | None
    p_value: float | None

    @property
    def sign(self) -> int:
        """1 or -1 where the whole interval is on that side of 0, else 0."""
        return int(self.low > 0) - int(self.high < 0)

    def words(self, metric: Metric) -> str:
        """Returns it and its interval as part of a sentence, in the unit of its metric."""
        value, low, high = (written(metric, value, sign=True) for value in (self.value, self.low, self.high))
        what = "difference" if metric.direction > 0 else "gain"
        return f"a {what} of {value} with a {self.confidence:.0%} interval of {low} to {high}"


def paired_gain(metric: Metric, ours: Statistics, theirs: Statistics, seed: int) -> Gain:
    """Compares two models on the same examples by a paired percentile bootstrap.

    Args:
        metric: By which.
        ours: The model's statistics.
        theirs: The rival's, of the same examples.
        seed: Of the draws.
    """
    gained, lost = _only(metric, ours, theirs)
    if metric.proportion and ours.groups is None:
        value, drawn = _of_proportion(gained or 0, lost or 0, len(ours), seed)
    else:
        cases = _Cases(metric, [ours, theirs])
        value, drawn = metric.direction * cases.gain(None)[0], metric.direction * cases.draw(seed)
    low, high = _ends(drawn)
    return Gain(
        metric=metric.name,
        value=float(value),
        low=low,
        high=high,
        confidence=CONFIDENCE,
        resamples=len(drawn),
        examples=len(ours),
        model_only=gained,
        baseline_only=lost,
        p_value=None if gained is None or lost is None else mcnemar(gained, lost),
    )


def interval_of(metric: Metric, statistics: Statistics, seed: int, confidence: float = CONFIDENCE) -> Interval:
    """Returns the value of a metric, with the interval of a percentile bootstrap."""
    cases = _Cases(metric, [statistics])
    return Interval(float(cases.gain(None)[0]), *_ends(cases.draw(seed), confidence))


def mcnemar(gained: int, lost: int) -> float:
    """Returns the two-sided p-value of McNemar's exact test: are both kinds of disagreement equally probable?

    Args:
        gained: Examples that only the one model has right.
        lost: Examples that only the other has right.
    """
    from scipy.stats import binomtest

    return float(binomtest(gained, gained + lost).pvalue) if gained + lost else 1.0


def wilson(share: float, total: float) -> tuple[float, float]:
    """Returns the interval of a share of some examples (Wilson, JASA 1927): honest where all or few are right."""
    wide = _NORMAL**2 / total
    middle = (share + wide / 2) / (1 + wide)
    half = _NORMAL * float(np.sqrt(share * (1 - share) / total + wide / (4 * total))) / (1 + wide)
    return max(0.0, middle - half), min(1.0, middle + half)


def _only(metric: Metric, ours: Statistics, theirs: Statistics) -> tuple[int | None, int | None]:
    """Returns how many examples only the one, and only the other has right."""
    if not metric.hits:
        return None, None
    right, other = ours[metric.hits], theirs[metric.hits]
    return int((right & ~other).sum()), int((other & ~right).sum())


def _of_proportion(gained: int, lost: int, total: int, seed: int) -> tuple[float, np.ndarray]:
    """Draws the gain in a proportion.

    An example's difference is 1, 0 or -1, so drawing examples anew is drawing three counts from a multinomial
    distribution: exact, and as fast on ten million examples as on ten.
    """
    share = np.array([gained, lost, total - gained - lost]) / total
    drawn = np.random.default_rng(seed).multinomial(total, share, size=RESAMPLES)
    return (gained - lost) / total, (drawn[:, 0] - drawn[:, 1]) / total


def _ends(drawn: np.ndarray, confidence: float = CONFIDENCE) -> tuple[float, float]:
    tail = (1 - confidence) / 2
    low, high = np.quantile(drawn, (tail, 1 - tail))
    return float(low), float(high)


class _Cases:
    """What is drawn: distinct examples with their counts where all columns are whole numbers; else each, or groups."""

    def __init__(self, metric: Metric, sides: Sequence[Statistics]) -> None:
        self.metric, self.groups = metric, sides[0].groups
        if self.groups is not None:  # of some examples not every group is there
            self.groups = np.unique(self.groups, return_inverse=True)[1]
        columns = [side[name] for side in sides for name in metric.columns]
        self.whole = self.groups is None and all(c.ndim == 1 and c.dtype.kind in "iub" for c in columns)
        if self.whole:
            places, self.counts = _distinct(columns)
            self.sides = [side.take(places) for side in sides]
        else:
            self.sides = list(sides)
            units = len(sides[0]) if self.groups is None else int(self.groups.max(initial=-1)) + 1
            self.counts = np.ones(units, np.int64)

    def gain(self, weights: np.ndarray | None) -> np.ndarray:
        """Returns the metric of the first side, less that of the second where there is one."""
        if weights is None and self.whole:
            weights = self.counts[None]
        values = [self.metric.value(side, weights) for side in self.sides]
        return np.asarray(values[0] - values[1] if len(values) > 1 else values[0])

    def draw(self, seed: int) -> np.ndarray:
        """Returns the values of resamples, in bounded memory."""
        generator, found = np.random.default_rng(seed), []
        at_once = max(1, _CELLS // max(len(self.counts), len(self.sides[0])))
        for start in range(0, self.metric.resamples, at_once):
            found.append(self.gain(self._weights(generator, min(at_once, self.metric.resamples - start))))
        return np.concatenate(found)

    def _weights(self, generator: np.random.Generator, size: int) -> np.ndarray:
        total = int(self.counts.sum())
        if self.whole:
            return generator.multinomial(total, self.counts / total, size=size)
        drawn = generator.integers(0, total, (size, total)) + np.arange(size)[:, None] * total
        counts = np.bincount(drawn.ravel(), minlength=size * total).reshape(size, total)
        return (counts if self.groups is None else counts[:, self.groups]).astype(np.float64)


def _distinct(columns: Sequence[np.ndarray]) -> tuple[np.ndarray, np.ndarray]:
    """Returns the place of one example of each distinct row, in the rows' order, and how often each occurs."""
    codes = np.zeros(len(columns[0]), np.int64)
    for column in columns:
        values, code = np.unique(column, return_inverse=True)
        codes = np.unique(codes * len(values) + code, return_inverse=True)[1]
    _, places, counts = np.unique(codes, return_index=True, return_counts=True)
    return places, counts
