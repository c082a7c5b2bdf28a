"""Artifacts made by hand: pictures of digits, a model that reads them, and the notes that finetune leaves."""

import io
import json
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from PIL import Image

from components.shared import backbones
from components.shared.artifacts.artifact import MANIFEST, NOTES, open_artifact, write_artifact
from components.shared.artifacts.features import FeatureSplit
from components.shared.artifacts.snapshot import SPLITS
from components.transform.transform import TransformSettings, transform
from tests.heads import head_for

BACKBONE, SIDE = "random:timm/test_resnet", 32
ENDS = {"train": 600, "validation": 700, "test": 1000}  # of scikit-learn's 1,797 digits


def make_digits(folder: Path) -> Path:
    """Writes a snapshot of scikit-learn's digits, 8 x 8 pixels each, as PNG files; returns its folder."""
    from sklearn.datasets import load_digits

    digits = load_digits()
    labels = [f"digit {number}" for number in range(10)]
    with write_artifact(folder / "snapshot", "snapshot", {"source": "digits"}) as draft:
        start, counts = 0, {}
        for split in SPLITS:
            rows = [
                {"id": f"{n:016x}", "input_1": _png(digits.images[n]), "label": labels[digits.target[n]]}
                for n in range(start, ENDS[split])
            ]
            pq.write_table(pa.Table.from_pylist(rows), draft.path / f"{split}-00000.parquet", row_group_size=64)
            found = [row["label"] for row in rows]
            counts[split], start = {label: found.count(label) for label in labels}, ENDS[split]
        draft.write_json(
            "snapshot.json",
            {
                "task": "image-classification",
                "inputs": ["image"],
                "labels": labels,
                "rows": {split: sum(counts[split].values()) for split in SPLITS},
                "classes": counts,
            },
        )
    return folder / "snapshot"


def make_digit_features(snapshot: Path) -> Path:
    """Transforms the digits into features beside them."""
    settings = TransformSettings(BACKBONE, backbone_args={"img_size": SIDE})
    transform(snapshot, snapshot.parent / "features", settings)
    return snapshot.parent / "features"


def make_digit_model(features: Path, notes: Mapping[str, Any]) -> Path:
    """Writes a model of the digits beside their features: a random network whose head scikit-learn has fitted."""
    import torch
    from sklearn.linear_model import LogisticRegression

    source = open_artifact(features, "features")
    told = source.read_json("features.json")
    torch.manual_seed(0)
    family = backbones.family("timm")
    folder = backbones.fetch(BACKBONE, features.parent / "backbone", args={"img_size": SIDE})
    network: Any = family.from_backbone(folder, "auto", head_for(told["labels"])).eval()
    split = FeatureSplit(source, "train")
    with torch.no_grad():
        vectors = network.pooled(**family.collate(split.take(np.arange(len(split))), 0))
        scale = vectors.std(0) + 1e-6
        fitted = LogisticRegression(max_iter=2000, C=0.1).fit((vectors / scale).numpy(), split.labels)
        network.head.weight.copy_(torch.tensor(fitted.coef_) / scale)
        network.head.bias.copy_(torch.tensor(fitted.intercept_))
    with write_artifact(features.parent / "model", "model", {"backbone": BACKBONE}, source.lineage()) as draft:
        shutil.copyfile(source.file("preprocessing.json"), draft.path / "preprocessing.json")
        network.save(draft.path)
        kept = {name: told[name] for name in ("task", "family", "inputs", "labels", "columns")}
        draft.write_json("model.json", {**kept, **network.describe()})
        write_notes(draft.path, notes, FeatureSplit(source, "test").labels, len(told["labels"]))
    return features.parent / "model"


def with_notes(model: Path, features: Path, folder: Path, notes: Mapping[str, Any]) -> Path:
    """Copies a model with other notes, which are no part of its digest; returns the folder."""
    source = open_artifact(model, "model")
    told = open_artifact(features, "features")
    with write_artifact(folder, "model", dict(source.settings), source.inputs) as draft:
        shutil.copytree(model, folder, dirs_exist_ok=True, ignore=shutil.ignore_patterns(MANIFEST, NOTES[:-1]))
        labels = FeatureSplit(told, "test").labels
        write_notes(folder, notes, labels, len(told.read_json("features.json")["labels"]))
    assert draft.digest == source.digest
    return folder


def write_notes(folder: Path, notes: Mapping[str, Any], labels: np.ndarray, classes: int) -> None:
    """Writes `history` and `lexical` as they are, and of `arms` and `curve` what finetune writes of its comparison.

    Each arm and each point says with `accuracy` how many of its made-up predictions are right.
    """
    (folder / "notes").mkdir(exist_ok=True)
    if "history" in notes:
        (folder / "notes/history.json").write_text(json.dumps(notes["history"]), "utf-8")
    if "lexical" in notes:
        (folder / "notes/lexical.json").write_text(json.dumps(notes["lexical"]), "utf-8")
    if "arms" not in notes:
        return
    curve = [{**point, "name": f"curve {point['labels_per_class']}"} for point in notes["curve"]]
    told = [{key: value for key, value in arm.items() if key != "accuracy"} for arm in notes["arms"]]
    points = [{key: value for key, value in point.items() if key != "accuracy"} for point in notes["curve"]]
    content = {"arms": told, "reference": notes["reference"], "curve": points}
    (folder / "notes/comparison.json").write_text(json.dumps(content), "utf-8")
    tables = [_predictions(arm["name"], labels, classes, arm["accuracy"]) for arm in [*notes["arms"], *curve]]
    with pq.ParquetWriter(folder / "notes/comparison.parquet", tables[0].schema) as writer:
        for table in tables:
            writer.write_table(table)


def arm(name: str, accuracy: float, pretrained: bool = False, strategy: str = "full") -> dict[str, Any]:
    """An arm of the comparison, as finetune tells it, with the accuracy of its predictions."""
    validation = {"validation_loss": 1 - accuracy, "accuracy": accuracy, "macro_f1": accuracy}
    told = {"name": name, "pretrained": pretrained, "strategy": strategy, "learning_rate": 1e-3}
    return {**told, "validation": validation, "seconds": 3.25, "accuracy": accuracy}


def point(labels_per_class: int, classes: int, accuracy: float) -> dict[str, Any]:
    """A point of the learning curve, likewise."""
    told = {"labels_per_class": labels_per_class, "examples": labels_per_class * classes, "seconds": 1.5}
    return {**told, "validation": {"accuracy": accuracy}, "accuracy": accuracy}


def _predictions(name: str, labels: np.ndarray, classes: int, accuracy: float) -> pa.Table:
    wrong = np.random.default_rng(len(name)).permutation(len(labels)) >= round(accuracy * len(labels))
    predicted = np.where(wrong, (labels + 1) % classes, labels)
    columns = {
        "arm": pa.array([name] * len(labels)),
        "predicted": pa.array(predicted, pa.int32()),
        "confidence": pa.array(np.full(len(labels), 0.75), pa.float32()),
        "loss": pa.array(np.where(wrong, 1.5, 0.25), pa.float64()),
        "score": pa.array(np.full(len(labels), 0.5), pa.float32()),
    }
    return pa.table(columns)


def _png(pixels: np.ndarray) -> bytes:
    file = io.BytesIO()
    Image.fromarray((pixels * 15.9).astype(np.uint8)).save(file, "PNG")
    return file.getvalue()
