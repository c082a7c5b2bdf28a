"""Small real artifacts, made on the spot once a session: no test needs a network or a weight that is not here."""

import csv
import os
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

os.environ |= {
    "OMP_NUM_THREADS": "1",  # tiny models: threads would only wait for each other
    "HF_HUB_OFFLINE": "1",
    "TOKENIZERS_PARALLELISM": "true",
    "MLFLOW_DISABLE_TELEMETRY": "true",
    "DO_NOT_TRACK": "true",
    "MPLBACKEND": "agg",
}
for name in ("MLFLOW_TRACKING_URI", "AWS_ENDPOINT_URL_S3", "AWS_PROFILE", "GRAFT_NOTIFY_URL"):
    os.environ.pop(name, None)

# What libraries leave in the temporary folder goes with the session, in the tests' own child processes too.
SCRATCH = tempfile.mkdtemp(prefix="graft-tests-")
os.environ["TMPDIR"] = tempfile.tempdir = SCRATCH
os.environ["HYPOTHESIS_STORAGE_DIRECTORY"] = f"{SCRATCH}/hypothesis"
os.environ.setdefault("GRAFT_TESTS", f"{os.getpid()}:{SCRATCH}")  # all workers', and the process that ends last

import hypothesis
import pytest

from components.ingest.ingest import IngestSettings, ingest
from components.shared import tasks
from components.shared.storage import s3 as store
from components.transform.transform import TransformSettings, transform
from tests import disks, workers
from tests.backbones import make_bert
from tests.servers import s3_server

NUMBERS = {"epochs": 4, "learning_rate": 2e-3, "batch_size": 16, "seed": 50, "precision": "float32", "layer_decay": 1.0}
TRAINING: dict[str, Any] = {"strategy": "full", **NUMBERS}

store._LONGEST_PAUSE = 0.02  # as many tries as ever, but no test waits for them

disks.wait_for_none()

# The same examples each time; none are kept.
hypothesis.settings.register_profile("graft", database=None, derandomize=True, deadline=None)
hypothesis.settings.load_profile("graft")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Sets what takes longest before the rest."""
    workers.longest_first(items)


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_auto_num_workers() -> int:
    """`--numprocesses auto`."""
    return workers.how_many()


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config: pytest.Config, log: Any) -> Any:
    """`--dist loadfile`."""
    return workers.by_file(config, log) if config.getoption("dist") == "loadfile" else None


def pytest_unconfigure() -> None:
    """Clears the temporary folder of the session."""
    shutil.rmtree(SCRATCH, ignore_errors=True)


@pytest.fixture(autouse=True)
def environment() -> Iterator[None]:
    """Takes back what a test leaves in the environment: the command leads MLflow to its root by it."""
    before = dict(os.environ)
    yield
    os.environ.clear()
    os.environ.update(before)


def write_csv(path: Path, rows: list[dict[str, str]]) -> Path:
    """Writes rows as CSV and returns the path."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, rows[0])
        writer.writeheader()
        writer.writerows(rows)
    return path


def pairs(count: int) -> list[dict[str, str]]:
    """Pairs of sample texts, one of each class: which comes first?"""
    rows = tasks.get("text-classification").sample(2 * count, seed=3)
    made = []
    for number in range(0, 2 * count, 2):
        first, second = (rows[number], rows[number + 1])[:: 1 if number % 4 else -1]
        made.append({"left": first["input_1"], "right": second["input_1"], "label": f"{first['label']} first"})
    return made


@pytest.fixture(scope="session")
def backbone(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A BERT of 2 layers and 32 dimensions, with a tokenizer, in transformers' layout."""
    return make_bert(tmp_path_factory.mktemp("backbone"))


def make_snapshot(folder: Path, rows: list[dict[str, str]], inputs: list[str], label: str) -> Path:
    """Ingests rows into `folder/snapshot`."""
    source = write_csv(folder / "data.csv", rows)
    ingest(folder / "snapshot", IngestSettings(str(source), inputs, label))
    return folder / "snapshot"


def make_features(snapshot: Path, backbone: Path) -> Path:
    """Transforms a snapshot into features beside it."""
    transform(snapshot, snapshot.parent / "features", TransformSettings(str(backbone)))
    return snapshot.parent / "features"


def make_model(features: Path, backbone: Path, **training: Any) -> Path:
    """Trains a model on features, beside them."""
    from components.finetune.finetune import finetune
    from components.finetune.settings import FinetuneSettings

    finetune(features, features.parent / "model", FinetuneSettings(str(backbone), **{**TRAINING, **training}))
    return features.parent / "model"


@pytest.fixture(scope="session")
def snapshot(tmp_path_factory: pytest.TempPathFactory) -> Path:
    sample = tasks.get("text-classification").sample(400, seed=1)
    rows = [{"text": row["input_1"], "topic": row["label"]} for row in sample]
    return make_snapshot(tmp_path_factory.mktemp("single"), rows, ["text"], "topic")


@pytest.fixture(scope="session")
def features(snapshot: Path, backbone: Path) -> Path:
    return make_features(snapshot, backbone)


@pytest.fixture(scope="session")
def model(features: Path, backbone: Path) -> Path:
    return make_model(features, backbone)


@pytest.fixture(scope="session")
def pair_snapshot(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_snapshot(tmp_path_factory.mktemp("pair"), pairs(400), ["left", "right"], "label")


@pytest.fixture(scope="session")
def pair_features(pair_snapshot: Path, backbone: Path) -> Path:
    return make_features(pair_snapshot, backbone)


@pytest.fixture(scope="session")
def pair_model(pair_features: Path, backbone: Path) -> Path:
    return make_model(pair_features, backbone, epochs=15, patience=15)


@pytest.fixture(scope="session")
def empty_database(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An MLflow store without anything in it; making one takes seconds, copying it does not."""
    from mlflow.store.tracking.sqlalchemy_store import SqlAlchemyStore

    folder = tmp_path_factory.mktemp("mlflow")
    SqlAlchemyStore(f"sqlite:///{folder / 'mlflow.db'}", str(folder / "artifacts")).engine.dispose()
    return folder / "mlflow.db"


@pytest.fixture
def registry(tmp_path: Path, empty_database: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """A fresh MLflow store in a SQLite file; its artifacts lie beside it."""
    shutil.copyfile(empty_database, tmp_path / "mlflow.db")
    uri = f"sqlite:///{tmp_path / 'mlflow.db'}"
    monkeypatch.setenv("MLFLOW_TRACKING_URI", uri)
    monkeypatch.chdir(tmp_path)  # where MLflow's default puts artifacts: ./mlruns
    return uri


@pytest.fixture
def s3(monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    """A client of an S3 endpoint over HTTP with a bucket "bucket"; the environment leads to it."""
    import boto3

    with s3_server() as address:
        for name, value in s3_environment(address).items():
            monkeypatch.setenv(name, value)
        client = boto3.client("s3")
        client.create_bucket(Bucket="bucket")
        yield client


def s3_environment(address: str) -> dict[str, str]:
    """Returns the environment that leads boto3 to an endpoint."""
    return {
        "AWS_ENDPOINT_URL_S3": address,
        "AWS_ACCESS_KEY_ID": "key",
        "AWS_SECRET_ACCESS_KEY": "secret",
        "AWS_DEFAULT_REGION": "us-east-1",
    }
