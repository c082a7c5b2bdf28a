"""The head of a multi-label classification: any number of labels an example. It goes with a registered model."""

from collections.abc import Mapping
from typing import Any, ClassVar

import numpy as np
import torch
from torch import Tensor, nn

from ...backbones.head import Columns, LinearHead, Outputs, Spec, rows_of
from .answers import decode

_HALF = 0.5


class Head(LinearHead):
    """A logit for each label, whose sigmoid is its probability; labels from a threshold of their own on are given."""

    blended: ClassVar[str] = "labels"
    thresholds: Tensor

    def __init__(self, width: int, spec: Spec) -> None:
        super().__init__(width, spec)
        self.register_buffer("thresholds", torch.full((self.out_features,), _HALF))

    def targets(self, columns: Columns) -> Outputs:
        """Returns `labels`, float32 [batch, labels]: 1 where there is one; of a list of their numbers an example."""
        rows = [np.asarray(row, np.int64) for row in columns["labels"]]
        there = torch.zeros(len(rows), self.out_features)
        places = np.repeat(np.arange(len(rows)), [len(row) for row in rows])
        there[torch.from_numpy(places), torch.from_numpy(np.concatenate([np.zeros(0, np.int64), *rows]))] = 1.0
        return {"labels": there}

    def loss(self, outputs: Outputs, targets: Outputs, smoothing: float = 0.0) -> tuple[Tensor, Tensor]:
        """Returns binary cross-entropies in nats, of an example the sum over its labels."""
        logits = outputs["logits"].float()
        wanted = targets["labels"] * (1 - smoothing) + smoothing / 2
        total = nn.functional.binary_cross_entropy_with_logits(logits, wanted, reduction="sum")
        return total, logits.new_full((), len(logits))

    def decode(self, outputs: Columns, extras: Columns) -> dict[str, list[Any]]:
        """Returns `labels` (those above their thresholds) and `probabilities`, in the order of the spec's labels."""
        found = rows_of(outputs["logits"]).reshape(-1, self.out_features)
        return decode(found, self.spec, {"thresholds": self.thresholds.cpu().numpy()})

    def adopt(self, weights: Mapping[str, Tensor], spec: Spec) -> bool:
        """Keeps rows and thresholds of the labels that an older head knows."""
        fits = super().adopt(weights, spec)
        for number, row in self.shared(spec) if fits else ():
            self.thresholds[number] = weights["thresholds"][row]
        return fits
