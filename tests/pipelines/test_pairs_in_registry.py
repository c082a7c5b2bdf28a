"""Tasks of two texts, from rows to a champion that is served, and a worse model that is refused by their own metric."""

from pathlib import Path
from typing import Any

import mlflow
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from components.detect.detect import DetectSettings, detect
from components.evaluate.evaluate import EvaluateSettings, evaluate
from components.finetune.finetune import finetune
from components.finetune.settings import FinetuneSettings
from components.ingest.ingest import IngestSettings, ingest
from components.promote.promote import PromoteReport, PromoteSettings, promote
from components.register.register import RegisterSettings, register
from components.shared import tasks
from components.shared.artifacts.artifact import open_artifact
from components.transform.transform import TransformSettings, transform
from tests.conftest import NUMBERS

PAIRS = ["question-answering", "text-retrieval"]
COLUMNS = (["input_1", "input_2"], "label")
TRAINING: dict[str, Any] = {**NUMBERS, "epochs": 10, "patience": 10, "learning_rate": 3e-3, "strategy": "full"}
NAME = "pairs"


def run(folder: Path, source: Path, task: str, backbone: Path, known: str = "", **training: Any) -> PromoteReport:
    """Runs the chain, champion and all."""
    kinds = ("snapshot", "features", "model", "evaluation", "version", "promotion")
    snapshot, features, model, evaluation, version, promotion = (folder / kind for kind in kinds)
    ingest(snapshot, IngestSettings(str(source), *COLUMNS, task=task, known=known, test_fraction=0.25))
    transform(snapshot, features, TransformSettings(str(backbone)))
    finetune(features, model, FinetuneSettings(str(backbone), **{**TRAINING, **training}), snapshot)
    rules = {"must_beat_baseline": False}
    evaluate(snapshot, features, model, evaluation, EvaluateSettings(title=NAME, champion=NAME, promotion=rules))
    register(model, evaluation, version, RegisterSettings(NAME))
    return promote(version, evaluation, promotion, PromoteSettings(NAME))


@pytest.mark.usefixtures("registry")
@pytest.mark.parametrize("task", PAIRS)
def test_a_champion_is_served_and_a_worse_model_refused(task: str, backbone: Path, tmp_path: Path) -> None:
    source, metric = tmp_path / "data" / "a.parquet", tasks.get(task).metrics[0]
    source.parent.mkdir()
    rows = tasks.get(task).sample(360, seed=1)
    pq.write_table(pa.Table.from_pylist(rows[:300]), source)
    assert run(tmp_path / "first", source.parent, task, backbone).champion == "1"
    settings = DetectSettings(str(source.parent), *COLUMNS, task=task, model=NAME, backbone=str(backbone))
    assert not detect(tmp_path / "unchanged", settings).changed
    pq.write_table(pa.Table.from_pylist(rows[300:]), source.parent / "b.parquet")
    assert detect(tmp_path / "changed", settings).changed
    worse = run(tmp_path / "second", source.parent, task, backbone, f"models:/{NAME}/1", epochs=1, learning_rate=1e-6)
    assert (worse.verdict, worse.champion) == ("refused", "1")
    assert metric.title in " ".join(worse.reasons), worse.reasons
    told = open_artifact(tmp_path / "second/evaluation", "evaluation").read_json("evaluation.json")
    assert "accuracy" not in told["metrics"]
    served = mlflow.pyfunc.load_model(f"models:/{NAME}@champion")
    found = served.predict(pd.DataFrame([{name: row[name] for name in COLUMNS[0]} for row in rows[:3]]))
    assert list(found.columns) == tasks.get(task).prediction.names
