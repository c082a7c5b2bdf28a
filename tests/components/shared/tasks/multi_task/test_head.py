"""One layer for several tasks: each task's loss on its own outputs and examples, answers, and what a champion knows."""

from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

from components.shared.backbones.head import Encoded
from components.shared.tasks.multi_task.head import Head
from components.shared.tasks.multi_task.objective import Objective

COMMON = {"chance": 1.0, "share": 1.0, "weight": 1.0}
SPEC: dict[str, Any] = {
    "labels": [],
    "tasks": {
        "size": {"labels": [], "mean": 10.0, "deviation": 2.0, "head": "regression", "metric": "pearson",
                 "direction": 1, **COMMON, "weight": 3.0, "share": 0.5},
        "kind": {"labels": ["a", "b", "c"], "head": "classification", "metric": "accuracy", "direction": 1, **COMMON,
                 "chance": 0.5},
        "marks": {"labels": ["new", "sold"], "head": "multi_label", "metric": "micro_f1", "direction": 1, **COMMON},
    },
}  # fmt: skip
COLUMNS: dict[str, Any] = {
    "kind.label": np.array([2, 0, 1, 0]), "kind.labelled": np.array([1, 1, 0, 1]),
    "marks.labels": [[0], [], [0, 1], [1]], "marks.labelled": np.array([1, 0, 1, 0]),
    "size.value": np.array([0.0, 12.0, 8.0, 0.0]), "size.labelled": np.array([0, 1, 1, 0]),
}  # fmt: skip


def test_the_loss_is_the_weighted_mean_of_the_tasks_on_examples_that_have_an_answer() -> None:
    head, logits = Head(5, SPEC), torch.randn(4, 6, generator=torch.Generator().manual_seed(0), requires_grad=True)
    total, count = head.loss({"logits": logits}, head.targets(COLUMNS))
    kind = nn.functional.cross_entropy(logits[[0, 1, 3], :3], torch.tensor([2, 0, 0]), reduction="sum")
    wanted = torch.tensor([[1.0, 0.0], [1.0, 1.0]])
    marks = nn.functional.binary_cross_entropy_with_logits(logits[[0, 2], 3:5], wanted, reduction="sum")
    size = nn.functional.mse_loss(logits[[1, 2], 5], torch.tensor([1.0, -1.0]), reduction="sum")
    assert float(total.detach()) == pytest.approx(float((kind / 0.5 + marks + 3 * size / 0.5).detach()) / 5)
    assert int(count) == 4
    (slopes,) = torch.autograd.grad(total, logits)
    assert not slopes[2, :3].any()  # nobody told its kind
    assert not slopes[[0, 3], 5].any()
    assert slopes[0, :5].all()


def test_a_batch_without_any_answer_for_a_task_teaches_the_others() -> None:
    head = Head(5, SPEC)
    targets = head.targets({name: value[:1] for name, value in COLUMNS.items()})
    total, _ = head.loss(head(Encoded(pooled=torch.randn(1, 5))), targets)
    total.backward()
    assert torch.isfinite(total)
    assert not head.weight.grad[5].any()
    assert head.weight.grad[:5].any()


def test_no_task_has_weights_of_its_own() -> None:
    head = Head(5, SPEC)
    assert {name for name, _ in head.named_parameters()} == {"weight", "bias"}
    assert Head.names(SPEC) == ["kind: a", "kind: b", "kind: c", "marks: new", "marks: sold", "size"]
    assert head.linear() is head


def test_answers_are_those_of_each_task() -> None:
    head = Head(5, SPEC)
    head.members[1].thresholds[:] = torch.tensor([0.5, 0.9])
    head.temperatures[0] = 2.0
    logits = np.array([[0.0, 4.0, 0.0, 1.0, 1.0, -1.0]], np.float32)
    found = head.decode({"logits": list(logits)}, {})
    assert found["size"] == [{"value": 8.0}]
    assert found["marks"][0]["labels"] == ["new"]
    assert found["kind"][0]["label"] == "b"
    assert found["kind"][0]["confidence"] == pytest.approx(np.exp(2) / (np.exp(2) + 2))


def test_a_new_head_keeps_what_the_champion_knows_of_each_task() -> None:
    before = Head(5, {"tasks": {name: told for name, told in SPEC["tasks"].items() if name != "size"}})
    before.members[1].thresholds[:] = torch.tensor([0.2, 0.3])
    tasks = {**SPEC["tasks"], "kind": {**SPEC["tasks"]["kind"], "labels": ["c", "d"]}}
    head = Head(5, {"tasks": tasks})
    new = head.weight[[1, 4]].clone()
    assert head.adopt(before.state_dict(), before.spec)
    assert torch.equal(head.weight[0], before.weight[2])  # "c"
    assert torch.equal(head.weight[2:4], before.weight[3:5])
    assert torch.equal(head.weight[[1, 4]], new)  # "d", and a number that it did not know
    assert head.members[1].thresholds.tolist() == pytest.approx([0.2, 0.3])


def test_scores_are_those_of_each_task_and_their_weighted_means() -> None:
    objective = Objective(SPEC)
    logits = np.zeros((4, 6), np.float32)
    logits[[0, 1, 3], [2, 0, 1]] = 5.0  # two of three kinds are right
    logits[:, 3:5] = [[3, -3], [0, 0], [3, 3], [0, 0]]
    logits[:, 5] = [9.0, 1.0, -1.0, 9.0]
    found = objective.scores({"logits": logits}, COLUMNS)
    assert found["kind.accuracy"] == pytest.approx(2 / 3)
    assert found["marks.micro_f1"] == 1.0
    assert found["size.r2"] == pytest.approx(1.0)
    assert found["mean_score"] == pytest.approx((2 / 3 + 1 + 3) / 5)
    assert found["mean_selection"] == pytest.approx(((2 / 3 + found["kind.macro_f1"]) / 2 + 1 + 3) / 5)
    assert objective.selection(COLUMNS) == "mean_selection"
    assert objective.bounded == ("mean_selection",)
    head = Head(5, SPEC)
    told = objective.calibrate(head, {"logits": logits}, COLUMNS)
    assert head.temperatures[0] == pytest.approx(told["kind"]["temperature"])
    assert head.temperatures[0] > 1.5  # one of three is wrong
    assert set(told) == {"kind", "marks"}


def test_tasks_can_be_fitted_apart_and_are_the_same_together() -> None:
    """So each has its own penalty; the outputs of all are those of each, one after the other."""
    head, objective = Head(5, SPEC), Objective(SPEC)
    parts, logits = head.parted(), torch.randn(4, 6, generator=torch.Generator().manual_seed(1))
    assert [part.out_features for part in parts] == [3, 2, 1]
    assert not parts[0].parted()
    targets, weights, at, total, scores = head.targets(COLUMNS), [1.0, 1.0, 3.0], 0, 0.0, []
    for part, own, weight in zip(parts, objective.parted(), weights, strict=True):
        outputs = {"logits": logits[:, at : at + part.out_features]}
        total += weight / 5 * float(part.loss(outputs, targets)[0])
        scores.append(own.scores({"logits": outputs["logits"].numpy()}, COLUMNS))
        at += part.out_features
    assert float(head.loss({"logits": logits}, targets)[0]) == pytest.approx(total)
    assert objective.joined(scores) == pytest.approx(objective.scores({"logits": logits.numpy()}, COLUMNS))
