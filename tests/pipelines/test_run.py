"""The whole pipeline as a user runs it: the command in a process of its own, on a model made on the spot.

The first run, and one that is interrupted, begin as a user's do; the others are forked from a Python that has imported
what takes seconds.
"""

import json
import os
import re
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import boto3
import pytest
import yaml

from components.shared import tasks
from components.shared.artifacts.artifact import open_artifact
from tests.backbones import make_broken_bert
from tests.conftest import NUMBERS, s3_environment, write_csv
from tests.pythons import quick_python
from tests.servers import s3_server, serving

SECRET = "a-secret-key-that-nobody-may-see"


def graft(
    *arguments: str, folder: Path, environment: Mapping[str, str] | None = None, python: str = ""
) -> "subprocess.CompletedProcess[str]":
    command = [python or quick_python(), "-m", "pipelines.command.cli", *arguments]
    return subprocess.run(
        command, cwd=folder, env={**os.environ, **(environment or {})}, capture_output=True, text=True, timeout=300
    )


def write_job(path: Path, source: str, backbone: str, **changes: Any) -> Path:
    data = {"source": source, "inputs": ["text"], "label": "topic"}
    job = {"model": "topics", "task": "text-classification", "data": data, "backbone": backbone, "training": NUMBERS}
    job["strategy"] = "full"
    path.write_text(yaml.safe_dump({**job, **changes}))
    return path


def sample_csv(path: Path, count: int = 400) -> Path:
    rows = tasks.get("text-classification").sample(count, seed=1)
    return write_csv(path, [{"text": row["input_1"], "topic": row["label"]} for row in rows])


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory, backbone: Path) -> tuple[Path, Any]:
    """A folder in which a job was run, and what the command printed."""
    folder = tmp_path_factory.mktemp("run")
    sample_csv(folder / "data/topics.csv")
    write_job(folder / "job.yaml", "data", str(backbone))
    return folder, graft("run", "job.yaml", "--json", "result.json", folder=folder, python=sys.executable)


def test_a_run_ends_with_a_table_a_version_and_a_page(finished: tuple[Path, Any]) -> None:
    folder, done = finished
    assert done.returncode == 0, done.stderr
    assert re.search(r"^ *topics +[01]\.\d{4} +[01]\.\d{4}", done.stdout, re.MULTILINE)
    assert "version  topics 1 @challenger" in done.stdout
    page = re.search(r"page +(\S+)", done.stdout)
    assert page is not None
    assert (folder / page[1]).read_text().lstrip().lower().startswith("<!doctype html>")
    assert [line.split()[0] for line in done.stderr.splitlines() if " done in " in line] == [
        "ingest",
        "transform",
        "finetune",
        "evaluate",
        "register",
        "promote",
    ]
    assert "KFP Executor" not in done.stdout + done.stderr


def test_the_result_is_written_as_json(finished: tuple[Path, Any]) -> None:
    result = json.loads((finished[0] / "result.json").read_text())
    assert (result["model"], result["version"], result["aliases"]) == ("topics", "1", ["challenger"])
    assert result["metrics"]["accuracy"] > 0.9
    assert set(result["baselines"]) == {
        "Majority class",
        "SVM on words",
        "Logistic regression on words",
        "SVM on characters",
    }
    assert result["promoted"] is False
    assert set(result["seconds"]) == {"ingest", "transform", "finetune", "evaluate", "register", "promote", "total"}
    for kind, path in result["artifacts"].items():
        assert open_artifact(Path(path), kind).digest
    version = open_artifact(Path(result["artifacts"]["version"]), "version")
    assert set(version.inputs) == {"snapshot", "features", "model", "evaluation"}


def test_everything_is_under_the_root_and_nothing_else_is_left(finished: tuple[Path, Any]) -> None:
    folder, _ = finished
    assert {path.name for path in folder.iterdir()} == {"data", "job.yaml", "result.json", ".graft"}
    assert not list(folder.glob(".graft/runs/*/scratch-*"))


def test_the_model_can_be_listed_shown_and_asked(finished: tuple[Path, Any]) -> None:
    folder, _ = finished
    listed = graft("models", "list", folder=folder)
    assert "topics" in listed.stdout
    assert "challenger → 1" in listed.stdout
    shown = graft("models", "show", "topics", folder=folder)
    assert "topics 1 @challenger" in shown.stdout
    asked = graft("predict", "topics", "salt in the soup and a knife by the pan", folder=folder)
    assert asked.returncode == 0, asked.stderr
    answer = json.loads(asked.stdout)
    assert answer["label"] == "kitchen"
    assert answer["confidence"] == max(answer["probabilities"].values())


def test_a_file_of_rows_can_be_asked(finished: tuple[Path, Any]) -> None:
    folder, _ = finished
    rows = tasks.get("text-classification").sample(30, seed=9)
    write_csv(folder / "data/new.csv", [{"text": row["input_1"]} for row in rows])
    asked = graft("predict", "topics@challenger", "data/new.csv", folder=folder)
    (folder / "data/new.csv").unlink()
    labels = [json.loads(line)["label"] for line in asked.stdout.splitlines()]
    assert sum(label == row["label"] for label, row in zip(labels, rows, strict=True)) > 25


def again(folder: Path, *options: str) -> tuple[dict[str, Any], set[str]]:
    """Runs the job again; returns its result, and the steps that took what was made before."""
    done = graft("run", "job.yaml", "--json", "again.json", *options, folder=folder)
    assert done.returncode == 0, done.stderr
    taken = {line.split()[0] for line in done.stderr.splitlines() if re.search(r" done in .*, taken from run 20", line)}
    result: dict[str, Any] = json.loads((folder / "again.json").read_text())
    (folder / "again.json").unlink()
    return result, taken


def test_the_same_job_trains_nothing_and_gives_the_same_digests_and_no_second_version(
    finished: tuple[Path, Any],
) -> None:
    folder, _ = finished
    first = json.loads((folder / "result.json").read_text())
    second, taken = again(folder)
    assert taken == {"transform", "finetune"}
    assert second["seconds"]["finetune"] < first["seconds"]["finetune"] / 2
    for kind in ("snapshot", "features", "model"):
        digests = {open_artifact(Path(result["artifacts"][kind]), kind).digest for result in (first, second)}
        assert len(digests) == 1, kind
    weights = [Path(result["artifacts"]["model"]) / "model.safetensors" for result in (first, second)]
    assert weights[0].samefile(weights[1])  # no second copy
    assert second["version"] == "1"


@pytest.mark.slow  # a whole run once more
def test_a_copied_root_works_by_itself_and_nothing_is_written_to_where_it_was(finished: tuple[Path, Any]) -> None:
    folder, _ = finished
    before = {path: path.lstat().st_mtime_ns for path in (folder / ".graft").rglob("*")}
    shutil.copytree(folder / ".graft", folder / "copied")
    asked = graft("predict", "topics", "salt in the soup and a knife by the pan", "--root", "copied", folder=folder)
    assert json.loads(asked.stdout)["label"] == "kitchen"
    changed = ("--root", "copied", "--set", "training.seed=8")
    done = graft("run", "job.yaml", *changed, "--json", "copied.json", folder=folder)
    assert done.returncode == 0, done.stderr
    assert {line.split()[0] for line in done.stderr.splitlines() if ", taken from run 20" in line} == {"transform"}
    shown = graft("models", "show", "topics", "--root", "copied", folder=folder)
    assert "topics 2 @challenger" in shown.stdout
    assert len(list((folder / "copied/mlflow-artifacts").glob("*/*/artifacts/model"))) == 2
    assert {path: path.lstat().st_mtime_ns for path in (folder / ".graft").rglob("*")} == before
    shutil.rmtree(folder / "copied")
    (folder / "copied.json").unlink()


def test_one_byte_of_one_row_is_enough_to_train_again(finished: tuple[Path, Any]) -> None:
    folder, _ = finished
    header, first, *rest = (folder / "data/topics.csv").read_text().splitlines()
    (folder / "data/topics.csv").write_text("\n".join([header, first.replace(",", ".,"), *rest]) + "\n")
    changed, taken = again(folder)
    assert taken == set()
    assert changed["version"] == "2"


IMAGES = {
    "model": "shapes",
    "task": "image-classification",
    "data": {"source": "shapes"},
    "backbone": "random:timm/resnet10t",
    "backbone_args": {"img_size": 32, "stem_width": 8, "channels": [8, 8, 16, 32]},
    "strategy": "full",
    "training": {**NUMBERS, "epochs": 6, "learning_rate": 1e-2, "crop_scale": 0.8},
}


def write_shapes(folder: Path, count: int, seed: int) -> Path:
    """Writes PNG files of discs and crosses, a folder a class; returns the folder."""
    for number, row in enumerate(tasks.get("image-classification").sample(count, seed)):
        (folder / row["label"]).mkdir(parents=True, exist_ok=True)
        (folder / row["label"] / f"{number:03}.png").write_bytes(row["input_1"])
    return folder


@pytest.fixture(scope="module")
def images(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Any]:
    """A folder in which a job on images was run, from scratch, and what the command printed."""
    folder = tmp_path_factory.mktemp("images")
    write_shapes(folder / "shapes", 240, seed=1)
    (folder / "job.yaml").write_text(yaml.safe_dump(IMAGES))
    return folder, graft("run", "job.yaml", "--json", "result.json", folder=folder)


def test_a_job_on_images(images: tuple[Path, Any]) -> None:
    folder, done = images
    assert done.returncode == 0, done.stderr
    result = json.loads((folder / "result.json").read_text())
    assert (result["model"], result["version"], result["aliases"]) == ("shapes", "1", ["challenger"])
    assert result["metrics"]["accuracy"] > 0.8
    assert set(result["baselines"]) == {"Majority class", "SVM on HOG", "SVM on pixels", "Nearest class mean"}
    assert result["transfer"] is None
    assert "data:image/png" in Path(folder, result["report"]).read_text()  # the page shows pictures
    settings = open_artifact(Path(result["artifacts"]["model"]), "model").settings
    assert settings["backbone_args"] == IMAGES["backbone_args"]
    assert isinstance(settings["backbone_args"]["img_size"], int)


def test_an_image_model_is_asked_with_files_and_folders(images: tuple[Path, Any]) -> None:
    folder, _ = images
    write_shapes(folder / "new", 30, seed=9)
    files = sorted(path.relative_to(folder) for path in folder.glob("new/*/*.png"))
    asked = graft("predict", "shapes", str(files[0]), "new", folder=folder)
    assert asked.returncode == 0, asked.stderr
    first, *rest = (json.loads(line) for line in asked.stdout.splitlines())
    assert first == rest[0]
    assert [row["input"] for row in rest] == [str(file) for file in files]
    assert sum(row["label"] == Path(row["input"]).parent.name for row in rest) > 24


def test_a_sweep_goes_on_from_a_registered_model_and_tells_whether_that_helped(images: tuple[Path, Any]) -> None:
    """The alias is resolved once, before the steps: the registry may move it while they run."""
    folder, _ = images
    write_shapes(folder / "few", 80, seed=3)
    job = {key: value for key, value in IMAGES.items() if key != "backbone_args"}
    job |= {"model": "few-shapes", "data": {"source": "few"}, "backbone": "models:/shapes@challenger"}
    job |= {"strategy": ["probe", "full"], "evaluation": {"transfer_check": True}}
    (folder / "few.yaml").write_text(yaml.safe_dump(job))
    done = graft("run", "few.yaml", "--json", "few.json", folder=folder)
    assert done.returncode == 0, done.stderr
    result = json.loads((folder / "few.json").read_text())
    assert result["transfer"]["verdict"] in ("positive", "none shown", "negative")
    assert result["transfer"]["sentence"] in done.stdout.splitlines()
    assert {arm["name"] for arm in result["transfer"]["arms"]} == {"probe, pretrained", "probe, random", "from scratch"}
    model = open_artifact(Path(result["artifacts"]["model"]), "model")
    features = open_artifact(Path(result["artifacts"]["features"]), "features")
    assert model.settings["backbone"] == features.settings["backbone"] == "models:/shapes/1"
    sweep = model.read_json("notes/history.json")["sweep"]
    assert [row["strategy"] for row in sweep] == ["probe", "full"]
    assert [row["kept"] for row in sweep].count(True) == 1


def test_on_s3_and_a_real_mlflow_server(tmp_path: Path, backbone: Path) -> None:
    """Data, backbone and the registry's artifacts in object storage; the registry behind HTTP."""
    with s3_server() as endpoint:
        credentials = {**s3_environment(endpoint), "AWS_SECRET_ACCESS_KEY": SECRET}
        client = boto3.client("s3", endpoint_url=endpoint, aws_access_key_id="key", aws_secret_access_key=SECRET)
        client.create_bucket(Bucket="bucket")
        sample_csv(tmp_path / "topics.csv")
        client.upload_file(str(tmp_path / "topics.csv"), "bucket", "raw/topics.csv")
        for file in backbone.iterdir():
            client.upload_file(str(file), "bucket", f"backbones/tiny/{file.name}")
        job = write_job(tmp_path / "job.yaml", "s3://bucket/raw", "s3://bucket/backbones/tiny")
        server = {**credentials, "MLFLOW_S3_ENDPOINT_URL": endpoint}
        store = [
            "--backend-store-uri",
            f"sqlite:///{tmp_path}/mlflow.db",
            "--artifacts-destination",
            "s3://bucket/mlflow",
        ]
        with serving(["server", *store, "--workers", "1"], tmp_path, environment=server) as address:
            environment = {**credentials, "MLFLOW_TRACKING_URI": address}
            done = graft("run", str(job), "--json", "result.json", folder=tmp_path, environment=environment)
            assert done.returncode == 0, done.stderr
            listed = client.list_objects_v2(Bucket="bucket", Prefix="mlflow/")["Contents"]
            assert any(item["Key"].endswith("model.safetensors") for item in listed)
            asked = graft("predict", "topics", "sail and mast on the deck", folder=tmp_path, environment=environment)
            assert json.loads(asked.stdout)["label"] == "ship", asked.stderr
    text = "".join(path.read_text(errors="ignore") for path in (tmp_path / ".graft").rglob("*") if path.is_file())
    assert SECRET not in text + done.stdout + done.stderr


class TestBadInput:
    """Exit code 2, one message that names the mend, no traceback, no version."""

    def refuse(self, folder: Path, message: str, *changes: str, environment: Mapping[str, str] | None = None) -> None:
        settings = [part for change in changes for part in ("--set", change)]
        done = graft("run", "job.yaml", *settings, folder=folder, environment=environment)
        assert done.returncode == 2, done.stderr
        assert re.search(message, done.stderr), done.stderr
        assert "Traceback" not in done.stdout + done.stderr
        assert not list(folder.glob(".graft/reports/*"))

    @pytest.fixture
    def folder(self, tmp_path: Path, backbone: Path) -> Path:
        sample_csv(tmp_path / "data/topics.csv")
        write_job(tmp_path / "job.yaml", "data", str(backbone))
        return tmp_path

    def test_misspelt_field(self, folder: Path) -> None:
        self.refuse(folder, "training.epoch: there is no such field.*Did you mean 'epochs'", "training.epoch=1")

    def test_unknown_task(self, folder: Path) -> None:
        message = "task: found 'translation'; allowed: 'image-classification', 'image-multi-label-"
        self.refuse(folder, message, "task=translation")

    def test_unknown_backbone(self, folder: Path) -> None:
        self.refuse(folder, "transform: There is no backbone at './nowhere'", "backbone=./nowhere")

    def test_backbone_that_the_registry_does_not_have(self, folder: Path) -> None:
        self.refuse(folder, "graft: The registry has no model 'nobody'", "backbone=models:/nobody@champion")
        assert not (folder / ".graft/runs").exists()  # no step has begun

    def test_unknown_column(self, folder: Path) -> None:
        self.refuse(folder, "ingest: topics.csv has no column 'txt'.*Did you mean 'text'", "data.inputs=[txt]")

    def test_missing_data(self, folder: Path) -> None:
        self.refuse(folder, "There is no file or folder 'nowhere'", "data.source=nowhere")

    def test_bucket_that_does_not_exist(self, folder: Path) -> None:
        with s3_server() as endpoint:
            environment = s3_environment(endpoint)
            self.refuse(folder, "The bucket of s3://no", "data.source=s3://no", environment=environment)

    def test_loss_that_is_no_number(self, folder: Path) -> None:
        make_broken_bert(folder / "broken")
        self.refuse(folder, "finetune: The loss is no longer a number at step 1", "backbone=./broken")


def test_a_root_that_cannot_be_made_is_a_failure_of_the_machine(tmp_path: Path, backbone: Path) -> None:
    write_job(tmp_path / "job.yaml", "data", str(backbone))
    done = graft("run", "job.yaml", "--root", "job.yaml/root", folder=tmp_path)
    assert done.returncode == 1
    assert "Not a directory" in done.stderr
    assert "Traceback" not in done.stderr


def test_a_path_with_python3_in_it_reaches_the_steps(tmp_path: Path, backbone: Path) -> None:
    """kfp's runner replaces "python3" by the interpreter, wherever it stands in a task's arguments."""
    sample_csv(tmp_path / "lib/python3.11/topics.csv", 100)
    write_job(tmp_path / "job.yaml", "lib/python3.11", "./nowhere")
    done = graft("run", "job.yaml", folder=tmp_path)
    assert "ingest done" in done.stderr
    assert "transform: There is no backbone" in done.stderr


def interrupt_training(folder: Path, backbone: Path, *options: str) -> None:
    """Runs a job in a folder, presses Ctrl-C once it trains, and looks at how the command ends."""
    sample_csv(folder / "data/topics.csv")
    write_job(folder / "job.yaml", "data", str(backbone), training={**NUMBERS, "epochs": 5000, "patience": 5000})
    before = signal.signal(signal.SIGINT, signal.default_int_handler)  # under nohup, children would take no SIGINT
    process = subprocess.Popen(
        [sys.executable, "-m", "pipelines.command.cli", "run", "job.yaml", *options],
        cwd=folder, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
    )  # fmt: skip
    signal.signal(signal.SIGINT, before)
    try:
        end = time.monotonic() + 120
        while not any("epoch 1:" in log.read_text() for log in folder.glob(".graft/runs/*/log.txt")):
            assert time.monotonic() < end, "training never began"
            assert process.poll() is None, process.communicate()
            time.sleep(0.2)
        process.send_signal(signal.SIGINT)
        output, errors = process.communicate(timeout=60)
    finally:
        process.kill()
    assert process.returncode == 130
    assert "Traceback" not in output + errors
    assert not list(folder.glob(".graft/runs/*/*/finetune/model"))


def test_ctrl_c_in_training_leaves_nothing_registered(tmp_path: Path, backbone: Path) -> None:
    interrupt_training(tmp_path, backbone)
    listed = graft("models", "list", folder=tmp_path)
    assert "The registry holds no model yet" in listed.stdout
    assert not any("components.finetune" in line or "executor_main" in line for line in processes_of(tmp_path))


def processes_of(folder: Path) -> list[str]:
    """Returns the command lines of all processes that work in a folder."""
    found = []
    for path in Path("/proc").glob("[0-9]*"):
        try:
            if (path / "cwd").resolve() == folder:
                found.append((path / "cmdline").read_text().replace("\0", " "))
        except OSError:
            continue
    return found
