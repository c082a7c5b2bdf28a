"""Classification's snapshots and features are what they were before answers could be anything else.

A digest that is written down here changes where the format does: then the schema's version must, too.
"""

import json
from pathlib import Path
from typing import Any

import PIL
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from components.shared.artifacts.artifact import open_artifact
from components.shared.artifacts.inventory import open_inventory
from components.transform.transform import TransformSettings, transform
from tests.backbones import make_text_backbone, make_timm_backbone
from tests.cases import sample_snapshot

MADE_WITH = {"pyarrow": "25.0.1", "pillow": "13.0.0"}
SNAPSHOTS = {
    "text-classification": "f1153a674fb466160bd27bad5548bcdeb58c7183a3ad2fc73072b41526d1f2a1",
    "image-classification": "37e8176d0f4f2e1b0c6e3683bc5e4ac83d66ba6e691fbb17b9a030373d318e47",
}
CONTENT = "9afff3399774f33c0f668320ff53c790ef207ed2170d4b551556955fb7dd94dc"


@pytest.mark.skipif(
    {"pyarrow": pa.__version__, "pillow": PIL.__version__} != MADE_WITH, reason="other libraries write other bytes"
)
@pytest.mark.parametrize("task", SNAPSHOTS)
def test_the_bytes_of_a_snapshot_are_as_ever(task: str, tmp_path: Path) -> None:
    snapshot = sample_snapshot(task, tmp_path, 60)
    assert open_artifact(snapshot, "snapshot").digest == SNAPSHOTS[task]


def test_what_a_snapshot_of_classes_holds_is_as_ever(tmp_path: Path) -> None:
    snapshot = sample_snapshot("text-classification", tmp_path, 60)
    schema = pq.read_schema(snapshot / "train-00000.parquet")
    assert schema.names == ["id", "input_1", "label"]
    assert schema.field("label").type == pa.string()
    told = json.loads((snapshot / "snapshot.json").read_text())
    assert told.keys() == {
        "task", "inputs", "label", "slices", "labels", "rows", "classes", "evaluation", "near_duplicates",
        "rare_classes",
    }  # fmt: skip
    assert open_inventory(snapshot / "notes/inventory").data_digest == CONTENT


@pytest.mark.parametrize("task", SNAPSHOTS)
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
