"""Tasks, families of backbones and strategies, each with each: what is tested over all of them."""

import io
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from components.ingest.ingest import IngestSettings, ingest
from components.shared import tasks
from components.transform.transform import TransformSettings, transform
from tests.backbones import TEXT, TIMM, VISION, make_text_backbone, make_timm_backbone, make_vision_backbone

ARCHITECTURES = [
    *(("text-classification", "transformers", name) for name in TEXT),
    *(("image-classification", "transformers", name) for name in VISION),
    *(("image-classification", "timm", name) for name in TIMM),
]
"""Task, family and architecture."""

FAMILIES = [
    ("text-classification", "transformers", "bert"),
    ("image-classification", "transformers", "vit"),
    ("image-classification", "timm", "vit_tiny_patch16_224"),
]
"""One architecture of each task and family."""

# Nothing is augmented: what the frozen part makes of the examples can be kept.
SETTINGS: dict[str, Any] = {
    "epochs": 3, "learning_rate": 2e-3, "batch_size": 16, "seed": 7, "precision": "float32", "patience": 9,
    "crop_scale": 1.0, "flip": 0.0, "trainable_blocks": 1, "layer_decay": 1.0,
}  # fmt: skip


@dataclass(frozen=True)
class Case:
    """A backbone with features that were made for it."""

    task: str
    family: str
    backbone: Path
    snapshot: Path
    features: Path


def make_case(task: str, family: str, architecture: str, folder: Path, snapshot: Path) -> Case:
    """Makes a tiny backbone, and features of a snapshot for it."""
    make: Any = make_timm_backbone if family == "timm" else make_vision_backbone
    make = make_text_backbone if task == "text-classification" else make
    backbone = make(architecture, folder / "backbone")
    transform(snapshot, folder / "features", TransformSettings(str(backbone)))
    return Case(task, family, backbone, snapshot, folder / "features")


def sample_snapshot(task: str, folder: Path, count: int = 240) -> Path:
    """Ingests a task's sample rows."""
    folder.mkdir(parents=True, exist_ok=True)
    rows = tasks.get(task).sample(count, seed=2)
    pq.write_table(pa.Table.from_pylist(rows), folder / "data.parquet")
    inputs = [name for name in rows[0] if name.startswith("input_")]
    ingest(folder / "snapshot", IngestSettings(str(folder / "data.parquet"), inputs, "label", task=task))
    return folder / "snapshot"


def inputs_of(snapshot: Path, split: str) -> dict[str, tuple[Any, ...]]:
    """Returns the raw inputs of a split, by id."""
    tables = [pq.read_table(path) for path in sorted(snapshot.glob(f"{split}-*.parquet"))]
    rows = [row for table in tables for row in table.to_pylist()]
    return {row["id"]: tuple(row[name] for name in row if name.startswith("input_")) for row in rows}


def answers_of(snapshot: Path, split: str) -> list[tuple[tuple[Any, ...], Any]]:
    """Returns the raw inputs of a split with their answers."""
    rows = [row for path in sorted(snapshot.glob(f"{split}-*.parquet")) for row in pq.read_table(path).to_pylist()]
    return [(tuple(row[name] for name in row if name.startswith("input_")), row["label"]) for row in rows]


def picture(width: int = 32, height: int = 32, color: tuple[int, int, int] = (200, 30, 30)) -> bytes:
    """Returns a PNG file of one colour."""
    from PIL import Image

    file = io.BytesIO()
    Image.new("RGB", (width, height), color).save(file, "PNG")
    return file.getvalue()
