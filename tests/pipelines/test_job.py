import inspect
from pathlib import Path
from typing import Any

import pytest
import yaml

from components.shared.errors import InputError
from pipelines.finetune import finetune_pipeline
from pipelines.job import load_job

JOB: dict[str, Any] = {
    "model": "topics",
    "task": "text-classification",
    "data": {"source": "data", "inputs": ["text"], "label": "topic"},
    "backbone": "google-bert/bert-base-uncased",
}


def write(path: Path, **changes: Any) -> Path:
    path.write_text(yaml.safe_dump({**JOB, **changes}))
    return path


def refusal(path: Path, *changes: str) -> str:
    with pytest.raises(InputError) as caught:
        load_job(path, changes)
    return str(caught.value)


def test_a_short_job_has_a_default_for_all_the_rest(tmp_path: Path) -> None:
    job = load_job(write(tmp_path / "job.yaml"))
    assert (job.strategy, job.training.epochs, job.data.max_rejects) == ("full", 3, 0.01)


def test_all_faults_are_told_at_once_with_path_found_allowed_and_nearest(tmp_path: Path) -> None:
    data = {"source": 3, "inputs": "text", "lable": "topic", "splits": {"dev": "tset"}}
    training = {"epoch": 3, "epochs": 0, "learning_rate": "fast", "pooling": "men"}
    path = write(tmp_path / "job.yaml", task="text-clasification", model="a/b", data=data, training=training)
    message = refusal(path)
    assert message.splitlines()[0] == f"{path} has 11 faults:"
    for line in [
        "model: 'a/b' cannot be a model's name: it holds '/'. A name such as 'aws-operations' can.",
        "task: found 'text-clasification'; allowed: 'text-classification'. Did you mean 'text-classification'?",
        "data.source: found 3; input should be a valid string",
        "data.inputs: found 'text'; input should be a valid list",
        "data.label: is missing",
        "data.splits.dev: found 'tset'; input should be 'train', 'validation' or 'test'",
        "training.epochs: found 0; input should be greater than or equal to 1",
        "training.pooling: found 'men'; allowed: 'auto', 'first', 'mean'. Did you mean 'mean'?",
    ]:
        assert f"  {line}" in message.splitlines()
    assert "training.learning_rate: found 'fast'; input should be a valid number" in message
    assert "data.lable: there is no such field" in message
    assert "Did you mean 'label'?" in message
    assert "training.epoch: there is no such field" in message


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"data": {"source": "d", "inputs": ["a", "b", "c"], "label": "l"}}, "takes 1 or 2 data.inputs, not 3"),
        ({"data": {"source": "d", "inputs": ["l"], "label": "l"}}, "the label column l is among the inputs"),
        (
            {"data": {"source": "d", "inputs": ["a"], "label": "l", "test_fraction": 0.95}},
            "leave nothing for training",
        ),
        ({"strategy": "ful"}, "strategy: found 'ful'; allowed: 'full'. Did you mean 'full'?"),
        ({"training": {"learning_rate": float("nan")}}, "training.learning_rate: found nan"),
    ],
)
def test_values_that_do_not_fit_together(tmp_path: Path, changes: dict[str, Any], message: str) -> None:
    assert message in refusal(write(tmp_path / "job.yaml", **changes))


def test_a_scientific_number_without_a_point_is_a_number(tmp_path: Path) -> None:
    path = tmp_path / "job.yaml"
    path.write_text(write(path).read_text() + "training: {learning_rate: 5e-4}\n")
    assert load_job(path).training.learning_rate == 5e-4


def test_fields_can_be_set_on_top(tmp_path: Path) -> None:
    path = write(tmp_path / "job.yaml")
    job = load_job(path, ["training.epochs=7", "data.inputs=[a, b]", "model=other"])
    assert (job.training.epochs, job.data.inputs, job.model) == (7, ["a", "b"], "other")
    assert "training.epoch: there is no such field" in refusal(path, "training.epoch=1")
    assert "FIELD=VALUE was expected" in refusal(path, "training.epochs")


def test_files_that_are_no_jobs(tmp_path: Path) -> None:
    path = tmp_path / "job.yaml"
    assert "There is no job file" in refusal(path)
    path.write_text("model: [")
    assert "is no valid YAML" in refusal(path)
    path.write_text("model: a\nmodel: b\n")
    assert "the field 'model' is given twice" in refusal(path)
    path.write_text("- a list")
    assert "holds no job" in refusal(path)
    path.write_text("model: !!python/object/apply:os.system [true]")
    assert "is no valid YAML" in refusal(path)


def test_every_field_of_a_job_is_a_parameter_of_the_pipeline_with_the_same_default(tmp_path: Path) -> None:
    arguments = load_job(write(tmp_path / "job.yaml")).arguments()
    parameters = inspect.signature(finetune_pipeline.pipeline_func).parameters
    assert set(arguments) == set(parameters)
    for name, parameter in parameters.items():
        if parameter.default is not inspect.Parameter.empty:
            assert arguments[name] == parameter.default, name
