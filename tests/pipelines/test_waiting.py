from collections.abc import Iterator

import pytest

from components.shared.errors import ServiceError
from pipelines.cluster import kubeflow
from pipelines.cluster.kubeflow import connect
from pipelines.cluster.submit import Run
from pipelines.cluster.waiting import StillRunningError, wait
from pipelines.jobs.job import Job, load_job
from tests.kubeflow_server import kubeflow_server
from tests.kubeflow_state import TOKEN, Kubeflow
from tests.pipelines.clusters import JOB, deployment, script, start


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


def test_waiting_tells_each_steps_states_once_until_the_run_is_done(server: Kubeflow, job: Job) -> None:
    run = start(server, job)
    told: list[tuple[str, str]] = []
    running = {"run": "RUNNING", "ingest": "RUNNING"}
    server.watch = script(
        server, run, running, running,
        {"run": "RUNNING", "ingest": "SUCCEEDED", "transform": "RUNNING"},
        {"run": "SUCCEEDED", "ingest": "SUCCEEDED", "transform": "SUCCEEDED"},
    )  # fmt: skip
    server.fail(f"GET .*/runs/{run.id}", "unavailable", times=2)
    wait(connect(deployment(server.url)), run, lambda step, state: told.append((step, state)), interval=0.01)
    assert told[:4] == [
        ("ingest", "RUNNING"), ("ingest", "SUCCEEDED"), ("transform", "RUNNING"), ("transform", "SUCCEEDED"),
    ]  # fmt: skip


def test_steps_that_a_condition_left_out_are_told_and_so_are_those_from_the_cache(server: Kubeflow, job: Job) -> None:
    """Kubeflow has no tasks for the former, and calls the latter skipped: no pod of theirs ran."""
    client, told = connect(deployment(server.url)), []
    run = start(server, job, "retrain")
    assert run.version.steps == ("detect", "evaluate", "finetune", "ingest", "promote", "register", "transform")
    server.progress(run.id, "SUCCEEDED", detect="SUCCEEDED", **{"condition-1": "SKIPPED"})
    wait(client, run, lambda step, state: told.append((step, state)), interval=0.01)
    assert told[0] == ("detect", "SUCCEEDED")
    assert told[1:] == [(step, "SKIPPED") for step in run.version.steps if step != "detect"]

    told.clear()
    states = {**dict.fromkeys(run.version.steps, "SUCCEEDED"), "transform": "SKIPPED", "condition-1": "SUCCEEDED"}
    server.progress(run.id, "SUCCEEDED", **states)
    wait(client, run, lambda step, state: told.append((step, state)), interval=0.01)
    assert dict(told) == {**dict.fromkeys(run.version.steps, "SUCCEEDED"), "transform": "CACHED"}
    assert len(told) == len(run.version.steps)


def test_of_a_retraining_that_fails_the_step_is_told_not_its_groups(server: Kubeflow, job: Job) -> None:
    run = start(server, job, "retrain")
    groups = {"condition-1": "FAILED", "exit-handler-1": "FAILED"}
    server.progress(run.id, "FAILED", detect="SUCCEEDED", finetune="FAILED", **groups)
    assert failure(server, run).startswith("finetune failed.")


def failure(server: Kubeflow, run: Run) -> str:
    with pytest.raises(ServiceError) as caught:
        wait(connect(deployment(server.url)), run, lambda *_: None, interval=0.01)
    return str(caught.value)


def test_a_failed_run_tells_the_step_and_what_it_said(server: Kubeflow, job: Job) -> None:
    run = start(server, job)
    server.progress(run.id, "FAILED", ingest="SUCCEEDED", transform="FAILED")
    assert failure(server, run) == f"transform failed.\nThe run: {run.url}"  # the pod is gone, its log with it
    pod = "graft-finetune-xyz-system-container-impl-2"
    server.logs[pod] = "\n".join(["one", *(f"line {number}" for number in range(30)), "Killed"])
    told = failure(server, run)
    assert told.splitlines()[:3] == ["transform failed.", "Its last lines:", "  line 16"]
    assert "  Killed" in told
    server.logs[pod] += "\ngraft: wrong input: There is no column 'txt'.\ngraft: wrong input: Rename it.\nexit 2\n"
    assert failure(server, run) == f"transform failed.\nThere is no column 'txt'.\nRename it.\nThe run: {run.url}"


def test_log_lines_of_the_launcher_and_of_libraries_are_not_shown(server: Kubeflow, job: Job) -> None:
    run = start(server, job)
    server.progress(run.id, "FAILED", ingest="FAILED")
    server.logs["graft-finetune-xyz-system-container-impl-1"] = """
time="2026-11-25T20:11:02.123Z" level=info msg="capturing logs" argo=true
I1125 20:11:02.000000      20 launcher_v2.go:90] input ComponentSpec: {"endpoint": "http://store:9000"}
[KFP Executor 2026-11-25 20:11:03,000 INFO]: Found credentials in environment variables.
graft: ingest  10% · 5 files
[KFP Executor 2026-11-25 20:11:05,000 WARNING]: a warning
F1125 20:11:06.000000      20 main.go:50] failed to execute component: exit status 137
Killed
http://user:hush@mlflow
"""
    told = failure(server, run).splitlines()
    assert told[2:6] == [
        "  graft: ingest  10% · 5 files", "  [KFP Executor 2026-11-25 20:11:05,000 WARNING]: a warning", "  Killed",
        "  http://***@mlflow",
    ]  # fmt: skip


def test_a_run_that_fails_before_a_step(server: Kubeflow, job: Job) -> None:
    run = start(server, job)
    server.progress(run.id, "FAILED")
    server.runs[run.id]["error"] = {"code": 13, "message": "no such service account"}
    assert failure(server, run).startswith("The run failed: no such service account")


def test_a_run_that_somebody_cancels_is_told_as_such_without_a_log(server: Kubeflow, job: Job) -> None:
    """Kubeflow calls it failed in the end, and so are the pods that were told to end; its history keeps the rest."""
    run = start(server, job)
    server.progress(run.id, "RUNNING", ingest="SUCCEEDED", finetune="RUNNING")
    server.logs["graft-finetune-xyz-system-container-impl-2"] = "graft: finetune  10% · epoch 1\nTerminated"
    connect(deployment(server.url)).terminate_run(run.id)
    server.progress(run.id, "FAILED", ingest="SUCCEEDED", finetune="FAILED")
    told: list[tuple[str, str]] = []
    with pytest.raises(ServiceError) as caught:
        wait(connect(deployment(server.url)), run, lambda step, state: told.append((step, state)), interval=0.01)
    assert str(caught.value) == f"Somebody cancelled the run while finetune was at work.\nThe run: {run.url}"
    assert told[-1] == ("finetune", "STOPPED")


class TestKubeflowAway:
    def test_it_is_borne_and_said_once_and_the_run_is_followed_to_its_end(self, server: Kubeflow, job: Job) -> None:
        run = start(server, job)
        server.progress(run.id, "RUNNING", ingest="RUNNING")
        said: list[str] = []

        def go_away(*_: str) -> None:
            if not server.faults:
                server.progress(run.id, "SUCCEEDED", ingest="SUCCEEDED")
                server.fail("GET .*", "dead", times=20)

        wait(connect(deployment(server.url)), run, go_away, interval=0.01, say=said.append)
        assert len(said) == 2
        assert "did not answer: the connection broke. Waiting on, for 10 minutes; the run goes on." in said[0]
        assert said[1] == "Kubeflow answers again"

    def test_after_too_long_a_silence_nobody_waits_any_more(self, server: Kubeflow, job: Job) -> None:
        run = start(server, job)
        server.fail("GET .*", "unavailable", times=99)
        with pytest.raises(StillRunningError, match=r"failed \(503[\s\S]*The run itself goes on") as caught:
            wait(connect(deployment(server.url)), run, lambda *_: None, interval=0.01, patience=0.1)
        assert caught.value.exit_code == 3
        assert f"graft status {run.id} --deployment FILE" in str(caught.value)
        assert server.runs[run.id]["state"] == "PENDING"

    def test_ctrl_c_leaves_the_run_going(self, server: Kubeflow, job: Job) -> None:
        run = start(server, job)
        server.progress(run.id, "RUNNING", ingest="RUNNING")

        def interrupt(*_: str) -> None:
            raise KeyboardInterrupt

        with pytest.raises(StillRunningError, match=f"the run goes on: {run.url}") as caught:
            wait(connect(deployment(server.url)), run, interrupt)
        assert caught.value.exit_code == 3

    def test_a_token_that_expires_meanwhile_and_a_run_that_is_deleted(self, server: Kubeflow, job: Job) -> None:
        run = start(server, job)
        server.fail("GET .*", "401")
        with pytest.raises(StillRunningError, match=r"401[\s\S]*The run itself goes on"):
            wait(connect(deployment(server.url)), run, lambda *_: None)
        del server.runs[run.id]
        with pytest.raises(ServiceError, match="somebody deleted"):
            wait(connect(deployment(server.url)), run, lambda *_: None)
