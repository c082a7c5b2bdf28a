"""Whole runs with every step in a container of its image, as a user starts them: `make test-containers`."""

import json
import os
import time
from pathlib import Path
from typing import Any

import boto3
import docker
import pytest

from components.shared.artifacts.artifact import open_artifact
from components.shared.images import LIGHT, TRAINER
from tests.conftest import s3_environment
from tests.pipelines.test_run import SECRET, graft, interrupt_training, sample_csv, write_job
from tests.servers import s3_server, serving

pytestmark = pytest.mark.containers
DIGESTED = ("snapshot", "features", "model")


@pytest.fixture(scope="module")
def engine() -> Any:
    client = docker.from_env()
    yield client
    client.close()


@pytest.fixture(scope="module")
def results(tmp_path_factory: pytest.TempPathFactory, backbone: Path) -> dict[str, Any]:
    """The same job, run by both runners in a folder each."""
    told = {}
    for runner in ("subprocess", "docker"):
        folder = tmp_path_factory.mktemp(runner)
        sample_csv(folder / "data/topics.csv")
        write_job(folder / "job.yaml", "data", str(backbone))
        began = time.time()
        done = graft("run", "job.yaml", "--runner", runner, "--json", "result.json", folder=folder)
        assert done.returncode == 0, done.stderr
        result = json.loads((folder / "result.json").read_text())
        told[runner] = {"folder": folder, "log": done.stderr, "times": (began, time.time()), **result}
    return told


def test_the_same_job_and_seed_give_the_same_content(results: dict[str, Any]) -> None:
    one, other = (
        {kind: open_artifact(Path(result["artifacts"][kind]), kind).digest for kind in DIGESTED}
        for result in results.values()
    )
    assert one == other
    assert results["docker"]["metrics"] == results["subprocess"]["metrics"]
    assert results["docker"]["version"] == "1"


def test_the_same_job_again_trains_nothing_and_one_byte_is_enough_to_train(tmp_path: Path, backbone: Path) -> None:
    """The runs' folders are other mounts to a container than this run's: what is taken is copied there."""
    table = sample_csv(tmp_path / "data/topics.csv")
    write_job(tmp_path / "job.yaml", "data", str(backbone))

    def run() -> tuple[str, set[str]]:
        done = graft("run", "job.yaml", "--runner", "docker", "--json", "result.json", folder=tmp_path)
        assert done.returncode == 0, done.stderr
        taken = {line.split()[0] for line in done.stderr.splitlines() if ", taken from run 20" in line}
        path = json.loads((tmp_path / "result.json").read_text())["artifacts"]["model"]
        return open_artifact(Path(path), "model").digest, taken

    first, second = run(), run()
    assert first == (second[0], set())
    assert second[1] == {"transform", "finetune"}
    table.write_text(table.read_text().replace(",", ".,", 2).replace(".,", ",", 1))
    changed, taken = run()
    assert taken == set()
    assert changed != second[0]


def test_a_run_tells_its_steps_and_leaves_only_the_users_own_files(results: dict[str, Any], engine: Any) -> None:
    folder, log = results["docker"]["folder"], results["docker"]["log"]
    steps = [line.split()[0] for line in log.splitlines() if " done in " in line]
    assert steps == ["ingest", "transform", "finetune", "evaluate", "register", "promote"]
    assert {path.name for path in folder.iterdir()} == {"data", "job.yaml", "result.json", ".graft"}
    assert not list(folder.glob(".graft/runs/*/scratch-*"))
    owners = {(path.stat().st_uid, path.stat().st_gid) for path in folder.rglob("*")}
    assert owners == {(os.getuid(), os.getgid())}
    assert not [c for c in engine.containers.list(all=True) if {LIGHT, TRAINER} & set(c.image.tags)]


def test_a_model_made_in_containers_predicts_here(results: dict[str, Any]) -> None:
    asked = graft("predict", "topics", "salt in the soup and a knife by the pan", folder=results["docker"]["folder"])
    assert json.loads(asked.stdout)["label"] == "kitchen", asked.stderr


def test_each_step_ran_in_its_image(results: dict[str, Any], engine: Any) -> None:
    began, ended = results["docker"]["times"]
    events = list(engine.events(since=began, until=ended, filters={"type": "container", "event": "start"}, decode=True))
    assert [event["from"] for event in events] == [LIGHT, LIGHT, TRAINER, TRAINER, LIGHT, LIGHT]


def test_retraining_in_containers(tmp_path: Path, backbone: Path) -> None:
    """A first training, nothing new, and new data: that goes on from the champion, which a container loads."""

    def retrain() -> dict[str, Any]:
        done = graft("retrain", "job.yaml", "--runner", "docker", "--json", "result.json", folder=tmp_path)
        assert done.returncode == 0, done.stderr
        result: dict[str, Any] = json.loads((tmp_path / "result.json").read_text())
        return result

    sample_csv(tmp_path / "data/topics.csv")
    write_job(tmp_path / "job.yaml", "data", str(backbone), promotion={"must_beat_baseline": False, "min_gain": -0.5})
    assert retrain()["promoted"]
    again = retrain()
    assert (again["changed"], set(again["seconds"])) == (False, {"detect", "total"})
    sample_csv(tmp_path / "data/more.csv", 600)
    new = retrain()
    assert (new["version"], new["promoted"]) == ("2", True)
    assert open_artifact(Path(new["artifacts"]["model"]), "model").settings["backbone"] == "models:/topics/1"


def test_services_on_loopback_and_credentials_reach_the_steps(tmp_path: Path, backbone: Path) -> None:
    """Data and backbone in S3, MLflow behind HTTP; the secret is in no file and in no log."""
    with s3_server() as endpoint:
        credentials = {**s3_environment(endpoint), "AWS_SECRET_ACCESS_KEY": SECRET}
        client = boto3.client(
            "s3", endpoint_url=endpoint, aws_access_key_id="key", aws_secret_access_key=SECRET, region_name="us-east-1"
        )
        client.create_bucket(Bucket="bucket")
        client.upload_file(str(sample_csv(tmp_path / "topics.csv")), "bucket", "raw/topics.csv")
        for file in backbone.iterdir():
            client.upload_file(str(file), "bucket", f"backbones/tiny/{file.name}")
        job = write_job(tmp_path / "job.yaml", "s3://bucket/raw", "s3://bucket/backbones/tiny")
        store = ["--backend-store-uri", f"sqlite:///{tmp_path}/mlflow.db"]
        store += ["--artifacts-destination", "s3://bucket/mlflow"]
        server = {**credentials, "MLFLOW_S3_ENDPOINT_URL": endpoint}
        with serving(["server", *store, "--workers", "1"], tmp_path, environment=server) as address:
            environment = {**credentials, "MLFLOW_TRACKING_URI": address}
            done = graft("run", str(job), "--runner", "docker", folder=tmp_path, environment=environment)
            assert done.returncode == 0, done.stderr
        listed = client.list_objects_v2(Bucket="bucket", Prefix="mlflow/")["Contents"]
        assert any(item["Key"].endswith("model.safetensors") for item in listed)
    text = "".join(path.read_text(errors="ignore") for path in (tmp_path / ".graft").rglob("*") if path.is_file())
    assert "graft: finetune 100%" in text
    assert SECRET not in text + done.stdout + done.stderr


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ("data.inputs=[txt]", "graft: ingest: topics.csv has no column 'txt'.*Did you mean 'text'"),
        ("data.source=nowhere", "graft: ingest: There is no file or folder 'nowhere'"),
    ],
)
def test_what_a_step_refuses_is_told_as_by_a_process(tmp_path: Path, backbone: Path, change: str, message: str) -> None:
    sample_csv(tmp_path / "data/topics.csv")
    write_job(tmp_path / "job.yaml", "data", str(backbone))
    done = graft("run", "job.yaml", "--runner", "docker", "--set", change, folder=tmp_path)
    assert done.returncode == 2, done.stderr
    assert "Traceback" not in done.stderr
    with pytest.raises(AssertionError, match=message):
        raise AssertionError(done.stderr)


def test_ctrl_c_ends_the_container_and_leaves_nothing_half_done(tmp_path: Path, backbone: Path, engine: Any) -> None:
    interrupt_training(tmp_path, backbone, "--runner", "docker")
    assert not [c for c in engine.containers.list(all=True) if TRAINER in c.image.tags]
