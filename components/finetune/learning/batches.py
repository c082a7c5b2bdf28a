"""Which examples go together: batches of like length, in an order that the seed decides."""

import collections
import functools
import itertools
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

import numpy as np
from torch import nn

from components.shared.errors import InputError

POOL_BATCHES = 64
AHEAD = 8
"""How many batches are looked ahead, so that they can be read before they are learned from."""
LEAST = 2
"""Examples of a batch, where there are so many: the norm of a batch of one divides by nothing."""


def steps_of(count: int, batch_size: int, least: int = LEAST) -> int:
    """Returns how many batches `epoch_batches` yields of so many examples."""
    whole, rest = divmod(count, batch_size)
    return max(1, whole + (rest >= min(least, batch_size)))


def epoch_batches(
    lengths: np.ndarray, batch_size: int, seed: int, epoch: int, least: int = LEAST
) -> Iterator[np.ndarray]:
    """Yields the batches of one epoch: every example once, hardly any padding.

    The examples are shuffled and dealt into pools of 64 batches; a pool is sorted by length and cut into batches, and
    the batches are shuffled again. So batches differ from epoch to epoch, and long ones do not come in a row.

    Args:
        lengths: int [examples], what each example costs.
        batch_size: Examples in a batch; one of an epoch may have fewer.
        seed: Of the run.
        epoch: From 0; with the seed it decides the order, so that an epoch can be repeated alone.
        least: Fewer than these make no batch of their own, but join another one.

    Yields:
        int64 arrays of examples' numbers.
    """
    draw = np.random.default_rng((seed, epoch))
    order = draw.permutation(len(lengths))
    joined = len(order) % batch_size if steps_of(len(order), batch_size, least) * batch_size < len(order) else 0
    batches: list[np.ndarray] = []
    for start in range(0, len(order) - joined, POOL_BATCHES * batch_size):
        pool = order[: len(order) - joined][start : start + POOL_BATCHES * batch_size]
        pool = pool[np.argsort(lengths[pool], kind="stable")]
        batches += np.split(pool, range(batch_size, len(pool), batch_size))
    if joined:
        batches[-1] = np.concatenate([batches[-1], order[len(order) - joined :]])
    for index in draw.permutation(len(batches)):
        yield batches[index]


def with_next(batches: Iterable[np.ndarray]) -> Iterator[tuple[np.ndarray, list[np.ndarray]]]:
    """Yields each batch with those that come next, itself first."""
    left = iter(batches)
    coming = collections.deque(itertools.islice(left, AHEAD))
    while coming:
        yield coming[0], list(coming)
        coming.popleft()
        coming.extend(itertools.islice(left, 1))


def padding(lengths: np.ndarray, batch_size: int, seed: int) -> float:
    """Returns the fraction of what is computed in an epoch that is padding."""
    computed = sum(
        len(indices) * int(lengths[indices].max()) for indices in epoch_batches(lengths, batch_size, seed, 0)
    )
    return 1.0 - float(lengths.sum()) / computed


@dataclass(frozen=True)
class Batches:
    """The batches of all epochs, of examples that have several rows each, which stand side by side.

    Attributes:
        lengths: int [rows of all], what each costs.
        rows: Of an example.
        size: Examples in a batch; where some are of one group, about so many.
        seed: See `epoch_batches`.
        least: See `epoch_batches`; of groups, where there are some.
        groups: int [examples], which are never parted (a query's passages: it is to tell them apart); None: each alone.
    """

    lengths: np.ndarray
    rows: int
    size: int
    seed: int
    least: int = LEAST
    groups: np.ndarray | None = None

    @property
    def steps(self) -> int:
        """How many batches an epoch has."""
        return steps_of(len(self._units[0]), self._units[2], self.least)

    def of(self, epoch: int) -> Iterator[np.ndarray]:
        """Yields the batches of an epoch: the numbers of their rows."""
        lengths, members, size = self._units
        for units in epoch_batches(lengths, size, self.seed, epoch, self.least):
            examples = units if members is None else np.concatenate([members[unit] for unit in units.tolist()])
            yield (examples[:, None] * self.rows + np.arange(self.rows)).ravel() if self.rows > 1 else examples

    @functools.cached_property
    def _units(self) -> tuple[np.ndarray, list[np.ndarray] | None, int]:
        """What is dealt: lengths of units, the examples of each (None: each is its own), units in a batch."""
        lengths = self.lengths.reshape(-1, self.rows).max(1)
        if self.groups is None or len(np.unique(self.groups)) == len(lengths):
            return lengths, None, self.size
        order = np.argsort(self.groups, kind="stable")
        cuts = np.flatnonzero(np.diff(self.groups[order])) + 1
        members = np.split(order, cuts)
        size = max(1, round(self.size * len(members) / len(lengths)))
        return np.array([lengths[own].max() for own in members]), members, size


def check_batches(network: nn.Module, size: int) -> None:
    """Refuses batches too small for a network's norms.

    Args:
        network: That learns.
        size: Examples of a batch.

    Raises:
        InputError: They would have one example, and the norms need several.
    """
    norms = [module for module in network.modules() if isinstance(module, nn.modules.batchnorm._BatchNorm)]
    if norms and size < LEAST:
        raise InputError(
            f"Batches would hold {size} example, but the network has {len(norms)} batch norms, which need several: set "
            f"training.batch_size to {LEAST} or more, and give as many training examples."
        )
