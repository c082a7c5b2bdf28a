"""What the frozen part of a network makes of the examples: computed once, kept on disk, mapped into memory."""

import math
import os
from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from components.finetune.learning import memory, parallel
from components.finetune.learning.anatomy import Prefix
from components.finetune.learning.examples import Examples
from components.shared.errors import ServiceError

_GIB = 1 << 30


class States:
    """For each example of a split an array [rows, …]: what enters a stage; rows are its tokens, or what a map has.

    Attributes:
        lengths: int64 [examples], rows of each.
    """

    def __init__(self, path: Path, lengths: np.ndarray, inner: tuple[int, ...], dtype: torch.dtype) -> None:
        self.lengths, self.inner, self.dtype = lengths, inner, dtype
        self.starts = np.concatenate(([0], np.cumsum(lengths)))
        # NumPy knows no bfloat16: its bits are kept.
        kind = np.dtype(np.float32) if dtype == torch.float32 else np.dtype(np.int16)
        shape, group = (int(self.starts[-1]), *inner), parallel.group()
        if group.is_first:
            size = math.prod(shape) * np.dtype(kind).itemsize
            _reserve(path, size)
            self._values = np.memmap(path, kind, "r+" if size else "w+", shape=shape)
        group.wait()
        if not group.is_first:
            self._values = np.memmap(path, kind, "r+", shape=shape)

    def write(self, numbers: np.ndarray, states: Tensor) -> None:
        """Writes the states of some examples, [examples, rows padded to the longest, …]."""
        kept = states.detach().to(self.dtype).cpu()
        flat = (kept if self.dtype == torch.float32 else kept.view(torch.int16)).numpy()
        for row, number in zip(flat, numbers.tolist(), strict=True):
            start, stop = self.starts[number], self.starts[number + 1]
            self._values[start:stop] = row[: stop - start]

    def read(self, numbers: np.ndarray) -> Tensor:
        """Returns the states of some examples, padded with zeros to the longest of them."""
        found = np.zeros(
            (len(numbers), int((self.lengths[numbers] if len(numbers) else self.lengths).max()), *self.inner),
            self._values.dtype,
        )
        for row, number in zip(found, numbers.tolist(), strict=True):
            start, stop = self.starts[number], self.starts[number + 1]
            row[: stop - start] = self._values[start:stop]
        states = torch.from_numpy(found)
        return states if self.dtype == torch.float32 else states.view(torch.bfloat16)

    def rows(self, numbers: np.ndarray) -> Tensor:
        """Returns some rows among those of all examples, one after the other: [numbers, …]."""
        found = torch.from_numpy(self._values[numbers])
        return found if self.dtype == torch.float32 else found.view(torch.bfloat16)


def _reserve(path: Path, size: int) -> None:
    """Takes a file's room on the disk before it is mapped: on a full one a write into the map would end the process.

    Raises:
        ServiceError: The disk is full.
    """
    try:
        with path.open("wb") as file:
            if size:
                os.posix_fallocate(file.fileno(), 0, size)
    except OSError as error:
        path.unlink(missing_ok=True)
        raise ServiceError(
            f"What the frozen part makes of the examples takes {size / _GIB:.1f} GiB at {path.parent}: "
            f"{error.strerror}. Make room there, lead TMPDIR to a larger disk, or set training.cache_gib to less."
        ) from error


def compute_states(
    prefix: Prefix,
    examples: Examples,
    stages: list[int],
    folder: Path,
    budget_gib: float,
    autocast: Callable[[], AbstractContextManager[Any]],
    batch_size: int,
) -> dict[int, States]:
    """Passes all examples of a split through the frozen part once.

    Args:
        prefix: Of a network in evaluation mode.
        examples: The split, not augmented.
        stages: What is kept: what enters these stages. What enters the head is kept in any case: pooled vectors (a
            row for each pooling) are small, and of tokens there is no other way to fit a probe.
        folder: Where the files go.
        budget_gib: The most disk for them; a stage that does not fit is left out.
        autocast: Makes the context that the pass runs in.
        batch_size: Examples at once.

    Returns:
        The states by stage, of those stages that fit.
    """
    found: dict[int, States] = {}
    group = parallel.group()
    everything = np.argsort(-examples.lengths, kind="stable")
    order = group.share(everything) if len(everything) >= group.size else everything  # each computes its part
    head = prefix.anatomy.head
    prefix.network.eval()
    kept: list[int] | None = None

    def look(numbers: np.ndarray) -> None:
        nonlocal kept
        if kept == []:
            return
        batch = examples.batch(numbers)
        with autocast():
            states = prefix.states(batch, stages if kept is None else kept)
        if kept is None:
            lengths = examples.lengths.astype(np.int64) if "attention_mask" in batch else None
            pooled = {head} if prefix.network.head.level == "pooled" else set()
            found.update(_room(states, len(examples), lengths, head, pooled, folder, budget_gib))
            kept = list(found)
        for stage in kept:
            found[stage].write(numbers, states[stage])

    memory.in_parts(order, batch_size, look, examples.expect)
    group.wait()
    return found


def _room(
    states: Mapping[int, Tensor],
    count: int,
    lengths: np.ndarray | None,
    head: int,
    pooled: set[int],
    folder: Path,
    budget_gib: float,
) -> dict[int, States]:
    """Makes room for the states of all examples, like those of a first batch; a stage's that do not fit are left out.

    Args:
        states: Of a first batch, by stage: [examples, rows, …].
        count: How many examples there are.
        lengths: Rows of each, where they differ (tokens).
        head: The head's stage: its states always fit.
        pooled: Stages that take one row for each pooling, however many tokens there are.
        folder: Where the files go.
        budget_gib: The most disk.
    """
    found: dict[int, States] = {}
    left = budget_gib * _GIB  # whatever else is on the disk: what is learned depends on what is kept, in its last bits
    for stage, value in sorted(states.items()):
        dtype = torch.bfloat16 if value.dtype == torch.bfloat16 else torch.float32
        rows = np.full(count, value.shape[1], np.int64) if lengths is None or stage in pooled else lengths
        size = int(rows.sum()) * math.prod(value.shape[2:]) * (4 if dtype == torch.float32 else 2)
        if size <= left or stage == head:
            found[stage] = States(folder / f"{stage}.states", rows, tuple(value.shape[2:]), dtype)
            left -= size
    return found
