"""What a job says of several tasks: read, put in order, and refused where they cannot share a network."""

from typing import Any

import pytest

from components.shared import tasks
from components.shared.errors import InputError
from components.shared.tasks.task import Composite

TOLD: dict[str, Any] = {
    "size": {"task": "text-regression", "label": "size", "weight": 0.5, "metric": "rmse"},
    "kind": {"task": "text-classification", "label": "kind", "labels": ["boat", "garden"]},
    "marks": {"task": "multi-label-classification", "label": ["new", "sold"], "task_args": {"empty_is_none": True}},
}


def test_tasks_are_in_the_order_of_their_names_whatever_order_a_cluster_gives_them() -> None:
    one, other = (tasks.get("multi-task", {"tasks": dict(order)}) for order in (TOLD.items(), reversed(TOLD.items())))
    assert isinstance(one, Composite)
    assert one == other
    assert [part.name for part in one.members] == ["kind", "marks", "size"]
    assert [part.metric.name for part in one.members] == ["accuracy", "micro_f1", "rmse"]
    assert one.prediction.names == ["kind", "marks", "size"]
    assert one.input_counts == (1, 2)
    names = [metric.name for metric in one.metrics if metric.decides]
    assert names == ["mean_score", "kind.accuracy", "marks.micro_f1", "size.rmse"]
    assert [part.task.options for part in one.members][1].empty_is_none


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"kind": {"task": "text-clasification", "label": "kind"}}, "tasks.kind: There is no task.*Did you mean"),
        ({"kind": {"task": "token-classification", "label": "tags"}}, "tasks.kind.task is token-classification, which"),
        ({"kind": {"task": "text-retrieval", "label": "x"}}, "cannot share a network(?s:.*)'text-regression'"),
        ({"kind": {"task": "multi-task", "label": "x"}}, "of a single answer was expected"),
        ({"kind": {"task": "image-classification", "label": "x"}}, "texts or pictures, not both: kind is image-class"),
        ({"kind": {"task": "text-classification"}}, "tasks.kind.label is None; the name of a column"),
        ({"kind": {"task": "text-classification", "label": ["a", "b"]}}, "text-classification takes one column"),
        ({"kind": {"label": "kind"}}, "tasks.kind.task is missing"),
        ({"kind": {**TOLD["kind"], "wieght": 2}}, "tasks.kind.wieght: there is no such field.*Did you mean 'weight'"),
        ({"kind": {**TOLD["kind"], "weight": 0}}, "tasks.kind.weight is 0; a number above 0"),
        ({"kind": {**TOLD["kind"], "metric": "pearson"}}, "tasks.kind: metric is 'pearson'; allowed: 'accuracy'"),
        ({"kind": {**TOLD["kind"], "task_args": {"tolerance": 1.0}}}, "tasks.kind: .*has no option 'tolerance'"),
        ({"kind": {**TOLD["kind"], "labels": "boat"}}, "tasks.kind.labels is 'boat'; a list of texts"),
        ({"kind": "text-classification"}, "tasks.kind is 'text-classification'; fields were expected"),
        ({"a.b": TOLD["kind"]}, "tasks: 'a.b' is no name"),
    ],
)
def test_what_cannot_be_learned_together_is_refused_with_its_field(change: dict[str, Any], message: str) -> None:
    with pytest.raises(InputError, match=message):
        tasks.get("multi-task", {"tasks": {**TOLD, **change}})


def test_one_task_is_not_several_and_pictures_have_a_task_of_their_own() -> None:
    with pytest.raises(InputError, match="tasks names one task, 'kind'; two or more"):
        tasks.get("multi-task", {"tasks": {"kind": TOLD["kind"]}})
    with pytest.raises(InputError, match="multi-task has no option 'delimiter'"):
        tasks.get("multi-task", {"delimiter": "|"})
    pictures = {name: {"task": f"image-{name}", "label": name} for name in ("classification", "regression")}
    assert tasks.get("image-multi-task", {"tasks": pictures}).input_counts == (1,)
    with pytest.raises(InputError, match="multi-task reads texts"):
        tasks.get("multi-task", {"tasks": pictures})
