"""What happened in training, for curves and the page; losses come from the device a few steps at a time."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

import numpy as np
import torch
from torch import Tensor

from components.finetune.learning import parallel
from components.finetune.learning.examples import Examples
from components.shared.errors import InputError

FLUSH_STEPS = 10
"""How often the loss is brought from the device, looked at and told."""
_COUNTED = ("epoch", "step", "train_loss", "seconds")  # of an entry: no scores

Listener = Callable[[str, dict[str, float]], None]
"""Called with "step" or "epoch" and the newest entry of the history."""


@dataclass
class History:
    """What happened, for curves and the page. Losses are those of the head: of classes cross-entropies in nats.

    Attributes:
        steps: Entries with `step`, `epoch` (fraction), `loss` (mean since the last entry), `learning_rate`,
            `gradient_norm` (before clipping).
        epochs: Entries with `epoch` (from 1), `step`, `train_loss`, what `measured` picks of them, `seconds`.
        best_epoch: Whose weights were kept.
        stopped_early: Whether epochs were left out because validation no longer improved.
        padding: The fraction of the computed tokens that was padding.
        seconds: Of training, without validation.
        examples_per_second: Of training, without validation.
    """

    steps: list[dict[str, float]] = field(default_factory=list)
    epochs: list[dict[str, float]] = field(default_factory=list)
    best_epoch: int = 0
    stopped_early: bool = False
    padding: float = 0.0
    seconds: float = 0.0
    examples_per_second: float = 0.0

    @property
    def best(self) -> dict[str, float]:
        """The entry of the epoch that was kept."""
        return self.epochs[self.best_epoch - 1]


def measured(entry: Mapping[str, float]) -> dict[str, float]:
    """Returns of an entry of a history what was measured on validation examples: `validation_loss`, the metrics."""
    return {name: value for name, value in entry.items() if name not in _COUNTED}


class Losses:
    """Keeps the losses of an epoch on the device, and brings them in a few at a time: no synchronisation each step."""

    def __init__(self, first: int, total: int, examples: Examples, history: History, listener: Listener) -> None:
        self.done, self.first, self.total = 0, first, total
        self.examples, self.history, self.listener = examples, history, listener
        self.waiting: list[tuple[np.ndarray, Tensor, Tensor]] = []
        self.sum = 0.0

    def add(self, indices: np.ndarray, loss: Tensor, norm: Tensor, learning_rate: float) -> None:
        """Adds a step; every few steps looks at their losses and tells them."""
        self.done += 1
        self.waiting.append((indices, loss, norm))
        if len(self.waiting) == FLUSH_STEPS or self.done == self.total:
            self._flush(learning_rate)

    def finish(self) -> float:
        """Returns the mean loss of the epoch's steps."""
        return self.sum / max(self.done, 1)

    def so_far(self) -> float:
        """Returns the mean loss of the epoch's steps until now, those that were not brought in yet included."""
        return (self.sum + sum(float(loss) for _, loss, _ in self.waiting)) / max(self.done, 1)

    def _flush(self, learning_rate: float) -> None:
        group = parallel.group()
        stacked = torch.stack([torch.stack((loss.float(), norm.float())) for _, loss, norm in self.waiting])
        numbers = (group.total(stacked) / group.size).tolist()
        first = self.first + self.done - len(self.waiting) + 1
        for offset, (loss, norm) in enumerate(numbers):
            if not (np.isfinite(loss) and np.isfinite(norm)):
                self._refuse(first + offset, loss, self.waiting[offset][0])
        losses = [loss for loss, _ in numbers]
        self.sum += sum(losses)
        entry = {
            "step": self.first + self.done,
            "epoch": (self.first + self.done) / self.total,
            "loss": sum(losses) / len(losses),
            "learning_rate": learning_rate,
            "gradient_norm": numbers[-1][1],
        }
        self.waiting.clear()
        self.history.steps.append(entry)
        self.listener("step", entry)

    def _refuse(self, step: int, loss: float, indices: np.ndarray) -> None:
        what = "loss" if not np.isfinite(loss) else "gradient"
        raise InputError(
            f"The {what} is no longer a number at step {step} (epoch {(step - 1) // self.total + 1}), on the examples "
            f"{', '.join(self.examples.ids(indices))}. Look at them in the snapshot, lower training.learning_rate, or "
            "train in float32 (training.precision)."
        )


def in_words(scores: Mapping[str, float]) -> str:
    """Returns the loss and the most telling metric of validation examples, in words."""
    told = measured(scores)
    metric = next(name for name in told if name != "validation_loss")
    return f"validation loss {told['validation_loss']:.4f}, {title_of(metric)} {told[metric]:.4f}"


def title_of(metric: str) -> str:
    """Returns what people call a metric: "entity-F1" for "entity_f1"."""
    return metric.replace("_f1", "-F1").replace("_", " ")
