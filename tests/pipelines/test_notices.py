"""A notice at the end of real runs of a small pipeline: a step looks for changes, another makes a version of them."""

import inspect
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import pytest
from kfp import dsl, local
from kfp.local import subprocess_task_handler

from components.notify.webhook import ADDRESS
from components.shared.images import LIGHT
from pipelines.finetune import finetune_pipeline
from pipelines.local import conditions
from pipelines.local.runner import _replace_python
from pipelines.notices import with_notice
from tests.pipelines.test_run import graft
from tests.servers import WEBHOOK_TOKEN, Webhook, webhook_server


@dsl.component(base_image=LIGHT, install_kfp_package=False)
def look(data: dsl.Output[dsl.Artifact], found: str) -> NamedTuple("Outputs", [("changed", bool), ("text", str)]):  # type: ignore[valid-type]
    if found == "nothing readable":
        print("graft: wrong input: There is nothing that can be read.")
        raise SystemExit(2)
    return found != "nothing new", found


@dsl.component(base_image=LIGHT, install_kfp_package=False)
def learn(data: dsl.Input[dsl.Artifact], model: str, run: str, found: str) -> None:
    from mlflow import MlflowClient

    if found == "too much":
        print("graft: failure: The disk is full.")
        raise SystemExit(1)
    client = MlflowClient()
    client.create_registered_model(model)
    tags = {"pipeline_run": run, "decision": "refuse", "reasons": f"It saw {found}."}
    client.create_model_version(model, "file:///nowhere", tags=tags)


class Outputs(NamedTuple):
    data: dsl.Artifact


def _retrain(model: str, found: str = "more") -> Outputs:
    seen = look(found=found)
    with dsl.If(seen.outputs["changed"] == True):  # noqa: E712
        learn(data=seen.outputs["data"], model=model, run=dsl.PIPELINE_JOB_ID_PLACEHOLDER, found=found)
    return Outputs(seen.outputs["data"])


pipeline = dsl.pipeline(name="small", description="Small.")(_retrain)


@pytest.fixture
def server(registry: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Webhook]:
    """A webhook, a registry, and kfp.local as `graft run` sets it up."""
    monkeypatch.setattr(subprocess_task_handler, "replace_python_executable", _replace_python)
    monkeypatch.setenv("PYTHONPATH", str(Path(__file__).parents[2]))
    conditions.mend()
    local.init(local.SubprocessRunner(use_venv=False), pipeline_root=str(tmp_path / "runs"))
    with webhook_server() as running:
        monkeypatch.setenv(ADDRESS, running.address)
        yield running


def test_a_run_that_made_a_version_is_told_of_by_its_verdict(
    server: Webhook, capfd: pytest.CaptureFixture[str]
) -> None:
    server.answers = [(503, {})]
    with_notice(pipeline, {"text": "$sentence", "run": "$run"}, ["refusal"])(model="topics", found='"more" & more')
    (body,) = server.taken
    assert body["text"] == 'topics: version 1 was not promoted. It saw "more" & more.'
    assert body["run"].isdigit()
    assert server.requests == 2
    told = capfd.readouterr()
    assert "127.0.0.1 was told: refused" in told.out
    assert WEBHOOK_TOKEN not in told.out + told.err


def test_of_a_run_that_found_nothing_new_nobody_is_told(server: Webhook) -> None:
    with_notice(pipeline)(model="topics", found="nothing new")
    assert server.requests == 0


@pytest.mark.parametrize(("found", "step"), [("nothing readable", "look"), ("too much", "learn")])
def test_a_failure_is_told_of_and_stays_one(server: Webhook, found: str, step: str) -> None:
    with pytest.raises(RuntimeError, match=f"Inner task failed: .*{step}"):
        with_notice(pipeline)(model="topics", found=found)
    assert server.taken == [{"text": "topics: the run failed. One of its steps failed."}]


@pytest.mark.parametrize("found", ["more", "too much"])
def test_a_notice_that_is_not_taken_changes_nothing(
    server: Webhook, found: str, capfd: pytest.CaptureFixture[str]
) -> None:
    server.answers = [(404, {})]
    if found == "more":
        with_notice(pipeline)(model="topics", found=found)
    else:
        with pytest.raises(RuntimeError, match="Inner task failed: .*learn"):
            with_notice(pipeline)(model="topics", found=found)
    assert (server.requests, server.taken) == (1, [])
    assert "no notice was sent: 127.0.0.1 did not take the notice: it answered 404." in capfd.readouterr().out


def test_name_description_and_parameters_stay_and_outputs_go() -> None:
    noticed = with_notice(finetune_pipeline)
    assert (noticed.name, noticed.description) == (finetune_pipeline.name, finetune_pipeline.description)
    before, after = (inspect.signature(each.pipeline_func).parameters for each in (finetune_pipeline, noticed))
    assert list(before.values()) == list(after.values())
    spec, plain = (_root(each) for each in (noticed, finetune_pipeline))
    assert spec.input_definitions == plain.input_definitions
    assert not spec.output_definitions.artifacts
    assert set(spec.dag.tasks) == {"notify", "exit-handler-1"}
    assert plain.output_definitions.artifacts


def _root(component: Any) -> Any:
    return component.pipeline_spec.root


def test_the_command_tells_the_failing_steps_own_words(server: Webhook, tmp_path: Path) -> None:
    (tmp_path / "job.yaml").write_text(
        "{model: topics, task: text-classification, data: {source: nowhere, inputs: [text], label: topic}, backbone: b}"
    )
    done = graft("run", "job.yaml", folder=tmp_path)
    assert done.returncode == 2
    assert "graft: ingest: " in done.stderr
    assert "nowhere" in done.stderr
    (told,) = server.taken
    assert told["text"].startswith("topics: the run failed. ingest: There is no file or folder 'nowhere'")
    log = next((tmp_path / ".graft" / "runs").glob("*/log.txt")).read_text()
    assert WEBHOOK_TOKEN not in log + done.stdout + done.stderr
