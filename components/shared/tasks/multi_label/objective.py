"""How well a multi-label classification does on validation examples, and from which probability on a label is given."""

from collections.abc import Mapping
from typing import Any

import numpy as np

from components.shared.tasks.objective import Outputs, Targets

_OWN = 10  # validation examples with a label, and without, from which on it gets a threshold of its own
_GRID = np.arange(0.05, 0.951, 0.025)  # of the threshold that is common to all


class Objective:
    """F1 at the threshold that is best for all labels together, and mean average precision, which needs none."""

    metrics = ("micro_f1", "macro_f1", "mean_average_precision")
    bounded = ("micro_f1", "macro_f1")

    def __init__(self, spec: Mapping[str, Any]) -> None:
        self.classes = len(spec["labels"])

    def selection(self, targets: Targets) -> str:
        """Returns "micro_f1"."""
        return "micro_f1"

    def scores(self, outputs: Outputs, targets: Targets) -> dict[str, float]:
        """Returns validation_loss (of an example the sum over labels) and the metrics."""
        logits, there = outputs["logits"].astype(np.float64), there_of(targets["labels"], self.classes)
        if not len(there):
            return dict.fromkeys(("validation_loss", *self.metrics), float("nan"))
        loss = (np.logaddexp(0, logits) - logits * there).sum(1).mean()
        given = _sigmoid(logits) >= common_threshold(_sigmoid(logits), there)
        counts = [(given & there).sum(0), given.sum(0), there.sum(0)]
        occurs = (counts[1] + counts[2]) > 0
        return {
            "validation_loss": float(loss),
            "micro_f1": float(_f1(*(count.sum() for count in counts))),
            "macro_f1": float(_f1(*counts)[occurs].mean()) if occurs.any() else float("nan"),
            "mean_average_precision": _mean_average_precision(logits, there),
        }

    def calibrate(self, head: Any, outputs: Outputs, targets: Targets) -> dict[str, Any]:
        """Sets the head's thresholds: for each label the one with the best F1 on validation examples.

        A label that is rare there gets the one that is best for all together: its own would follow chance.
        """
        probabilities, there = _sigmoid(outputs["logits"].astype(np.float64)), there_of(targets["labels"], self.classes)
        common = common_threshold(probabilities, there)
        found = np.full(self.classes, common)
        for label in range(self.classes):
            if _OWN <= there[:, label].sum() <= len(there) - _OWN:
                found[label] = _best_threshold(probabilities[:, label], there[:, label])
        import torch

        head.thresholds.copy_(torch.from_numpy(found))
        return {"thresholds": found.tolist(), "common": common}


def there_of(labels: Any, classes: int) -> np.ndarray:
    """Returns which labels examples have, bool [examples, classes], of lists of their numbers."""
    there = np.zeros((len(labels), classes), bool)
    for row, numbers in zip(there, labels, strict=True):
        row[np.asarray(numbers, np.int64)] = True
    return there


def common_threshold(probabilities: np.ndarray, there: np.ndarray) -> float:
    """Returns the threshold for all labels that has the best micro-F1; of equal ones that nearest to one half.

    Args:
        probabilities: [examples, labels].
        there: bool [examples, labels].
    """
    scores = {}
    for threshold in sorted(_GRID.tolist(), key=lambda value: abs(value - 0.5)):
        given = probabilities >= threshold
        scores[threshold] = float(_f1((given & there).sum(), given.sum(), there.sum()))
    return float(max(scores, key=scores.__getitem__))


def _best_threshold(probabilities: np.ndarray, there: np.ndarray) -> float:
    """Returns the threshold with the best F1, in the middle between two probabilities."""
    order = np.argsort(-probabilities, kind="stable")
    values, hits = probabilities[order], np.cumsum(there[order])
    scores = _f1(hits, np.arange(1, len(order) + 1), there.sum())
    ends = np.append(values[1:] < values[:-1], True)  # equal ones go together
    best = int(np.argmax(np.where(ends, scores, -1.0)))
    following = values[best + 1] if best + 1 < len(values) else 0.0
    return float((values[best] + following) / 2)


def _f1(hits: Any, given: Any, there: Any) -> Any:
    whole = np.asarray(given + there, np.float64)
    return np.divide(2.0 * hits, whole, out=np.zeros_like(whole), where=whole > 0)


def _mean_average_precision(logits: np.ndarray, there: np.ndarray) -> float:
    """Returns the mean over labels that occur of their average precision; of equal logits in the worst order."""
    found = []
    for label in np.flatnonzero(there.any(0)):
        order = np.lexsort((there[:, label], -logits[:, label]))
        hits = np.cumsum(there[order, label])
        precision = hits / np.arange(1, len(order) + 1)
        found.append(float(precision[there[order, label]].mean()))
    return float(np.mean(found)) if found else float("nan")


def _sigmoid(logits: np.ndarray) -> np.ndarray:
    found: np.ndarray = 1 / (1 + np.exp(-np.clip(logits, -500, 500)))
    return found
