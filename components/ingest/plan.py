"""The first look at all examples, without their inputs: what stays together, and which split each goes to."""

import itertools
from array import array
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

from components.ingest.near import NearDuplicates, Sketch, sketch, united
from components.ingest.splits import (
    MANY,
    TEST,
    TRAIN,
    UNKNOWN,
    VALIDATION,
    Fractions,
    Units,
    deal,
    deal_by_time,
    deal_folds,
)
from components.shared.artifacts.inventory import Dealt
from components.shared.artifacts.snapshot import SPLITS, draw_of, draws_of
from components.shared.cores import cores
from components.shared.errors import InputError, quote_all
from components.shared.sources.buckets import AHEAD, Bucket, Buckets, held
from components.shared.storage.prefetch import map_ahead
from components.shared.tasks.strata import Memberships, Stratification, counts
from components.shared.tasks.target import Target

SMALL = 200
"""Fewer examples are better measured by cross-validation."""

_LEAST_UNITS = 3  # of a class: below, its near-duplicates are its nature, and do not stay together


@dataclass(frozen=True)
class Terms:
    """How examples are dealt.

    Attributes:
        fractions: The parts for validation and test.
        by_time: Whether the newest are the test.
        max_overlap: The part of a given test split that may have near-duplicates in training.
    """

    fractions: Fractions
    by_time: bool
    max_overlap: float


@dataclass(frozen=True)
class Plan:
    """Where each example goes, in the order of their identities.

    Attributes:
        splits: int8 [examples], into `SPLITS`.
        folds: int8 [examples] of a cross-validation; None where there are enough examples without.
        strata: What each example counts as.
        told: What is to be known of the answers, see `Stratification`.
        near: Near-duplicates: `examples` that have another one, `validation` and `test`: how many of these have one
            in a split that is learned from.
        remembered: How many were where an earlier snapshot had them.
    """

    splits: np.ndarray
    folds: np.ndarray | None
    strata: Memberships
    told: dict[str, Any]
    near: dict[str, int]
    remembered: int


class Remembered:
    """What an earlier snapshot knew, asked in the order of identities."""

    def __init__(self, rows: Iterator[Dealt]) -> None:
        self._rows = rows
        self._next = next(rows, None)

    def among(self, ids: pa.Array) -> np.ndarray:
        """Returns split and fold, as `of` does, of some examples that come in turn: int8 [2, examples]."""
        if self._next is None:
            return np.full((2, len(ids)), UNKNOWN, np.int8)
        return np.array([self.of(id_) for id_ in ids.to_pylist()], np.int8).reshape(-1, 2).T

    def of(self, id_: str) -> tuple[int, int]:
        """Returns the split, into `SPLITS`, and the fold of an example; `UNKNOWN` where it has none."""
        while self._next is not None and self._next.id < id_:
            self._next = next(self._rows, None)
        found = self._next
        if found is None or found.id != id_ or not found.split:
            return UNKNOWN, UNKNOWN
        return SPLITS.index(found.split), found.fold


@dataclass
class Examples:
    """What is known of all examples that are kept, in the order of identities: 11 bytes each, with groups or times 23.

    Attributes:
        strata: Collects what they count as.
        draws: See `draw_of`; of a group its own.
        given: The splits that they are given for, into `SPLITS`, or `UNKNOWN`; likewise `known`, where they were.
        folds: Where they were in a cross-validation.
        groups: Whose each is, or `UNKNOWN`, and `times`, when it was made: both empty where nobody asks.
        bridges: Groups that have an example in common.
    """

    strata: Stratification
    draws: "array[float]" = field(default_factory=lambda: array("d"))
    given: "array[int]" = field(default_factory=lambda: array("b"))
    known: "array[int]" = field(default_factory=lambda: array("b"))
    folds: "array[int]" = field(default_factory=lambda: array("b"))
    groups: "array[int]" = field(default_factory=lambda: array("i"))
    times: "array[float]" = field(default_factory=lambda: array("d"))
    group_names: dict[str, int] = field(default_factory=dict)
    bridges: list[tuple[int, int]] = field(default_factory=list)

    def __len__(self) -> int:
        return len(self.draws)

    def add(self, bucket: Bucket, remembered: Remembered) -> None:
        """Adds the examples of a bucket that are kept, and where each was before."""
        kept = bucket.kept[bucket.kept >= 0]
        ids = bucket.ids(kept)
        known, folds = remembered.among(ids)
        splits = np.array([_split_number(split) for split in bucket.names("split")], np.int8)
        given = splits[bucket.numbers("split")[kept]] if len(splits) else splits
        codes, answers = bucket.labels()
        self.strata.add(codes[bucket.kept >= 0], answers)
        for told, values in ((self.given, given), (self.known, known), (self.folds, folds)):
            told.frombytes(values.tobytes())
        if not self.groups and bucket.is_null("group") and bucket.is_null("time"):
            self.draws.frombytes(draws_of(ids.cast(pa.binary()).to_numpy(zero_copy_only=False).tolist()).tobytes())
            return
        before = len(self) - len(self.groups)
        self.groups.frombytes(np.full(before, UNKNOWN, np.int32).tobytes())
        self.times.frombytes(np.zeros(before).tobytes())
        self._relate(bucket)

    def _relate(self, bucket: Bucket) -> None:
        """Adds whose examples are and when they were made: of equal rows, the first time and all groups."""
        owners, times = (bucket.column(name).to_pylist() for name in ("group", "time"))
        ids = bucket.ids(np.maximum(bucket.kept, 0)).to_pylist()
        for start, size, kept, id_ in zip(bucket.starts, bucket.sizes, bucket.kept, ids, strict=True):
            if kept < 0:
                continue
            rows = slice(start, start + size)
            groups = sorted({group for group in owners[rows] if group is not None})
            numbers = [self.group_names.setdefault(name, len(self.group_names)) for name in groups]
            self.bridges += itertools.pairwise(numbers)
            self.draws.append(max(map(draw_of, groups)) if groups else draw_of(id_))
            self.groups.append(numbers[0] if numbers else UNKNOWN)
            self.times.append(min(float(time) for time in times[rows] if time) if times[kept] else 0.0)


def make_plan(
    buckets: Buckets,
    near: NearDuplicates | None,
    remembered: Remembered,
    terms: Terms,
    target: Target,
    tell: Callable[[int], None],
) -> Plan:
    """Looks at all examples and decides where each goes.

    Args:
        buckets: The examples.
        near: What finds near-duplicates; None: they are not looked for.
        remembered: Where an earlier snapshot had them.
        terms: How they are dealt.
        target: What their labels are.
        tell: Takes how many examples were looked at.

    Raises:
        InputError: Splits are given that contradict the terms, or too much of the test stands in training, too.
    """
    examples = Examples(target.stratification())

    def look(path: Path) -> tuple[Bucket, Sketch | None]:
        bucket = buckets.open(path)
        kept = bucket.kept[bucket.kept >= 0]
        return bucket, sketch(bucket.inputs(kept)) if near and len(kept) else None

    for bucket, found in map_ahead(look, buckets.paths(), cores(), held, AHEAD):
        examples.add(bucket, remembered)
        tell(len(examples))
        if near and found:
            near.add(found)
    return _Planning(examples, near, terms, target).plan()


def _split_number(split: str) -> int:
    return SPLITS.index(split) if split else UNKNOWN


class _Planning:
    """One plan: near-duplicates → units → splits → folds."""

    def __init__(self, examples: Examples, near: NearDuplicates | None, terms: Terms, target: Target) -> None:
        self.terms = terms
        self.group_names = list(examples.group_names)
        self.bridges = np.array(examples.bridges, np.int32).reshape(-1, 2)
        self.count = len(examples)
        self.collected, self.strata = examples.strata, examples.strata.memberships()
        self.numbers = self.strata.examples if self.strata.is_single else np.arange(self.count, dtype=np.int32)
        # What may be near-duplicates of one another: inputs of one class, or where there are none, all.
        self.kinds = self.strata.strata if target.exclusive else np.zeros(self.count, np.int32)
        self.draws = np.frombuffer(examples.draws, np.float64)
        self.given, self.known, self.folds = (
            np.frombuffer(values, np.int8) for values in (examples.given, examples.known, examples.folds)
        )
        related = len(examples.groups) > 0
        self.groups = np.frombuffer(examples.groups, np.int32) if related else np.zeros(0, np.int32)
        self.times = np.frombuffer(examples.times, np.float64) if related else np.broadcast_to(0.0, self.count)
        self.near = near

    def plan(self) -> Plan:
        self._check_given()
        alike = united(self.count, self.near.pairs(self.kinds) if self.near else iter(()))
        splits = self.given.copy()
        dealt = (self.given == UNKNOWN) | (self.given == TRAIN)
        units, folds = self._units(self._whole(alike), dealt), None
        if dealt.any():
            splits[dealt] = self._deal(units, dealt)[units.of]
        if self.count < SMALL and not self.terms.by_time and not (self.given != UNKNOWN).any():
            folds = deal_folds(units, _of_units(units, self.folds[dealt]))[units.of]
        near = self._overlap(alike, splits)
        kept = int(((self.known == splits) & dealt).sum())
        return Plan(splits.astype(np.int8), folds, self.strata, self.collected.told(splits), near, kept)

    def _deal(self, units: Units, dealt: np.ndarray) -> np.ndarray:
        fractions = self._open()
        if not self.terms.by_time:
            return deal(units, fractions)
        began = np.full(len(units.draws), np.inf)
        np.minimum.at(began, units.of, self.times[dealt])
        return deal_by_time(units, began, fractions)

    def _open(self) -> Fractions:
        """Returns the parts for those splits that are not given."""
        given, fractions = set(np.unique(self.given).tolist()), self.terms.fractions
        return Fractions(
            validation=0.0 if VALIDATION in given else fractions.validation,
            test=0.0 if TEST in given else fractions.test,
        )

    def _whole(self, alike: np.ndarray) -> np.ndarray:
        """Returns the near-duplicates that stay together; a class that would have too few units is left in pieces."""
        kinds = int(self.kinds.max(initial=-1)) + 1
        units = counts(self.kinds[alike == self.numbers], kinds)  # near-duplicates are of one kind
        template = (units < _LEAST_UNITS) & (counts(self.kinds, kinds) >= MANY)
        return np.where(template[self.kinds], self.numbers, alike) if template.any() else alike

    def _units(self, alike: np.ndarray, dealt: np.ndarray) -> Units:
        owners = len(self.group_names)
        own = self.numbers
        if len(self.groups):
            own = np.where(self.groups == UNKNOWN, own + np.int32(owners), self.groups)
        chosen = slice(None) if dealt.all() else dealt  # no copy where all are dealt, as mostly
        apart = np.flatnonzero((alike != self.numbers) & dealt & dealt[alike])
        of, draws = own[chosen], self.draws[chosen]
        if owners or len(apart) or len(draws) < self.count:
            together = np.stack([own[alike[apart]], own[apart]], 1)
            clusters = united(self.count + owners, iter([together, self.bridges]))[of]
            there = np.zeros(self.count + owners, bool)
            there[clusters] = True
            of = (np.cumsum(there, dtype=np.int32) - 1)[clusters]
            each, draws = draws, np.zeros(int(np.count_nonzero(there)))
            np.maximum.at(draws, of, each)
        strata, members = self._strata_of(dealt)
        units = Units(of, strata, draws, np.full(len(draws), UNKNOWN, np.int8), members)
        units.known = _of_units(units, self.known[chosen])
        return units

    def _strata_of(self, dealt: np.ndarray) -> tuple[np.ndarray, np.ndarray | None]:
        """Returns the strata of the examples that are dealt, and whose each is; None: each has one."""
        strata = self.strata.strata
        if self.strata.is_single:
            return (strata if dealt.all() else strata[dealt]), None
        own = dealt[self.strata.examples]
        return strata[own], (np.cumsum(dealt, dtype=np.int32) - 1)[self.strata.examples[own]]

    def _overlap(self, alike: np.ndarray, splits: np.ndarray) -> dict[str, int]:
        shared = alike != self.numbers
        shared[alike[shared]] = True
        learned = np.zeros((len(SPLITS), self.count), bool)
        for split in (TRAIN, VALIDATION):
            learned[split, alike[splits == split]] = True
        seen = {
            "validation": int(learned[TRAIN, alike[splits == VALIDATION]].sum()),
            "test": int((learned[TRAIN] | learned[VALIDATION])[alike[splits == TEST]].sum()),
        }
        total = int((self.given == TEST).sum())
        if total and seen["test"] > self.terms.max_overlap * total:
            raise InputError(
                f"{seen['test']:,} of {total:,} examples of the given test split ({seen['test'] / total:.0%}; allowed: "
                f"{self.terms.max_overlap:.0%}) are near-duplicates of examples in training or validation: the score "
                "would be that of a memory. Remove them from one side, let graft split (give no split), or allow more "
                "with data.max_overlap."
            )
        return {"examples": int(shared.sum()), **seen}

    def _check_given(self) -> None:
        """Refuses what given splits contradict."""
        given = set(np.unique(self.given).tolist())
        if self.terms.by_time and {VALIDATION, TEST} <= given:
            raise InputError(
                "data.time has no effect: both the validation and the test split are given. Remove it, or give one "
                "split, or none."
            )
        if not len(self.groups) or len(given) < 2:
            return
        owned = self.groups != UNKNOWN
        pairs = np.unique(np.stack([self.groups[owned], self.given[owned]], 1), axis=0)
        parted = np.flatnonzero(np.bincount(pairs[:, 0]) > 1)
        if len(parted):
            raise InputError(
                f"{len(parted):,} groups of data.group stand in more than one of the given splits, such as "
                f"{quote_all([self.group_names[number] for number in parted[:5]])}. Put each into one of them, let "
                "graft split (give no split), or remove data.group."
            )


def _of_units(units: Units, values: np.ndarray) -> np.ndarray:
    """Returns the smallest value of each unit that is known, so that training is before the test: int8 [units]."""
    found = np.full(len(units.draws), np.iinfo(np.int8).max, np.int8)
    known = values != UNKNOWN
    np.minimum.at(found, units.of[known], values[known].astype(np.int8))
    return np.where(found == np.iinfo(np.int8).max, UNKNOWN, found).astype(np.int8)
