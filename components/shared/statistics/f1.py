"""F1 of what is found: out of how often it was right, found, and there, by class or all together."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from components.shared.statistics.metric import Described
from components.shared.statistics.statistics import Statistics


@dataclass(frozen=True)
class MacroF1(Described):
    """The mean F1 over the classes that occur: that are there, or found, in some example.

    Its columns are how often each class was right, found and there, [examples, classes] each.
    """

    def value(self, statistics: Statistics, weights: np.ndarray | None = None) -> np.ndarray:
        """Returns it for each resample; NaN where no class occurs."""
        right, found, there = (_sums(statistics[name], weights) for name in self.columns)
        each, occurs = f1_of(right, found, there), (found + there) > 0
        with np.errstate(invalid="ignore"):
            return np.asarray(each.sum(-1) / occurs.sum(-1))


def f1_of(right: np.ndarray, found: np.ndarray, there: np.ndarray) -> np.ndarray:
    """Returns F1 of how often something was right, found, and there; 0 where there is nothing to divide by."""
    total = np.asarray(found + there, np.float64)
    return np.asarray(np.divide(2 * right, total, out=np.zeros(total.shape), where=total > 0))


def table_of(labels: Sequence[str], right: np.ndarray, found: np.ndarray, there: np.ndarray) -> list[dict[str, Any]]:
    """Returns precision, recall, F1 and support of each label, for evaluation.json."""
    shares = (share_of(right, found), share_of(right, there), f1_of(right, found, there))
    return [
        {"label": label, "precision": float(p), "recall": float(r), "f1": float(f), "support": int(support)}
        for label, p, r, f, support in zip(labels, *shares, there, strict=True)
    ]


def share_of(part: np.ndarray, whole: np.ndarray) -> np.ndarray:
    """Returns precision or recall: a part of a whole; 0 where there is nothing to divide by."""
    below = np.asarray(whole, np.float64)
    return np.asarray(np.divide(part, below, out=np.zeros(below.shape), where=below > 0))


def _sums(column: np.ndarray, weights: np.ndarray | None) -> np.ndarray:
    found = column.sum(0, dtype=np.int64)[None] if weights is None else weights @ column.astype(np.float64)
    return np.asarray(found)
