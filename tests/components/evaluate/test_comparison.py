"""The interval agrees with resampling example by example; the verdict follows the interval."""

from math import comb

import numpy as np
import pytest

from components.evaluate.comparison import best_of, verdict_of
from components.shared.statistics import Gain, Statistics, mcnemar, paired_gain
from components.shared.tasks.classification.metrics import ACCURACY, MACRO_F1, METRICS


def paired_difference(model: np.ndarray, baseline: np.ndarray, seed: int) -> Gain:
    return paired_gain(ACCURACY, *(Statistics({"right": side}) for side in (model, baseline)), seed)


def rights(both: int, model_only: int, baseline_only: int, neither: int) -> tuple[np.ndarray, np.ndarray]:
    """Which examples the model and the baseline have right."""
    counts = [both, model_only, baseline_only, neither]
    return np.repeat([True, True, False, False], counts), np.repeat([True, False, True, False], counts)


def test_interval_agrees_with_resampling_example_by_example() -> None:
    model, baseline = rights(200, 60, 30, 110)
    found = paired_difference(model, baseline, seed=1)
    each = model.astype(float) - baseline
    drawn = np.random.default_rng(2).integers(0, len(each), (10_000, len(each)))
    low, high = np.quantile(each[drawn].mean(1), (0.025, 0.975))
    assert found.value == pytest.approx(0.075)
    assert (found.low, found.high) == pytest.approx((low, high), abs=0.003)


def test_same_seed_same_interval() -> None:
    assert paired_difference(*rights(9, 5, 3, 2), seed=4) == paired_difference(*rights(9, 5, 3, 2), seed=4)


def test_mcnemar_by_hand() -> None:
    # Of 12 disagreements 2 or fewer, or 10 or more, fall on one side in so many of the 2^12 ways.
    assert mcnemar(10, 2) == mcnemar(2, 10) == pytest.approx(2 * sum(comb(12, n) for n in range(3)) / 2**12)
    assert mcnemar(7, 7) == mcnemar(0, 0) == 1.0
    assert paired_difference(*rights(9, 10, 2, 5), seed=0).p_value == mcnemar(10, 2)
    assert mcnemar(300_000, 200_000) < 1e-100  # large numbers neither overflow nor take long


@pytest.mark.parametrize(
    ("counts", "verdict"),
    [
        ((300, 80, 20, 0), "better"),
        ((300, 20, 80, 0), "worse"),
        ((300, 52, 48, 0), "not shown"),
        ((9, 0, 0, 1), "not shown"),
    ],
)
def test_verdict_follows_the_interval(counts: tuple[int, int, int, int], verdict: str) -> None:
    assert verdict_of(paired_difference(*rights(*counts), seed=0)) == verdict


def test_better_is_not_shown_while_a_baseline_is_missing() -> None:
    gain, loss = (paired_difference(*rights(300, *counts, 0), seed=0) for counts in ((80, 20), (20, 80)))
    assert verdict_of(gain, complete=False) == "not shown"
    assert verdict_of(loss, complete=False) == "worse"


def test_strongest_baseline_is_that_by_the_metric_that_decides_then_the_surest() -> None:
    told = {
        "a": {"accuracy": 0.7, "macro_f1": 0.6, "log_loss": 0.9},
        "b": {"accuracy": 0.8, "macro_f1": 0.5, "log_loss": 0.9},
        "c": {"accuracy": 0.8, "macro_f1": 0.5, "log_loss": 0.5},
    }
    assert best_of(told, ACCURACY, METRICS) == "c"
    assert best_of(told, MACRO_F1, METRICS) == "a"
