"""The first look at all examples, without their inputs: what stays together, and which split each goes to."""

import itertools
from array import array
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pyarrow as pa

from components.ingest.near import NearDuplicates, united
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
from components.shared.errors import InputError, quote_all
from components.shared.inventory import Dealt
from components.shared.snapshot import SPLITS, draw_of
from components.shared.sources.buckets import Bucket, Buckets, codes_of
from components.shared.tasks.strata import Memberships, Stratification
from components.shared.tasks.target import Target

SMALL = 200
"""Fewer examples are better measured by cross-validation."""

_AT_ONCE = 2048  # inputs that are compared at a time
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

    def among(self, ids: pa.ChunkedArray) -> list[tuple[int, int]]:
        """Returns `of` each of some examples, that come in turn."""
        if self._next is None:
            return [(UNKNOWN, UNKNOWN)] * len(ids)
        return [self.of(id_) for id_ in ids.to_pylist()]

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
    """What is known of all examples that are kept, 40 bytes each, in the order of their identities."""

    strata: Stratification
    draws: "array[float]" = field(default_factory=lambda: array("d"))
    given: "array[int]" = field(default_factory=lambda: array("b"))
    known: "array[int]" = field(default_factory=lambda: array("b"))
    folds: "array[int]" = field(default_factory=lambda: array("b"))
    groups: "array[int]" = field(default_factory=lambda: array("q"))
    times: "array[float]" = field(default_factory=lambda: array("d"))
    group_names: dict[str, int] = field(default_factory=dict)
    bridges: list[tuple[int, int]] = field(default_factory=list)  # groups that have an example in common

    def __len__(self) -> int:
        return len(self.draws)

    def add(self, bucket: Bucket, known: Sequence[tuple[int, int]]) -> None:
        """Adds the examples of a bucket that are kept, and where each was before."""
        kept = pa.array(bucket.kept[bucket.kept >= 0])
        ids, splits = (bucket.column(name).take(kept) for name in ("id", "split"))
        codes, answers = bucket.labels()
        self.strata.add(codes[bucket.kept >= 0], answers)
        codes, given = codes_of(splits)
        self.given.frombytes(np.array([_split_number(split) for split in given], np.int8)[codes].tobytes())
        self.known.extend([split for split, _ in known])
        self.folds.extend([fold for _, fold in known])
        if all(bucket.column(name).null_count == len(bucket.column(name)) for name in ("group", "time")):
            self.draws.extend(map(draw_of, ids.to_pylist()))
            self.groups.frombytes(np.full(len(kept), UNKNOWN, np.int64).tobytes())
            self.times.frombytes(np.zeros(len(kept)).tobytes())
        else:
            self._relate(bucket)

    def _relate(self, bucket: Bucket) -> None:
        """Adds whose examples are and when they were made: of equal rows, the first time and all groups."""
        ids, owners, times = (bucket.column(name).to_pylist() for name in ("id", "group", "time"))
        for start, size, kept in zip(bucket.starts, bucket.sizes, bucket.kept, strict=True):
            if kept < 0:
                continue
            rows = slice(start, start + size)
            groups = sorted({group for group in owners[rows] if group is not None})
            numbers = [self.group_names.setdefault(name, len(self.group_names)) for name in groups]
            self.bridges += itertools.pairwise(numbers)
            self.draws.append(max(map(draw_of, groups)) if groups else draw_of(ids[kept]))
            self.groups.append(numbers[0] if numbers else UNKNOWN)
            self.times.append(min(float(time) for time in times[rows] if time) if times[kept] else 0.0)


def make_plan(
    buckets: Buckets, near: NearDuplicates | None, remembered: Remembered, terms: Terms, target: Target
) -> Plan:
    """Looks at all examples and decides where each goes.

    Args:
        buckets: The examples.
        near: What finds near-duplicates; None: they are not looked for.
        remembered: Where an earlier snapshot had them.
        terms: How they are dealt.
        target: What their labels are.

    Raises:
        InputError: Splits are given that contradict the terms, or too much of the test stands in training, too.
    """
    examples = Examples(target.stratification())
    for bucket in buckets.look():
        _add(bucket, examples, near, remembered)
    return _Planning(examples, near, terms, target).plan()


def _add(bucket: Bucket, examples: Examples, near: NearDuplicates | None, remembered: Remembered) -> None:
    kept = bucket.kept[bucket.kept >= 0]
    examples.add(bucket, remembered.among(bucket.column("id").take(pa.array(kept))))
    for start in range(0, len(kept) if near else 0, _AT_ONCE):
        assert near is not None
        near.add(bucket.inputs(kept[start : start + _AT_ONCE]))


def _split_number(split: str) -> int:
    return SPLITS.index(split) if split else UNKNOWN


class _Planning:
    """One plan: near-duplicates → units → splits → folds."""

    def __init__(self, examples: Examples, near: NearDuplicates | None, terms: Terms, target: Target) -> None:
        self.terms = terms
        self.group_names = list(examples.group_names)
        self.bridges = np.array(examples.bridges, np.int64).reshape(-1, 2)
        self.count = len(examples)
        self.collected, self.strata = examples.strata, examples.strata.memberships()
        # What may be near-duplicates of one another: inputs of one class, or where there are none, all.
        self.kinds = self.strata.strata if target.exclusive else np.zeros(self.count, np.int64)
        self.draws, self.times = np.array(examples.draws), np.array(examples.times)
        self.given, self.known, self.folds, self.groups = (
            np.array(values, np.int64) for values in (examples.given, examples.known, examples.folds, examples.groups)
        )
        self.near = _joined(near.pairs(self.kinds) if near else iter(()))

    def plan(self) -> Plan:
        self._check_given()
        alike = united(self.count, iter([self.near]))
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
        given, fractions = set(self.given.tolist()), self.terms.fractions
        return Fractions(
            validation=0.0 if VALIDATION in given else fractions.validation,
            test=0.0 if TEST in given else fractions.test,
        )

    def _whole(self, alike: np.ndarray) -> np.ndarray:
        """Returns the near-duplicates that stay together; a class that would have too few units is left in pieces."""
        pairs = np.unique(self.kinds * self.count + alike)
        sizes = np.bincount(self.kinds)
        template = (np.bincount(pairs // max(self.count, 1), minlength=len(sizes)) < _LEAST_UNITS) & (sizes >= MANY)
        return np.where(template[self.kinds], np.arange(self.count), alike)

    def _units(self, alike: np.ndarray, dealt: np.ndarray) -> Units:
        own = np.where(self.groups == UNKNOWN, np.arange(self.count) + len(self.group_names), self.groups)
        together = np.stack([own[alike], own], 1)[(alike != np.arange(self.count)) & dealt & dealt[alike]]
        edges = np.concatenate([together, self.bridges])
        clusters = united(self.count + len(self.group_names), iter([edges]))[own]
        numbers, of = np.unique(clusters[dealt], return_inverse=True)
        draws = np.zeros(len(numbers))
        np.maximum.at(draws, of, self.draws[dealt])
        own = dealt[self.strata.examples]
        members = (np.cumsum(dealt) - 1)[self.strata.examples[own]]
        units = Units(of, self.strata.strata[own], draws, np.full(len(numbers), UNKNOWN), members)
        units.known = _of_units(units, self.known[dealt])
        return units

    def _overlap(self, alike: np.ndarray, splits: np.ndarray) -> dict[str, int]:
        sizes = np.bincount(alike, minlength=self.count)
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
        return {"examples": int((sizes[alike] > 1).sum()), **seen}

    def _check_given(self) -> None:
        """Refuses what given splits contradict."""
        given = set(self.given.tolist())
        if self.terms.by_time and {VALIDATION, TEST} <= given:
            raise InputError(
                "data.time has no effect: both the validation and the test split are given. Remove it, or give one "
                "split, or none."
            )
        sides = self.given[self.groups != UNKNOWN]
        if len(set(sides.tolist())) < 2:
            return
        pairs = np.unique(np.stack([self.groups[self.groups != UNKNOWN], sides], 1), axis=0)
        parted = np.flatnonzero(np.bincount(pairs[:, 0]) > 1)
        if len(parted):
            raise InputError(
                f"{len(parted):,} groups of data.group stand in more than one of the given splits, such as "
                f"{quote_all([self.group_names[number] for number in parted[:5]])}. Put each into one of them, let "
                "graft split (give no split), or remove data.group."
            )


def _joined(pairs: Iterator[np.ndarray]) -> np.ndarray:
    return np.concatenate([np.zeros((0, 2), np.int64), *pairs])


def _of_units(units: Units, values: np.ndarray) -> np.ndarray:
    """Returns the smallest value of each unit that is known, so that training is before the test: int8 [units]."""
    found = np.full(len(units.draws), np.iinfo(np.int8).max, np.int8)
    known = values != UNKNOWN
    np.minimum.at(found, units.of[known], values[known].astype(np.int8))
    return np.where(found == np.iinfo(np.int8).max, UNKNOWN, found).astype(np.int8)
