"""The training loop: AdamW, warm-up and linear decay, clipping, early stopping. To be read in one sitting."""

import contextlib
import dataclasses
import itertools
import time
from collections.abc import Callable, Generator, Iterator, Mapping
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import Tensor

from components.finetune.learning import parallel
from components.finetune.learning.anatomy import Anatomy
from components.finetune.learning.batches import LEAST, Batches, padding, with_next
from components.finetune.learning.device import Autocast
from components.finetune.learning.gradient_step import GradientStep
from components.finetune.learning.history import History, Listener, Losses
from components.finetune.learning.learned import is_still_learning
from components.finetune.learning.learners import Learner, outputs_of
from components.finetune.learning.schedule import Rates, linear
from components.finetune.learning.strategies import STRATEGIES, freeze
from components.finetune.settings import FinetuneSettings
from components.shared.backbones.network import Network
from components.shared.errors import InputError
from components.shared.process.stopping import Stop, held_back
from components.shared.selection import rank
from components.shared.tasks.objective import Grouping, Objective

if TYPE_CHECKING:
    from components.finetune.learning.journal import Journal

_GAIN, _LEAST_GAIN = 0.995, 1e-3  # a validation loss that falls by less is no gain to go on for
_LEAST_STEPS = 100  # without better validation before training stops: few examples make short epochs
_NETWORK, _BEST, _OPTIMIZER = "network.", "best.", "optimizer."


class Trial:
    """One network that learns by one strategy; it can be paused at any step, and goes on as if it had not been.

    So it does in another process, from its `state`. SIGTERM and Ctrl-C wait for the end of a step.
    """

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
        journal: "Journal | None" = None,
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
            journal: Looks after each step whether a checkpoint is due.
        """
        self.network, self.anatomy, self.strategy = network, anatomy, strategy
        self.train, self.validation = learners
        self.settings, self.autocast, self.listener = settings, autocast, listener
        self.objective, self.journal = objective, journal
        self.selection = objective.selection(self.train.examples.target_columns())
        self.history = History()
        self._least = LEAST * parallel.group().size
        self.rows = network.head.apart  # of an example, which go together
        self._dealt = self._batches_of(settings)
        self.epoch_steps = self._dealt.steps
        self.total = settings.epochs * self.epoch_steps
        self.done = 0
        self.cut = self.over = False  # whether training was ended from outside, and whether it has ended
        self._best = (float("-inf"), 0.0)
        self._lowest = float("inf")  # validation loss
        self._gained = 0  # the step at which score or loss of validation last became better
        self._best_weights: dict[str, Tensor] | None = None
        self._before = 0.0  # seconds of training before this epoch
        # Of dropout: each process draws its own.
        self._random = torch.Generator().manual_seed(settings.seed + 7919 * parallel.group().rank).get_state()
        self._device_random: Tensor | None = None
        self._devices = [torch.cuda.current_device()] if self.train.examples.device.type == "cuda" else []
        self._step = GradientStep(network, anatomy, strategy, self.train, settings, autocast)
        self._rates = Rates(self._step.optimizer, linear(settings.warmup_ratio, self.total))
        self._group = parallel.group()
        self._losses: Losses | None = None  # of the epoch that is at work
        self._stop: Stop | None = None  # while it runs
        self._in_step = False
        self._loop = self._steps()

    def run(self, until: int | None = None) -> None:
        """Trains up to a step, or until the epochs are done or validation stops improving; then has the best weights.

        Raises:
            InputError: The loss is no longer a number; says at which step, on which examples.
        """
        with torch.random.fork_rng(self._devices), held_back() as self._stop:
            self._set_random()
            try:
                for _ in self._loop if until is None else itertools.islice(self._loop, max(0, until - self.done)):
                    self._keep_random()
                    if self.journal is not None:
                        self.journal.look(self, self._stop)
                    self._stop.obey()
            finally:
                self._step.expect(())
                self._keep_random()
                self._stop = None

    def _set_random(self) -> None:
        torch.random.set_rng_state(self._random)
        if self._devices and self._device_random is None:
            torch.cuda.manual_seed(self.settings.seed + 7919 * self._group.rank)
        elif self._device_random is not None:
            torch.cuda.set_rng_state(self._device_random)

    def _keep_random(self) -> None:
        self._random = torch.random.get_rng_state()
        self._device_random = torch.cuda.get_rng_state() if self._devices else None

    def score(self) -> dict[str, float]:
        """Returns validation_loss and metrics of the weights as they are now.

        Raises:
            InputError: What the network says is no longer a number.
        """
        # It changes nothing, so a signal need not wait for its end; of several processes none may leave the others.
        with contextlib.nullcontext() if self._stop is None or self._group.size > 1 else self._stop.released():
            outputs = outputs_of(self.network, self.validation, 2 * self._step.sizes.learned, self.autocast)
        if not all(np.isfinite(values).all() for values in outputs.values()):
            raise InputError(
                f"What the network says of validation examples is no longer a number after step {self.done}. Lower "
                "training.learning_rate, or train in float32 (training.precision)."
            )
        return self.objective.scores(outputs, self.validation.examples.target_columns())

    def reaching(self, step: int) -> Callable[[], dict[str, float]]:
        """Returns what trains up to a step and tells the scores there, as `score` does."""

        def reach() -> dict[str, float]:
            self.run(step)
            return self.score()

        return reach

    def end(self) -> None:
        """Ends training where it is, perhaps within an epoch: what was learned is validated, and the best kept."""
        if self.over:
            return
        with held_back() as self._stop:
            if self.done and (not self.history.epochs or self.history.epochs[-1]["step"] < self.done):
                steps = self.history.steps  # none, where time is up after a few
                self._train_loss = steps[-1]["loss"] if steps or self._losses is None else self._losses.so_far()
                self._validate(len(self.history.epochs))
            self.history.stopped_early = self.cut = True
            self._loop.close()
            self._restore()
        self._stop = None

    @property
    def is_between_steps(self) -> bool:
        """Whether it could go on elsewhere from where it is."""
        return self.done > 0 and not self._in_step

    @property
    def is_told(self) -> bool:
        """Whether the losses of all steps have been brought from the device."""
        return self._losses is None or not self._losses.waiting

    def state(self) -> tuple[dict[str, Tensor], dict[str, Any]]:
        """Copies to memory all that it takes to go on elsewhere: tensors, and JSON values. All processes must call it.

        Once it is over, that is what was learned and the history. The best weights, under names of their own, are not
        copied: nothing writes into them.
        """
        history = {**dataclasses.asdict(self.history), "steps": list(self.history.steps)}
        told: dict[str, Any] = {"done": self.done, "over": self.over, "history": history, "cut": self.cut}
        tensors = {_NETWORK + name: tensor for name, tensor in self._learned().items()}
        if self.over:
            return tensors, told
        for number, values in self._step.optimizer.state_dict()["state"].items():
            for name, value in values.items():
                tensors[f"{_OPTIMIZER}{number}.{name}"] = value.detach().to("cpu", copy=True)
        tensors |= {_BEST + name: tensor for name, tensor in (self._best_weights or {}).items()}
        tensors["random"] = self._group.gather(self._random)
        if self._device_random is not None:
            tensors["device_random"] = self._group.gather(self._device_random)
        told |= {"best": list(self._best), "lowest": self._lowest, "gained": self._gained}
        told |= {"before": self._before, "sizes": self._step.sizes.told()}
        if (losses := self._losses) is not None and losses.first == len(self.history.epochs) * self.epoch_steps:
            told["losses"] = {"done": losses.done, "sum": losses.sum}
            if losses.waiting:
                pairs = [torch.stack((loss.float(), norm.float())) for _, loss, norm in losses.waiting]
                tensors["waiting"] = torch.stack(pairs).cpu()
        return tensors, told

    def restore(self, tensors: Mapping[str, Tensor], told: Mapping[str, Any]) -> None:
        """Goes to where another one was, which was made of the same; tells its history again."""
        self.done, self.over, self.cut = told["done"], told["over"], told["cut"]
        self.history = History(**told["history"])
        self.network.load_state_dict(_named(tensors, _NETWORK), strict=False)
        for entry in sorted((*self.history.steps, *self.history.epochs), key=lambda entry: entry["step"]):
            self.listener("step" if "loss" in entry else "epoch", entry)
        if self.over:
            self._loop.close()
            return
        self._best_weights = _named(tensors, _BEST) or None
        self._best, self._lowest = (told["best"][0], told["best"][1]), told["lowest"]
        self._gained, self._before = told["gained"], told["before"]
        self._step.sizes.restore(told["sizes"])
        self._random = tensors["random"][self._group.rank].clone()  # torch reads it as a struct: it must be aligned
        if self._devices and "device_random" in tensors:
            self._device_random = tensors["device_random"][self._group.rank].clone()
        self._restore_optimizer(tensors)
        if "losses" in told:
            self._losses = self._restored_losses(told["losses"], tensors.get("waiting"))

    def _restore_optimizer(self, tensors: Mapping[str, Tensor]) -> None:
        state: dict[int, dict[str, Tensor]] = {}
        optimizer = self._step.optimizer
        for name, tensor in _named(tensors, _OPTIMIZER).items():
            number, _, key = name.partition(".")
            state.setdefault(int(number), {})[key] = tensor
        optimizer.load_state_dict({**optimizer.state_dict(), "state": state})

    def _restored_losses(self, told: Mapping[str, Any], waiting: Tensor | None) -> Losses:
        epoch, examples = len(self.history.epochs), self.train.examples
        losses = Losses(epoch * self.epoch_steps, self.epoch_steps, examples, self.history, self.listener)
        losses.done, losses.sum = told["done"], told["sum"]
        if waiting is not None:
            batches = list(itertools.islice(self._dealt.of(epoch), losses.done))[-len(waiting) :]
            pairs = waiting.to(examples.device)
            losses.waiting = [(indices, *pair) for indices, pair in zip(batches, pairs, strict=True)]
        return losses

    def _batches_of(self, settings: FinetuneSettings) -> Batches:
        examples, objective = self.train.examples, self.objective
        groups = objective.groups(examples.target_columns()) if isinstance(objective, Grouping) else None
        return Batches(examples.lengths, self.rows, settings.batch_size, settings.seed, self._least, groups)

    def _steps(self) -> Generator[int]:
        """Trains; yields after each step."""
        for epoch in range(len(self.history.epochs), self.settings.epochs):
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
        self.history.padding = padding(self.train.examples.lengths, self.settings.batch_size, self.settings.seed)
        self.over, self._best_weights = True, None
        self._step.close()
        if self.journal is not None:
            self.journal.end(self)

    def _epoch(self, epoch: int) -> Iterator[int]:
        first = STRATEGIES[self.strategy].first(self.anatomy, self.settings, epoch)
        losses = self._losses_of(epoch)
        began = time.perf_counter()
        for indices, coming in with_next(itertools.islice(self._dealt.of(epoch), losses.done, None)):
            self._step.expect(coming)
            if not losses.done or not self.network.training:  # a pause may have left it in evaluation
                freeze(self.network, self.anatomy, STRATEGIES[self.strategy], first)
                self._step.join()
            self._in_step = True
            rate = self._rates.set(self.done)
            losses.add(indices, *self._step.take(indices, (self.settings.seed, epoch, losses.done)), rate)
            self.done += 1
            self._in_step = False
            self.history.seconds += time.perf_counter() - began
            yield self.done
            began = time.perf_counter()
        self._train_loss = losses.finish()

    def _losses_of(self, epoch: int) -> Losses:
        """Returns the losses of an epoch that begins, or that goes on."""
        first, examples = epoch * self.epoch_steps, self.train.examples
        if self._losses is None or self._losses.first != first:
            self._losses = Losses(first, self.epoch_steps, examples, self.history, self.listener)
        return self._losses

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


def _named(tensors: Mapping[str, Tensor], prefix: str) -> dict[str, Tensor]:
    return {name.removeprefix(prefix): tensor for name, tensor in tensors.items() if name.startswith(prefix)}
