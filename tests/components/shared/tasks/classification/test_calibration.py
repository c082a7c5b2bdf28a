"""Confidence: what a temperature did to it, and what answering only when sure brings."""

from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from components.shared.linear import softmax
from components.shared.statistics import Statistics, wilson
from components.shared.tasks.classification.calibration import calibration_of, thresholds_of
from components.shared.tasks.classification.statistics import statistics_of


def statistics_with(confidence: np.ndarray, right: np.ndarray) -> Statistics:
    labels = np.where(right, 0, 1)
    return statistics_of(np.column_stack([confidence, 1 - confidence]), labels)


def test_error_before_the_temperature_is_that_of_the_logits_as_they_were(tmp_path: Path) -> None:
    draw = np.random.default_rng(0)
    logits, temperature = draw.normal(size=(500, 3)) * 4, 2.5
    labels = np.array([draw.choice(3, p=row) for row in softmax(logits / temperature)])  # as sure as it may be
    after, before = softmax(logits / temperature).astype(np.float32), softmax(logits)
    pq.write_table(pa.table({"probabilities": after.tolist()}), tmp_path / "predictions.parquet")
    told = calibration_of(tmp_path / "predictions.parquet", statistics_of(after, labels), {"temperature": temperature})
    assert told is not None
    assert told["after"] < 0.06 < 0.1 < told["before"]
    gap = abs(before.max(1).mean() - (before.argmax(1) == labels).mean())
    assert told["before"] == pytest.approx(gap, abs=0.03)


@pytest.mark.parametrize("history", [{}, {"temperature": None}, {"temperature": 0}])
def test_model_without_a_temperature_has_no_before(history: dict[str, float], tmp_path: Path) -> None:
    assert calibration_of(tmp_path / "none", statistics_with(np.full(3, 0.9), np.ones(3, bool)), history) is None


def test_the_surer_the_fewer_and_the_righter() -> None:
    draw = np.random.default_rng(1)
    confidence = draw.uniform(0.5, 1, 2000)
    rows = thresholds_of(statistics_with(confidence, draw.random(2000) < confidence))
    assert [row["threshold"] for row in rows] == [0.0, 0.6, 0.7, 0.8, 0.9, 0.95, 0.99]  # 0.5 leaves out nobody
    assert rows[0]["answered"] == 2000
    assert rows[0]["precision"] == pytest.approx(0.75, abs=0.03)
    assert rows[3]["share"] == pytest.approx(0.4, abs=0.03)
    assert rows[3]["precision"] == pytest.approx(0.9, abs=0.03)
    assert all(row["low"] < row["precision"] <= row["high"] for row in rows)


def test_interval_of_a_share_is_that_of_wilson() -> None:
    # Agresti & Coull 1998: of 10 examples that are all right, 72 % to 100 % may be.
    assert wilson(1.0, 10) == pytest.approx((0.722, 1.0), abs=1e-3)
    assert wilson(0.5, 100) == pytest.approx((0.404, 0.596), abs=1e-3)
