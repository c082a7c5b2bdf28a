"""Cases 8 and 20: a registry that is away, busy, or whose answers get lost; a step that is done twice."""

import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from components.finetune.finetune import finetune
from components.finetune.settings import FinetuneSettings
from components.register.register import RegisterSettings, register
from components.shared import prediction
from components.shared.errors import ServiceError
from components.shared.registry import registry as models
from components.shared.registry import tracking
from components.shared.storage import patience
from tests.components.register.evaluations import write_evaluation
from tests.conftest import TRAINING
from tests.faults.proxy import Faults, proxy
from tests.servers import serving

PAUSES = {name: getattr(patience, name) for name in ("_FIRST_PAUSE", "_LONGEST_PAUSE")}

pytestmark = [pytest.mark.faults, pytest.mark.case(8, 20)]


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory, empty_database: Path) -> Iterator[str]:
    """A real MLflow server with a store of its own; the models' files go through it, too."""
    folder = tmp_path_factory.mktemp("server")
    (folder / "mlflow.db").write_bytes(empty_database.read_bytes())
    places = ["--backend-store-uri", f"sqlite:///{folder}/mlflow.db", "--artifacts-destination", str(folder / "files")]
    with serving(["server", *places, "--workers", "1"], folder) as address:
        yield address


@pytest.fixture
def mlflow(server: str, faults: Faults, monkeypatch: pytest.MonkeyPatch) -> Iterator[Faults]:
    """What becomes of the calls to it."""
    for name, value in {"MAX_RETRIES": "1", "BACKOFF_FACTOR": "0", "TIMEOUT": "10"}.items():
        monkeypatch.setenv(f"MLFLOW_HTTP_REQUEST_{name}", value)
    monkeypatch.setattr(patience, "_FIRST_PAUSE", 0.2)
    monkeypatch.setattr(patience, "_LONGEST_PAUSE", 0.5)
    with proxy(server, faults) as address:
        monkeypatch.setenv("MLFLOW_TRACKING_URI", address)
        yield faults


@pytest.fixture(scope="module")
def evaluation(model: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_evaluation(model, tmp_path_factory.mktemp("evaluation") / "evaluation")


def logged_metrics(run_id: str) -> dict[str, int]:
    """Returns how often each metric of a run was logged."""
    client = tracking.client()
    return {name: len(client.get_metric_history(run_id, name)) for name in client.get_run(run_id).data.metrics}


def test_away_for_a_minute(
    mlflow: Faults, model: Path, evaluation: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With the patience and the pauses of a step on a cluster."""
    monkeypatch.setenv("GRAFT_PATIENCE", patience.OF_A_RUN)
    for name, seconds in PAUSES.items():
        monkeypatch.setattr(patience, name, seconds)
    mlflow.down = True
    threading.Timer(60, lambda: setattr(mlflow, "down", False)).start()
    began = time.monotonic()
    report = register(model, evaluation, tmp_path / "version", RegisterSettings("minute"))
    assert time.monotonic() - began > 59
    assert (report.version, report.created) == ("1", True)


def test_away_while_training_opens_its_run(
    mlflow: Faults, features: Path, backbone: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("GRAFT_PATIENCE", "60")
    mlflow.down = True
    threading.Timer(6, lambda: setattr(mlflow, "down", False)).start()
    began = time.monotonic()
    report = finetune(features, tmp_path / "model", FinetuneSettings(str(backbone), **TRAINING, experiment="away"))
    assert time.monotonic() - began > 5
    client = tracking.client()
    run = client.get_run(report.run_id)
    assert run.info.status == "FINISHED"
    assert 0.05 < run.data.metrics["system/peak_memory_gib"] < 64
    for name in run.data.metrics:
        steps = [entry.step for entry in client.get_metric_history(report.run_id, name)]
        assert len(steps) == len(set(steps)), name
    assert len(client.get_metric_history(report.run_id, "validation/loss")) == TRAINING["epochs"]


def test_away_for_good_then_a_second_run_finishes(
    mlflow: Faults, model: Path, evaluation: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("GRAFT_PATIENCE", "3")
    files = 0

    def gone(method: str, path: str) -> bool:
        """From the third file of the model on."""
        nonlocal files
        files += method == "PUT"
        return files > 2

    mlflow.kinds, mlflow.rate, mlflow.on = ("reset",), 1.0, gone
    began = time.monotonic()
    with pytest.raises(ServiceError, match="failed while logging the model"):
        register(model, evaluation, tmp_path / "version", RegisterSettings("gone"))
    assert time.monotonic() - began < 60
    assert not (tmp_path / "version").exists()
    mlflow.rate = 0
    assert register(model, evaluation, tmp_path / "version", RegisterSettings("gone")).version == "1"
    assert prediction.load("gone").predict([("a mast by the harbour",)])[0]["label"] == "ship"


@pytest.mark.parametrize("kind", ["503", "reset", "lost"])
def test_a_busy_one_gets_one_version_and_no_metric_twice(
    mlflow: Faults, model: Path, evaluation: Path, tmp_path: Path, kind: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Even where what was asked for is done, and the answer lost: then the same value is at most written once more."""
    monkeypatch.setenv("GRAFT_PATIENCE", "60")
    mlflow.kinds, mlflow.rate = (kind,), 0.15
    for place in ("first", "second"):
        report = register(model, evaluation, tmp_path / place, RegisterSettings(f"busy-{kind}"))
    mlflow.rate = 0
    (version,) = models.show_model(f"busy-{kind}")
    assert (version.version, version.aliases) == (report.version, ["challenger"])
    counts = logged_metrics(version.run_id)
    assert counts
    assert set(counts.values()) <= ({1, 2} if kind == "lost" else {1})
    assert mlflow.broken
