"""Do predictions and labels agree more than chance would have it? Cohen's kappa, with its interval."""

from components.shared.statistics import Interval, Statistics, interval_of
from components.shared.tasks.classification.metrics import KAPPA
from components.shared.tasks.scoring import CHANCE


def kappa_of(statistics: Statistics, seed: int) -> Interval:
    """Returns the kappa of predictions and labels; the interval by a percentile bootstrap over the examples."""
    return interval_of(KAPPA, statistics, seed, CHANCE)


def words_of(kappa: Interval) -> str:
    """Returns it as part of a sentence."""
    return (
        f"Cohen's kappa of predictions and labels is {kappa.value:.3f}, with a {CHANCE:.0%} interval of "
        f"{kappa.low:+.3f} to {kappa.high:+.3f}, where chance is 0"
    )
