"""The head of a regression: one number an example. It goes with a registered model."""

from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from ...backbones.head import Columns, LinearHead, Outputs, rows_of
from .answers import decode


class Head(LinearHead):
    """One output, in standard deviations of the training examples from their mean: `mean` and `deviation` of the spec.

    So the loss means the same whatever the unit, and the learning rate with it. Nothing is blended: half a picture of
    20 on half one of 60 is no picture of 40 (Yao et al. 2022, C-Mixup, 2210.05775, found that it hurts).
    """

    @staticmethod
    def names(spec: Any) -> list[str]:
        """Returns nothing: it is one number."""
        return []

    def targets(self, columns: Columns) -> Outputs:
        """Returns `value`, float32 [batch], standardised."""
        values = (np.asarray(columns["value"], np.float64).reshape(-1) - self.spec["mean"]) / self.spec["deviation"]
        return {"value": torch.from_numpy(values.astype(np.float32))}

    def loss(self, outputs: Outputs, targets: Outputs, smoothing: float = 0.0) -> tuple[Tensor, Tensor]:
        """Returns squared errors of standardised values."""
        found = outputs["logits"].float().squeeze(-1)
        return nn.functional.mse_loss(found, targets["value"], reduction="sum"), found.new_full((), len(found))

    def decode(self, outputs: Columns, extras: Columns) -> dict[str, list[Any]]:
        """Returns `value`, in the unit of the data."""
        return decode(rows_of(outputs["logits"]), self.spec, {})
