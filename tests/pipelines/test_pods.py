"""What steps do with what a pod of Kubeflow gives them: package, launcher and MLflow plugin put together."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from components.finetune.curves import Curves
from components.notify import webhook
from components.notify.notify import NotifySettings, notify
from components.shared.errors import InputError
from components.shared.process.step import run_step
from components.shared.registry import records, tracking
from components.shared.registry.records import PipelineRun
from pipelines.cluster import kubeflow
from pipelines.cluster.kubeflow import connect
from pipelines.cluster.submit import submit
from pipelines.jobs.job import Job, load_job
from tests.kubeflow_server import kubeflow_server
from tests.kubeflow_state import TOKEN, Kubeflow
from tests.pipelines.clusters import JOB, deployment
from tests.servers import Webhook, webhook_server

NOTIFY = {"url": {"secret": "chat", "key": "webhook"}}


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Iterator[Kubeflow]:
    monkeypatch.setenv("GRAFT_KFP_TOKEN", TOKEN)
    monkeypatch.setattr(kubeflow, "PAUSES", (0.01,))
    with kubeflow_server() as running:
        yield running


@pytest.fixture
def job() -> Job:
    return load_job(JOB)


@pytest.fixture
def hook(monkeypatch: pytest.MonkeyPatch) -> Iterator[Webhook]:
    with webhook_server() as running:
        monkeypatch.setenv(webhook.ADDRESS, running.address)
        yield running


def start(server: Kubeflow, job: Job, pipeline: str = "finetune") -> str:
    """Starts a run whose steps may be tried twice more, and that tells what it came to."""
    cluster = deployment(server.url)
    told = {**cluster.model_dump(exclude_unset=True), "steps": {"all": {"retries": 2}}, "notify": NOTIFY}
    cluster = type(cluster).model_validate(told)
    return submit(connect(cluster), cluster, job, pipeline).id


def enter(monkeypatch: pytest.MonkeyPatch, variables: dict[str, str], registry: str) -> None:
    """Puts this process into a pod; the deployment's MLflow is the test's."""
    for name, value in variables.items():
        monkeypatch.setenv(name, registry if value == "https://mlflow.example.com" else value)
    monkeypatch.setenv("GRAFT_PATIENCE", "0")


def status_of(curves: Curves) -> str:
    return str(tracking.client().get_run(curves.run_id).info.status)


def test_a_lost_pod_is_tried_again_and_the_first_tries_mlflow_run_is_ended(
    server: Kubeflow, job: Job, registry: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = start(server, job)
    enter(monkeypatch, server.pod(run, "finetune"), registry)
    lost = Curves(job.model, {}, tmp_path / "model")
    again = server.lose_pod(run, "finetune")
    assert again is not None
    assert server.lose_pod(run, "finetune", attempt=2) is None
    enter(monkeypatch, again, registry)
    with Curves(job.model, {}, tmp_path / "model") as curves:
        pass
    assert (status_of(lost), status_of(curves)) == ("KILLED", "FINISHED")
    assert tracking.client().get_run(curves.run_id).data.tags["graft.pipeline_run"] == run


def test_of_a_pod_that_was_lost_for_good_the_last_step_ends_the_mlflow_run(
    server: Kubeflow, job: Job, registry: str, hook: Webhook, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = start(server, job)
    enter(monkeypatch, server.pod(run, "finetune"), registry)
    lost = Curves(job.model, {}, tmp_path / "model")
    enter(monkeypatch, server.pod(run, "notify"), registry)
    notify(NotifySettings(job.model, server.final_state("SUCCEEDED", "FAILED"), run))
    assert status_of(lost) == "KILLED"
    assert hook.taken == [{"text": f"{job.model}: the run failed. One of its steps failed."}]


def test_a_steps_sentence_reaches_the_notice_from_pod_to_pod(
    server: Kubeflow, job: Job, registry: str, hook: Webhook, monkeypatch: pytest.MonkeyPatch
) -> None:
    def break_down() -> None:
        raise InputError("test.jsonl has no column 'nolabel'; it has 'operation', 'description', 'label'.")

    run = start(server, job)
    enter(monkeypatch, server.pod(run, "ingest"), registry)
    with pytest.raises(SystemExit):
        run_step(break_down, "ingest")
    enter(monkeypatch, server.pod(run, "notify"), registry)
    notify(NotifySettings(job.model, server.final_state("FAILED"), run))
    (told,) = hook.taken
    assert told["text"] == (
        f"{job.model}: the run failed. ingest: test.jsonl has no column 'nolabel'; it has 'operation', "
        "'description', 'label'."
    )


def test_three_retrainings_at_once_that_find_nothing_new_are_told_by_nobody(
    server: Kubeflow, job: Job, registry: str, hook: Webhook, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each ends as RUNNING in the eyes of its last step, since the other steps were not needed."""
    runs = [start(server, job, "retrain") for _ in range(3)]
    for run in runs:
        records.leave(PipelineRun(job.model, run), "detect", {"changed": False})
    for run in runs:
        enter(monkeypatch, server.pod(run, "notify"), registry)
        report = notify(NotifySettings(job.model, server.final_state("SUCCEEDED", "SKIPPED"), run))
        assert report.told == "nothing has changed: there is nothing to tell"
    assert hook.taken == []


@pytest.mark.parametrize("elsewhere", [False, True])
def test_kubeflows_mlflow_plugin(
    server: Kubeflow, job: Job, registry: str, tmp_path: Path, elsewhere: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    client: Any = tracking.client()
    parent = client.create_run(client.create_experiment("kubeflow")).info.run_id
    address = "http://mlflow.kubeflow:5000" if elsewhere else registry
    task = "0" * 32 if elsewhere else parent
    server.plugin = {"MLFLOW_TRACKING_URI": address, "MLFLOW_EXPERIMENT_ID": "1", "MLFLOW_RUN_ID": task}
    run = start(server, job)
    enter(monkeypatch, server.pod(run, "finetune"), registry)
    with Curves(job.model, {}, tmp_path / "model") as curves:
        pass
    tags = client.get_run(curves.run_id).data.tags
    assert tags.get("mlflow.parentRunId") == (None if elsewhere else parent)
    assert tags["graft.pipeline_run"] == run
