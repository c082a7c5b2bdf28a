"""A split of features as the network eats it: batches on its device, augmented where that is asked for."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Protocol

import numpy as np
import torch

from components.finetune.learning.loading import Batch as Batch
from components.finetune.learning.loading import Loader, Room
from components.shared.artifacts.features import FeatureSplit
from components.shared.backbones import Family
from components.shared.backbones.network import pad_wide

Augment = Callable[[Batch, Batch, np.random.Generator], tuple[Batch, Batch]]
"""Takes a batch, its targets and a source of chance; returns both; a class may become probabilities."""
Targets = Callable[[Mapping[str, Sequence[Any]]], Batch]
"""Makes tensors of target columns: `Head.targets`."""


class Columns(Protocol):
    """What an example has beside its features: the words of its texts, the gradients of its picture."""

    def take(self, indices: np.ndarray) -> Mapping[str, list[np.ndarray]]:
        """Returns columns of some of the split's examples, a list of arrays for each."""


@dataclass(frozen=True)
class Examples:
    """Some or all examples of a split.

    Attributes:
        split: The features.
        family: How batches are made.
        padding: What they are padded with.
        device: Where they go.
        make_targets: Makes tensors of their target columns.
        numbers: int64 [examples]: which of the split's examples these are; the same may come several times.
        loader: Brings their features to the device.
        augment: Changes each batch of training, or None.
        columns: Their words, or gradients, where the network has a branch for them.
    """

    split: FeatureSplit
    family: Family
    padding: int
    device: torch.device
    make_targets: Targets
    numbers: np.ndarray
    loader: Loader
    augment: Augment | None = None
    columns: Columns | None = None

    @classmethod
    def whole(
        cls,
        split: FeatureSplit,
        family: Family,
        padding: int,
        device: torch.device,
        make_targets: Targets,
        threads: int = 0,
        room: Room | None = None,
    ) -> "Examples":
        """Returns all examples of a split, not augmented; for threads and room see `Loader`."""

        def read(numbers: np.ndarray) -> Batch:
            return family.collate(split.take(numbers), padding)

        loader = Loader(read, len(split), device, threads, room)
        return cls(split, family, padding, device, make_targets, np.arange(len(split)), loader)

    def __len__(self) -> int:
        return len(self.numbers)

    @property
    def lengths(self) -> np.ndarray:
        """What each example costs (tokens), int32 [examples]."""
        lengths: np.ndarray = self.split.lengths[self.numbers]
        return lengths

    @property
    def labels(self) -> np.ndarray:
        """Their classes, int32 [examples]; all -1 where answers are no classes."""
        labels: np.ndarray = self.split.labels[self.numbers]
        return labels

    @property
    def tokens(self) -> np.ndarray:
        """Ids of tokens that batches can have, int64, each once, padding included; those of the whole split."""
        tokens: np.ndarray = np.union1d(self.split.tokens, [self.padding])
        return tokens

    def ids(self, indices: np.ndarray) -> list[str]:
        """Returns the ids of some of them."""
        return [self.split[int(number)] for number in self.numbers[indices]]

    def batch(self, indices: np.ndarray) -> Batch:
        """Returns some of them as a batch, not augmented."""
        return {**self.loader.take(self.numbers[indices]), **self.wide_batch(indices)}

    def expect(self, coming: Iterable[np.ndarray]) -> None:
        """Says which of them are asked for next, a batch each; none: nothing is read ahead any more."""
        self.loader.expect(self.numbers[indices] for indices in coming)

    def wide_batch(self, indices: np.ndarray) -> Batch:
        """Returns of a batch what the branch takes; {} where there is none."""
        if self.columns is None:
            return {}
        batch = pad_wide(self.columns.take(self.numbers[indices]))
        return {name: tensor.to(self.device, non_blocking=True) for name, tensor in batch.items()}

    def targets(self, indices: np.ndarray) -> Batch:
        """Returns the targets of some of them as tensors."""
        made = self.make_targets(self.target_columns(indices))
        return {name: tensor.to(self.device, non_blocking=True) for name, tensor in made.items()}

    def target_columns(self, indices: np.ndarray | None = None) -> dict[str, Sequence[Any]]:
        """Returns the target columns of some of them, or of all: one value, or one array, an example."""
        numbers = self.numbers if indices is None else self.numbers[indices]
        flat = {name: values[numbers] for name, values in self.split.targets.items()}
        return {**flat, **self.split.take_lists(numbers)}

    def few(self, a_class: int, least: int) -> "Examples":
        """Returns the first examples of each class, over and over until there are at least so many.

        Args:
            a_class: How many of each class; fewer where there are fewer.
            least: How many examples there are to be, repetitions included.
        """
        labels = self.labels
        places = np.concatenate([np.flatnonzero(labels == label)[:a_class] for label in np.unique(labels)])
        chosen = np.sort(places)
        return replace(self, numbers=np.tile(self.numbers[chosen], max(1, -(-least // len(chosen)))))
