"""How well a regression does on validation examples."""

from collections.abc import Mapping
from typing import Any

import numpy as np

from components.shared.tasks.objective import Outputs, Targets


class Objective:
    """Correlations and errors; chosen by R², which asks for the right numbers, not only for their order."""

    metrics = ("pearson", "spearman", "r2", "rmse", "mae")
    bounded = ("r2",)

    def __init__(self, spec: Mapping[str, Any]) -> None:
        self.mean, self.deviation = float(spec["mean"]), float(spec["deviation"])

    def selection(self, targets: Targets) -> str:
        """Returns "r2"."""
        return "r2"

    def scores(self, outputs: Outputs, targets: Targets) -> dict[str, float]:
        """Returns validation_loss (mean squared error of standardised values) and the metrics, in the data's unit."""
        truth = np.asarray(targets["value"], np.float64).reshape(-1)
        found = outputs["logits"].astype(np.float64).reshape(-1) * self.deviation + self.mean
        if not len(truth):
            return dict.fromkeys(("validation_loss", *self.metrics), float("nan"))
        squared = float(np.square(found - truth).mean())
        variance = float(truth.var())
        return {
            "validation_loss": squared / self.deviation**2,
            "pearson": _pearson(found, truth),
            "spearman": _pearson(_ranks(found), _ranks(truth)),
            "r2": 1 - squared / variance if variance > 0 else float("nan"),
            "rmse": squared**0.5,
            "mae": float(np.abs(found - truth).mean()),
        }

    def calibrate(self, head: Any, outputs: Outputs, targets: Targets) -> dict[str, Any]:
        """Does nothing: the outputs are the answers."""
        return {}


def _pearson(one: np.ndarray, other: np.ndarray) -> float:
    deviations = one.std() * other.std()
    if not deviations > 0:
        return float("nan")
    return float(((one - one.mean()) * (other - other.mean())).mean() / deviations)


def _ranks(values: np.ndarray) -> np.ndarray:
    """Returns ranks, equal values with their mean rank."""
    _, places, counts = np.unique(values, return_inverse=True, return_counts=True)
    ends = np.cumsum(counts)
    found: np.ndarray = (ends - (counts - 1) / 2)[places]
    return found
