"""Has the data changed? Each case is a source as it was when a version was trained, and as it is now."""

import json
import os
import random
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import mlflow
import pytest

from components.detect.detect import DetectReport, DetectSettings, detect
from components.ingest.ingest import IngestSettings, ingest
from components.shared.artifacts.artifact import open_artifact
from components.shared.artifacts.inventory import FOLDER
from components.shared.errors import InputError, ServiceError
from components.shared.registry import records
from components.shared.registry.records import PipelineRun
from tests.conftest import write_csv

NAME = "topics"
WORDS = {"sport": ["goal", "team", "match", "league", "coach"], "food": ["bread", "soup", "onion", "oven", "spoon"]}


def rows(count: int, seed: int = 0, labels: tuple[str, ...] = ("sport", "food")) -> list[dict[str, str]]:
    """Distinct texts of a few classes."""
    draw = random.Random(seed)
    made = []
    for number in range(count):
        label = labels[number % len(labels)]
        words = WORDS.get(label, [f"{label}{place}" for place in range(5)])
        made.append({"text": f"{' '.join(draw.choices(words, k=6))} {draw.randrange(10**9)}", "label": label})
    return made


def train(source: Path | str, scratch: Path, *aliases: str, **tags: str) -> str:
    """Registers a version that tells it was trained on a source, as `register` does; returns its number."""
    snapshot = scratch / f"snapshot-{len(list(scratch.glob('snapshot-*')))}"
    ingest(snapshot, IngestSettings(str(source), ["text"], "label"))
    client = mlflow.MlflowClient()
    run = client.create_run(mlflow.set_experiment(NAME).experiment_id).info.run_id
    client.log_artifacts(run, str(snapshot / FOLDER), "inventory")
    if not client.search_registered_models(f"name='{NAME}'"):
        client.create_registered_model(NAME)
    number = str(
        client.create_model_version(NAME, "somewhere", run, tags={"task": "text-classification", **tags}).version
    )
    for alias in aliases:
        client.set_registered_model_alias(NAME, alias, number)
    return number


@pytest.fixture
def look(tmp_path: Path, registry: str) -> Callable[..., DetectReport]:
    def run(source: Path | str, **settings: Any) -> DetectReport:
        given = {"inputs": ["text"], "label": "label", "model": NAME, "backbone": "some/backbone", **settings}
        shutil.rmtree(tmp_path / "changes", ignore_errors=True)
        return detect(tmp_path / "changes", DetectSettings(source=str(source), **given))

    return run


@pytest.fixture
def data(tmp_path: Path, registry: str) -> Path:
    """A folder of two files, that the champion was trained on."""
    write_csv(tmp_path / "data/a.csv", rows(200))
    write_csv(tmp_path / "data/b.csv", rows(200, seed=1))
    train(tmp_path / "data", tmp_path, "champion", "challenger")
    return tmp_path / "data"


def test_without_a_champion_it_is_the_first_training(tmp_path: Path, look: Any) -> None:
    write_csv(tmp_path / "data.csv", rows(100))
    found = look(tmp_path / "data.csv")
    assert found.changed
    assert found.summary["sentence"] == "There is no champion yet."
    assert (found.backbone, found.alternative, found.known) == ("some/backbone", "", "")
    assert found.summary["examples"] == {"before": 0, "after": 100, "new": 100, "changed": 0, "vanished": 0}


def test_nothing_new_is_told_without_reading_a_file(data: Path, look: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    def read(*_: Any) -> Any:
        raise AssertionError("a file was read")

    monkeypatch.setattr("components.shared.sources.source.read_parts", read)
    found = look(data)
    assert not found.changed
    assert found.summary["sentence"] == "Nothing has changed since version 1, the champion, was trained: 400 examples."
    told = json.loads((open_artifact(data.parent / "changes", "changes").file("changes.json")).read_text())
    assert told["changed"] is False
    assert told["champion"] == "1"


def test_each_run_writes_down_for_itself_whether_it_found_anything_new(data: Path, look: Any) -> None:
    """A notice would take it for a failure else; and runs of one model at once do not overwrite one another's."""

    def told(run: str) -> Any:
        return records.read(PipelineRun(NAME, run))["detect"]["changed"]

    for run in ("run-1", "run-2"):
        assert not look(data, pipeline_run=run).changed
    write_csv(data / "c.csv", rows(30, seed=2))
    assert look(data, pipeline_run="run-3").changed
    assert [told(run) for run in ("run-1", "run-2", "run-3")] == [False, False, True]


class TestNoChange:
    """The content decides, and nothing else."""

    def test_touched_files(self, data: Path, look: Any) -> None:
        os.utime(data / "a.csv")
        assert not look(data).changed

    def test_other_names_and_another_order(self, data: Path, tmp_path: Path, look: Any) -> None:
        content = rows(200) + rows(200, seed=1)
        random.Random(5).shuffle(content)
        write_csv(tmp_path / "elsewhere/all.csv", content[:150])
        (tmp_path / "elsewhere/more.jsonl").write_text("".join(json.dumps(row) + "\n" for row in content[150:]))
        found = look(tmp_path / "elsewhere")
        assert not found.changed
        assert found.summary["examples"]["after"] == 400

    def test_a_duplicate(self, data: Path, look: Any) -> None:
        write_csv(data / "c.csv", rows(10))
        assert not look(data).changed

    def test_a_contradicted_text_that_was_set_aside(self, tmp_path: Path, registry: str, look: Any) -> None:
        odd = [{"text": "is it both", "label": label} for label in ("sport", "food")]
        write_csv(tmp_path / "data/a.csv", rows(400))
        write_csv(tmp_path / "data/odd.csv", odd)
        train(tmp_path / "data", tmp_path, "champion")
        os.utime(tmp_path / "data/odd.csv")
        assert not look(tmp_path / "data").changed
        write_csv(tmp_path / "data/odd.csv", odd[:1])  # the contradiction is gone: now it is an example
        assert look(tmp_path / "data").summary["examples"]["new"] == 1


def test_new_relabelled_and_vanished_examples_are_counted(data: Path, look: Any) -> None:
    content = rows(200, seed=1)
    content[0]["label"] = "food"
    write_csv(data / "b.csv", content[:190] + rows(30, seed=2))
    found = look(data)
    assert found.changed
    assert found.summary["examples"] == {"before": 400, "after": 420, "new": 30, "changed": 1, "vanished": 10}
    assert found.summary["sentence"] == (
        "30 new, 1 relabelled, 10 gone of 420 examples since version 1, the champion, was trained."
    )
    assert (found.backbone, found.known) == (f"models:/{NAME}/1", f"models:/{NAME}/1")


@pytest.mark.case(12)
def test_new_and_vanished_labels_and_the_balance_are_told(data: Path, look: Any) -> None:
    write_csv(data / "a.csv", [row for row in rows(200) if row["label"] == "sport"])
    write_csv(data / "b.csv", rows(100, seed=3, labels=("music", "sport")))
    found = look(data).summary
    assert found["labels"] == {"new": ["music"], "vanished": ["food"]}
    assert {row["label"]: (row["before"], row["after"]) for row in found["classes"]} == {
        "sport": (200, 150), "music": (0, 50), "food": (200, 0)
    }  # fmt: skip
    assert found["balance"] == pytest.approx(0.5)
    assert "New labels: 'music'. Vanished labels: 'food'." in found["sentence"]


def test_drift_is_told_from_mere_growth(data: Path, look: Any) -> None:
    write_csv(data / "c.csv", rows(200, seed=4))
    alike = look(data).summary["drift"]
    assert alike["p_value"] > 0.01
    write_csv(data / "c.csv", rows(200, seed=4, labels=("music", "travel")))
    other = look(data).summary["drift"]
    assert other["score"] > 0.9
    assert other["p_value"] < 1e-6


def test_data_that_a_version_was_trained_on_is_not_trained_on_again(data: Path, tmp_path: Path, look: Any) -> None:
    write_csv(data / "c.csv", rows(50, seed=6))
    assert look(data).changed
    train(data, tmp_path, "challenger", decision="refuse")
    found = look(data)
    assert not found.changed
    assert "50 new of 450 examples" in found.summary["sentence"]
    assert found.summary["sentence"].endswith("Version 2 was trained on just this data already (refused).")
    assert look(data, force=True).changed
    write_csv(data / "d.csv", rows(10, seed=7))
    assert look(data).changed


def test_what_training_starts_from(data: Path, look: Any) -> None:
    champion = f"models:/{NAME}/1"
    assert look(data, start_from="backbone").backbone == "some/backbone"
    found = look(data, start_from="better")
    assert (found.backbone, found.alternative, found.known) == (champion, "some/backbone", champion)
    assert look(data, backbone=f"models:/{NAME}@champion", start_from="backbone").backbone == champion
    with pytest.raises(InputError, match="start_from is 'chamption'.*Did you mean 'champion'"):
        look(data, start_from="chamption")


def test_settings_that_read_the_data_otherwise_make_it_read_anew(data: Path, look: Any) -> None:
    found = look(data, max_characters=30)
    assert found.changed
    assert found.summary["examples"]["vanished"] > 0
    assert found.summary["rejected"] > 0


def test_a_champion_that_tells_nothing_of_its_data(tmp_path: Path, registry: str, look: Any) -> None:
    write_csv(tmp_path / "data.csv", rows(100))
    client = mlflow.MlflowClient()
    run = client.create_run("0").info.run_id
    client.create_registered_model(NAME)
    client.create_model_version(NAME, "somewhere", run)
    client.set_registered_model_alias(NAME, "champion", "1")
    found = look(tmp_path / "data.csv")
    assert found.changed
    assert "does not tell what it was trained on" in found.summary["sentence"]


def test_a_champion_whose_version_was_deleted_is_none(data: Path, look: Any) -> None:
    mlflow.MlflowClient().delete_model_version(NAME, "1")
    found = look(data)
    assert (found.changed, found.known) == (True, "")
    assert found.summary["sentence"] == "There is no champion yet."


def test_a_registry_that_is_down_is_no_first_training(data: Path, look: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "http://127.0.0.1:9")
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "0")
    mlflow.set_tracking_uri(None)
    with pytest.raises(ServiceError, match="MLflow at http://127.0.0.1:9 failed"):
        look(data)


def test_of_object_storage_only_new_objects_are_read(tmp_path: Path, registry: str, look: Any, s3: Any) -> None:
    for number in range(5):
        path = write_csv(tmp_path / f"{number}.csv", rows(40, seed=number))
        s3.upload_file(str(path), "bucket", f"data/{number}.csv")
    train("s3://bucket/data", tmp_path, "champion")
    s3.upload_file(str(tmp_path / "0.csv"), "bucket", "data/0.csv")  # the same bytes once more
    s3.upload_file(str(write_csv(tmp_path / "new.csv", rows(20, seed=9))), "bucket", "data/5.csv")
    read: list[str] = []
    with pytest.MonkeyPatch.context() as patch:
        from components.shared.storage import objects

        head = objects._head
        patch.setattr(objects, "_head", lambda pair: (read.append(pair[0]), head(pair))[1])
        found = look("s3://bucket/data")
    assert read == ["s3://bucket/data/5.csv"]
    assert found.summary["examples"] == {"before": 200, "after": 220, "new": 20, "changed": 0, "vanished": 0}


def test_images_are_compared_by_their_bytes(tmp_path: Path, registry: str, look: Any) -> None:
    from tests.components.ingest.test_images import picture, pictures, write_tree

    source = write_tree(tmp_path / "data", pictures(80))
    snapshot = tmp_path / "s"
    columns: dict[str, Any] = {"inputs": ["image"], "label": "label", "task": "image-classification"}
    ingest(snapshot, IngestSettings(str(source), **columns))
    client = mlflow.MlflowClient()
    run = client.create_run("0").info.run_id
    client.log_artifacts(run, str(snapshot / FOLDER), "inventory")
    client.create_registered_model(NAME)
    client.create_model_version(NAME, "somewhere", run)
    client.set_registered_model_alias(NAME, "champion", "1")
    assert not look(source, **columns).changed
    first = next(iter(sorted(source.rglob("*.*"))))
    first.rename(first.with_name("renamed.png"))
    assert not look(source, **columns).changed
    (source / "cat/new.png").write_bytes(picture(5000))
    assert look(source, **columns).summary["examples"]["new"] == 1


def test_the_summary_fits_into_a_parameter_however_many_labels_are_new(data: Path, look: Any, tmp_path: Path) -> None:
    write_csv(data / "c.csv", rows(120, seed=8, labels=tuple(f"label {number}" for number in range(60))))
    found = look(data)
    assert len(found.summary["labels"]["new"]) == len(found.summary["classes"]) == 50
    told = open_artifact(tmp_path / "changes", "changes").read_json("changes.json")
    assert len(told["labels"]["new"]) == 60
    assert "and 55 more" in found.summary["sentence"]
