"""Which examples go together: batches of like length, in an order that the seed decides."""

from collections.abc import Iterator

import numpy as np
from torch import nn

from components.shared.errors import InputError

POOL_BATCHES = 64
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


def padding(lengths: np.ndarray, batch_size: int, seed: int) -> float:
    """Returns the fraction of what is computed in an epoch that is padding."""
    computed = sum(
        len(indices) * int(lengths[indices].max()) for indices in epoch_batches(lengths, batch_size, seed, 0)
    )
    return 1.0 - float(lengths.sum()) / computed


def together(
    lengths: np.ndarray, rows: int, batch_size: int, seed: int, epoch: int, least: int = LEAST
) -> Iterator[np.ndarray]:
    """Yields the batches of one epoch of examples that have several rows each, which stand side by side.

    Args:
        lengths: int [rows of all], what each costs.
        rows: Of an example.
        batch_size: Examples in a batch.
        seed: See `epoch_batches`.
        epoch: See `epoch_batches`.
        least: See `epoch_batches`.
    """
    for examples in epoch_batches(lengths.reshape(-1, rows).max(1), batch_size, seed, epoch, least):
        yield (examples[:, None] * rows + np.arange(rows)).ravel() if rows > 1 else examples


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
