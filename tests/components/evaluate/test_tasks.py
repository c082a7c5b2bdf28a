"""Tasks whose answers are no classes: from rows to a verdict, a decision and a page, and against a champion."""

import json
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from components.evaluate.evaluate import EvaluateReport, EvaluateSettings, evaluate
from components.finetune.finetune import finetune
from components.finetune.settings import FinetuneSettings
from components.ingest.ingest import IngestSettings, ingest
from components.register.register import RegisterSettings, register
from components.shared import tasks
from components.shared.artifacts.artifact import open_artifact
from components.shared.registry import tracking
from components.shared.tasks.task import Composite
from components.transform.transform import TransformSettings, transform
from tests.backbones import TIMM

NEW = [
    task.name for task in map(tasks.get, tasks.names()) if not task.target.exclusive and not isinstance(task, Composite)
]
"""What is made of several is tried in `test_multi_task.py`."""
TRAINING: dict[str, Any] = {"strategy": "full", "epochs": 12, "learning_rate": 3e-3, "batch_size": 16, "patience": 12}
SMALL = {**TIMM["resnet10t"], "img_size": 32}
PICTURES: dict[str, Any] = {**TRAINING, "epochs": 6, "crop_scale": 1.0, "flip": 0.0, "backbone_args": SMALL}


@pytest.fixture(scope="module", params=NEW)
def task(request: pytest.FixtureRequest) -> Any:
    return tasks.get(request.param)


@pytest.fixture(scope="module")
def folders(task: Any, backbone: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """Its sample, ingested, transformed and learned."""
    folder = tmp_path_factory.mktemp(task.name)
    rows = task.sample(400, seed=1)
    pictures = task.input_type == pa.binary()
    source = folder / ("data.parquet" if pictures else "data.jsonl")
    if pictures:
        pq.write_table(pa.Table.from_pylist(rows), source)
    else:
        source.write_text("".join(json.dumps(row) + "\n" for row in rows), "utf-8")
    name, training = ("random:timm/resnet10t", PICTURES) if pictures else (str(backbone), TRAINING)
    inputs = [name for name in rows[0] if name.startswith("input_")]
    splits: dict[str, Any] = {"validation_fraction": 0.15, "test_fraction": 0.25}
    if hasattr(task.options, "empty_is_none"):
        splits["task_args"] = {"empty_is_none": True}
    ingest(folder / "snapshot", IngestSettings(str(source), inputs, "label", task=task.name, **splits))
    transform(folder / "snapshot", folder / "features", TransformSettings(name, SMALL if pictures else {}))
    finetune(folder / "features", folder / "model", FinetuneSettings(name, **training), folder / "snapshot")
    return {name: folder / name for name in ("snapshot", "features", "model")}


@pytest.fixture(scope="module")
def report(folders: dict[str, Path]) -> EvaluateReport:
    return evaluate(**folders, evaluation=folders["model"].parent / "evaluation", settings=EvaluateSettings())


def test_it_is_scored_by_its_own_metrics_beside_its_own_baselines(task: Any, report: EvaluateReport) -> None:
    primary = task.metrics[0].name
    assert set(report.metrics) <= {metric.name for metric in task.metrics}
    assert report.metrics[primary] > 0.5
    assert len(report.baselines) >= 3
    assert report.difference["metric"] == primary
    assert task.metrics[0].title in report.sentence
    told = open_artifact(report.report.parent.parent, "evaluation").read_json("evaluation.json")
    assert told["baselines_failure"] == ""
    assert told["intervals"][primary][0] <= report.metrics[primary] <= told["intervals"][primary][1]
    page = report.report.read_text("utf-8")
    assert task.metrics[0].heading in page
    assert "Accuracy" not in page
    assert ('class="mistakes shown"' in page) == (task.input_type == pa.binary())  # pictures side by side


def test_the_same_model_is_compared_with_itself_as_champion(
    task: Any, folders: dict[str, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, empty_database: Path
) -> None:
    (tmp_path / "mlflow.db").write_bytes(empty_database.read_bytes())
    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"sqlite:///{tmp_path / 'mlflow.db'}")
    settings = EvaluateSettings(champion="demo", promotion={"must_beat_baseline": False})
    first = evaluate(**folders, evaluation=tmp_path / "first", settings=settings)
    assert first.decision == "promote"
    version = register(folders["model"], tmp_path / "first", tmp_path / "version", RegisterSettings("demo")).version
    client = tracking.client()
    client.set_registered_model_alias("demo", "champion", version)
    tags = client.get_model_version("demo", version).tags
    primary = task.metrics[0].name
    assert float(tags[f"test_{primary}_low"]) <= float(tags[f"test_{primary}"]) <= float(tags[f"test_{primary}_high"])
    again = evaluate(**folders, evaluation=tmp_path / "second", settings=settings)
    told = open_artifact(tmp_path / "second", "evaluation").read_json("evaluation.json")["champion"]
    assert told["failure"] == ""
    assert told["test_digest"] == told["challenger_test_digest"]
    assert told["champion"] == pytest.approx(told["challenger"], abs=1e-6)
    assert again.reasons[0].startswith("It is the champion, version 1")
