"""The head of counts: one logarithm of a rate an example. It goes with a registered model."""

from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from components.shared.backbones.head import Columns, LinearHead, Outputs, rows_of


class Head(LinearHead):
    """One output: how far the logarithm of the rate is from that of the mean of the training examples."""

    @staticmethod
    def names(spec: Any) -> list[str]:
        """Returns nothing: it is one number."""
        return []

    def targets(self, columns: Columns) -> Outputs:
        """Returns `value`, float32 [batch]."""
        return {"value": torch.from_numpy(np.asarray(columns["value"], np.float32).reshape(-1))}

    def loss(self, outputs: Outputs, targets: Outputs, smoothing: float = 0.0) -> tuple[Tensor, Tensor]:
        """Returns the sum of the negative Poisson log-likelihoods, without what does not depend on the rate."""
        logs = outputs["logits"].float().squeeze(-1) + float(np.log(self.spec["mean"]))
        return nn.functional.poisson_nll_loss(logs, targets["value"], reduction="sum"), logs.new_tensor(len(logs))

    def decode(self, outputs: Columns, extras: Columns) -> dict[str, list[Any]]:
        """Returns `value`, the count that is expected."""
        return {
            "value": (np.exp(rows_of(outputs["logits"]).astype(np.float64).reshape(-1)) * self.spec["mean"]).tolist()
        }
