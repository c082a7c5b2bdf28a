"""The metrics of numbers: how well predictions follow the targets, and how large the errors are."""

from dataclasses import dataclass

import numpy as np

from components.shared.statistics import OfSums, Statistics, smaller
from components.shared.statistics.metric import Described

_FLAT = 1e-12  # part of the largest value squared, below which a variance is rounding


@dataclass(frozen=True)
class Pearson(Described):
    """The linear correlation of predictions and targets; 0 where either side is the same for all."""

    def value(self, statistics: Statistics, weights: np.ndarray | None = None) -> np.ndarray:
        """Returns it for each resample."""
        return _correlation(_weights(statistics, weights), statistics["predicted"], statistics["target"])


@dataclass(frozen=True)
class Spearman(Described):
    """The correlation of ranks, ties at their mean rank (Spearman, 1904): is what is higher told to be higher?"""

    def value(self, statistics: Statistics, weights: np.ndarray | None = None) -> np.ndarray:
        """Returns it for each resample; 0 where either side is the same for all."""
        each = _weights(statistics, weights)
        return _correlation(each, smaller(statistics["predicted"], each), smaller(statistics["target"], each))


@dataclass(frozen=True)
class Explained(Described):
    """R², the share of the targets' variance that is explained: 0 for their mean, below 0 for what is worse."""

    def value(self, statistics: Statistics, weights: np.ndarray | None = None) -> np.ndarray:
        """Returns it for each resample; NaN where all targets are the same."""
        each = _weights(statistics, weights)
        spread = _moments(each, statistics["target"], statistics["target"])
        squared = (each @ statistics["squared_error"]) / each.sum(1)
        return np.asarray(1 - np.divide(squared, spread, out=np.full(len(each), np.nan), where=spread > 0))


def statistics_of(predictions: np.ndarray, targets: np.ndarray) -> Statistics:
    """Returns what is kept of predicted numbers: `predicted`, `target`, `squared_error`, `absolute_error`.

    Args:
        predictions: float [examples].
        targets: float [examples].
    """
    predicted, target = predictions.astype(np.float64), targets.astype(np.float64)
    error = predicted - target
    arrays = {"predicted": predicted, "target": target, "squared_error": error**2, "absolute_error": abs(error)}
    return Statistics(arrays)


def _weights(statistics: Statistics, weights: np.ndarray | None) -> np.ndarray:
    return np.ones((1, len(statistics))) if weights is None else weights.astype(np.float64)


def _moments(weights: np.ndarray, one: np.ndarray, other: np.ndarray) -> np.ndarray:
    """Returns the covariance in each resample of two columns, [examples] or [resamples, examples]."""
    one, other = one - one.mean(-1, keepdims=True), other - other.mean(-1, keepdims=True)  # large and alike: no loss
    total = weights.sum(1)
    means = [(weights * side).sum(1) / total for side in (one, other)]
    found = (weights * one * other).sum(1) / total - means[0] * means[1]
    least = _FLAT * np.maximum(abs(one).max(-1), abs(other).max(-1)) ** 2
    return np.asarray(np.where(abs(found) > least, found, 0.0))


def _correlation(weights: np.ndarray, one: np.ndarray, other: np.ndarray) -> np.ndarray:
    spread = np.sqrt(_moments(weights, one, one) * _moments(weights, other, other))
    both = _moments(weights, one, other)
    found = np.divide(both, spread, out=np.zeros(len(both)), where=spread > 0)
    return np.asarray(np.clip(found, -1.0, 1.0))


_PAIR = ("predicted", "target")
_ANY = (0.0, float("inf"))
PEARSON = Pearson("pearson", "Pearson correlation", "Pearson", _PAIR, bounds=(-1.0, 1.0), resamples=1_000)
SPEARMAN = Spearman("spearman", "Spearman correlation", "Spearman", _PAIR, bounds=(-1.0, 1.0), resamples=1_000)
RMSE = OfSums("rmse", "root mean squared error", "RMSE", ("squared_error",), -1, _ANY, of=np.sqrt)
MAE = OfSums("mae", "mean absolute error", "MAE", ("absolute_error",), -1, _ANY)
R2 = Explained("r2", "R²", "R²", (*_PAIR, "squared_error"), bounds=(float("-inf"), 1.0), decides=False)
METRICS = (PEARSON, SPEARMAN, RMSE, MAE, R2)
