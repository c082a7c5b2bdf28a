"""How candidates are ranked on validation examples, wherever something is chosen: heads, strategies, epochs."""

from collections.abc import Mapping

import numpy as np

SELECTIONS = ("accuracy", "macro_f1")
_UNEVEN = 3.0  # the largest class over the smallest: beyond, accuracy would let small classes go


def selection_of(counts: np.ndarray) -> str:
    """Returns the metric to choose by: "macro_f1" where classes are uneven, else "accuracy".

    Args:
        counts: int [classes], training examples of each.
    """
    return "macro_f1" if is_uneven(counts) else "accuracy"


def is_uneven(counts: np.ndarray) -> bool:
    """Whether the largest class is far larger than the smallest.

    Args:
        counts: int [classes], training examples of each.
    """
    there = counts[counts > 0]
    return bool(len(there) and there.max() > _UNEVEN * there.min())


def rank(scores: Mapping[str, float], selection: str) -> tuple[float, float]:
    """Returns what is highest for the best: the metric, and among equals the lowest loss. NaN is lowest of all.

    Args:
        scores: `validation_loss`, and the task's metrics.
        selection: The name of one of them; with "-" before it, it is best low.
    """
    name = selection.removeprefix("-")
    metric, loss = scores[name] if name == selection else -scores[name], scores["validation_loss"]
    return (metric if np.isfinite(metric) else float("-inf"), -loss if np.isfinite(loss) else float("-inf"))
