"""A linear layer under a head's own loss: as scikit-learn fits it, and on rows that are examples or tokens alike."""

from typing import Any

import numpy as np
import pytest
import torch
from scipy.sparse import csr_matrix, random_array

from components.finetune.linear.convex import OwnLoss, Seen, fit_columns
from components.shared.tasks.multi_label.head import Head as SeveralLabels
from components.shared.tasks.multi_label.objective import Objective as Several
from components.shared.tasks.regression.head import Head as Number
from components.shared.tasks.regression.objective import Objective as Numbers
from components.shared.tasks.token_classification.head import Head as Tags

SPEC: dict[str, Any] = {"labels": [], "mean": 3.0, "deviation": 2.0}


def columns_of(rows: int, columns: int) -> csr_matrix:
    made = random_array((rows, columns), density=0.2, format="csr", rng=np.random.default_rng(rows))
    return csr_matrix(made, dtype=np.float32)


def test_numbers_are_fitted_as_by_ridge() -> None:
    from sklearn.linear_model import Ridge

    columns, draw = columns_of(300, 40), np.random.default_rng(0)
    values = columns @ draw.normal(size=40) + 5 + draw.normal(size=300) / 10
    head, objective = Number(7, SPEC), Numbers(SPEC)
    loss, targets = OwnLoss(head), head.targets({"value": values})

    def score(logits: np.ndarray) -> dict[str, float]:
        return objective.scores(loss.outputs_of(logits), {"value": values})

    found = fit_columns(loss, Seen(columns), targets, Seen(columns), score, "r2", [10.0])
    expected = Ridge(alpha=1 / 20).fit(columns, (values - 3) / 2)  # that loss is twice as steep
    np.testing.assert_allclose(found.weight[0], expected.coef_, atol=0.02)
    np.testing.assert_allclose(found.bias[0], expected.intercept_, atol=0.02)
    assert found.validation["r2"] > 0.95
    assert loss.mean(found.logits(columns), targets) == pytest.approx(found.validation["validation_loss"], rel=1e-4)


def test_several_labels_are_fitted_as_by_a_logistic_regression_each_with_vectors_beside() -> None:
    from sklearn.linear_model import LogisticRegression

    columns, vectors = columns_of(400, 30), np.random.default_rng(1).normal(size=(400, 3)).astype(np.float32)
    there = np.stack([vectors[:, 0] > 0, np.asarray(columns[:, [3]].todense())[:, 0] > 0.1], axis=1)
    rows = {"labels": [np.flatnonzero(row) for row in there]}
    head, objective = SeveralLabels(5, {"labels": ["a", "b"]}), Several({"labels": ["a", "b"]})
    seen = Seen(columns, vectors)

    def score(logits: np.ndarray) -> dict[str, float]:
        return objective.scores({"logits": logits}, rows)

    found = fit_columns(OwnLoss(head), seen, head.targets(rows), seen, score, "micro_f1", [1.0])
    for label in range(2):
        expected = LogisticRegression(C=1.0).fit(seen.together, there[:, label])
        np.testing.assert_allclose(found.weight[label], expected.coef_[0], atol=0.05)
    assert found.weight.shape == (2, seen.width)


def test_rows_may_be_tokens() -> None:
    """Those that are ignored teach nothing; weaker penalties are tried while validation gains."""
    head = Tags(9, {"labels": ["x"]})
    kinds = np.random.default_rng(0).integers(0, 3, 200)
    columns = csr_matrix(np.eye(3, dtype=np.float32)[kinds])
    tags = torch.from_numpy(np.where(np.arange(200) % 4 == 0, -100, kinds))
    loss = OwnLoss(head)

    def score(logits: np.ndarray) -> dict[str, float]:
        return {
            "validation_loss": loss.mean(logits, {"tags": tags}),
            "right": float((logits.argmax(1) == kinds).mean()),
        }

    assert loss.count({"tags": tags}) == 150
    found = fit_columns(loss, Seen(columns), {"tags": tags}, Seen(columns), score, "right", [0.1, 1.0, 10.0])
    assert found.validation["right"] == 1.0
    assert found.penalty == 10.0
    assert head.in_features == 9  # as it was
