"""What MLflow shows of a step: one run, by its name, below Kubeflow's, and never left open."""

import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import Any

import pytest

from components.finetune import curves as curves_of
from components.finetune.curves import Curves
from components.shared.errors import InputError
from components.shared.process.stopping import RETRY
from components.shared.registry import records, runs, tracking

RUN = "7f3ac0de-0000-4000-8000-000000000000"


@pytest.fixture
def pod(registry: str, monkeypatch: pytest.MonkeyPatch) -> Any:
    """What a pod of a pipeline's run finds in its environment; gives a client of its MLflow."""
    given = {records.MODEL: "topics", records.RUN: RUN, records.PAGES: "https://kubeflow.example.com/#/runs/details/"}
    for name, value in {**given, "KFP_POD_NAME": "graft-finetune-xyz", "KFP_RETRY_INDEX": "0"}.items():
        monkeypatch.setenv(name, value)
    return tracking.client()


def test_a_run_is_named_after_model_and_pipeline_run_and_leads_to_its_page(pod: Any, tmp_path: Path) -> None:
    with Curves("topics", {"epochs": 3}, tmp_path / "model") as curves:
        curves.log({"loss": 0.5}, 1)
    run = pod.get_run(curves.run_id)
    assert (run.info.run_name, run.info.status) == ("topics 7f3ac0de", "FINISHED")
    assert run.data.tags["graft.pipeline_run"] == RUN
    assert f"https://kubeflow.example.com/#/runs/details/{RUN}" in run.data.tags["mlflow.note.content"]
    assert run.data.metrics == {"loss": 0.5}


def test_training_does_not_wait_for_a_server_that_is_slow(
    pod: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(curves_of, "_INTERVAL", 0.0)
    asked, may_answer = threading.Event(), threading.Event()
    own = type(pod).log_batch

    def log_batch(client: Any, *args: Any, **named: Any) -> Any:
        if "metrics" in named:
            asked.set()
            assert may_answer.wait(60)
        return own(client, *args, **named)

    monkeypatch.setattr(type(pod), "log_batch", log_batch)
    with Curves("topics", {"epochs": 3}, tmp_path / "model") as curves:
        for step in range(50):
            curves.log({"loss": 1 / (step + 1)}, step)
        assert asked.wait(60)
        curves.log({"loss": 0.01}, 50)  # the server has not answered yet
        may_answer.set()
    history = pod.get_metric_history(curves.run_id, "loss")
    assert sorted(point.step for point in history) == list(range(51))


def test_a_second_attempt_ends_what_the_first_left_open(
    pod: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The pod of the first was deleted: nothing of it could say so. A run of another output is left alone."""
    first, other = (Curves("topics", {}, tmp_path / output) for output in ("model", "another"))
    monkeypatch.setenv("KFP_RETRY_INDEX", "1")
    monkeypatch.setenv("KFP_POD_NAME", "graft-finetune-abc")
    with Curves("topics", {}, tmp_path / "model") as second:
        pass
    assert [pod.get_run(curves.run_id).info.status for curves in (first, other, second)] == [
        "KILLED", "RUNNING", "FINISHED",
    ]  # fmt: skip


def test_settings_that_mlflow_does_not_take_leave_no_run_open(pod: Any) -> None:
    with pytest.raises(InputError):
        Curves("topics", {"a\nname that is none": 1})
    (run,) = pod.search_runs([pod.get_experiment_by_name("topics").experiment_id])
    assert run.info.status == "FAILED"


STEP = """
import sys, time
from pathlib import Path
from components.finetune.curves import Curves
from components.shared.process.step import run_step
def step():
    with Curves("topics", {}, Path("model")) as curves:
        print("run", curves.run_id, flush=True)
        time.sleep(60)
run_step(step, "finetune")
"""


def test_a_pod_that_is_told_to_end_ends_its_run_and_says_so(pod: Any) -> None:
    process = subprocess.Popen([sys.executable, "-c", STEP], stdout=subprocess.PIPE, text=True, env=dict(os.environ))
    assert process.stdout is not None
    run = next(line for line in process.stdout if line.startswith("run ")).split()[1]
    process.send_signal(signal.SIGTERM)
    began = time.monotonic()
    assert process.wait(timeout=60) == RETRY
    assert time.monotonic() - began < 30  # what Kubernetes grants
    assert pod.get_run(run).info.status == "KILLED"
    assert records.read(records.PipelineRun("topics", RUN))["finetune-failed"]["stopped"] is True


class TestKubeflowsPlugin:
    """It gives each task a run of its own, and its server's address, whatever the pipeline has set."""

    def test_on_the_same_server_our_run_lies_below_kubeflows(
        self, pod: Any, registry: str, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        parent = pod.create_run(pod.create_experiment("kubeflow")).info.run_id
        for name, value in {"MLFLOW_RUN_ID": parent, "MLFLOW_EXPERIMENT_ID": "7", tracking.DEPLOYED: registry}.items():
            monkeypatch.setenv(name, value)
        made = pod.get_run(runs.open_run(tracking.client(), "topics"))
        assert made.data.tags["mlflow.parentRunId"] == parent
        assert pod.get_experiment(made.info.experiment_id).name == "topics"
        assert pod.get_run(parent).data.tags["graft.run_id"] == made.info.run_id

    def test_elsewhere_the_deployments_server_wins_and_a_warning_says_so(
        self, pod: Any, registry: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
    ) -> None:
        monkeypatch.setenv("MLFLOW_TRACKING_URI", "http://ada:hush@mlflow.kubeflow:5000")
        monkeypatch.setenv("MLFLOW_RUN_ID", "0" * 32)
        monkeypatch.setenv(tracking.DEPLOYED, registry)
        made = tracking.client().get_run(runs.open_run(tracking.client(), "topics"))
        assert os.environ["MLFLOW_TRACKING_URI"] == registry
        assert "mlflow.parentRunId" not in made.data.tags
        told = capsys.readouterr().out
        assert f"plugin leads to http://***@mlflow.kubeflow:5000; the deployment's {registry} is used" in told
        assert "MLFLOW_RUN_ID names a run that MLflow at" in told
        assert "hush" not in told
