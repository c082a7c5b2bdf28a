"""A metric is a function of statistics and weights, so that one bootstrap serves all of them.

Weights do everything: none gives the value, how often each example is drawn gives that of a resample.
"""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np

from components.shared.statistics.statistics import Statistics


class Metric(Protocol):
    """What predictions are judged by."""

    @property
    def name(self) -> str:
        """Its key in JSON, tags and job files: "log_loss"."""

    @property
    def title(self) -> str:
        """What a sentence calls it: "log loss"."""

    @property
    def heading(self) -> str:
        """What a table calls it: "Log loss"; "": it is in none."""

    @property
    def direction(self) -> int:
        """1 where higher is better, -1 where lower is."""

    @property
    def bounds(self) -> tuple[float, float]:
        """The least and the most that it can be."""

    @property
    def unit(self) -> str:
        """What it is measured in: "nats"; "" for a share, and for what is measured as the target is."""

    @property
    def decides(self) -> bool:
        """Whether a job may promote by it; the others are told beside."""

    @property
    def columns(self) -> tuple[str, ...]:
        """The arrays that it is a function of."""

    @property
    def hits(self) -> str:
        """The array that tells whether each example is right, for McNemar's test; "" where none is right or wrong."""

    @property
    def proportion(self) -> bool:
        """Whether it is the mean of `hits`: an interval of Wilson, an exact test and the rule of three apply."""

    @property
    def resamples(self) -> int:
        """How many a bootstrap draws of it: fewer of what costs more."""

    def applies(self, statistics: Statistics) -> bool:
        """Whether it means something of such statistics."""

    def value(self, statistics: Statistics, weights: np.ndarray | None = None) -> np.ndarray:
        """Returns its values, float [resamples]; NaN where it is not defined.

        Args:
            statistics: Of the examples.
            weights: How often each example counts, [resamples, examples]; None: each once, in one resample.
        """


@dataclass(frozen=True)
class Described:
    """The names and bounds of a metric, see `Metric`; what is left is its value."""

    name: str
    title: str
    heading: str
    columns: tuple[str, ...]
    direction: int = 1
    bounds: tuple[float, float] = (0.0, 1.0)
    unit: str = ""
    decides: bool = True
    hits: str = ""
    proportion: bool = False
    resamples: int = 2_000

    def applies(self, statistics: Statistics) -> bool:
        """It always does."""
        return len(statistics) >= 0


@dataclass(frozen=True)
class OfSums(Described):
    """A metric of the means of columns.

    Attributes:
        of: Takes the means, one array of [resamples] or [resamples, numbers] for each column; returns [resamples].
    """

    of: Callable[..., np.ndarray] = np.asarray

    def value(self, statistics: Statistics, weights: np.ndarray | None = None) -> np.ndarray:
        """Returns the function of the means; NaN without examples."""
        with np.errstate(invalid="ignore", divide="ignore"):
            return np.asarray(self.of(*(_mean(statistics[name], weights) for name in self.columns)), np.float64)


def _mean(column: np.ndarray, weights: np.ndarray | None) -> np.ndarray:
    if weights is None:
        found: np.ndarray = np.asarray(column.sum(0, dtype=_exact(column)) / len(column))[None]
        return found
    total = weights.sum(1, dtype=np.float64)
    sums = weights @ column.astype(np.float64)
    return np.asarray(sums / (total if sums.ndim == 1 else total[:, None]))


def _exact(column: np.ndarray) -> type:
    return np.int64 if column.dtype.kind in "iub" else np.float64


def smaller(values: np.ndarray, weights: np.ndarray) -> np.ndarray:
    """Returns the weight of all that is smaller than each value, and half of that of its equals, in each resample.

    So ranks are `smaller(values, weights) + 0.5`, ties at their mean (as in `scipy.stats.rankdata`).

    Args:
        values: [examples].
        weights: [resamples, examples].

    Returns:
        float [resamples, examples].
    """
    distinct, place = np.unique(values, return_inverse=True)
    order = np.argsort(place, kind="stable")
    starts = np.searchsorted(place[order], np.arange(len(distinct)))
    held = np.add.reduceat(weights[:, order], starts, axis=1, dtype=np.float64)
    below = np.cumsum(held, axis=1) - held
    found: np.ndarray = (below + held / 2)[:, place]
    return found


def score_of(metric: Metric, statistics: Statistics) -> float | None:
    """Returns a metric's value; None where it is not defined."""
    value = float(metric.value(statistics)[0])
    return value if math.isfinite(value) else None


def measure(metrics: Sequence[Metric], statistics: Statistics) -> dict[str, float | None]:
    """Returns the values of all metrics that apply, by name; None where one is not defined."""
    return {metric.name: score_of(metric, statistics) for metric in metrics if metric.applies(statistics)}


def written(metric: Metric, value: float, sign: bool = False) -> str:
    """Returns a value, or a difference of two, as a sentence tells it: three digits, of what has no bounds four."""
    digits = ".3f" if math.isfinite(metric.bounds[1] - metric.bounds[0]) else "#.4g"
    return format(value, ("+" if sign else "") + digits).removesuffix(".")
