"""Linear classifiers: chosen on validation, as good as scikit-learn's own, with honest probabilities."""

import numpy as np
import pytest
from scipy.sparse import csr_matrix
from sklearn.svm import LinearSVC

from components.shared.linear import LOGISTIC, SQUARED_HINGE, fit_linear, softmax, temperature_of
from components.shared.selection import rank, selection_of


def _blobs(count: int, classes: int, seed: int, noise: float = 1.5) -> tuple[np.ndarray, np.ndarray]:
    centers = np.random.default_rng(0).normal(size=(classes, 12)) * 2
    draw = np.random.default_rng(seed)
    labels = draw.integers(classes, size=count)
    return (centers[labels] + noise * draw.normal(size=(count, 12))).astype(np.float32), labels


@pytest.mark.parametrize("classes", [2, 4])
@pytest.mark.parametrize("sparse", [False, True])
@pytest.mark.parametrize("loss", [SQUARED_HINGE, LOGISTIC])
def test_it_predicts_as_well_as_an_svm_that_somebody_tuned(classes, sparse, loss):
    (train, labels), (validation, truth), (test, answers) = (
        _blobs(count, classes, s) for s, count in enumerate((300, 200, 500))
    )
    made = csr_matrix if sparse else np.asarray
    model = fit_linear(made(train), labels, made(validation), truth, classes, seed=0, losses=[loss])
    ours = (model.probabilities(made(test)).argmax(1) == answers).mean()
    theirs = max((LinearSVC(C=c).fit(train, labels).predict(test) == answers).mean() for c in (0.01, 0.1, 1.0))
    assert ours >= theirs - 0.02
    assert model.probabilities(made(test)).sum(1) == pytest.approx(np.ones(len(answers)), abs=1e-5)
    assert loss in model.words


def test_probabilities_say_how_often_it_is_right():
    (train, labels), (validation, truth), (test, answers) = (
        _blobs(count, 4, s, 3.0) for s, count in enumerate((600, 600, 2000))
    )
    probabilities = fit_linear(train, labels, validation, truth, 4, seed=0).probabilities(test)
    right = (probabilities.argmax(1) == answers).mean()
    assert probabilities.max(1).mean() == pytest.approx(right, abs=0.04)


def test_a_class_without_a_training_example_gets_no_probability():
    train, labels = _blobs(200, 3, 0)
    kept = labels != 1
    model = fit_linear(train[kept], labels[kept], train, labels, 3, seed=0)
    assert model.probabilities(train)[:, 1].max() < 1e-3


def test_one_class_alone_is_predicted_with_certainty():
    train, _ = _blobs(20, 3, 0)
    model = fit_linear(train, np.full(20, 2), train, np.full(20, 2), 3, seed=0)
    assert (model.probabilities(train).argmax(1) == 2).all()


def test_uneven_classes_are_chosen_by_macro_f1():
    assert selection_of(np.array([100, 90, 40])) == "accuracy"
    assert selection_of(np.array([100, 90, 20])) == "macro_f1"
    assert selection_of(np.array([100, 0])) == "accuracy"


def test_what_is_not_a_number_ranks_below_all():
    good = {"accuracy": 0.1, "macro_f1": 0.1, "validation_loss": 5.0}
    assert rank({**good, "accuracy": float("nan")}, "accuracy") < rank(good, "accuracy")
    assert rank({**good, "validation_loss": float("nan")}, "accuracy") < rank(good, "accuracy")


def test_the_temperature_of_logits_that_are_right_is_one():
    draw = np.random.default_rng(0)
    logits = draw.normal(size=(20000, 3)) * 2
    truth = np.array([draw.choice(3, p=row) for row in softmax(logits)])
    assert temperature_of(logits, truth) == pytest.approx(1.0, abs=0.05)
    assert temperature_of(3 * logits, truth) == pytest.approx(3.0, abs=0.15)
