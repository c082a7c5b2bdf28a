from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml

from components.shared.errors import InputError
from pipelines.cluster import kubeflow
from pipelines.cluster.kubeflow import NoAnswerError, RefusalError, connect, probe
from pipelines.cluster.submit import submit, upload
from pipelines.command import cli
from pipelines.jobs.job import Job, load_job
from tests.kubeflow_server import kubeflow_server
from tests.kubeflow_state import TOKEN, Kubeflow
from tests.pipelines.clusters import JOB, deployment, start


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Iterator[Kubeflow]:
    """A server whose token is in the environment; nobody waits long for it."""
    monkeypatch.setenv("GRAFT_KFP_TOKEN", TOKEN)
    monkeypatch.setattr(kubeflow, "PAUSES", (0.01, 0.01, 0.01))
    with kubeflow_server() as running:
        yield running


@pytest.fixture
def job() -> Job:
    return load_job(JOB)


def test_a_run_has_the_jobs_values_as_arguments_and_the_deployments_root_and_account(
    server: Kubeflow, job: Job, capsys: pytest.CaptureFixture[str]
) -> None:
    run = start(server, job)
    (made,) = server.runs.values()
    assert made["runtime_config"] == {"parameters": job.arguments(), "pipeline_root": "s3://bucket/graft"}
    assert (made["service_account"], made["namespace"]) == ("runner", "team-a")
    assert made["pipeline_version_reference"]["pipeline_version_id"] == run.version.version_id
    assert run.url == f"{server.url}/#/runs/details/{made['run_id']}"
    assert [item["display_name"] for item in server.experiments.values()] == ["graft"]
    assert capsys.readouterr().out == ""  # kfp's own links


def test_the_same_content_is_uploaded_once_and_other_content_is_another_version(
    server: Kubeflow, tmp_path: Path
) -> None:
    cluster = deployment(server.url)
    first, again = (upload(connect(cluster), cluster, load_job(JOB)) for _ in range(2))
    other = upload(connect(cluster), cluster, load_job(JOB, ["training.epochs=5"]))
    assert (first.uploaded, again.uploaded, other.uploaded) == (True, False, True)
    assert first.version_id == again.version_id != other.version_id
    assert first.name.startswith("graft-finetune-")
    assert first.steps == ("evaluate", "finetune", "ingest", "promote", "register", "transform")
    assert server.calls.count("POST /apis/v2beta1/pipelines/upload_version") == 2
    assert [item["name"] for item in server.pipelines.values()] == ["graft-finetune"]


def test_a_name_that_somebody_took_in_between_is_looked_up(server: Kubeflow, job: Job) -> None:
    """Another submit makes the same pipeline, version and experiment right before this one does."""
    made: list[str] = []

    def overtake(running: Kubeflow) -> None:
        call = running.calls[-1]
        if call.startswith("GET") and call not in made and not call.endswith("runs"):
            made.append(call)
            running.watch = lambda _: None
            start(running, job)
            running.watch = overtake

    server.watch = overtake
    server.lock = _NoLock()  # the other one's requests come while this one's is answered
    start(server, job)
    assert (len(server.pipelines), len(server.versions), len(server.experiments)) == (1, 1, 1)
    assert len(server.runs) == 1 + len(made) == 4


class _NoLock:
    def __enter__(self) -> None: ...
    def __exit__(self, *_: object) -> None: ...


CREATIONS = ["pipelines", "pipelines/upload_version", "experiments", "runs"]


@pytest.mark.parametrize("kind", ["unavailable", "lost", "late", "dead", "500"])
@pytest.mark.parametrize("what", CREATIONS)
def test_a_creation_that_fails_or_whose_answer_is_lost_happens_once(
    server: Kubeflow, job: Job, what: str, kind: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    if kind == "late":
        monkeypatch.setattr(kubeflow, "TIMEOUT", (5.0, 0.5))
    server.fail(f"POST .*/{what}", kind, times=2)
    start(server, job)
    assert [len(kept) for kept in (server.pipelines, server.versions, server.experiments, server.runs)] == [1, 1, 1, 1]


def test_looks_are_repeated_and_what_stays_down_is_told(server: Kubeflow, job: Job) -> None:
    server.fail("GET .*", "unavailable", times=3)
    start(server, job)
    server.fail("GET .*", "unavailable", times=99)
    with pytest.raises(NoAnswerError, match=r"failed \(503: unavailable, as the test wants it\). Try again later"):
        start(server, job)


def test_nobody_listens() -> None:
    cluster = deployment("http://127.0.0.1:9/pipeline")
    with pytest.raises(NoAnswerError, match=r"did not answer: connection refused\. Check kubeflow\.endpoint") as caught:
        probe(connect(cluster, patient=False), cluster)
    assert "HTTPConnectionPool" not in str(caught.value)


def test_tokens_and_namespaces_that_are_refused(server: Kubeflow, job: Job, monkeypatch: pytest.MonkeyPatch) -> None:
    cluster = deployment(server.url, namespace="team-b")
    with pytest.raises(RefusalError, match="kubeflow-edit") as caught:
        submit(connect(cluster), cluster, job)
    assert caught.value.status == 403
    assert TOKEN not in str(caught.value)
    monkeypatch.setenv("GRAFT_KFP_TOKEN", "stale-token")
    with pytest.raises(InputError, match="wrong or has expired") as stale:
        start(server, job)
    assert "stale-token" not in str(stale.value)
    monkeypatch.delenv("GRAFT_KFP_TOKEN")
    with pytest.raises(InputError, match="Set GRAFT_KFP_TOKEN"):
        start(server, job)
    assert not server.runs


def test_a_server_with_a_single_user_needs_no_namespace(monkeypatch: pytest.MonkeyPatch, job: Job) -> None:
    monkeypatch.delenv("GRAFT_KFP_TOKEN", raising=False)
    with kubeflow_server(namespaces={""}, token=None) as server:
        cluster = deployment(server.url, namespace=None)
        probe(connect(cluster), cluster)
        submit(connect(cluster), cluster, job)
        assert len(server.runs) == 1


def test_a_probe_asks_little_and_changes_nothing(server: Kubeflow) -> None:
    cluster = deployment(server.url)
    probe(connect(cluster), cluster)
    assert {call.partition(" ")[0] for call in server.calls} == {"GET"}
    assert len(server.calls) <= 5


def test_the_command(server: Kubeflow, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = tmp_path / "deployment.yaml"
    file.write_text(yaml.safe_dump(deployment(server.url).model_dump(mode="json", exclude_defaults=True)))
    assert cli.main(["submit", str(JOB), "--deployment", str(file), "--set", "training.epochs=4"]) == 0
    (run,) = server.runs.values()
    assert run["runtime_config"]["parameters"]["epochs"] == 4
    told = capsys.readouterr().out
    assert f"{server.url}/#/runs/details/{run['run_id']}" in told
    server.watch = lambda _: [server.progress(run, "FAILED", ingest="FAILED") for run in server.runs] and None
    assert cli.main(["submit", str(JOB), "--deployment", str(file), "--wait"]) == 1
    assert "graft: ingest failed." in capsys.readouterr().err
