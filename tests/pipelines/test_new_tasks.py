"""Tasks whose answers are no single class, from a file of rows to an evaluation and a served model."""

from pathlib import Path
from typing import Any

import mlflow
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from components.evaluate.evaluate import EvaluateSettings, evaluate
from components.finetune.finetune import finetune
from components.finetune.settings import FinetuneSettings
from components.ingest.ingest import IngestSettings, ingest
from components.register.package import write_package
from components.shared import tasks
from components.shared.artifacts.artifact import open_artifact
from components.shared.tasks.task import Composite
from components.transform.transform import TransformSettings, transform
from tests.backbones import TIMM
from tests.cases import picture

NEW = [
    task
    for task in map(tasks.get, tasks.names())
    if not task.target.exclusive and 1 in task.input_counts and not isinstance(task, Composite)
]
"""Those of two inputs have files of their own: `test_question_answering.py`, `test_retrieval.py`."""


SMALL = {**TIMM["resnet10t"], "img_size": 32}


@pytest.mark.parametrize("task", NEW, ids=lambda task: task.name)
def test_from_rows_to_a_served_model(task: Any, backbone: Path, tmp_path: Path) -> None:
    source = tmp_path / "data.parquet"
    pq.write_table(pa.Table.from_pylist(task.sample(400, seed=1)), source)
    ingest(tmp_path / "snapshot", IngestSettings(str(source), ["input_1"], "label", task=task.name))
    name, chosen = str(backbone), {"strategy": "probe"}
    unseen: list[Any] = ["the old pan near some salt", "a red mast"]
    if task.input_type == pa.binary():
        name, unseen = "random:timm/resnet10t", [picture(), picture(color=(10, 10, 10))]
        chosen = {"strategy": "full", "epochs": 6, "learning_rate": 3e-3, "backbone_args": SMALL}  # type: ignore[dict-item]
    transform(tmp_path / "snapshot", tmp_path / "features", TransformSettings(name, chosen.get("backbone_args", {})))  # type: ignore[arg-type]
    settings = FinetuneSettings(name, precision="float32", seed=7, **chosen)  # type: ignore[arg-type]
    finetune(tmp_path / "features", tmp_path / "model", settings, tmp_path / "snapshot")
    folders = [tmp_path / name for name in ("snapshot", "features", "model", "evaluation")]
    evaluate(*folders, EvaluateSettings())
    told = open_artifact(tmp_path / "evaluation", "evaluation").read_json("evaluation.json")
    assert told["metrics"][task.metrics[0].name] > 0.5, told["metrics"]
    write_package(open_artifact(tmp_path / "model", "model"), tmp_path / "package", "0" * 32)
    served = mlflow.pyfunc.load_model(str(tmp_path / "package"))
    found = served.predict(pd.DataFrame({"input_1": unseen}))
    assert list(found.columns) == task.prediction.names
