"""Secrets that are planted in the environment come to light nowhere: not in what is told, nor in anything that is kept.

Looked through are the output, every file below the working directory (logs, manifests, pages, kfp's files, MLflow's
database and artifacts, compiled pipelines), after a run that succeeds and after those that fail in all sorts of places.
"""

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml

from tests.conftest import NUMBERS, write_csv
from tests.pipelines.clusters import JOB
from tests.pipelines.test_deployment import DEPLOYMENT
from tests.servers import file_server, free_port

pytestmark = pytest.mark.faults

MARK = "S3CR3T"
SECRETS = {
    "AWS_SECRET_ACCESS_KEY": f"{MARK}-aws/key+x",
    "AWS_SESSION_TOKEN": f"{MARK}-session",
    "HF_TOKEN": f"hf_{MARK}aaaaaaaaaaaaaaaaaaaaaa",
    "MLFLOW_TRACKING_PASSWORD": f"{MARK}-mlflow",
    "MLFLOW_TRACKING_TOKEN": f"{MARK}-token",
    "GRAFT_KFP_TOKEN": f"{MARK}-kubeflow",
    "GRAFT_SQL_PASSWORD": f"{MARK}-database",
    "MY_API_KEY": f"{MARK}-of-mine",
}


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory, backbone: Path) -> Path:
    made = tmp_path_factory.mktemp("secrets")
    rows = [{"text": f"{number} old {('pan', 'mast')[number % 2]}", "label": "xy"[number % 2]} for number in range(120)]
    write_csv(made / "data.csv", rows)
    job = {
        "model": "topics", "task": "text-classification", "backbone": str(backbone), "strategy": "probe",
        "data": {"source": "data.csv", "inputs": ["text"], "label": "label"}, "training": NUMBERS,
    }  # fmt: skip
    (made / "job.yaml").write_text(yaml.safe_dump(job))
    cluster = {**DEPLOYMENT, "secrets": {name: {"secret": "s", "key": "k"} for name in ("HF_TOKEN", "MY_API_KEY")}}
    (made / "cluster.yaml").write_text(yaml.safe_dump(cluster))
    return made


@pytest.fixture(scope="module")
def refusing() -> Iterator[str]:
    """A store that refuses everybody, and repeats what it was sent."""
    body = f"<Error><Code>AccessDenied</Code><Message>no {MARK}-session for you</Message></Error>".encode()
    with file_server({"/bucket": (403, {"Content-Type": "application/xml"}, body)}) as address:
        yield address


def graft(folder: Path, *arguments: str, **environment: str) -> "subprocess.CompletedProcess[str]":
    command = [sys.executable, "-m", "pipelines.command.cli", *arguments]
    variables = {**os.environ, **SECRETS, "AWS_ACCESS_KEY_ID": "key", "AWS_DEFAULT_REGION": "us-east-1"}
    variables |= {"GRAFT_PATIENCE": "0", **environment}  # what is away, is not waited for
    return subprocess.run(command, cwd=folder, env=variables, capture_output=True, text=True, timeout=300)


def leaks(folder: Path, done: "subprocess.CompletedProcess[str]") -> list[str]:
    """Returns where a secret came to light."""
    found = [name for name in ("stdout", "stderr") if MARK in getattr(done, name)]
    files = (path for path in folder.rglob("*") if path.is_file())
    return found + [str(path) for path in files if MARK.encode() in path.read_bytes()]


def test_nor_by_a_run_that_succeeds(folder: Path) -> None:
    done = graft(folder, "run", "job.yaml", "--json", "result.json")
    assert done.returncode == 0, done.stderr
    assert list(folder.rglob("mlflow.db"))
    assert list(folder.rglob("report.html"))
    assert leaks(folder, done) == []


def test_nor_by_a_compiled_package(folder: Path) -> None:
    done = graft(folder, "compile", str(JOB), "--deployment", "cluster.yaml", "-o", "pipeline.yaml")
    assert done.returncode == 0, done.stderr
    assert "HF_TOKEN" in (folder / "pipeline.yaml").read_text()
    assert leaks(folder, done) == []


@pytest.mark.parametrize(
    "case",
    ["store refuses", "store away", "registry away", "database away", "proxy away", "backbone", "column", "doctor"],
)
def test_nor_by_what_fails(folder: Path, refusing: str, case: str) -> None:
    away = f"127.0.0.1:{free_port()}"
    change, environment = {
        "store refuses": ("data.source=s3://bucket/data", {"AWS_ENDPOINT_URL_S3": refusing}),
        "store away": (
            "data.source=s3://bucket/data", {"AWS_ENDPOINT_URL_S3": f"http://user:{MARK}-in/it@{away}"}
        ),
        "registry away": ("seed=1", {"MLFLOW_TRACKING_URI": f"http://user:{MARK}@pass@{away}"}),
        "database away": (f"data.source=postgresql://user:{MARK}-db@{away}/x?table=y", {}),
        "proxy away": ("backbone=a/b", {"HTTPS_PROXY": f"http://user:{MARK}-proxy@{away}", "HF_HUB_OFFLINE": "0"}),
        "backbone": ("backbone=./nowhere", {}),
        "column": ("data.label=nolabel", {}),
        "doctor": ("", {"MLFLOW_TRACKING_URI": f"http://user:{MARK}-pass@{away}", "AWS_ENDPOINT_URL_S3": refusing}),
    }[case]  # fmt: skip
    change = "training.seed=1" if change == "seed=1" else change
    command = ["doctor", "job.yaml"] if case == "doctor" else ["run", "job.yaml", "--set", change]
    done = graft(folder, *command, **environment, MLFLOW_HTTP_REQUEST_MAX_RETRIES="1")
    assert done.returncode in (1, 2), done.stdout
    assert "Traceback" not in done.stderr
    assert leaks(folder, done) == []
