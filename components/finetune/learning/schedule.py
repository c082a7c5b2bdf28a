"""How the learning rate goes over the steps of a training."""

from collections.abc import Callable

import torch
from torch import Tensor


def linear(warmup: float, total: int) -> Callable[[int], float]:
    """Returns what the highest rate is multiplied by in a step (from 0).

    Linear warm-up over the first fraction of the steps, then linear decay to 0.
    """
    warm = max(1, round(warmup * total)) if warmup else 0

    def factor(step: int) -> float:
        return (step + 1) / (warm + 1) if step < warm else max(0.0, (total - step) / max(1, total - warm))

    return factor


class Rates:
    """The learning rates of an optimizer's groups, which rise and fall together."""

    def __init__(self, optimizer: torch.optim.Optimizer, factor: Callable[[int], float]) -> None:
        self._optimizer, self._factor = optimizer, factor
        self._highest = [float(group["lr"]) for group in optimizer.param_groups]

    def set(self, step: int) -> float:
        """Sets those of a step, from 0; returns the highest of them."""
        factor = self._factor(step)
        for group, highest in zip(self._optimizer.param_groups, self._highest, strict=True):
            if isinstance(group["lr"], Tensor):  # a captured step reads it where it lies
                group["lr"].fill_(factor * highest)
            else:
                group["lr"] = factor * highest
        return factor * max(self._highest)
