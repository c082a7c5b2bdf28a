"""Is the model better than another? What a gain with its interval shows, and which rival is the strongest."""

from collections.abc import Mapping, Sequence

from components.shared.gate import BETTER
from components.shared.statistics import Gain, Metric

WORSE, NOT_SHOWN = "worse", "not shown"


def verdict_of(gain: Gain, complete: bool = True) -> str:
    """Returns "better" or "worse" where the whole interval is on that side of 0, else "not shown".

    Args:
        gain: Over the best baseline.
        complete: Whether all baselines could be fitted; without them better than every one cannot be shown.
    """
    if gain.sign > 0 and complete:
        return BETTER
    return WORSE if gain.sign < 0 else NOT_SHOWN


def best_of(scores: Mapping[str, Mapping[str, float | None]], metric: Metric, others: Sequence[Metric] = ()) -> str:
    """Returns the name of the best by a metric; among equals that by the first of the others that decides nothing.

    Args:
        scores: By name, the values of metrics.
        metric: That decides.
        others: All metrics of the task.
    """
    ties = [other for other in others if not other.decides][:1]
    return max(scores, key=lambda name: [ranked(found, scores[name]) for found in (metric, *ties)])


def ranked(metric: Metric, scores: Mapping[str, float | None]) -> float:
    """Returns what is highest for the best: a value that is not defined comes last."""
    value = scores.get(metric.name)
    return float("-inf") if value is None else metric.direction * value
