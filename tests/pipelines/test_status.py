"""What came of a run on a cluster, told by `graft submit --wait` and `graft status`."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from components.shared.registry import records
from components.shared.registry.records import PipelineRun
from pipelines.cluster import kubeflow, waiting
from pipelines.command import cli
from pipelines.jobs.job import load_job
from tests.kubeflow_server import kubeflow_server
from tests.kubeflow_state import TOKEN, Kubeflow
from tests.pipelines.clusters import JOB, deployment


@pytest.fixture
def server(registry: str, monkeypatch: pytest.MonkeyPatch) -> Iterator[Kubeflow]:
    """A server, and a registry that the environment leads to."""
    monkeypatch.setenv("GRAFT_KFP_TOKEN", TOKEN)
    monkeypatch.setattr(kubeflow, "PAUSES", (0.01,))
    with kubeflow_server() as running:
        yield running


@pytest.fixture
def cluster(server: Kubeflow, tmp_path: Path) -> str:
    file = tmp_path / "deployment.yaml"
    file.write_text(yaml.safe_dump(deployment(server.url).model_dump(mode="json", exclude_defaults=True)))
    return str(file)


def write(run: str, step: str, /, **entry: Any) -> None:
    """Writes down what a step of a run came to."""
    records.leave(PipelineRun(load_job(JOB).model, run), step, entry)


def register(run: str) -> str:
    """Registers a version as `register` does, and writes down so."""
    from mlflow import MlflowClient

    client, name = MlflowClient(), load_job(JOB).model
    if not client.search_registered_models(f"name='{name}'"):
        client.create_registered_model(name)
    tags = {"pipeline_run": run, "test_accuracy": "0.93", "verdict": "better"}
    number = str(client.create_model_version(name, "file:///nowhere", tags=tags).version)
    places = {"evaluation": "s3://bucket/graft/evaluation", "model": "s3://bucket/graft/model"}
    write(run, "register", version=number, places=places)
    return number


def promote(run: str, version: str, verdict: str = "promoted", **told: Any) -> None:
    """Promotes a version as `promote` does, and writes down so."""
    from mlflow import MlflowClient

    if verdict == "promoted":
        MlflowClient().set_registered_model_alias(load_job(JOB).model, "champion", version)
    entry = {"verdict": verdict, "version": version, "before": "", "champion": version, "reasons": "It gains 0.04."}
    write(run, "promote", **{**entry, **told})


def finish(server: Kubeflow, run: str, state: str = "SUCCEEDED", **steps: str) -> None:
    server.progress(run, state, **(steps or dict.fromkeys(("ingest", "finetune", "promote"), state)))


def submit(server: Kubeflow, cluster: str) -> str:
    assert cli.main(["submit", str(JOB), "--deployment", cluster]) == 0
    return list(server.runs)[-1]


def test_waiting_ends_with_what_came_of_the_run(
    server: Kubeflow, cluster: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    def end(_: Kubeflow) -> None:
        for run in server.runs:
            if server.runs[run]["state"] == "PENDING":
                promote(run, register(run))
                finish(server, run)

    server.watch = end
    written = tmp_path / "out" / "status.json"
    assert cli.main(["submit", str(JOB), "--deployment", cluster, "--wait", "--json", str(written)]) == 0
    (run,) = server.runs
    told = capsys.readouterr().out
    assert "outcome  promoted\n         It gains 0.04.\n" in told
    assert f"version  {load_job(JOB).model} 1 @champion\nmetrics  accuracy 0.9300\n" in told
    assert "page     s3://bucket/graft/evaluation/notes/report.html\n" in told
    as_json = json.loads(written.read_text())
    expected = {
        "run": run, "outcome": "promoted", "promoted": True, "version": "1", "aliases": ["champion"],
        "metrics": {"accuracy": 0.93}, "verdict": "better", "changed": True, "reason": "It gains 0.04.",
        "report": "s3://bucket/graft/evaluation/notes/report.html",
    }  # fmt: skip
    assert {name: as_json[name] for name in expected} == expected
    result_fields = {"model", "version", "aliases", "metrics", "baselines", "verdict", "changed", "changes", "promoted"}
    assert result_fields | {"reason", "report", "seconds", "artifacts"} <= as_json.keys()


def test_of_a_failure_the_step_and_its_sentence_are_told_where_the_log_is_gone(
    server: Kubeflow, cluster: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    def end(_: Kubeflow) -> None:
        for run in server.runs:
            if server.runs[run]["state"] == "PENDING":
                write(run, "ingest-failed", step="ingest", failure="test.jsonl has no column 'nolabel'.")
                finish(server, run, "FAILED", ingest="FAILED")

    server.watch = end
    written = tmp_path / "status.json"
    assert cli.main(["submit", str(JOB), "--deployment", cluster, "--wait", "--json", str(written)]) == 1
    told = capsys.readouterr().err
    assert "graft: ingest failed." in told
    assert "ingest: test.jsonl has no column 'nolabel'." in told
    as_json = json.loads(written.read_text())
    assert (as_json["outcome"], as_json["promoted"]) == ("failed", False)


def test_a_run_is_told_of_later_by_its_id_its_name_or_its_page(
    server: Kubeflow, cluster: str, capsys: pytest.CaptureFixture[str]
) -> None:
    run = submit(server, cluster)
    promote(run, register(run), "refused", champion="7", reasons="It loses 0.1.")
    finish(server, run)
    capsys.readouterr()
    for named in (run, server.runs[run]["display_name"], f"{server.url}/#/runs/details/{run}"):
        assert cli.main(["status", named, "--deployment", cluster]) == 0
        assert "outcome  refused\n         It loses 0.1.\n" in capsys.readouterr().out
    assert cli.main(["status", "nothing", "--deployment", cluster]) == 2
    assert "Kubeflow has no run 'nothing'" in capsys.readouterr().err


def test_the_last_runs_are_listed_with_what_came_of_each(
    server: Kubeflow, cluster: str, capsys: pytest.CaptureFixture[str]
) -> None:
    unchanged, same, cancelled, running = (submit(server, cluster) for _ in range(4))
    write(unchanged, "detect", changed=False, sentence="Nothing has changed.")
    version = register("another")
    write(same, "register", version=version)
    promote(same, version, "already champion")
    for run in (unchanged, same):
        finish(server, run)
    server.terminate(cancelled)
    finish(server, cancelled, "FAILED")
    finish(server, running, "RUNNING", ingest="RUNNING")
    capsys.readouterr()
    assert cli.main(["status", "--deployment", cluster]) == 0
    lines = capsys.readouterr().out.splitlines()
    told = {run: next(line for line in lines if line.startswith(run)) for run in (unchanged, same, cancelled, running)}
    assert "nothing new" in told[unchanged]
    assert "the same model again" in told[same]
    assert "stopped" in told[cancelled]
    assert "running" in told[running]
    assert lines[1].startswith(running)  # the newest first


def test_a_registry_that_cannot_be_asked_leaves_what_kubeflow_tells(
    server: Kubeflow, cluster: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    run = submit(server, cluster)
    finish(server, run)
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "http://mlflow.graft.svc:5000")
    assert cli.main(["status", run, "--deployment", cluster]) == 0
    told = capsys.readouterr().out
    assert "an address inside the cluster" in told
    assert "outcome  succeeded, and the registry was not asked" in told


def test_json_needs_a_run_that_has_ended(server: Kubeflow, cluster: str) -> None:
    assert cli.main(["submit", str(JOB), "--deployment", cluster, "--json", "x.json"]) == 2
    assert cli.main(["status", "--deployment", cluster, "--json", "x.json"]) == 2
    assert not server.runs


def test_that_nobody_waits_any_more_is_a_code_of_its_own(
    server: Kubeflow, cluster: str, capsys: pytest.CaptureFixture[str]
) -> None:
    server.fail("GET .*/runs/.*", "dead", times=99)
    arguments = ["submit", str(JOB), "--deployment", cluster, "--wait", "--patience", "0"]
    assert cli.main(arguments) == waiting.STILL_RUNNING == 3
    assert "The run itself goes on" in capsys.readouterr().err
