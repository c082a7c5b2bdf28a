"""How examples are led through a network: as they are, or from where its frozen part was computed before."""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Protocol

import numpy as np
import torch

from components.finetune.learning import memory, parallel
from components.finetune.learning.anatomy import Anatomy, Prefix
from components.finetune.learning.cache import States
from components.finetune.learning.device import Autocast
from components.finetune.learning.examples import Batch, Examples
from components.finetune.learning.unpadding import Way
from components.shared.backbones.head import Encoded
from components.shared.backbones.network import Network
from components.shared.backbones.segments import SEGMENTS

_ON_DEVICE = 64 << 20  # bytes of outputs of evaluation that stay there until they are brought
_STATES, _THERE = "states", "there"  # in a batch: what was computed before, and which rows of it are no padding


class Learner(Protocol):
    """Leads examples through a network: as they are, or from where its frozen part was computed before."""

    @property
    def examples(self) -> Examples:
        """Which they are."""

    def batch(self, indices: np.ndarray, draw: np.random.Generator | None = None) -> tuple[Batch, Batch]:
        """Returns some of them as `outputs` takes them, and their targets; with a source of chance augmented."""

    def outputs(self, network: Network, batch: Batch) -> Batch:
        """Returns what the head makes of a batch."""

    def expect(self, coming: Iterable[np.ndarray]) -> None:
        """Says which of them are led through next, see `Examples.expect`."""


@dataclass(frozen=True)
class Direct:
    """Leads examples through the whole network."""

    examples: Examples
    way: Way = Way()

    def batch(self, indices: np.ndarray, draw: np.random.Generator | None = None) -> tuple[Batch, Batch]:
        """Returns features and targets."""
        batch, targets = self.examples.batch(indices), self.examples.targets(indices)
        if draw is not None and self.examples.augment:
            batch, targets = self.examples.augment(batch, targets, draw)
        return self.way.laid(batch, self.examples, indices, draw is not None), targets

    def outputs(self, network: Network, batch: Batch) -> Batch:
        """Returns what the head makes of a batch."""
        with self.way.entered(batch) as features:
            outputs: Batch = network(**features)
        return outputs

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
    way: Way = Way()

    def batch(self, indices: np.ndarray, draw: np.random.Generator | None = None) -> tuple[Batch, Batch]:
        """Returns features and the states, and targets."""
        states = self.states.read(self.examples.numbers[indices]).to(self.examples.device, non_blocking=True)
        batch = {**self.examples.batch(indices), _STATES: states}
        return self.way.laid(batch, self.examples, indices, draw is not None), self.examples.targets(indices)

    def outputs(self, network: Network, batch: Batch) -> Batch:
        """Returns what the head makes of a batch."""
        features = {name: tensor for name, tensor in batch.items() if name != _STATES}
        prefix = Prefix(network, self.anatomy)
        with prefix.resumed(self.stage, batch[_STATES]), self.way.entered(features) as features:
            outputs: Batch = network(**features)
        return outputs

    def expect(self, coming: Iterable[np.ndarray]) -> None:
        """See `Examples.expect`."""
        self.examples.expect(coming)


@dataclass(frozen=True)
class HeadOnly:
    """Leads examples through the head alone, from what the frozen backbone made of them."""

    examples: Examples
    states: States
    row: int = 0  # of the vectors that were kept of an example, where the head takes one
    segmented: bool = False  # whether the head asks which input a token is of

    def batch(self, indices: np.ndarray, draw: np.random.Generator | None = None) -> tuple[Batch, Batch]:
        """Returns the states, which of them are there, what a branch takes, and targets."""
        numbers = self.examples.numbers[indices]
        states = self.states.read(numbers)
        there = torch.from_numpy(np.arange(states.shape[1]) < self.states.lengths[numbers][:, None])
        made = {_STATES: states, _THERE: there}
        batch = {name: tensor.to(self.examples.device, non_blocking=True) for name, tensor in made.items()}
        batch |= self.examples.wide_batch(indices)
        if self.segmented:
            batch[SEGMENTS] = self.examples.batch(indices)[SEGMENTS]
        return batch, self.examples.targets(indices)

    def outputs(self, network: Network, batch: Batch) -> Batch:
        """Returns what the head makes of a batch."""
        wide = {name: tensor for name, tensor in batch.items() if name not in (_STATES, _THERE, SEGMENTS)}
        states = batch[_STATES]
        if network.head.level == "pooled":
            return network.answer(Encoded(pooled=states[:, self.row]), **wide)
        return network.answer(Encoded(tokens=states, mask=batch[_THERE], segments=batch.get(SEGMENTS)), **wide)

    def expect(self, coming: Iterable[np.ndarray]) -> None:
        """Reads nothing ahead: what is taken of the examples themselves is little, or nothing."""


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
    with torch.inference_mode():

        def look(chosen: np.ndarray) -> None:
            with autocast():
                outputs = learner.outputs(network, learner.batch(chosen)[0])
            room.add(chosen, outputs)

        memory.in_parts(order, batch_size, look, learner.expect)
        if not len(order):  # its share is empty, but not its shape
            with autocast():
                room.add(order, learner.outputs(network, learner.batch(np.arange(1))[0]))
    found = room.found()
    if group.size == 1:
        return found
    return {
        name: group.total(torch.from_numpy(values).to(examples.device)).cpu().numpy() for name, values in found.items()
    }


class _Room:
    """Keeps outputs of batches as one array each, in the order of the examples.

    They are brought from the device many batches at a time: each time it is waited for.
    """

    def __init__(self, count: int, sizes: np.ndarray | None) -> None:
        self.sizes = sizes
        self.starts = np.concatenate(([0], np.cumsum(np.ones(count, np.int64) if sizes is None else sizes)))
        self._kept: dict[str, np.ndarray] = {}
        self._waiting: list[tuple[np.ndarray, Batch]] = []

    def add(self, chosen: np.ndarray, outputs: Batch) -> None:
        """Adds the outputs of some examples, float [examples, …] or, padded, [examples, tokens, …]."""
        self._waiting.append((chosen, outputs))
        if sum(tensor.nbytes for _, part in self._waiting for tensor in part.values()) > _ON_DEVICE:
            self.found()

    def found(self) -> dict[str, np.ndarray]:
        """Returns all outputs by name."""
        for chosen, outputs in self._waiting:
            for name, tensor in outputs.items():
                self._write(name, chosen, tensor.float().cpu().numpy())
        self._waiting.clear()
        return self._kept

    def _write(self, name: str, chosen: np.ndarray, values: np.ndarray) -> None:
        inner = values.shape[1:] if self.sizes is None else values.shape[2:]
        kept = self._kept.setdefault(name, np.zeros((int(self.starts[-1]), *inner), np.float32))
        if self.sizes is None:
            kept[chosen] = values[: len(chosen)]
            return
        for place, row in zip(chosen.tolist(), values, strict=False):
            kept[self.starts[place] : self.starts[place + 1]] = row[: self.sizes[place]]
