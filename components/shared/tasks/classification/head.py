"""The head of a classification: a linear layer, one class an example. It goes with a registered model."""

from typing import Any, ClassVar

import numpy as np
import torch
from torch import Tensor, nn

from ...backbones.head import Columns, LinearHead, Outputs, rows_of
from .answers import columns_of


class Head(LinearHead):
    """A logit for each class; their softmax is the probability."""

    exclusive: ClassVar[bool] = True
    blended: ClassVar[str] = "label"

    def targets(self, columns: Columns) -> Outputs:
        """Returns `label`, int64 [batch]: numbers of the classes."""
        return {"label": torch.from_numpy(np.asarray(columns["label"]).astype(np.int64).reshape(-1))}

    def loss(self, outputs: Outputs, targets: Outputs, smoothing: float = 0.0) -> tuple[Tensor, Tensor]:
        """Returns cross-entropies in nats; the target may be probabilities, float [batch, classes]."""
        logits = outputs["logits"].float()
        total = nn.functional.cross_entropy(logits, targets["label"], reduction="sum", label_smoothing=smoothing)
        return total, logits.new_full((), len(logits))

    def decode(self, outputs: Columns, extras: Columns) -> dict[str, list[Any]]:
        """Returns `label`, its probability `confidence`, and `probabilities` in the order of the labels."""
        return columns_of(softmax(rows_of(outputs["logits"])), self.spec["labels"])


def softmax(logits: np.ndarray) -> np.ndarray:
    """Returns probabilities [rows, classes], float32, of logits."""
    found: np.ndarray = torch.from_numpy(logits).float().softmax(-1).numpy()
    return found
