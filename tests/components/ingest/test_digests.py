"""Classification's snapshots are what they were before answers could be anything else.

A digest that is written down here changes where the format does: then the schema's version must, too.
"""

import json
from pathlib import Path

import PIL
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from components.shared.artifacts.artifact import open_artifact
from components.shared.artifacts.inventory import open_inventory
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
