"""Many runs of one model at once, by a real MLflow server: from the trained model on, each in a process of its own."""

import collections
import json
import os
import shutil
from pathlib import Path
from typing import Any

import pytest

from components.finetune.curves import Curves
from components.notify import webhook
from components.notify.notify import NotifySettings, notify
from components.promote.promote import PromoteSettings, promote
from components.register.register import RegisterSettings, register
from components.shared.registry import promotions, records, tracking
from components.shared.registry.records import PipelineRun
from components.shared.registry.registry import versions_of
from tests.components.register.evaluations import write_evaluation
from tests.components.shared import promoters
from tests.components.shared.promoters import FORKED, make_versions, starter
from tests.servers import serving, webhook_server

RUNS = 10
NAME = "topics"


def at_once(environment: dict[str, str], folder: Path, model: Path, evaluation: Path) -> list[int | None]:
    """Does what follows training, so many times at once; returns the exit codes."""
    os.environ |= environment
    barrier = FORKED.Barrier(RUNS, timeout=300)
    processes = [
        FORKED.Process(target=_retrain, args=(f"run-{number}", folder / f"run-{number}", model, evaluation, barrier))
        for number in range(RUNS)
    ]
    for process in processes:
        process.start()
    for process in processes:
        process.join()
    return [process.exitcode for process in processes]


def _retrain(run: str, folder: Path, model: Path, evaluation: Path, barrier: Any) -> None:
    os.environ |= {records.RUN: run, records.MODEL: NAME}
    barrier.wait()
    with Curves(NAME, {"epochs": 1}, folder / "model") as curves:
        curves.log({"loss": 0.5}, 1)
    own = Path(shutil.copytree(model, folder / "model"))
    manifest = json.loads((own / "manifest.json").read_text())
    manifest["producer"]["mlflow_run_id"] = curves.run_id
    (own / "manifest.json").write_text(json.dumps(manifest))
    register(own, evaluation, folder / "version", RegisterSettings(NAME, pipeline_run=run))
    promote(folder / "version", evaluation, folder / "promotion", PromoteSettings(NAME, run))
    notify(NotifySettings(NAME, "SUCCEEDED", run))


@pytest.mark.slow  # ten processes that register a model
def test_of_ten_that_train_the_same_new_data_one_promotes_and_one_is_told(
    registry: str, model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    decision = {"verdict": "promote", "reasons": ["It is better."], "champion": "1"}
    evaluation = write_evaluation(model, tmp_path / "evaluation", decision=decision)
    arguments = ["server", "--backend-store-uri", registry, "--artifacts-destination", str(tmp_path / "artifacts")]
    with serving([*arguments, "--workers", "2"], tmp_path) as address, webhook_server() as server, starter() as fork:
        monkeypatch.setenv("MLFLOW_TRACKING_URI", address)
        tracking.client().set_terminated(make_versions(NAME, 1))
        promoters.promote(NAME, 1)
        monkeypatch.setenv(webhook.ADDRESS, server.address)
        environment = {"MLFLOW_TRACKING_URI": address, webhook.ADDRESS: server.address}
        assert fork(at_once, environment, tmp_path, model, evaluation) == [0] * RUNS
        check()
        found_nothing_new()
        assert server.taken == [{"text": "topics: version 2 is the champion, in place of version 1. It is better."}]


def check() -> None:
    """One version of the content, one promotion, nothing left open; what one run has written is its own."""
    client = tracking.client()
    versions = versions_of(client, NAME)
    contents = collections.Counter(entry.tags.get("model_digest", "") for entry in versions)
    assert set(contents.values()) == {1}
    assert len(contents) == 2
    assert [entry.after for entry in promotions.history(NAME)] == ["2", "1"]
    runs = client.search_runs([tracking.experiment_id(client, NAME)])
    assert {run.info.status for run in runs} == {"FINISHED"}
    told = [records.read(PipelineRun(NAME, f"run-{number}"))["promote"] for number in range(RUNS)]
    assert sorted(entry["verdict"] for entry in told) == ["already champion"] * (RUNS - 1) + ["promoted"]
    newest = versions[0]
    assert newest.tags["run_id"] == newest.run_id  # as it was made, whoever registered it once more
    assert newest.tags["pipeline_run"].startswith("run-")


def found_nothing_new() -> None:
    """Each run has its own word for it: none is overwritten."""
    for number in range(RUNS):
        records.leave(PipelineRun(NAME, f"night-{number}"), "detect", {"changed": False})
    for number in range(RUNS):
        told = notify(NotifySettings(NAME, "RUNNING", f"night-{number}")).told
        assert told == "nothing has changed: there is nothing to tell"
