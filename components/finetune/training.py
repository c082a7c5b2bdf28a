"""The training loop: AdamW, warm-up and linear decay, clipping, early stopping. To be read in one sitting."""

import contextlib
import dataclasses
import itertools
import time
from collections.abc import Callable, Generator, Iterator, Mapping
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import Tensor, nn

from components.finetune import memory, parallel
from components.finetune.adjustment import adjustment
from components.finetune.anatomy import Anatomy
from components.finetune.batches import LEAST, Batches, padding, with_next
from components.finetune.history import History, Listener, Losses
from components.finetune.kernels import kernels
from components.finetune.learned import is_still_learning
from components.finetune.learners import Autocast, Learner, outputs_of
from components.finetune.schedule import linear_schedule
from components.finetune.settings import FinetuneSettings
from components.finetune.strategies import STRATEGIES, freeze, parameter_groups
from components.shared.backbones.network import Network
from components.shared.errors import InputError
from components.shared.process.stopping import Stop, held_back
from components.shared.selection import rank
from components.shared.tasks.objective import Grouping, Objective

if TYPE_CHECKING:
    from components.finetune.journal import Journal

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
        self._adjustment = adjustment(self.train.examples, settings, network) if network.head.exclusive else None
        self._best_weights: dict[str, Tensor] | None = None
        self._before = 0.0  # seconds of training before this epoch
        # Of dropout: each process draws its own.
        self._random = torch.Generator().manual_seed(settings.seed + 7919 * parallel.group().rank).get_state()
        self._device_random: Tensor | None = None
        self._devices = [torch.cuda.current_device()] if self.train.examples.device.type == "cuda" else []
        groups = parameter_groups(network, anatomy, settings, settings.learning_rate)
        self._optimizer = torch.optim.AdamW(groups, lr=settings.learning_rate, fused=True)
        self._schedule = linear_schedule(self._optimizer, settings.warmup_ratio, self.total)
        self._group = parallel.group()
        self._forward: Any = network
        self._losses: Losses | None = None  # of the epoch that is at work
        self._stop: Stop | None = None  # while it runs
        self._in_step = False
        self._sizes = memory.Sizes(settings.batch_size, network)
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
                self.train.expect(())
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
            outputs = outputs_of(self.network, self.validation, 2 * self._sizes.learned, self.autocast)
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
        for number, values in self._optimizer.state_dict()["state"].items():
            for name, value in values.items():
                tensors[f"{_OPTIMIZER}{number}.{name}"] = value.detach().to("cpu", copy=True)
        tensors |= {_BEST + name: tensor for name, tensor in (self._best_weights or {}).items()}
        tensors["random"] = self._group.gather(self._random)
        if self._device_random is not None:
            tensors["device_random"] = self._group.gather(self._device_random)
        told |= {"rates": self._schedule.get_last_lr(), "best": list(self._best), "lowest": self._lowest}
        told |= {"gained": self._gained, "before": self._before, "sizes": self._sizes.told()}
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
        self._sizes.restore(told["sizes"])
        self._random = tensors["random"][self._group.rank].clone()  # torch reads it as a struct: it must be aligned
        if self._devices and "device_random" in tensors:
            self._device_random = tensors["device_random"][self._group.rank].clone()
        self._restore_optimizer(tensors, told["rates"])
        if "losses" in told:
            self._losses = self._restored_losses(told["losses"], tensors.get("waiting"))

    def _restore_optimizer(self, tensors: Mapping[str, Tensor], rates: list[float]) -> None:
        state: dict[int, dict[str, Tensor]] = {}
        for name, tensor in _named(tensors, _OPTIMIZER).items():
            number, _, key = name.partition(".")
            state.setdefault(int(number), {})[key] = tensor
        self._optimizer.load_state_dict({**self._optimizer.state_dict(), "state": state})
        where = {"last_epoch": self.done, "_step_count": self.done + 1, "_last_lr": rates}
        self._schedule.load_state_dict({**self._schedule.state_dict(), **where})
        for group, rate in zip(self._optimizer.param_groups, rates, strict=True):
            group["lr"] = rate

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
        if self.journal is not None:
            self.journal.end(self)

    def _epoch(self, epoch: int) -> Iterator[int]:
        first = STRATEGIES[self.strategy].first(self.anatomy, self.settings, epoch)
        losses = self._losses_of(epoch)
        began = time.perf_counter()
        for indices, coming in with_next(itertools.islice(self._dealt.of(epoch), losses.done, None)):
            self.train.expect(part for batch in coming for part in self._sizes.shares(batch, self.rows))
            if not losses.done or not self.network.training:  # a pause may have left it in evaluation
                freeze(self.network, self.anatomy, STRATEGIES[self.strategy], first)
                self._forward = self._joined()
            self._in_step = True
            loss = self._learn(indices, (self.settings.seed, epoch, losses.done, self._group.rank))
            norm = nn.utils.clip_grad_norm_(self.network.parameters(), self.settings.max_grad_norm)
            losses.add(indices, loss.detach(), norm.detach(), max(map(float, self._schedule.get_last_lr())))
            self._optimizer.step()
            self._schedule.step()
            self._optimizer.zero_grad()
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

    def _learn(self, indices: np.ndarray, seeds: tuple[int, ...]) -> Tensor:
        """Makes the gradients of a batch's mean loss, which is returned; in parts where memory asks for it.

        Raises:
            TooLargeError: Memory does not suffice, however small the parts.
        """

        def learn(size: int) -> Tensor:
            self._optimizer.zero_grad()
            parts = [part.ravel() for part in self._sizes.parts(indices.reshape(-1, self.rows), size)]
            if len(parts) > 1:
                return self._accumulated(parts, seeds)
            loss = self._loss(indices, np.random.default_rng(seeds))
            loss.backward()  # type: ignore[no-untyped-call]
            return loss

        return self._sizes.learning(learn, alone=self._group.size == 1)

    def _accumulated(self, parts: list[np.ndarray], seeds: tuple[int, ...]) -> Tensor:
        """Adds up the gradients of a batch's parts: their sums, divided in the end by what was counted in all.

        Several processes take the mean of theirs with the last part.
        """
        totals, counts = [], []
        for number, part in enumerate(parts):
            is_apart = self._group.size > 1 and number + 1 < len(parts)
            with self._forward.no_sync() if is_apart else contextlib.nullcontext():
                total, count = self._shared(part, np.random.default_rng((*seeds, number)))
                total.backward()  # type: ignore[no-untyped-call]
            totals.append(total.detach())
            counts.append(count.detach())
        count = self._group.total(torch.stack(counts).sum()).clamp(min=1) / self._group.size
        for parameter in self.network.parameters():
            if parameter.grad is not None:
                parameter.grad.div_(count)
        return torch.stack(totals).sum() / count

    def _loss(self, indices: np.ndarray, draw: np.random.Generator) -> Tensor:
        """Returns a batch's mean loss; with several processes that of a share, so that their mean is the batch's."""
        total, count = self._shared(indices, draw)
        return self._group.size * total / self._group.total(count).clamp(min=1)

    def _shared(self, indices: np.ndarray, draw: np.random.Generator) -> tuple[Tensor, Tensor]:
        """Returns what `_sums` does, of this process' share of some examples; 0 and 0, if it has none."""
        mine = self._group.share(indices.reshape(-1, self.rows)).ravel()
        total, count = self._sums(mine if len(mine) else indices[: self.rows], draw)
        return (total, count) if len(mine) else (0.0 * total, 0 * count)

    def _sums(self, indices: np.ndarray, draw: np.random.Generator) -> tuple[Tensor, Tensor]:
        """Returns the sum of the losses of some examples, and of how many things it is one."""
        with self.autocast(), kernels(self.train.examples.device):
            outputs, targets = self.train.outputs(self._forward, indices, draw)
        if self._adjustment is not None:
            outputs = {**outputs, "logits": outputs["logits"].float() + self._adjustment}
        return self.network.head.loss(outputs, targets, self.settings.label_smoothing)

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


def _named(tensors: Mapping[str, Tensor], prefix: str) -> dict[str, Tensor]:
    return {name.removeprefix(prefix): tensor for name, tensor in tensors.items() if name.startswith(prefix)}
