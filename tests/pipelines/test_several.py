"""Jobs of several tasks: what follows from `tasks`, what is wrong with it, and what a cluster gets of it."""

import json
from pathlib import Path
from typing import Any

import pytest
import yaml

from components.shared import tasks
from components.shared.errors import InputError
from components.shared.tasks.task import Composite
from pipelines.cluster.compilation import compile_pipeline
from pipelines.jobs.job import Job, load_job

TASKS: dict[str, Any] = {
    "words": {"task": "text-regression", "label": "count", "weight": 2},
    "topics": {"task": "multi-label-classification", "label": ["old", "new"]},
    "kind": {"task": "text-classification", "label": "kind", "metric": "macro_f1"},
}


def load(folder: Path, changes: tuple[str, ...] = (), told: dict[str, Any] | None = None, **others: Any) -> Job:
    content = {
        "model": "several",
        "tasks": TASKS if told is None else told,
        "data": {"source": "data", "inputs": ["text"]},
    }
    content |= {"backbone": "google-bert/bert-base-uncased", **others}
    (folder / "job.yaml").write_text(
        yaml.safe_dump({k: v for k, v in content.items() if v is not None}, sort_keys=False)
    )
    return load_job(folder / "job.yaml", changes)


def faults(folder: Path, told: dict[str, Any] | None = None, **others: Any) -> list[str]:
    with pytest.raises(InputError) as caught:
        load(folder, (), told, **others)
    return [line.strip() for line in str(caught.value).splitlines()[1:]]


def test_task_options_and_columns_follow_from_the_tasks(tmp_path: Path) -> None:
    job = load(tmp_path, ("tasks.kind.weight=3",))
    given = job.arguments()
    assert given["task"] == "multi-task"
    assert json.loads(given["label"]) == ["kind", "old", "new", "count"]
    assert list(given["task_args"]["tasks"]) == ["kind", "topics", "words"]
    assert given["task_args"]["tasks"]["words"]["weight"] == 2.0
    assert given["task_args"]["tasks"]["kind"]["weight"] == 3.0
    assert "tasks" not in given
    task = tasks.get(given["task"], given["task_args"])
    assert isinstance(task, Composite)
    assert [part.metric.name for part in task.members] == ["macro_f1", "micro_f1", "pearson"]


def test_pictures_tell_their_task(tmp_path: Path) -> None:
    told = {"a": {"task": "image-classification", "label": "a"}, "b": {"task": "image-regression", "label": "b"}}
    job = load(tmp_path, told=told, data={"source": "data"}, backbone="timm/resnet18")
    assert (job.task, job.arguments()["label"]) == ("image-multi-task", '["a", "b"]')


def test_faults_of_tasks_are_told_where_they_stand(tmp_path: Path) -> None:
    told = {
        "a": {"task": "text-clasification", "label": "a"},
        "b": {"task": "text-regression", "weight": -1, "label": "b", "wieght": 1},
        "c": {"task": "text-regression"},
    }
    found = faults(tmp_path, told)
    assert any(line.startswith("tasks.a.task: found 'text-clasification'; allowed:") for line in found)
    assert any(line.startswith("tasks.b.weight: found -1; ") for line in found)
    assert any(line.startswith("tasks.b.wieght: there is no such field") and "'weight'?" in line for line in found)
    assert "tasks.c.label: is missing" in found


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"told": {"a": TASKS["kind"]}}, "tasks names one task, 'a'; two or more were expected"),
        ({"task": "text-classification"}, "task is 'text-classification', and several are named here: leave task out"),
        (
            {"data": {"source": "d", "label": "kind"}},
            "they name the columns of their answers, 'kind', 'old', 'new', 'count'",
        ),
        ({"data": {"source": "d", "labels": ["a", "b"]}}, "name them here, under tasks.NAME.labels"),
        ({"told": {**TASKS, "x": {"task": "question-answering", "label": "x"}}}, "x.task is question-answering, which"),
        ({"tasks": None, "task": "multi-task"}, "task: .*it learns several tasks together: name them under tasks"),
        ({"promotion": {"metric": "accuracy"}}, "promotion.metric: .*allowed: 'mean_score', 'kind.macro_f1'"),
        ({"data": {"source": "d", "inputs": ["kind"]}}, "data.label: .*among data.inputs"),
        ({"data": {"source": "d", "inputs": ["a", "b", "c"]}}, "multi-task takes 1 or 2 columns, not 3"),
    ],
)
def test_what_does_not_go_together_is_refused(change: dict[str, Any], message: str, tmp_path: Path) -> None:
    import re

    found = faults(tmp_path, **change)
    assert any(re.search(message, line) for line in found), found


def test_the_rule_for_tasks_is_for_several(tmp_path: Path) -> None:
    assert load(tmp_path, promotion={"max_task_drop": 0.02}).arguments()["promotion"] == {"max_task_drop": 0.02}
    alone = {
        "tasks": None,
        "task": "text-classification",
        "data": {"source": "d"},
        "promotion": {"max_task_drop": 0.02},
    }
    (tmp_path / "job.yaml").write_text("")
    content = {"model": "a", "backbone": "b", **{key: value for key, value in alone.items() if value is not None}}
    (tmp_path / "job.yaml").write_text(yaml.safe_dump(content))
    with pytest.raises(InputError, match="promotion.max_task_drop: found 0.02; it is for several tasks"):
        load_job(tmp_path / "job.yaml")


@pytest.mark.parametrize("pipeline", ["finetune", "retrain"])
def test_a_cluster_gets_the_tasks_as_options_of_their_task(pipeline: str, tmp_path: Path) -> None:
    compile_pipeline(load(tmp_path), tmp_path / "pipeline.yaml", None, pipeline)
    spec = next(yaml.safe_load_all((tmp_path / "pipeline.yaml").read_text()))
    given = {name: one.get("defaultValue") for name, one in spec["root"]["inputDefinitions"]["parameters"].items()}
    assert given["task"] == "multi-task"
    assert given["label"] == '["kind", "old", "new", "count"]'
    assert given["task_args"]["tasks"]["words"] == {"task": "text-regression", "label": "count", "weight": 2.0}
    assert tasks.get(given["task"], given["task_args"]).prediction.names == ["kind", "topics", "words"]
