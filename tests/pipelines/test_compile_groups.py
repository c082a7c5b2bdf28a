"""Tasks within a condition (retrain's, on what detect found) and within an exit handler (the notice's)."""

from pathlib import Path
from typing import Any

import pytest
import yaml

from pipelines.cluster.compilation import PIPELINES, compile_pipeline
from pipelines.jobs.job import load_job
from tests.pipelines.test_compile import FULL, JOB, STEPS, by_step, cached_in, compiled_for, secrets_of, tasks_of
from tests.pipelines.test_deployment import DEPLOYMENT

NOTIFY = {"url": {"secret": "chat", "key": "webhook"}, "events": ["failure"], "template": {"text": "$verdict"}}


@pytest.fixture(params=PIPELINES)
def package(tmp_path: Path, request: pytest.FixtureRequest) -> tuple[set[str], Any, Any]:
    """The names of all steps, the pipeline's spec and the platform's."""
    steps = {*STEPS, "notify", *(["detect"] if request.param == "retrain" else [])}
    return steps, *compiled_for(tmp_path, request.param, notify=NOTIFY, **FULL)


def test_each_step_gets_what_it_is_to_get(package: tuple[set[str], Any, Any]) -> None:
    steps, pipeline, platform = package
    containers = {name: told["container"] for name, told in by_step(pipeline, steps).items()}
    pods = by_step(platform, steps)
    assert set(tasks_of(pipeline)) == steps
    assert {name for name in steps if "accelerator" in containers[name]["resources"]} == {"finetune"}
    for field in ("tolerations", "nodeSelector", "nodeAffinity"):
        assert {name for name in steps if field in pods[name]} == {"finetune"}, field
    trainer = DEPLOYMENT["images"]["trainer"]
    assert {name for name in steps if containers[name]["image"] == trainer} == {"finetune", "evaluate"}
    variables = {name: {told["name"] for told in containers[name]["env"]} for name in steps}
    assert all("MLFLOW_TRACKING_URI" in variables[name] for name in steps)
    assert {name: int(pod["activeDeadlineSeconds"]) for name, pod in pods.items()} == {
        **dict.fromkeys(steps, 3600),
        "finetune": 86400,
    }
    assert {task["retryPolicy"]["maxRetryCount"] for task in tasks_of(pipeline).values()} == {2}
    assert set(cached_in(pipeline)) == {"finetune"}


def test_the_webhooks_address_is_a_secret_of_the_notice_alone(package: tuple[set[str], Any, Any]) -> None:
    steps, pipeline, platform = package
    assert "GRAFT_NOTIFY_URL" not in yaml.safe_dump(pipeline)
    for name, pod in by_step(platform, steps).items():
        named = {
            pair["envVar"]: {"secret": told["secretName"], "key": pair["secretKey"]}
            for told in pod["secretAsEnv"]
            for pair in told["keyToEnv"]
        }
        assert named == secrets_of(name) | ({"GRAFT_NOTIFY_URL": NOTIFY["url"]} if name == "notify" else {})
        # A pod that waits for a secret that is not there would keep the run from ending.
        optional = {told["secretName"] for told in pod["secretAsEnv"] if told.get("optional")}
        assert optional == ({"chat"} if name == "notify" else set())


def test_the_notice_comes_after_all_else_however_that_ends(package: tuple[set[str], Any, Any]) -> None:
    _, pipeline, _ = package
    root = pipeline["root"]["dag"]["tasks"]
    assert set(root) == {"exit-handler-1", "notify"}
    assert root["notify"]["triggerPolicy"] == {"strategy": "ALL_UPSTREAM_TASKS_COMPLETED"}
    given = root["notify"]["inputs"]["parameters"]
    assert given["status"] == {"taskFinalStatus": {"producerTask": "exit-handler-1"}}
    assert given["name"] == {"componentInputParameter": "model"}
    constants = {
        name: told["runtimeValue"]["constant"] for name, told in given.items() if name not in ("status", "name")
    }
    assert constants == {
        "pipeline_run": "{{$.pipeline_job_uuid}}",
        "events": ["failure"],
        "template": {"text": "$verdict"},
        "page": "https://kubeflow.example.com/pipeline/#/runs/details/",
    }


def test_the_same_run_is_told_to_all_who_tell_of_it(package: tuple[set[str], Any, Any]) -> None:
    _, pipeline, _ = package
    told = {
        name: task["inputs"]["parameters"]["pipeline_run"]
        for name, task in tasks_of(pipeline).items()
        if "pipeline_run" in task["inputs"]["parameters"]
    }
    assert set(told) == {"register", "promote", "notify"} | ({"detect"} & set(tasks_of(pipeline)))
    assert all(value == {"runtimeValue": {"constant": "{{$.pipeline_job_uuid}}"}} for value in told.values())


def test_retraining_takes_the_same_values_and_its_own(tmp_path: Path) -> None:
    specs = []
    for name in ("finetune", "retrain"):
        compile_pipeline(load_job(JOB), tmp_path / "pipeline.yaml", pipeline=name)
        specs.append(yaml.safe_load((tmp_path / "pipeline.yaml").read_text()))
    of_finetune, parameters = (spec["root"]["inputDefinitions"]["parameters"] for spec in specs)
    assert {name: parameters[name] for name in of_finetune} == of_finetune
    assert {"start_from", "replay", "force"} <= parameters.keys() - of_finetune.keys()
    for name, parameter in parameters.items():
        assert parameter.get("description"), name
        assert "defaultValue" in parameter, name


def test_retraining_is_behind_a_condition(tmp_path: Path) -> None:
    compile_pipeline(load_job(JOB), tmp_path / "pipeline.yaml", pipeline="retrain")
    spec = yaml.safe_load((tmp_path / "pipeline.yaml").read_text())
    assert set(spec["root"]["dag"]["tasks"]) == {"detect", "condition-1"}
    assert spec["root"]["dag"]["tasks"]["condition-1"]["dependentTasks"] == ["detect"]
    assert set(spec["components"]["comp-condition-1"]["dag"]["tasks"]) == STEPS
