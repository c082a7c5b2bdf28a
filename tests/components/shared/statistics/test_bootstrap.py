"""Gains and intervals: of means, of ranks, of groups; the same whatever is drawn from."""

import numpy as np
import pytest
from scipy import stats

from components.shared.statistics import (
    OfSums,
    Statistics,
    bootstrap,
    interval_of,
    join,
    measure,
    paired_gain,
    score_of,
    smaller,
    written,
)

ERROR = OfSums("mae", "mean error", "Error", ("error",), -1, (0.0, float("inf")))
SHARE = OfSums("share", "share", "Share", ("right",), hits="right", proportion=True)
COUNTS = OfSums("mean", "mean count", "Count", ("count",))


def errors(scale: float, seed: int, examples: int = 300) -> Statistics:
    return Statistics({"error": scale * np.random.default_rng(seed).exponential(size=examples)})


def test_a_gain_is_above_zero_where_less_is_better() -> None:
    ours, theirs = errors(1.0, 0), errors(2.0, 1)
    gain = paired_gain(ERROR, ours, theirs, seed=0)
    assert gain.value == pytest.approx(theirs["error"].mean() - ours["error"].mean())
    assert 0 < gain.low < gain.value < gain.high
    assert (gain.sign, gain.model_only, gain.p_value) == (1, None, None)  # no example is right or wrong
    back = paired_gain(ERROR, theirs, ours, seed=0)
    assert (back.value, back.low, back.high) == pytest.approx((-gain.value, -gain.high, -gain.low))
    assert gain.words(ERROR).startswith("a gain of +")


def test_interval_of_a_mean_is_that_of_scipy() -> None:
    found = errors(1.0, 3)
    interval = interval_of(ERROR, found, seed=0)
    expected = stats.bootstrap((found["error"],), np.mean, method="percentile", rng=np.random.default_rng(1))
    assert (interval.low, interval.high) == pytest.approx(tuple(expected.confidence_interval), abs=0.02)
    assert interval.value == pytest.approx(found["error"].mean())


def test_whole_numbers_are_drawn_as_cases_and_give_the_same_interval(monkeypatch: pytest.MonkeyPatch) -> None:
    draw = np.random.default_rng(0)
    counts = draw.integers(0, 5, 500)
    sides = [Statistics({"count": counts}), Statistics({"count": np.minimum(counts, draw.integers(0, 5, 500))})]
    cases = paired_gain(COUNTS, *sides, seed=0)
    each = paired_gain(COUNTS, *(Statistics({"count": side["count"].astype(float)}) for side in sides), seed=0)
    assert cases.value == pytest.approx(each.value)
    assert (cases.low, cases.high) == pytest.approx((each.low, each.high), abs=0.02)
    monkeypatch.setattr(bootstrap, "_CELLS", 3_000)  # as few at once as fit into memory
    assert paired_gain(COUNTS, *sides, seed=0) == cases


def test_examples_of_a_group_are_drawn_together() -> None:
    """Ten copies of each example tell no more than one."""
    few = errors(1.0, 0, 60)
    copied = Statistics({"error": np.repeat(few["error"], 10)}, groups=np.repeat(np.arange(60), 10))
    alone = Statistics({"error": np.repeat(few["error"], 10)})
    narrow, wide, honest = (interval_of(ERROR, found, seed=0) for found in (alone, copied, few))
    assert wide.high - wide.low == pytest.approx(honest.high - honest.low, rel=0.1)
    assert narrow.high - narrow.low < 0.5 * (wide.high - wide.low)


def test_weights_count_examples() -> None:
    found = Statistics({"error": np.array([1.0, 2.0, 6.0]), "right": np.array([True, False, True])})
    weights = np.array([[1, 1, 1], [0, 2, 1]])
    assert ERROR.value(found, weights) == pytest.approx([3, 10 / 3])
    assert SHARE.value(found, weights) == pytest.approx([2 / 3, 1 / 3])
    assert measure([ERROR, SHARE], found) == {"mae": 3.0, "share": 2 / 3}


def test_ranks_are_those_of_scipy_also_where_examples_are_drawn_several_times() -> None:
    values, weights = np.array([3.0, 1.0, 3.0, 2.0, 1.0]), np.array([2, 0, 1, 1, 3])
    repeated = np.repeat(values, weights)
    found = np.repeat(smaller(values, weights[None])[0] + 0.5, weights)
    np.testing.assert_allclose(found, stats.rankdata(repeated))


def test_chunks_are_joined_and_parts_taken() -> None:
    whole = Statistics({"error": np.arange(5.0)}, {"classes": 3}, np.array([0, 0, 1, 1, 2]))
    again = join([whole.first(2), whole.take(slice(2, 5))])
    assert len(again) == 5
    np.testing.assert_array_equal(again["error"], whole["error"])
    np.testing.assert_array_equal(again.take(again["error"] > 2).groups, [1, 2])
    assert again.sizes == {"classes": 3}


def test_what_is_not_defined_is_none_and_numbers_have_the_digits_of_their_unit() -> None:
    assert score_of(ERROR, Statistics({"error": np.zeros(0)})) is None
    assert written(SHARE, 0.12345) == "0.123"
    assert written(ERROR, 12345.678) == "1.235e+04"
    assert written(ERROR, 0.00012345, sign=True) == "+0.0001234"
