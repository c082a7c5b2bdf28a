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
from components.shared.artifact import open_artifact
from components.transform.transform import TransformSettings, transform

NEW = [task for task in map(tasks.get, tasks.names()) if not task.target.exclusive and 1 in task.input_counts]
"""Those of two inputs have files of their own: `test_question_answering.py`, `test_retrieval.py`."""


@pytest.mark.parametrize("task", NEW, ids=lambda task: task.name)
def test_from_rows_to_a_served_model(task: Any, backbone: Path, tmp_path: Path) -> None:
    source = tmp_path / "data.parquet"
    pq.write_table(pa.Table.from_pylist(task.sample(400, seed=1)), source)
    ingest(tmp_path / "snapshot", IngestSettings(str(source), ["input_1"], "label", task=task.name))
    transform(tmp_path / "snapshot", tmp_path / "features", TransformSettings(str(backbone)))
    settings = FinetuneSettings(str(backbone), strategy="probe", precision="float32", seed=7)
    finetune(tmp_path / "features", tmp_path / "model", settings, tmp_path / "snapshot")
    folders = [tmp_path / name for name in ("snapshot", "features", "model", "evaluation")]
    evaluate(*folders, EvaluateSettings())
    told = open_artifact(tmp_path / "evaluation", "evaluation").read_json("evaluation.json")
    assert told["metrics"][task.metrics[0].name] > 0.5, told["metrics"]
    write_package(open_artifact(tmp_path / "model", "model"), tmp_path / "package", "0" * 32)
    served = mlflow.pyfunc.load_model(str(tmp_path / "package"))
    found = served.predict(pd.DataFrame({"input_1": ["the old pan near some salt", "a red mast"]}))
    assert list(found.columns) == task.prediction.names
