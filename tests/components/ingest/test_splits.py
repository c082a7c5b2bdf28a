"""Splits: by class, with a floor, and sticky."""

from collections import Counter

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

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
from components.shared.artifacts.snapshot import draw_of
from components.shared.errors import InputError

TENTHS = Fractions(validation=0.1, test=0.1)


def units(labels: list[int], known: list[int] | None = None, of: list[int] | None = None, start: int = 0) -> Units:
    """Units of one example each, or as told; they draw by their number."""
    count = 1 + max(of) if of else len(labels)
    draws = np.array([draw_of(str(start + number)) for number in range(count)])
    return Units(
        np.array(of if of else range(count)), np.array(labels), draws, np.array(known if known else [UNKNOWN] * count)
    )


@pytest.mark.parametrize("size", [1, 2, 3, 5, 8, 10, 40])
def test_each_class_has_its_floor_as_far_as_it_reaches(size: int) -> None:
    labels = [number % 4 for number in range(4 * size)]
    counts = units(labels).count(deal(units(labels), TENTHS), 4)
    assert (counts[TRAIN] >= 1).all()
    assert (counts[TEST] >= (2 if size >= MANY else size >= 2)).all()
    assert (counts[VALIDATION] >= (2 if size >= MANY else size >= 3)).all()


@settings(max_examples=40)
@given(st.lists(st.integers(0, 3), min_size=40, max_size=300), st.lists(st.integers(0, 3), max_size=120))
def test_without_memory_a_growing_class_moves_examples_only_from_the_test_to_training(
    old: list[int], new: list[int]
) -> None:
    before = deal(units(old), TENTHS)
    after = deal(units(old + new), TENTHS)[: len(old)]
    many = np.bincount(old, minlength=4)[old] >= MANY
    assert (after <= before)[many].all()  # TRAIN < VALIDATION < TEST
    sure = np.array([draw_of(str(number)) for number in range(len(old))])
    assert (after == before)[many & (sure < 0.1)].all()  # what is not there to fill a floor never moves


@settings(max_examples=40)
@given(
    st.lists(st.integers(0, 3), min_size=1, max_size=60),
    st.lists(st.integers(0, 4), max_size=60),
    st.lists(st.sampled_from([TRAIN, VALIDATION, TEST]), min_size=60, max_size=60),
)
def test_what_is_known_stays_whatever_comes(old: list[int], new: list[int], known: list[int]) -> None:
    remembered = known[: len(old)] + [UNKNOWN] * len(new)
    splits = deal(units(old + new, remembered), TENTHS)
    assert splits[: len(old)].tolist() == known[: len(old)]


def test_a_new_class_gets_its_floor_beside_known_ones() -> None:
    splits = deal(units([0] * 20 + [1] * 10, [TRAIN] * 20 + [UNKNOWN] * 10), TENTHS)
    assert not (splits[:20] != TRAIN).any()
    assert Counter(splits[20:].tolist())[TEST] >= 2


def test_a_unit_that_would_fill_a_split_is_for_training() -> None:
    of = [0] * 50 + list(range(1, 51))
    for start in range(0, 400, 51):
        assert deal(units([n % 2 for n in range(100)], of=of, start=start), TENTHS)[0] == TRAIN


@settings(max_examples=40)
@given(st.lists(st.integers(0, 30), min_size=20, max_size=200))
def test_groups_of_any_size_leave_something_to_learn(groups: list[int]) -> None:
    of = np.unique(groups, return_inverse=True)[1].tolist()
    found = units([number % 2 for number in range(len(of))], of=of)
    splits = deal(found, TENTHS)
    assert (found.count(splits, 2)[TRAIN] > 0).all()


@settings(max_examples=40)
@given(st.lists(st.integers(0, 40), min_size=30, max_size=200), st.integers(0, 5))
def test_by_time_every_test_example_is_newer_than_any_other(days: list[int], more: int) -> None:
    if len(set(days)) < 3:
        return
    times = np.array(days, float)
    splits = deal_by_time(units([0] * len(days)), times, TENTHS)
    newest = [times[splits == split] for split in (TRAIN, VALIDATION, TEST)]
    assert all(len(part) for part in newest)
    assert newest[0].max() < newest[1].min()
    assert newest[1].max() < newest[2].min()
    known = np.concatenate([splits, [UNKNOWN] * more])  # the next days come in
    later = deal_by_time(
        units([0] * len(known), known.tolist()), np.concatenate([times, 41.0 + np.arange(more)]), TENTHS
    )
    assert (later[: len(days)] <= splits).all()


def test_one_moment_cannot_be_parted() -> None:
    with pytest.raises(InputError, match="2 different values; at least 3 are needed"):
        deal_by_time(units([0] * 10), np.array([1.0] * 5 + [2.0] * 5), TENTHS)


@settings(max_examples=40)
@given(st.lists(st.integers(0, 3), min_size=10, max_size=120), st.lists(st.integers(0, 3), max_size=40))
def test_folds_are_even_in_each_class_and_known_ones_stay(old: list[int], new: list[int]) -> None:
    first = deal_folds(units(old), np.full(len(old), UNKNOWN))
    counts = np.zeros((4, 5), int)
    np.add.at(counts, (np.array(old), first), 1)
    assert (counts.max(1) - counts.min(1) <= 1).all()
    again = deal_folds(units(old + new), np.concatenate([first, np.full(len(new), UNKNOWN)]))
    assert again[: len(old)].tolist() == first.tolist()
