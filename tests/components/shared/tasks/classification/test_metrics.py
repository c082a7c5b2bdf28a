"""Metrics agree with scikit-learn; calibration and the ROC curve with what one reckons by hand."""

import numpy as np
import pytest
from sklearn import metrics as reference

from components.shared.statistics import join, measure, score_of
from components.shared.tasks.classification import curves
from components.shared.tasks.classification.metrics import ECE, METRICS, ROC_AUC
from components.shared.tasks.classification.statistics import statistics_of


def draw_probabilities(classes: int, examples: int = 500) -> tuple[np.ndarray, np.ndarray]:
    """Probabilities that know something of the labels, and the labels."""
    draw = np.random.default_rng(classes)
    labels = draw.integers(0, classes, examples)
    logits = draw.normal(size=(examples, classes)) + 1.2 * np.eye(classes)[labels]
    probabilities = np.exp(logits) / np.exp(logits).sum(1, keepdims=True)
    return probabilities.astype(np.float32), labels


@pytest.mark.parametrize("classes", [2, 7])
def test_metrics_agree_with_scikit_learn(classes: int) -> None:
    probabilities, labels = draw_probabilities(classes)
    predicted = probabilities.argmax(1)
    found = measure(METRICS, statistics_of(probabilities, labels))
    assert found["accuracy"] == pytest.approx(reference.accuracy_score(labels, predicted))
    assert found["macro_f1"] == pytest.approx(reference.f1_score(labels, predicted, average="macro"))
    exact = probabilities.astype(np.float64)
    assert found["log_loss"] == pytest.approx(reference.log_loss(labels, exact / exact.sum(1, keepdims=True)), rel=1e-5)


def test_class_metrics_agree_with_scikit_learn() -> None:
    probabilities, labels = draw_probabilities(5)
    rows = curves.class_metrics(statistics_of(probabilities, labels), list("abcde"))
    expected = reference.precision_recall_fscore_support(labels, probabilities.argmax(1))
    for name, values in zip(("precision", "recall", "f1", "support"), expected, strict=True):
        assert [row[name] for row in rows] == pytest.approx(values)


def test_chunks_give_the_same_as_the_whole() -> None:
    probabilities, labels = draw_probabilities(3)
    parts = [
        statistics_of(probabilities[start : start + 99], labels[start : start + 99]) for start in range(0, 500, 99)
    ]
    assert measure(METRICS, join(parts)) == measure(METRICS, statistics_of(probabilities, labels))


def test_calibration_error_by_hand() -> None:
    # Three examples at 0.9, of which one is wrong, and one at 0.6, which is right: in two bins of 3 and 1 examples.
    probabilities = np.array([[0.9, 0.1], [0.9, 0.1], [0.1, 0.9], [0.4, 0.6]])
    found = statistics_of(probabilities, np.array([0, 1, 1, 1]))
    bins = curves.reliability(found)
    assert [item["count"] for item in bins if item["count"]] == [1, 3]
    by_hand = 3 / 4 * abs(2 / 3 - 0.9) + 1 / 4 * abs(1 - 0.6)
    assert score_of(ECE, found) == pytest.approx(by_hand)


def test_certainty_falls_into_the_last_bin_and_empty_bins_hold_nothing() -> None:
    bins = curves.reliability(statistics_of(np.array([[1.0, 0.0], [0.0, 1.0]]), np.array([0, 1])))
    assert bins[-1] == {"low": 14 / 15, "high": 1.0, "count": 2, "confidence": 1.0, "accuracy": 1.0}
    assert bins[0]["count"] == 0
    assert bins[0]["accuracy"] is None


def test_roc_agrees_with_scikit_learn_and_is_thin() -> None:
    probabilities, labels = draw_probabilities(2, 20_000)
    found = statistics_of(probabilities, labels)
    curve = curves.roc(found)
    assert curve is not None
    assert score_of(ROC_AUC, found) == pytest.approx(reference.roc_auc_score(labels, probabilities[:, 1]))
    assert 100 < len(curve["fpr"]) <= curves.ROC_POINTS
    assert (curve["fpr"][0], curve["tpr"][0], curve["fpr"][-1], curve["tpr"][-1]) == (0, 0, 1, 1)
    for fpr, tpr, threshold in list(zip(curve["fpr"], curve["tpr"], curve["threshold"], strict=True))[1::20]:
        chosen = probabilities[:, 1] >= threshold
        assert (chosen[labels == 0].mean(), chosen[labels == 1].mean()) == pytest.approx((fpr, tpr))


def test_roc_of_equal_scores_is_the_diagonal() -> None:
    found = statistics_of(np.full((6, 2), 0.5), np.array([0, 1, 0, 1, 1, 0]))
    assert score_of(ROC_AUC, found) == 0.5


def test_roc_is_not_defined_where_one_class_is_missing() -> None:
    found = statistics_of(np.array([[0.2, 0.8], [0.6, 0.4]]), np.array([1, 1]))
    assert curves.roc(found) is None
    assert score_of(ROC_AUC, found) is None


def test_most_confused_pairs_come_first() -> None:
    confusion = np.array([[5, 1, 0], [0, 4, 3], [2, 0, 9]])
    pairs = curves.most_confused(confusion, ["a", "b", "c"])
    assert [(pair["label"], pair["predicted"], pair["count"]) for pair in pairs] == [
        ("b", "c", 3),
        ("c", "a", 2),
        ("a", "b", 1),
    ]
