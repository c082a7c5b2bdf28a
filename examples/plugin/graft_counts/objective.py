"""How well counts are predicted on validation examples."""

from collections.abc import Mapping
from typing import Any

import numpy as np

from components.shared.tasks.objective import Outputs, Targets
from graft_counts import deviance_of


class Objective:
    """Poisson deviance alone, which the loss is, too, but for what no rate changes."""

    metrics = ("poisson_deviance",)
    bounded = ()

    def __init__(self, spec: Mapping[str, Any]) -> None:
        self.mean = float(spec["mean"])

    def selection(self, targets: Targets) -> str:
        """Returns what ranks epochs and strategies; "-": it is best low."""
        return "-poisson_deviance"

    def scores(self, outputs: Outputs, targets: Targets) -> dict[str, float]:
        """Returns the deviance twice: it is the loss of validation, too."""
        truth = np.asarray(targets["value"], np.float64).reshape(-1)
        rates = np.exp(outputs["logits"].astype(np.float64).reshape(-1)) * self.mean
        deviance = float(deviance_of(rates, truth).mean()) if len(truth) else float("nan")
        return {"validation_loss": deviance, "poisson_deviance": deviance}

    def calibrate(self, head: Any, outputs: Outputs, targets: Targets) -> dict[str, Any]:
        """Does nothing: the outputs are the answers."""
        return {}
