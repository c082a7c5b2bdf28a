"""How examples are led through a network: as they are, or from where its frozen part was computed before."""

import contextlib
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
import torch
from torch import Tensor

from components.finetune import memory, parallel
from components.finetune.anatomy import Anatomy, Prefix
from components.finetune.cache import States
from components.finetune.examples import Batch, Examples
from components.shared.backbones.head import Encoded
from components.shared.backbones.network import Network
from components.shared.backbones.segments import SEGMENTS

Autocast = Callable[[], contextlib.AbstractContextManager[Any]]
"""Makes the context that a forward pass runs in."""


class Learner(Protocol):
    """Leads examples through a network: as they are, or from where its frozen part was computed before."""

    @property
    def examples(self) -> Examples:
        """Which they are."""

    def outputs(self, network: Network, indices: np.ndarray, draw: np.random.Generator) -> tuple[Batch, Batch]:
        """Returns what the head makes of some of them, and their targets."""

    def expect(self, coming: Iterable[np.ndarray]) -> None:
        """Says which of them are led through next, see `Examples.expect`."""


@dataclass(frozen=True)
class Direct:
    """Leads examples through the whole network."""

    examples: Examples

    def outputs(self, network: Network, indices: np.ndarray, draw: np.random.Generator) -> tuple[Batch, Batch]:
        """Returns outputs and targets, both of augmented examples where the network is in training."""
        batch, targets = self.examples.batch(indices), self.examples.targets(indices)
        if self.examples.augment and network.training:
            batch, targets = self.examples.augment(batch, targets, draw)
        return network(**batch), targets

    def expect(self, coming: Iterable[np.ndarray]) -> None:
        """See `Examples.expect`."""
        self.examples.expect(coming)


@dataclass(frozen=True)
class Resumed:
    """Leads examples through the upper part of a network, from states that were computed once."""

    examples: Examples
    anatomy: Anatomy
    stage: int
    states: States

    def outputs(self, network: Network, indices: np.ndarray, draw: np.random.Generator) -> tuple[Batch, Batch]:
        """Returns outputs and targets."""
        states = self.states.read(self.examples.numbers[indices]).to(self.examples.device)
        with Prefix(network, self.anatomy).resumed(self.stage, states):
            return network(**self.examples.batch(indices)), self.examples.targets(indices)

    def expect(self, coming: Iterable[np.ndarray]) -> None:
        """See `Examples.expect`."""
        self.examples.expect(coming)


@dataclass(frozen=True)
class HeadOnly:
    """Leads examples through the head alone, from what the frozen backbone made of them."""

    examples: Examples
    states: States
    row: int = 0  # of the vectors that were kept of an example, where the head takes one

    def outputs(self, network: Network, indices: np.ndarray, draw: np.random.Generator) -> tuple[Batch, Batch]:
        """Returns outputs and targets."""
        encoded = self._encoded(network, indices)
        return network.answer(encoded, **self.examples.wide_batch(indices)), self.examples.targets(indices)

    def expect(self, coming: Iterable[np.ndarray]) -> None:
        """Reads nothing ahead: what is taken of the examples themselves is little, or nothing."""

    def _encoded(self, network: Network, indices: np.ndarray) -> Encoded:
        numbers = self.examples.numbers[indices]
        states = self.states.read(numbers).to(self.examples.device)
        if network.head.level == "pooled":
            return Encoded(pooled=states[:, self.row])
        there = np.arange(states.shape[1]) < self.states.lengths[numbers][:, None]
        segments = self.examples.batch(indices)[SEGMENTS] if network.head.segmented else None
        return Encoded(tokens=states, mask=torch.from_numpy(there).to(states.device), segments=segments)


def predict(network: Network, learner: Learner, batch_size: int, autocast: Autocast) -> np.ndarray:
    """Returns probabilities [examples, classes], float32, of a network whose examples have one class each."""
    logits = torch.from_numpy(logits_of(network, learner, batch_size, autocast))
    probabilities: np.ndarray = logits.softmax(-1).numpy()
    return probabilities


def logits_of(network: Network, learner: Learner, batch_size: int, autocast: Autocast) -> np.ndarray:
    """Returns the head's logits, float32 [examples, …]; the longest examples first, in batches of like length."""
    return outputs_of(network, learner, batch_size, autocast)["logits"]


def outputs_of(network: Network, learner: Learner, batch_size: int, autocast: Autocast) -> dict[str, np.ndarray]:
    """Returns the head's outputs, float32 [examples, …]; at the level of tokens [tokens of all examples, …].

    The longest examples go first, in batches of like length; several processes share them. Where memory has no room for
    so many at once, fewer are taken.
    """
    if not len(learner.examples):
        return {"logits": np.zeros((0, network.head.out_features), np.float32)}
    network.eval()
    group, examples = parallel.group(), learner.examples
    order = group.share(np.argsort(-examples.lengths, kind="stable"))
    sizes = examples.lengths.astype(np.int64) if network.head.level == "tokens" else None
    room = _Room(len(examples), sizes)
    draw = np.random.default_rng(0)  # not used: nothing is augmented in evaluation
    with torch.inference_mode():

        def look(chosen: np.ndarray) -> None:
            with autocast():
                outputs, _ = learner.outputs(network, chosen, draw)
            room.write(chosen, outputs)

        memory.in_parts(order, batch_size, look, learner.expect)
        if not len(order):  # its share is empty, but not its shape
            with autocast():
                room.write(order, learner.outputs(network, np.arange(1), draw)[0])
    if group.size == 1:
        return room.found
    return {
        name: group.total(torch.from_numpy(values).to(examples.device)).cpu().numpy()
        for name, values in room.found.items()
    }


class _Room:
    """Keeps outputs of batches as one array each, in the order of the examples."""

    def __init__(self, count: int, sizes: np.ndarray | None) -> None:
        self.sizes = sizes
        self.starts = np.concatenate(([0], np.cumsum(np.ones(count, np.int64) if sizes is None else sizes)))
        self.found: dict[str, np.ndarray] = {}

    def write(self, chosen: np.ndarray, outputs: dict[str, Tensor]) -> None:
        """Keeps the outputs of some examples, float [examples, …] or, padded, [examples, tokens, …]."""
        for name, tensor in outputs.items():
            values = tensor.float().cpu().numpy()
            inner = values.shape[1:] if self.sizes is None else values.shape[2:]
            kept = self.found.setdefault(name, np.zeros((int(self.starts[-1]), *inner), np.float32))
            if self.sizes is None:
                kept[chosen] = values[: len(chosen)]
                continue
            for place, row in zip(chosen.tolist(), values, strict=False):
                kept[self.starts[place] : self.starts[place + 1]] = row[: self.sizes[place]]
