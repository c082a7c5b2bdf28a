"""Who is trained on, who validates, who tests: stratified by class, in units that stay together, and sticky.

Each unit (an example, or a group or near-duplicates that must not be parted) draws a number out of its identity. Below
`test_fraction` it is for the test, below both fractions for validation; a class that has too few of them there gets
those with the lowest numbers, up to a floor. Units that an earlier snapshot knew stay where they were.

Without an earlier snapshot this is a function of the content alone. No such function can both have a floor and move
nothing as data grows (of three examples, each pair would have to agree on who of it tests). This one errs to the safe
side: an example moves from the test towards training, never from training to the test, once its class has
`MANY` units. So a model never meets an example in the test that it was trained on.
"""

import functools
from dataclasses import dataclass

import numpy as np

from components.shared.artifacts.snapshot import SPLITS
from components.shared.errors import InputError
from components.shared.tasks.strata import counts

TRAIN, VALIDATION, TEST = range(len(SPLITS))
UNKNOWN = -1
MANY = 8
"""Units of a class from which the floors are whole: 2 for the test, 2 for validation."""

FOLDS = 5

_AT_ONCE = 1 << 20  # numbers: numpy makes them wide


@dataclass(frozen=True)
class Fractions:
    """The parts of the examples that are taken for validation and for the test; 0: none, because it is given."""

    validation: float
    test: float


@dataclass
class Units:
    """What is dealt: examples in units.

    Attributes:
        of: int [examples], the unit of each.
        labels: int [memberships], the class, or one of the strata, of an example.
        draws: float64 [units], see `draw_of`.
        known: int8 [units], the split that an earlier snapshot had it in; `UNKNOWN` where it is new.
        members: int [memberships], the example of each of `labels`; None: each example is of one class.
    """

    of: np.ndarray
    labels: np.ndarray
    draws: np.ndarray
    known: np.ndarray
    members: np.ndarray | None = None

    def __post_init__(self) -> None:
        if self.members is None and len(self.draws) == len(self.of):  # each is a unit by itself, of one class
            self.sizes = np.broadcast_to(np.int32(1), len(self.of))
            self.pair_labels, self.pair_units = self.labels, self.of
            return
        self.sizes = _sizes(self.of, len(self.draws))
        if self.members is not None:
            self.pair_labels, self.pair_units = _different(self.labels, self.of[self.members], len(self.draws))
            return
        several = self.sizes[self.of] > 1  # mostly few
        labels, units = _different(self.labels[several], self.of[several], len(self.draws))
        self.pair_labels = np.concatenate([self.labels[~several], labels])
        self.pair_units = np.concatenate([self.of[~several], units])

    def classes_of(self, unit: int) -> np.ndarray:
        """Returns the classes that a unit has examples of."""
        classes, starts = self._by_unit
        return classes[starts[unit] : starts[unit + 1]]

    @functools.cached_property
    def _by_unit(self) -> tuple[np.ndarray, np.ndarray]:
        """The classes of all units, and where those of each begin."""
        order = np.lexsort((self.pair_labels, self.pair_units))
        starts = np.searchsorted(self.pair_units[order], np.arange(len(self.draws) + 1))
        return self.pair_labels[order], starts

    def count(self, splits: np.ndarray, classes: int) -> np.ndarray:
        """Returns how many units of each class each split has: int [splits, classes]."""
        of = splits[self.pair_units]
        return np.stack([counts(self.pair_labels[of == split], classes) for split in range(len(SPLITS))])


def _sizes(of: np.ndarray, units: int) -> np.ndarray:
    """Returns how many examples each unit has: int32 [units]."""
    sizes = np.zeros(units, np.int32)
    for at in range(0, len(of), _AT_ONCE):
        np.add.at(sizes, of[at : at + _AT_ONCE], np.int32(1))
    return sizes


def _different(labels: np.ndarray, units: np.ndarray, count: int) -> tuple[np.ndarray, np.ndarray]:
    """Returns the different pairs of a label and one of so many units, as two arrays: int32."""
    pairs = np.unique(labels.astype(np.int64) * max(count, 1) + units)
    return (pairs // max(count, 1)).astype(np.int32), (pairs % max(count, 1)).astype(np.int32)


def deal(units: Units, fractions: Fractions) -> np.ndarray:
    """Returns the split of each unit, int8 [units]: `TRAIN`, `VALIDATION` or `TEST`."""
    test, both = fractions.test, fractions.test + fractions.validation
    splits = np.full(len(units.draws), TRAIN, np.int8)
    splits[units.draws < both] = VALIDATION
    splits[units.draws < test] = TEST
    large = _too_large(units, fractions)
    splits[large] = TRAIN
    splits = _kept(splits, units.known, fractions)
    _Floors(units, splits, fractions, large).fill()
    return splits


def deal_by_time(units: Units, times: np.ndarray, fractions: Fractions) -> np.ndarray:
    """Deals by time: the newest are the test, those before them validation; what is of one moment stays together.

    Args:
        units: What is dealt.
        times: float64 [units], when each began.
        fractions: The parts.

    Raises:
        InputError: There are too few different times.
    """
    moments, places = np.unique(times, return_inverse=True)
    wanted = [(split, part) for split, part in ((TEST, fractions.test), (VALIDATION, fractions.validation)) if part]
    if len(moments) <= len(wanted):
        raise InputError(
            f"data.time has {len(moments)} different values; at least {len(wanted) + 1} are needed to tell older from "
            "newer examples. Name a finer column, or remove data.time."
        )
    newer = np.cumsum(np.bincount(places, units.sizes)[::-1])[::-1]  # examples that are of a moment, or later
    splits, end, taken = np.full(len(times), TRAIN, np.int8), len(moments), 0.0
    for left, (split, part) in zip(range(len(wanted) - 1, -1, -1), wanted, strict=True):
        taken += part * len(units.of)
        first = 1 + left + int(np.abs(newer[1 + left : end] - taken).argmin())
        splits[(places >= first) & (places < end)] = split
        end = first
    backwards = (units.known != UNKNOWN) & (units.known < splits)  # never from training towards the test
    return np.where(backwards, units.known, splits).astype(np.int8)


def deal_folds(units: Units, known: np.ndarray, folds: int = FOLDS) -> np.ndarray:
    """Deals the folds of a cross-validation: as many of each class in each, units whole, known ones where they were.

    Args:
        units: What is dealt.
        known: int8 [units], the fold that each was in; `UNKNOWN` where it is new.
        folds: How many.

    Returns:
        int8 [units].
    """
    classes = int(units.labels.max(initial=-1)) + 1
    sizes, found = np.zeros((classes, folds), np.int64), np.full(len(units.draws), UNKNOWN, np.int8)
    for unit in np.lexsort((units.draws, known == UNKNOWN)):
        own = units.classes_of(unit)
        load = list(zip(sizes[own].sum(0), sizes.sum(0), range(folds), strict=True))
        fold = int(known[unit]) if 0 <= known[unit] < folds else min(load)[2]
        found[unit] = fold
        sizes[own, fold] += 1
    return found


def _too_large(units: Units, fractions: Fractions) -> np.ndarray:
    """Returns which units would fill a split of their own: bool [units]."""
    part = min((part for part in (fractions.test, fractions.validation) if part), default=0.0)
    large: np.ndarray = (units.sizes > 1) & (units.sizes > 2 * part * len(units.of))
    return large


def _kept(splits: np.ndarray, known: np.ndarray, fractions: Fractions) -> np.ndarray:
    """Keeps what is known where it was; where that split is given now, in training."""
    for split, part in ((TEST, fractions.test), (VALIDATION, fractions.validation)):
        known = np.where((known == split) & (part == 0), TRAIN, known)
    return np.where(known == UNKNOWN, splits, known).astype(np.int8)


class _Floors:
    """Gives every class a few examples in each split, as far as it has them; nothing that is known moves."""

    def __init__(self, units: Units, splits: np.ndarray, fractions: Fractions, large: np.ndarray) -> None:
        self.units, self.splits = units, splits
        self.movable = (units.known == UNKNOWN) & ~large
        classes = int(units.labels.max(initial=-1)) + 1
        self.counts = units.count(splits, classes)
        self.floors = _floors(self.counts.sum(0), fractions)

    def fill(self) -> None:
        for split in (TEST, VALIDATION):
            for label, ranked in self._ranked(self.counts[split] < self.floors[split]):
                self._take(label, split, ranked, range(split), int(self.floors[split, label]))
        for label, ranked in self._ranked(self.counts[TRAIN] < self.floors[TRAIN]):
            self._take(label, TRAIN, ranked[::-1], (VALIDATION, TEST), 1)

    def _ranked(self, lacking: np.ndarray) -> list[tuple[int, np.ndarray]]:
        """Returns the classes that lack something, each with its units, the lowest number first."""
        among = np.flatnonzero(lacking[self.units.pair_labels])
        labels, members = self.units.pair_labels[among], self.units.pair_units[among]
        order = np.lexsort((members, self.units.draws[members], labels))
        labels, members = labels[order], members[order]
        bounds = (
            np.searchsorted(labels, np.flatnonzero(lacking)),
            np.searchsorted(labels, np.flatnonzero(lacking), "right"),
        )
        return [(int(c), members[a:b]) for c, a, b in zip(np.flatnonzero(lacking), *bounds, strict=True)]

    def _take(self, label: int, split: int, ranked: np.ndarray, sources: "range | tuple[int, ...]", floor: int) -> None:
        for unit in ranked:
            if self.counts[split, label] >= floor:
                return
            if self.movable[unit] and self.splits[unit] in sources and not self._robs_training(unit):
                own = self.units.classes_of(unit)
                self.counts[self.splits[unit], own] -= 1
                self.counts[split, own] += 1
                self.splits[unit] = split

    def _robs_training(self, unit: int) -> bool:
        return bool(self.splits[unit] == TRAIN and (self.counts[TRAIN, self.units.classes_of(unit)] <= 1).any())


def _floors(sizes: np.ndarray, fractions: Fractions) -> np.ndarray:
    """Returns how many units each split should have of classes of these sizes: int [splits, classes]."""
    held_out = np.select([sizes >= MANY, sizes >= 3], [2, 1], 0)
    test = np.where(sizes == 2, 1, held_out) * (fractions.test > 0)
    validation = np.where((sizes == 2) & (fractions.test == 0), 1, held_out) * (fractions.validation > 0)
    return np.stack([np.minimum(sizes, 1), validation, test])
