"""What is kept of predictions: of each example a few numbers, from which every score, interval and slice follows."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace

import numpy as np


@dataclass(frozen=True)
class Statistics:
    """A few numbers of each example.

    Attributes:
        arrays: By name, each [examples] or [examples, numbers]: whether it is right, its class, a squared error.
        sizes: What is the same for all examples, by name: how many classes there are.
        groups: int [examples], which are drawn together (the questions on one context); None: each alone.
    """

    arrays: Mapping[str, np.ndarray]
    sizes: Mapping[str, int] = field(default_factory=dict)
    groups: np.ndarray | None = None

    def __len__(self) -> int:
        return len(next(iter(self.arrays.values())))

    def __getitem__(self, name: str) -> np.ndarray:
        return self.arrays[name]

    def take(self, chosen: np.ndarray | slice) -> "Statistics":
        """Returns those of some examples: bool [examples], places, or a slice."""
        groups = None if self.groups is None else self.groups[chosen]
        return replace(self, arrays={name: array[chosen] for name, array in self.arrays.items()}, groups=groups)

    def first(self, count: int) -> "Statistics":
        """Returns those of the first examples."""
        return self.take(slice(count))


def join(parts: Iterable[Statistics]) -> Statistics:
    """Returns the statistics of many chunks as one; groups are numbered over all chunks."""
    every = list(parts)
    arrays = {name: np.concatenate([part[name] for part in every]) for name in every[0].arrays}
    groups = [part.groups for part in every if part.groups is not None]
    return replace(every[0], arrays=arrays, groups=np.concatenate(groups) if groups else None)
