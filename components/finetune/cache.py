"""What the frozen part of a network makes of the examples: computed once, kept on disk, mapped into memory."""

import math
import shutil
from collections.abc import Callable
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from components.finetune.anatomy import Prefix
from components.finetune.examples import Examples

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
        self._values = np.memmap(path, kind, "w+", shape=(int(self.starts[-1]), *inner))

    def write(self, numbers: np.ndarray, states: Tensor) -> None:
        """Writes the states of some examples, [examples, rows padded to the longest, …]."""
        kept = states.detach().to(self.dtype).cpu()
        flat = (kept if self.dtype == torch.float32 else kept.view(torch.int16)).numpy()
        for row, number in zip(flat, numbers.tolist(), strict=True):
            start, stop = self.starts[number], self.starts[number + 1]
            self._values[start:stop] = row[: stop - start]

    def read(self, numbers: np.ndarray) -> Tensor:
        """Returns the states of some examples, padded with zeros to the longest of them."""
        found = np.zeros((len(numbers), int(self.lengths[numbers].max()), *self.inner), self._values.dtype)
        for row, number in zip(found, numbers.tolist(), strict=True):
            start, stop = self.starts[number], self.starts[number + 1]
            row[: stop - start] = self._values[start:stop]
        states = torch.from_numpy(found)
        return states if self.dtype == torch.float32 else states.view(torch.bfloat16)


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
        stages: What is kept: what enters these stages. Pooled vectors (the head's) are small, and kept in any case.
        folder: Where the files go.
        budget_gib: The most disk for them; a stage that does not fit is left out.
        autocast: Makes the context that the pass runs in.
        batch_size: Examples at once.

    Returns:
        The states by stage, of those stages that fit.
    """
    found: dict[int, States] = {}
    order = np.argsort(-examples.lengths, kind="stable")
    left = min(budget_gib * _GIB, 0.8 * shutil.disk_usage(folder).free)
    head = prefix.anatomy.head
    prefix.network.eval()
    for start in range(0, len(order), batch_size):
        numbers = order[start : start + batch_size]
        batch = examples.batch(numbers)
        with autocast():
            states = prefix.states(batch, stages)
        if start == 0:
            for stage in sorted(stages, reverse=True):  # the head's first: small, and the most use
                lengths = _lengths(states[stage], examples, stage == head, "attention_mask" in batch)
                made = _make(states[stage], lengths, folder / f"{stage}.states", math.inf if stage == head else left)
                if made:
                    found[stage] = made
                    left -= _size(made)
            stages = list(found)
            if not stages:
                return {}
        for stage in stages:
            value = states[stage]
            found[stage].write(numbers, value.unsqueeze(1) if stage == head else value)
    return found


def _lengths(states: Tensor, examples: Examples, pooled: bool, ragged: bool) -> np.ndarray:
    """Returns how many rows each example's state has: one, its tokens, or as many as all others."""
    if ragged and not pooled:
        return examples.lengths.astype(np.int64)
    return np.full(len(examples), 1 if pooled else states.shape[1], np.int64)


def _make(states: Tensor, lengths: np.ndarray, path: Path, left: float) -> States | None:
    """Returns room for states, unless there is not enough left."""
    dtype = torch.bfloat16 if states.dtype == torch.bfloat16 else torch.float32
    inner = tuple(states.shape[1:] if states.ndim == 2 else states.shape[2:])
    return States(path, lengths, inner, dtype) if _bytes(lengths, inner, dtype) <= left else None


def _size(states: States) -> int:
    return _bytes(states.lengths, states.inner, states.dtype)


def _bytes(lengths: np.ndarray, inner: tuple[int, ...], dtype: torch.dtype) -> int:
    return int(lengths.sum()) * math.prod(inner) * (4 if dtype == torch.float32 else 2)
