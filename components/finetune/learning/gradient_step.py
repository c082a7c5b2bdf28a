"""One step of training: the gradient of a batch's mean loss, clipped, and what AdamW makes of it.

Where memory asks for it a batch is computed in parts; several processes share it; on a GPU a step of a shape that has
come before is launched as one graph.
"""

import contextlib
from collections.abc import Iterable
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from components.finetune.learning import graphs, memory, parallel
from components.finetune.learning.adjustment import adjustment
from components.finetune.learning.anatomy import Anatomy
from components.finetune.learning.device import Autocast
from components.finetune.learning.examples import Batch
from components.finetune.learning.graphs import Graphs
from components.finetune.learning.kernels import kernels
from components.finetune.learning.learners import Learner
from components.finetune.learning.strategies import STRATEGIES, parameter_groups
from components.finetune.settings import FinetuneSettings
from components.shared.backbones.network import Network


class GradientStep:
    """Takes steps, one after the other.

    Attributes:
        optimizer: AdamW.
        sizes: How many examples memory has room for at once.
    """

    def __init__(
        self,
        network: Network,
        anatomy: Anatomy,
        strategy: str,
        learner: Learner,
        settings: FinetuneSettings,
        autocast: Autocast,
    ) -> None:
        """Prepares steps.

        Args:
            network: On its device.
            anatomy: Its stages.
            strategy: A name in `STRATEGIES`.
            learner: Of training examples.
            settings: Of the loop.
            autocast: Makes the context that forward passes run in.
        """
        self.network, self.learner, self.settings, self.autocast = network, learner, settings, autocast
        self.sizes = memory.Sizes(settings.batch_size, network)
        self.rows = network.head.apart
        self._group, self._fixed = parallel.group(), STRATEGIES[strategy].fixed
        self._adjustment = adjustment(learner.examples, settings, network) if network.head.exclusive else None
        self._forward: Any = network
        groups = parameter_groups(network, anatomy, settings, settings.learning_rate)
        device = learner.examples.device
        record = graphs.recorder(settings, device)
        self.optimizer = torch.optim.AdamW(groups, lr=settings.learning_rate, fused=True, capturable=record is not None)
        self._graphs = None
        if record is not None:
            for group in self.optimizer.param_groups:  # a graph reads it where it lies
                group["lr"] = torch.tensor(group["lr"], device=device)
            self._graphs = Graphs(self._whole, record)

    def join(self) -> None:
        """Is to be called when what learns has changed.

        Of several processes it makes anew what takes the mean of their gradients.
        """
        if self._graphs is not None and not self._fixed:
            self._graphs.forget()
        if self._group.size > 1:
            self._forward = None  # an older one must be gone: it listens to the same gradients
            self._forward = nn.parallel.DistributedDataParallel(self.network, find_unused_parameters=True)

    def expect(self, coming: Iterable[np.ndarray]) -> None:
        """Says which batches steps are taken with next, see `Examples.expect`."""
        self.learner.expect(part for indices in coming for part in self.sizes.shares(indices, self.rows))

    def close(self) -> None:
        """Gives back what the device holds for further steps: there are none."""
        if self._graphs is not None:
            self._graphs.forget()

    def take(self, indices: np.ndarray, seeds: tuple[int, ...]) -> tuple[Tensor, Tensor]:
        """Takes a step.

        Args:
            indices: int [examples]: of the batch.
            seeds: Of how its examples are augmented.

        Returns:
            The batch's mean loss and the norm of its gradient before clipping, both on the device.

        Raises:
            TooLargeError: Memory does not suffice, however small the parts.
        """
        seeds = (*seeds, self._group.rank)
        if self._graphs is not None and not self._graphs.is_off and self.sizes.learned >= self.sizes.batch:
            batch, targets = self.learner.batch(indices, np.random.default_rng(seeds))
            if (found := self._graphs.take(batch, targets)) is not None:
                return found
        loss = self._learn(indices, seeds)
        return loss.detach(), self._apply()

    def _whole(self, batch: Batch, targets: Batch) -> tuple[Tensor, Tensor]:
        """A whole step of one process, which asks nothing of the host: it can be recorded."""
        self.optimizer.zero_grad()
        total, count = self._sums(batch, targets)
        loss = total / count.clamp(min=1)
        loss.backward()  # type: ignore[no-untyped-call]
        return loss.detach(), self._apply()

    def _apply(self) -> Tensor:
        """Clips the gradients, and lets the optimizer take its step; returns their norm before."""
        norm = nn.utils.clip_grad_norm_(self.network.parameters(), self.settings.max_grad_norm)
        self.optimizer.step()
        self.optimizer.zero_grad()
        return norm.detach()

    def _learn(self, indices: np.ndarray, seeds: tuple[int, ...]) -> Tensor:
        """Makes the gradients of a batch's mean loss, which is returned; in parts where memory asks for it."""

        def learn(size: int) -> Tensor:
            self.optimizer.zero_grad()
            parts = [part.ravel() for part in self.sizes.parts(indices.reshape(-1, self.rows), size)]
            if len(parts) > 1:
                return self._accumulated(parts, seeds)
            loss = self._loss(indices, np.random.default_rng(seeds))
            loss.backward()  # type: ignore[no-untyped-call]
            return loss

        return self.sizes.learning(learn, self._group.size == 1, self.learner.examples.loader.spare)

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
        total, count = self._sums(*self.learner.batch(mine if len(mine) else indices[: self.rows], draw))
        return (total, count) if len(mine) else (0.0 * total, 0 * count)

    def _sums(self, batch: Batch, targets: Batch) -> tuple[Tensor, Tensor]:
        """Returns the sum of the losses of a batch, and of how many things it is one."""
        with self.autocast(), kernels(self.learner.examples.device):
            outputs = self.learner.outputs(self._forward, batch)
        if self._adjustment is not None:
            outputs = {**outputs, "logits": outputs["logits"].float() + self._adjustment}
        return self.network.head.loss(outputs, targets, self.settings.label_smoothing)
