"""The training loop: AdamW, warm-up and linear decay, clipping, early stopping. To be read in one sitting."""

import contextlib
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from components.finetune.batches import epoch_batches
from components.shared import metrics
from components.shared.backbones import Family
from components.shared.errors import InputError
from components.shared.features import FeatureSplit

_VALIDATED_AT_ONCE = 8192  # examples
_FLUSH_STEPS = 10  # how often the loss is brought from the device, looked at and told


@dataclass(frozen=True)
class Hyperparameters:
    """What the loop needs to know; see `FinetuneSettings` for each."""

    epochs: int
    learning_rate: float
    batch_size: int
    weight_decay: float
    warmup_ratio: float
    max_grad_norm: float
    patience: int
    seed: int


@dataclass
class History:
    """What happened, for curves and the page. Losses are cross-entropies in nats.

    Attributes:
        steps: Entries with `step`, `epoch` (fraction), `loss` (mean since the last entry), `learning_rate`,
            `gradient_norm` (before clipping).
        epochs: Entries with `epoch` (from 1), `step`, `train_loss`, `validation_loss`, `accuracy`, `macro_f1`,
            `seconds`.
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


Listener = Callable[[str, dict[str, float]], None]
"""Called with "step" or "epoch" and the newest entry of the history."""


def fit(
    network: nn.Module,
    family: Family,
    padding: int,
    splits: tuple[FeatureSplit, FeatureSplit],
    settings: Hyperparameters,
    autocast: Callable[[], contextlib.AbstractContextManager[Any]],
    listener: Listener,
) -> History:
    """Trains a network until the epochs are done or validation stops improving; leaves the best weights in it.

    Args:
        network: On its device; gives logits [batch, classes].
        family: Its family: how batches are made, how it predicts.
        padding: What batches are padded with.
        splits: Training and validation examples.
        settings: See `Hyperparameters`.
        autocast: Makes the context that the forward pass runs in.
        listener: Is told every entry of the history.

    Raises:
        InputError: The loss is no longer a number; says at which step, on which examples.
    """
    train, validation = splits
    history = History()
    epoch_steps = -(-len(train) // settings.batch_size)
    optimizer = _optimizer(network, settings)
    schedule = _schedule(optimizer, settings.warmup_ratio, settings.epochs * epoch_steps)
    best, best_weights, trained = (float("-inf"), 0.0), None, 0
    for epoch in range(settings.epochs):
        started = time.perf_counter()
        steps = _Steps(epoch * epoch_steps, epoch_steps, train, history, listener)
        network.train()
        for indices in epoch_batches(train.lengths, settings.batch_size, settings.seed, epoch):
            with autocast():
                loss = _loss(network, family, padding, train, indices)
            loss.backward()  # type: ignore[no-untyped-call]
            norm = nn.utils.clip_grad_norm_(network.parameters(), settings.max_grad_norm)
            steps.add(indices, loss.detach(), norm.detach(), float(schedule.get_last_lr()[0]))
            optimizer.step()
            schedule.step()
            optimizer.zero_grad()
        train_loss = steps.finish()
        trained += len(train)
        history.seconds += time.perf_counter() - started
        history.examples_per_second = trained / history.seconds
        scores = _validate(network, family, padding, validation, settings.batch_size, autocast)
        entry = {"epoch": epoch + 1, "step": (epoch + 1) * epoch_steps, "train_loss": train_loss, **scores}
        history.epochs.append({**entry, "seconds": time.perf_counter() - started})
        listener("epoch", history.epochs[-1])
        if (score := (scores["macro_f1"], -scores["validation_loss"])) > best:
            best, history.best_epoch = score, epoch + 1
            best_weights = _copy(network.state_dict()) if epoch + 1 < settings.epochs else None
        elif epoch + 1 - history.best_epoch >= settings.patience:
            history.stopped_early = epoch + 1 < settings.epochs
            break
    if best_weights is not None:
        network.load_state_dict(best_weights)
    history.padding = _padding(train.lengths, settings)
    return history


class _Steps:
    """Keeps the losses of an epoch on the device, and brings them in a few at a time: no synchronisation each step."""

    def __init__(self, first: int, total: int, train: FeatureSplit, history: History, listener: Listener) -> None:
        self.done, self.first, self.total = 0, first, total
        self.train, self.history, self.listener = train, history, listener
        self.waiting: list[tuple[np.ndarray, Tensor, Tensor]] = []
        self.sum = 0.0

    def add(self, indices: np.ndarray, loss: Tensor, norm: Tensor, learning_rate: float) -> None:
        """Adds a step; every few steps looks at their losses and tells them."""
        self.done += 1
        self.waiting.append((indices, loss, norm))
        if len(self.waiting) == _FLUSH_STEPS or self.done == self.total:
            self._flush(learning_rate)

    def finish(self) -> float:
        """Returns the mean loss of the epoch's steps."""
        return self.sum / max(self.done, 1)

    def _flush(self, learning_rate: float) -> None:
        numbers = torch.stack([torch.stack((loss.float(), norm.float())) for _, loss, norm in self.waiting]).tolist()
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
        names = [self.train[int(index)] for index in indices]
        raise InputError(
            f"The {what} is no longer a number at step {step} (epoch {(step - 1) // self.total + 1}), on the examples "
            f"{', '.join(names)}. Look at them in the snapshot, lower training.learning_rate, or train in float32 "
            "(training.precision)."
        )


def _copy(weights: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Copies weights into the memory of the host: that of the GPU is for training."""
    return {name: tensor.detach().to("cpu", copy=True) for name, tensor in weights.items()}


def _loss(network: nn.Module, family: Family, padding: int, train: FeatureSplit, indices: np.ndarray) -> Tensor:
    device = next(network.parameters()).device
    batch = {name: tensor.to(device) for name, tensor in family.collate(train.take(indices), padding).items()}
    labels = torch.from_numpy(train.labels[indices].astype(np.int64)).to(device)
    return nn.functional.cross_entropy(network(**batch).float(), labels)


def _validate(
    network: nn.Module, family: Family, padding: int, split: FeatureSplit, batch_size: int, autocast: Callable[[], Any]
) -> dict[str, float]:
    network.eval()
    confusion, loss = np.zeros((), np.int64), 0.0
    for start in range(0, len(split), _VALIDATED_AT_ONCE):
        chosen = np.arange(start, min(start + _VALIDATED_AT_ONCE, len(split)))
        labels = split.labels[chosen]
        with autocast():
            probabilities = family.predict(network, split.take(chosen), padding, 2 * batch_size)
        confusion = confusion + metrics.confusion_matrix(labels, probabilities.argmax(1), probabilities.shape[1])
        loss += metrics.log_loss(probabilities, labels) * len(chosen)
    return {
        "validation_loss": loss / len(split),
        "accuracy": metrics.accuracy(confusion),
        "macro_f1": metrics.macro_f1(confusion),
    }


def _optimizer(network: nn.Module, settings: Hyperparameters) -> torch.optim.Optimizer:
    """AdamW without decay of biases and norms (vectors), as in BERT; fused: one kernel for all tensors."""
    learning = [parameter for parameter in network.parameters() if parameter.requires_grad]
    groups = [
        {"params": [p for p in learning if p.ndim > 1], "weight_decay": settings.weight_decay},
        {"params": [p for p in learning if p.ndim <= 1], "weight_decay": 0.0},
    ]
    return torch.optim.AdamW(groups, lr=settings.learning_rate, fused=True)


def _schedule(optimizer: torch.optim.Optimizer, warmup: float, total: int) -> torch.optim.lr_scheduler.LRScheduler:
    """Linear warm-up over the first fraction of the steps, then linear decay to 0."""
    warm = max(1, round(warmup * total)) if warmup else 0

    def factor(step: int) -> float:
        return (step + 1) / (warm + 1) if step < warm else max(0.0, (total - step) / max(1, total - warm))

    return torch.optim.lr_scheduler.LambdaLR(optimizer, factor)


def _padding(lengths: np.ndarray, settings: Hyperparameters) -> float:
    batches = epoch_batches(lengths, settings.batch_size, settings.seed, 0)
    computed = sum(len(indices) * int(lengths[indices].max()) for indices in batches)
    return 1.0 - float(lengths.sum()) / computed
