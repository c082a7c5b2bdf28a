"""Which examples go together: batches of like length, in an order that the seed decides."""

from collections.abc import Iterator

import numpy as np

POOL_BATCHES = 64


def epoch_batches(lengths: np.ndarray, batch_size: int, seed: int, epoch: int) -> Iterator[np.ndarray]:
    """Yields the batches of one epoch: every example once, hardly any padding.

    The examples are shuffled and dealt into pools of 64 batches; a pool is sorted by length and cut into batches, and
    the batches are shuffled again. So batches differ from epoch to epoch, and long ones do not come in a row.

    Args:
        lengths: int [examples], what each example costs.
        batch_size: Examples in a batch; the last one may have fewer.
        seed: Of the run.
        epoch: From 0; with the seed it decides the order, so that an epoch can be repeated alone.

    Yields:
        int64 arrays of examples' numbers.
    """
    draw = np.random.default_rng((seed, epoch))
    order = draw.permutation(len(lengths))
    batches: list[np.ndarray] = []
    for start in range(0, len(order), POOL_BATCHES * batch_size):
        pool = order[start : start + POOL_BATCHES * batch_size]
        pool = pool[np.argsort(lengths[pool], kind="stable")]
        batches += np.split(pool, range(batch_size, len(pool), batch_size))
    for index in draw.permutation(len(batches)):
        yield batches[index]
