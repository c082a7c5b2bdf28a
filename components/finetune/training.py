"""The training loop: AdamW, warm-up and linear decay, clipping, early stopping. To be read in one sitting."""

import itertools
import time
from collections.abc import Callable, Generator, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from components.finetune import parallel
from components.finetune.anatomy import Anatomy
from components.finetune.batches import LEAST, epoch_batches, steps_of, together
from components.finetune.examples import Examples
from components.finetune.learned import is_still_learning
from components.finetune.learners import Autocast, Learner, outputs_of
from components.finetune.settings import FinetuneSettings
from components.finetune.strategies import STRATEGIES, freeze, parameter_groups
from components.shared.backbones.network import Network
from components.shared.errors import InputError
from components.shared.selection import rank
from components.shared.tasks.objective import Objective

_FLUSH_STEPS = 10  # how often the loss is brought from the device, looked at and told
_GAIN, _LEAST_GAIN = 0.995, 1e-3  # a validation loss that falls by less is no gain to go on for
_COUNTED = ("epoch", "step", "train_loss", "seconds")  # of an entry: no scores
_LEAST_STEPS = 100  # without better validation before training stops: few examples make short epochs

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


class Trial:
    """One network that learns by one strategy; it can be paused at any step, and goes on as if it had not been."""

    def __init__(
        self,
        network: Network,
        anatomy: Anatomy,
        strategy: str,
        learners: tuple[Learner, Learner],
        settings: FinetuneSettings,
        autocast: Autocast,
        listener: Listener,
        objective: Objective,
    ) -> None:
        """Prepares training.

        Args:
            network: On its device; adapters, where the strategy has some, are in it already.
            anatomy: Its stages.
            strategy: A name in `STRATEGIES`.
            learners: Of training and of validation examples.
            settings: Of the loop.
            autocast: Makes the context that forward passes run in.
            listener: Is told every entry of the history.
            objective: How well it does on validation examples, and which epoch is best.
        """
        self.network, self.anatomy, self.strategy = network, anatomy, strategy
        self.train, self.validation = learners
        self.settings, self.autocast, self.listener = settings, autocast, listener
        self.objective = objective
        self.selection = objective.selection(self.train.examples.target_columns())
        self.history = History()
        self._least = LEAST * parallel.group().size
        self.rows = network.head.apart  # of an example, which go together
        self.epoch_steps = steps_of(len(self.train.examples) // self.rows, settings.batch_size, self._least)
        self.total = settings.epochs * self.epoch_steps
        self.done = 0
        self.cut = False  # whether training was ended from outside
        self._best = (float("-inf"), 0.0)
        self._lowest = float("inf")  # validation loss
        self._gained = 0  # the step at which score or loss of validation last became better
        self._adjustment = _adjustment(self.train.examples, settings, network) if network.head.exclusive else None
        self._best_weights: dict[str, Tensor] | None = None
        self._before = 0.0  # seconds of training before this epoch
        # Of dropout: each process draws its own.
        self._random = torch.Generator().manual_seed(settings.seed + 7919 * parallel.group().rank).get_state()
        self._devices = [torch.cuda.current_device()] if self.train.examples.device.type == "cuda" else []
        groups = parameter_groups(network, anatomy, settings, settings.learning_rate)
        self._optimizer = torch.optim.AdamW(groups, lr=settings.learning_rate, fused=True)
        self._schedule = _schedule(self._optimizer, settings.warmup_ratio, self.total)
        self._group = parallel.group()
        self._forward: Any = network
        self._loop = self._steps()

    def run(self, until: int | None = None) -> None:
        """Trains up to a step, or until the epochs are done or validation stops improving; then has the best weights.

        Raises:
            InputError: The loss is no longer a number; says at which step, on which examples.
        """
        with torch.random.fork_rng(self._devices):
            torch.random.set_rng_state(self._random)
            if self._devices:
                torch.cuda.manual_seed(self.settings.seed + self.done + 7919 * self._group.rank)
            for _ in self._loop if until is None else itertools.islice(self._loop, max(0, until - self.done)):
                pass
            self._random = torch.random.get_rng_state()

    def score(self) -> dict[str, float]:
        """Returns validation_loss and metrics of the weights as they are now.

        Raises:
            InputError: What the network says is no longer a number.
        """
        outputs = outputs_of(self.network, self.validation, 2 * self.settings.batch_size, self.autocast)
        if not all(np.isfinite(values).all() for values in outputs.values()):
            raise InputError(
                f"What the network says of validation examples is no longer a number after step {self.done}. Lower "
                "training.learning_rate, or train in float32 (training.precision)."
            )
        return self.objective.scores(outputs, self.validation.examples.target_columns())

    def end(self) -> None:
        """Ends training where it is, perhaps within an epoch: what was learned is validated, and the best kept."""
        self.cut = True
        if self.done and (not self.history.epochs or self.history.epochs[-1]["step"] < self.done):
            self._train_loss = self.history.steps[-1]["loss"] if self.history.steps else float("nan")
            self._validate(len(self.history.epochs))
        self.history.stopped_early = True
        self._loop.close()
        self._restore()

    def _steps(self) -> Generator[int]:
        """Trains; yields after each step."""
        for epoch in range(self.settings.epochs):
            yield from self._epoch(epoch)
            self._validate(epoch)
            if self._is_over():
                self.history.stopped_early = epoch + 1 < self.settings.epochs
                break
        self._restore()

    def _is_over(self) -> bool:
        """Whether nothing has become better for long: neither the score nor the loss, in epochs and in steps."""
        since, patience = self.done - self._gained, self.settings.patience
        waited = since >= patience * self.epoch_steps and since >= _LEAST_STEPS
        return waited and not is_still_learning([e["train_loss"] for e in self.history.epochs], self._lowest, patience)

    def _restore(self) -> None:
        if self._best_weights is not None:
            self.network.load_state_dict(self._best_weights, strict=False)
        self.history.padding = _padding(self.train.examples.lengths, self.settings)

    def _epoch(self, epoch: int) -> Iterator[int]:
        settings, examples = self.settings, self.train.examples
        first = STRATEGIES[self.strategy].first(self.anatomy, settings, epoch)
        losses = _Losses(self.done, self.epoch_steps, examples, self.history, self.listener)
        began = time.perf_counter()
        lengths, size = examples.lengths, settings.batch_size
        for indices in together(lengths, self.rows, size, settings.seed, epoch, self._least):
            if not losses.done or not self.network.training:  # a pause may have left it in evaluation
                freeze(self.network, self.anatomy, STRATEGIES[self.strategy], first)
                self._forward = self._joined()
            loss = self._loss(indices, np.random.default_rng((settings.seed, epoch, losses.done, self._group.rank)))
            loss.backward()  # type: ignore[no-untyped-call]
            norm = nn.utils.clip_grad_norm_(self.network.parameters(), settings.max_grad_norm)
            losses.add(indices, loss.detach(), norm.detach(), max(map(float, self._schedule.get_last_lr())))
            self._optimizer.step()
            self._schedule.step()
            self._optimizer.zero_grad()
            self.done += 1
            self.history.seconds += time.perf_counter() - began
            yield self.done
            began = time.perf_counter()
        self._train_loss = losses.finish()

    def _loss(self, indices: np.ndarray, draw: np.random.Generator) -> Tensor:
        """Returns a batch's mean loss; with several processes that of a share, so that their mean is the batch's."""
        mine = self._group.share(indices.reshape(-1, self.rows)).ravel()
        with self.autocast():
            outputs, targets = self.train.outputs(self._forward, mine if len(mine) else indices[: self.rows], draw)
        if self._adjustment is not None:
            outputs = {**outputs, "logits": outputs["logits"].float() + self._adjustment}
        total, count = self.network.head.loss(outputs, targets, self.settings.label_smoothing)
        if self._group.size == 1:
            return total / count.clamp(min=1)
        there = float(len(mine) > 0)
        return there * self._group.size * total / self._group.total(there * count).clamp(min=1)

    def _joined(self) -> Any:
        """Returns what is called in training: of several processes, what makes the mean of their gradients."""
        if self._group.size == 1:
            return self.network
        self._forward = None  # an older one must be gone: it listens to the same gradients
        return nn.parallel.DistributedDataParallel(self.network, find_unused_parameters=True)

    def _validate(self, epoch: int) -> None:
        began, history = time.perf_counter(), self.history
        history.examples_per_second = (epoch + 1) * len(self.train.examples) / history.seconds
        scores = self.score()
        entry = {"epoch": epoch + 1, "step": self.done, "train_loss": self._train_loss, **scores}
        seconds, self._before = history.seconds - self._before, history.seconds
        history.epochs.append({**entry, "seconds": seconds + time.perf_counter() - began})
        self.listener("epoch", history.epochs[-1])
        if scores["validation_loss"] < _GAIN * self._lowest - _LEAST_GAIN:
            self._lowest, self._gained = scores["validation_loss"], self.done
        if (score := rank(scores, self.selection)) > self._best:
            self._gained = self.done if score[0] > self._best[0] else self._gained
            self._best, history.best_epoch = score, epoch + 1
            self._best_weights = self._learned() if epoch + 1 < self.settings.epochs else None

    def _learned(self) -> dict[str, Tensor]:
        """Copies what may have changed into the memory of the host: that of the GPU is for training."""
        frozen = {name for name, parameter in self.network.named_parameters() if not parameter.requires_grad}
        gradual = not STRATEGIES[self.strategy].fixed  # what is frozen now may learn later
        state = self.network.state_dict()
        return {n: t.detach().to("cpu", copy=True) for n, t in state.items() if gradual or n not in frozen}


class _Losses:
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
        if len(self.waiting) == _FLUSH_STEPS or self.done == self.total:
            self._flush(learning_rate)

    def finish(self) -> float:
        """Returns the mean loss of the epoch's steps."""
        return self.sum / max(self.done, 1)

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


def _adjustment(examples: Examples, settings: FinetuneSettings, network: Network) -> Tensor:
    """Returns what is added to the logits in training: for uneven classes the logarithm of their shares.

    So the network need not learn which classes are frequent, and without it all weigh the same (logit adjustment, Menon
    et al. 2021, 2007.07314).
    """
    counts = np.bincount(examples.labels, minlength=network.head.out_features)
    shares = np.maximum(counts, 0.5) / max(1, counts.sum())
    return torch.from_numpy((settings.logit_adjustment * np.log(shares)).astype(np.float32)).to(examples.device)


def _schedule(optimizer: torch.optim.Optimizer, warmup: float, total: int) -> torch.optim.lr_scheduler.LRScheduler:
    """Linear warm-up over the first fraction of the steps, then linear decay to 0."""
    warm = max(1, round(warmup * total)) if warmup else 0

    def factor(step: int) -> float:
        return (step + 1) / (warm + 1) if step < warm else max(0.0, (total - step) / max(1, total - warm))

    return torch.optim.lr_scheduler.LambdaLR(optimizer, factor)


def _padding(lengths: np.ndarray, settings: FinetuneSettings) -> float:
    batches: Iterator[np.ndarray] = epoch_batches(lengths, settings.batch_size, settings.seed, 0)
    computed = sum(len(indices) * int(lengths[indices].max()) for indices in batches)
    return 1.0 - float(lengths.sum()) / computed
