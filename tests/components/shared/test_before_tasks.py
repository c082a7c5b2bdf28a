"""Artifacts that the code made before a task was a folder (commit 03c74b8) are read as they were.

`before_tasks` holds what that code made of 120 sentences: a snapshot, features for a BERT of 8 dimensions, a model, and
in `expected.json` what it predicted with it.
"""

import json
import shutil
from pathlib import Path

import pytest

from components.evaluate.evaluate import EvaluateSettings, evaluate
from components.register.package import write_package
from components.shared.artifacts.artifact import open_artifact
from components.shared.artifacts.inventory import open_inventory
from components.shared.prediction import load_artifact
from components.transform.transform import TransformSettings, transform
from tests.backbones import make_bert

OLD = Path(__file__).parent / "before_tasks"
EXPECTED = json.loads((OLD / "expected.json").read_text())


@pytest.fixture
def old(tmp_path: Path) -> Path:
    """A copy: steps may write beside what they read."""
    return shutil.copytree(OLD, tmp_path / "old")


def test_an_older_model_predicts_as_it_did(old: Path, tmp_path: Path) -> None:
    loaded = load_artifact(old / "model")
    assert loaded.labels == ["kitchen", "ship"]
    assert loaded.probabilities(EXPECTED["texts"]).ravel().tolist() == pytest.approx(
        [value for row in EXPECTED["probabilities"] for value in row], abs=1e-6
    )
    likely = [loaded.labels[row.index(max(row))] for row in EXPECTED["probabilities"]]
    assert [row["label"] for row in loaded.predict(EXPECTED["texts"])] == likely
    assert len(set(likely)) == 2
    write_package(open_artifact(old / "model", "model"), tmp_path / "package", "0" * 32)


def test_an_older_snapshot_with_its_features_and_model_is_evaluated(old: Path, tmp_path: Path) -> None:
    found = evaluate(old / "snapshot", old / "features", old / "model", tmp_path / "evaluation", EvaluateSettings())
    assert 0 <= found.metrics["accuracy"] <= 1
    assert open_inventory(old / "snapshot/notes/inventory").data_digest


def test_features_of_an_older_snapshot_are_made(old: Path, tmp_path: Path) -> None:
    backbone = make_bert(tmp_path / "bert")
    transform(old / "snapshot", tmp_path / "features", TransformSettings(str(backbone)))
    told = open_artifact(tmp_path / "features", "features").read_json("features.json")
    assert (told["task"], told["labels"]) == ("text-classification", ["kitchen", "ship"])
