"""Is the model better than another? The paired difference with its interval and test, and what it shows."""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from scipy.stats import binomtest

from components.shared.gate import BETTER

RESAMPLES = 10_000
CONFIDENCE = 0.95

WORSE, NOT_SHOWN = "worse", "not shown"
NAMES = {"accuracy": "accuracy", "macro_f1": "macro-F1"}


@dataclass(frozen=True)
class Difference:
    """Accuracy (or macro-F1) of the model minus that of a rival (a baseline, another arm) on the same examples.

    Attributes:
        metric: "accuracy", or "macro_f1".
        value: The difference.
        low: Lower end of its interval.
        high: Upper end.
        confidence: Of the interval.
        resamples: Of the bootstrap.
        examples: How many both predicted.
        model_only: How many the model alone had right.
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
    model_only: int
    baseline_only: int
    p_value: float

    @property
    def sign(self) -> int:
        """1 or -1 where the whole interval is on that side of 0, else 0."""
        return int(self.low > 0) - int(self.high < 0)


def paired_difference(model: np.ndarray, baseline: np.ndarray, seed: int) -> Difference:
    """Compares two classifiers on the same examples by a paired percentile bootstrap.

    An example's difference is 1, 0 or -1, so drawing examples anew is drawing three counts from a multinomial
    distribution: exact, and as fast on ten million examples as on ten.

    Args:
        model: bool [examples], whether the model is right.
        baseline: The same of the baseline.
        seed: Of the draws.
    """
    total = len(model)
    gained, lost = int((model & ~baseline).sum()), int((baseline & ~model).sum())
    share = np.array([gained, lost, total - gained - lost]) / total
    drawn = np.random.default_rng(seed).multinomial(total, share, size=RESAMPLES)
    tail = (1 - CONFIDENCE) / 2
    low, high = np.quantile((drawn[:, 0] - drawn[:, 1]) / total, (tail, 1 - tail))
    return Difference(
        metric="accuracy",
        value=(gained - lost) / total,
        low=float(low),
        high=float(high),
        confidence=CONFIDENCE,
        resamples=RESAMPLES,
        examples=total,
        model_only=gained,
        baseline_only=lost,
        p_value=mcnemar(gained, lost),
    )


def mcnemar(gained: int, lost: int) -> float:
    """Returns the two-sided p-value of McNemar's exact test: are both kinds of disagreement equally probable?

    Args:
        gained: Examples that only the one classifier has right.
        lost: Examples that only the other has right.
    """
    return float(binomtest(gained, gained + lost).pvalue) if gained + lost else 1.0


def verdict_of(difference: Difference, complete: bool = True) -> str:
    """Returns "better" or "worse" where the whole interval is on that side of 0, else "not shown".

    Args:
        difference: To the best baseline.
        complete: Whether all baselines could be fitted; without them better than every one cannot be shown.
    """
    if difference.sign > 0 and complete:
        return BETTER
    return WORSE if difference.sign < 0 else NOT_SHOWN


def best_of(baselines: Mapping[str, Mapping[str, float | None]], metric: str = "accuracy") -> str:
    """Returns the name of the strongest baseline by a metric; among equals that with the lowest log loss."""
    return max(baselines, key=lambda name: (baselines[name][metric] or 0, -(baselines[name]["log_loss"] or 0)))


def numbers_of(difference: Difference, values: tuple[float, float], name: str, crossed: bool = False) -> str:
    """Returns both values of its metric, the difference and its interval as part of a sentence.

    Args:
        difference: Of the two.
        values: The model's and the rival's.
        name: The rival's.
        crossed: Whether they were measured by cross-validation.
    """
    where = "by cross-validation over {:,} examples" if crossed else "on {:,} test examples"
    ours, theirs = (f"{value:.3f}" for value in values)
    return (
        f"{NAMES[difference.metric]} {ours} against {theirs} ({name}), a difference of {difference.value:+.3f} with a "
        f"{difference.confidence:.0%} interval of {difference.low:+.3f} to {difference.high:+.3f}, "
        f"{where.format(difference.examples)}"
    )
