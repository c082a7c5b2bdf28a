"""How well a classification does on validation examples."""

from collections.abc import Mapping
from typing import Any

import numpy as np

from components.shared import metrics
from components.shared.selection import selection_of
from components.shared.tasks.classification.head import softmax
from components.shared.tasks.objective import Outputs, Targets


class Objective:
    """Accuracy and macro-F1; what is chosen by depends on how uneven the classes are."""

    metrics = ("accuracy", "macro_f1")
    bounded = ("accuracy", "macro_f1")

    def __init__(self, spec: Mapping[str, Any]) -> None:
        self.classes = len(spec["labels"])

    def selection(self, targets: Targets) -> str:
        """Returns "macro_f1" where classes are uneven, else "accuracy"."""
        return selection_of(np.bincount(np.asarray(targets["label"]), minlength=self.classes))

    def scores(self, outputs: Outputs, targets: Targets) -> dict[str, float]:
        """Returns validation_loss, accuracy and macro_f1."""
        return scores_of(softmax(outputs["logits"]), np.asarray(targets["label"]))

    def calibrate(self, head: Any, outputs: Outputs, targets: Targets) -> dict[str, Any]:
        """Does nothing: the temperature is that of a whole network, see `components.finetune.linear.calibration`."""
        return {}


def scores_of(probabilities: np.ndarray, labels: np.ndarray) -> dict[str, float]:
    """Returns validation_loss, accuracy and macro_f1 of probabilities [examples, classes]."""
    confusion = metrics.confusion_matrix(labels, probabilities.argmax(1), probabilities.shape[1])
    return {
        "validation_loss": metrics.log_loss(probabilities, labels),
        "accuracy": metrics.accuracy(confusion),
        "macro_f1": metrics.macro_f1(confusion),
    }
