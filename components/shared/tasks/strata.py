"""Strata: what examples count as, when they are dealt to splits, balanced and counted. An example may be of several."""

import functools
import itertools
from array import array
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np

from components.shared.artifacts.snapshot import SPLITS

NONE = "(none)"
"""The stratum of an example that has no label, no entity, no answer."""

_BINS = 10
_AT_ONCE = 1 << 20  # numbers: numpy makes them wide, or copies them


def counts(numbers: np.ndarray, length: int) -> np.ndarray:
    """Returns how often each number below a length is there, int64 [length], in little memory beside it."""
    parts = (np.bincount(numbers[at : at + _AT_ONCE], minlength=length) for at in range(0, len(numbers), _AT_ONCE))
    return sum(parts, np.zeros(length, np.int64))


@dataclass(frozen=True)
class Memberships:
    """Which example is of which stratum.

    Attributes:
        examples: int32 [memberships], in the order in which they were added.
        strata: int32 [memberships], into `names`.
        names: Of the strata, in order.
        count: How many examples there are.
    """

    examples: np.ndarray
    strata: np.ndarray
    names: list[str]
    count: int

    @functools.cached_property
    def is_single(self) -> bool:
        """Whether each example is of one stratum."""
        return len(self.examples) == self.count and bool((self.examples == np.arange(self.count, dtype=np.int32)).all())

    def of_splits(self, splits: np.ndarray) -> dict[str, Counter[str]]:
        """Returns examples by stratum in each split.

        Args:
            splits: int [examples], into `SPLITS`.
        """
        of = splits[self.examples]
        found = {split: counts(self.strata[of == number], len(self.names)) for number, split in enumerate(SPLITS)}
        return {
            split: Counter({name: int(count) for name, count in zip(self.names, row, strict=True) if count})
            for split, row in found.items()
        }

    def renamed(self, name_of: Callable[[str], str | None], *, whole: bool) -> "Memberships":
        """Returns the memberships under other names.

        Args:
            name_of: The new name of a stratum; None where there is none.
            whole: Whether an example that is of no stratum any more stays, as `NONE`, or is left out.
        """
        becomes = [name_of(name) if name != NONE else NONE for name in self.names]
        if becomes == self.names:
            return self
        names = sorted({NONE for _ in [0] if whole} | {name for name in becomes if name is not None})
        places = {name: place for place, name in enumerate(names)}
        strata = np.array([-1 if name is None else places[name] for name in becomes], np.int32)[self.strata]
        examples, strata = self.examples[strata >= 0], strata[strata >= 0]
        if whole:
            lost = np.setdiff1d(np.arange(self.count), examples)
            examples = np.concatenate([examples, lost])
            strata = np.concatenate([strata, np.full(len(lost), places[NONE])])
        pairs = np.unique(examples.astype(np.int64) * len(names) + strata)
        examples, strata = (part.astype(np.int32) for part in np.divmod(pairs, max(len(names), 1)))
        return Memberships(examples, strata, names, self.count)

    def rows(self, splits: np.ndarray) -> dict[str, int]:
        """Returns how many examples of some stratum each split has."""
        of = splits if self.is_single else splits[np.unique(self.examples)]
        return {split: int((of == number).sum()) for number, split in enumerate(SPLITS)}


class Stratification(Protocol):
    """Collects the strata of examples in bounded memory."""

    def add(self, codes: np.ndarray, answers: Sequence[str]) -> None:
        """Adds examples.

        Args:
            codes: int32 [examples], the answer of each.
            answers: The different ones, as canonical text.
        """

    def memberships(self) -> Memberships:
        """Returns which of all examples is of which stratum."""

    def told(self, splits: np.ndarray) -> dict[str, Any]:
        """Returns what is to be known of the answers, now that it is known which split (int [examples]) each is in."""


class Named:
    """Strata by name.

    Args:
        strata: Those of an answer.
    """

    def __init__(self, strata: Callable[[str], tuple[str, ...]]) -> None:
        self._strata = strata
        self._numbers: dict[str, int] = {}
        self._found = array("i")
        self._sizes: array[int] | None = None  # how many each example is of; None: one, as of classes

    def add(self, codes: np.ndarray, answers: Sequence[str]) -> None:
        """See `Stratification`."""
        own = [[self._numbers.setdefault(name, len(self._numbers)) for name in self._strata(one)] for one in answers]
        lengths = np.array([len(numbers) for numbers in own], np.int64)
        flat = np.array([number for numbers in own for number in numbers], np.int32)
        if self._sizes is None and (lengths == 1).all():
            self._found.frombytes(flat[codes].tobytes())
            return
        if self._sizes is None:
            self._sizes = array("i", [1]) * len(self._found)
        sizes = lengths[codes]
        starts = (np.cumsum(lengths) - lengths)[codes]
        places = np.arange(sizes.sum()) - np.repeat(np.cumsum(sizes) - sizes, sizes)
        self._found.frombytes(flat[np.repeat(starts, sizes) + places].tobytes())
        self._sizes.frombytes(sizes.astype(np.int32).tobytes())

    def memberships(self) -> Memberships:
        """See `Stratification`; names are in the order of the alphabet, whatever came first."""
        names = list(self._numbers)
        order = np.argsort(np.array(names)) if names else np.zeros(0, np.int64)
        ranks = np.argsort(order).astype(np.int32)
        self._numbers = {names[number]: place for place, number in enumerate(order)}
        strata = np.frombuffer(self._found, np.int32)
        for at in range(0, len(strata), _AT_ONCE):  # where they are: there may be millions
            strata[at : at + _AT_ONCE] = ranks[strata[at : at + _AT_ONCE]]
        count = len(strata) if self._sizes is None else len(self._sizes)
        examples = np.arange(count, dtype=np.int32)
        if self._sizes is not None:
            examples = np.repeat(examples, np.frombuffer(self._sizes, np.int32))
        return Memberships(examples, strata, list(self._numbers), count)

    def told(self, splits: np.ndarray) -> dict[str, Any]:
        """See `Stratification`: names tell it all."""
        return {}


class Ranges:
    """Strata of numbers: ten ranges that hold as many examples each; fewer where numbers are few."""

    def __init__(self) -> None:
        self._values: array[float] = array("d")

    def add(self, codes: np.ndarray, answers: Sequence[str]) -> None:
        """See `Stratification`."""
        self._values.frombytes(np.array([float(answer) for answer in answers])[codes].tobytes())

    def memberships(self) -> Memberships:
        """See `Stratification`."""
        values, edges = np.array(self._values), self._edges()
        places = np.searchsorted(edges, values, "right")
        examples = np.arange(len(values), dtype=np.int32)
        return Memberships(examples, places.astype(np.int32), names_of(edges), len(values))

    def told(self, splits: np.ndarray) -> dict[str, Any]:
        """See `Stratification`: mean, deviation, least and most of training, and where ranges end."""
        train = np.array(self._values)[splits == SPLITS.index("train")]
        told = {"edges": self._edges().tolist()}
        if not len(train):
            return told
        # Sorted, so that sums do not depend on the order.
        mean = float(np.sort(train).mean())
        deviation = float(np.sqrt(np.sort((train - mean) ** 2).mean()))
        return {**told, "mean": mean, "deviation": deviation, "low": float(train.min()), "high": float(train.max())}

    def _edges(self) -> np.ndarray:
        values = np.sort(np.array(self._values))
        if not len(values):
            return values
        return np.unique(values[len(values) * np.arange(1, _BINS) // _BINS])


def names_of(edges: Sequence[float] | np.ndarray) -> list[str]:
    """Returns what ranges are called that end at these numbers: "below 2", "2 to 3.5", "3.5 and more"."""
    ends = [f"{edge:.6g}" for edge in edges]
    if len(set(ends)) < len(ends):  # that near to each other
        ends = [repr(float(edge)) for edge in edges]
    if not ends:
        return ["all"]
    between = [f"{low} to {high}" for low, high in itertools.pairwise(ends)]
    return [f"below {ends[0]}", *between, f"{ends[-1]} and more"]


def range_of(value: float, spec: Mapping[str, Any]) -> str:
    """Returns the range that a number is in, by the edges that a snapshot tells."""
    edges = spec.get("edges", [])
    return names_of(edges)[int(np.searchsorted(edges, value, "right")) if edges else 0]
