"""The interval of macro-F1 agrees with resampling example by example."""

import numpy as np
import pytest
from sklearn.metrics import f1_score

from components.shared import metrics
from components.shared.statistics import Gain, Statistics, bootstrap, mcnemar, paired_gain, score_of
from components.shared.tasks.classification.metrics import MACRO_F1
from components.shared.tasks.classification.statistics import statistics_from

CLASSES = 4


def of(labels: np.ndarray, predicted: np.ndarray, classes: int = CLASSES) -> Statistics:
    return statistics_from(labels, predicted, classes)


def gain(labels: np.ndarray, model: np.ndarray, rival: np.ndarray, seed: int = 0) -> Gain:
    return paired_gain(MACRO_F1, of(labels, model), of(labels, rival), seed)


def predictions(examples: int = 200) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Labels, of which the last class is rare, and what two classifiers make of them; the first is the better."""
    draw = np.random.default_rng(5)
    labels = draw.choice(CLASSES, examples, p=[0.4, 0.3, 0.25, 0.05])
    guesses = draw.integers(0, CLASSES, (2, examples))
    good, poor = (
        np.where(draw.random(examples) < skill, labels, guess) for skill, guess in zip((0.8, 0.6), guesses, strict=True)
    )
    return labels, good, poor


def brute_force(labels: np.ndarray, model: np.ndarray, rival: np.ndarray) -> tuple[float, float]:
    draw, found = np.random.default_rng(1), []
    for _ in range(2000):
        chosen = draw.integers(0, len(labels), len(labels))
        ours, theirs = (
            metrics.macro_f1(metrics.confusion_matrix(labels[chosen], predicted[chosen], CLASSES))
            for predicted in (model, rival)
        )
        found.append(ours - theirs)
    low, high = np.quantile(found, (0.025, 0.975))
    return float(low), float(high)


def test_interval_agrees_with_resampling_example_by_example() -> None:
    labels, good, poor = predictions()
    found = gain(labels, good, poor)
    assert (found.low, found.high) == pytest.approx(brute_force(labels, good, poor), abs=0.012)
    expected = [f1_score(labels, predicted, average="macro") for predicted in (good, poor)]
    assert found.value == pytest.approx(expected[0] - expected[1])
    assert found.p_value == mcnemar(found.model_only, found.baseline_only)
    assert found.model_only - found.baseline_only == (good == labels).sum() - (poor == labels).sum()


def test_same_seed_same_interval_whatever_fits_into_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    whole = gain(*predictions(), seed=3)
    monkeypatch.setattr(bootstrap, "_CELLS", 1000)
    assert gain(*predictions(), seed=3) == whole
    assert gain(*predictions(), seed=4) != whole


def test_macro_f1_is_that_of_the_metrics_over_classes_that_occur() -> None:
    labels, good, _ = predictions(20)
    assert score_of(MACRO_F1, of(labels, good, 9)) == pytest.approx(
        metrics.macro_f1(metrics.confusion_matrix(labels, good, 9))
    )


def test_prediction_of_no_label_is_wrong_and_no_class_of_its_own() -> None:
    labels, predicted = np.array([0, 0, 1, 1]), np.array([0, -1, 1, 1])
    assert score_of(MACRO_F1, of(labels, predicted, 2)) == pytest.approx((2 / 3 + 1) / 2)
    found = gain(labels, labels, predicted)
    assert found.value == pytest.approx(1 - (2 / 3 + 1) / 2)


def test_equal_predictions_have_no_difference() -> None:
    labels, good, _ = predictions(50)
    found = gain(labels, good, good)
    assert (found.value, found.low, found.high, found.p_value) == (0, 0, 0, 1)
