"""The metrics of several labels an example: F1 of what is given, and how well probabilities rank."""

from dataclasses import dataclass

import numpy as np

from components.shared.statistics import OfSums, Statistics
from components.shared.statistics.f1 import MacroF1, f1_of
from components.shared.statistics.metric import Described


@dataclass(frozen=True)
class MeanAveragePrecision(Described):
    """The mean over the labels that some example has of their average precision, which asks for no threshold.

    Precision at each probability, weighted by the recall that it adds, as `average_precision_score` of scikit-learn.
    """

    def value(self, statistics: Statistics, weights: np.ndarray | None = None) -> np.ndarray:
        """Returns it for each resample; NaN where no example has a label."""
        probabilities, there = statistics["probabilities"], statistics["labels_there"]
        each = np.ones((1, len(statistics))) if weights is None else weights.astype(np.float64)
        total, counted = np.zeros(len(each)), np.zeros(len(each))
        for label in np.flatnonzero(there.any(0)):
            precision, known = _average_precision(probabilities[:, label], there[:, label], each)
            total += precision
            counted += known
        return np.asarray(np.divide(total, counted, out=np.full(len(each), np.nan), where=counted > 0))


def _average_precision(scores: np.ndarray, there: np.ndarray, weights: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Returns the average precision of one label in each resample (0 where it has no example), and where it has one."""
    order = np.argsort(-scores, kind="stable")
    ends = np.append(np.flatnonzero(np.diff(scores[order])), len(order) - 1)  # equal ones go together
    drawn = weights[:, order]
    hits, given = (np.cumsum(part, axis=1)[:, ends] for part in (drawn * there[order], drawn))
    gained = np.diff(hits, axis=1, prepend=0.0)
    precision = np.divide(hits, given, out=np.zeros(hits.shape), where=given > 0)
    total = hits[:, -1]
    return np.divide((gained * precision).sum(1), total, out=np.zeros(len(total)), where=total > 0), total > 0


MICRO_F1 = OfSums("micro_f1", "micro-F1", "Micro-F1", ("hits", "given", "there"), of=f1_of)
MACRO_F1 = MacroF1("macro_f1", "macro-F1", "Macro-F1", ("labels_hit", "labels_given", "labels_there"))
EXACT = OfSums("exact_match", "share with exactly their labels", "Exact", ("right",), hits="right", proportion=True)
MAP = MeanAveragePrecision(
    "mean_average_precision", "mean average precision", "mAP", ("probabilities", "labels_there"),
    decides=False, resamples=200,
)  # fmt: skip
METRICS = (MICRO_F1, MACRO_F1, EXACT, MAP)
