"""Classification's features are what they were before answers could be anything else."""

import json
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from components.transform.transform import TransformSettings, transform
from tests.backbones import make_text_backbone, make_timm_backbone
from tests.cases import sample_snapshot


@pytest.mark.parametrize("task", ["text-classification", "image-classification"])
def test_what_features_of_classes_hold_is_as_ever(task: str, tmp_path: Path) -> None:
    snapshot = sample_snapshot(task, tmp_path, 60)
    make: Any = make_text_backbone if task.startswith("text") else make_timm_backbone
    backbone = make("bert" if task.startswith("text") else "vit_tiny_patch16_224", tmp_path / "backbone")
    transform(snapshot, tmp_path / "features", TransformSettings(str(backbone)))
    with pa.ipc.open_file(tmp_path / "features/train.arrow") as file:
        table = file.read_all()
    columns = ["input_ids"] if task.startswith("text") else ["pixels"]
    assert table.column_names == ["id", *columns, "length", "label"]
    assert table.schema.field("label").type == pa.int32()
    told = json.loads((tmp_path / "features/features.json").read_text())
    assert told.keys() == {"task", "inputs", "labels", "rows", "columns", "family"}
    assert told["columns"] == columns
    labels = [told["labels"][number] for number in table["label"].to_pylist()]
    written = pq.read_table(snapshot / "train-00000.parquet")
    assert dict(zip(table["id"].to_pylist(), labels, strict=True)) == dict(
        zip(written["id"].to_pylist(), written["label"].to_pylist(), strict=True)
    )
    assert table["id"].to_pylist() == written["id"].to_pylist()
