"""`strategy: auto`: what is tried, what is kept, and what is said of it."""

import json
import random
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
import pytest

from components.finetune.finetune import finetune
from components.finetune.search import is_better
from components.finetune.settings import FinetuneSettings
from components.ingest.ingest import IngestSettings, ingest
from components.shared import tasks
from components.shared.artifacts.artifact import open_artifact
from components.shared.artifacts.features import FeatureSplit
from components.shared.errors import InputError
from components.shared.prediction import load_artifact
from components.transform.transform import TransformSettings, transform
from tests.backbones import make_broken_bert
from tests.conftest import write_csv

SETTINGS: dict[str, Any] = {"epochs": 4, "batch_size": 16, "seed": 7, "precision": "float32", "minutes": 60.0}


def history(model: Path) -> dict[str, Any]:
    told: dict[str, Any] = open_artifact(model, "model").read_json("notes/history.json")
    return told


def names(model: Path) -> list[str]:
    return [line["name"] for line in history(model)["candidates"]]


@pytest.fixture(scope="module")
def searched(pair_features: Path, backbone: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A model of pairs that only an order tells apart: the frozen backbone sees little of it."""
    model = tmp_path_factory.mktemp("searched") / "model"
    settings = {**SETTINGS, "epochs": 15, "patience": 15, "learning_rate": 2e-3, "layer_decay": 1.0, "pooling": "first"}
    finetune(pair_features, model, FinetuneSettings(str(backbone), **settings))
    return model


def test_every_candidate_is_told_and_the_best_on_validation_kept(searched: Path) -> None:
    told = history(searched)
    assert names(searched) == ["probe", "probe-then-full, 0.002"]
    kept = [line for line in told["candidates"] if line["kept"]]
    assert len(kept) == 1
    scored = [line for line in told["candidates"] if line["validation"]]
    assert kept[0]["validation"]["accuracy"] == max(line["validation"]["accuracy"] for line in scored)
    assert all(line["seconds"] > 0 and line["what"] for line in scored)
    assert told["budget_minutes"] == 60
    assert told["selection"] == "accuracy"
    assert told["learned"]


def test_the_frozen_backbone_is_left_as_a_baseline(searched: Path, pair_features: Path) -> None:
    assert history(searched)["strategy"] == "probe-then-full"
    (arm,) = json.loads((searched / "notes/comparison.json").read_text())["arms"]
    assert (arm["name"], arm["baseline"], arm["pretrained"]) == ("Frozen backbone, linear head", True, True)
    rows = pq.read_table(searched / "notes/comparison.parquet").to_pandas()
    truth = FeatureSplit(open_artifact(pair_features, "features"), "test").labels
    assert len(rows) == len(truth)


def test_probabilities_are_calibrated_by_what_is_served(searched: Path, pair_features: Path) -> None:
    told = history(searched)
    assert told["temperature"] == told["calibration"]["temperature"] > 0
    model, features = load_artifact(searched), open_artifact(pair_features, "features")
    assert len(model.labels) == len(features.read_json("features.json")["labels"])
    assert json.loads((searched / "model.json").read_text())["recipe"]["strategy"] == "probe-then-full"


def test_where_words_decide_the_small_model_is_delivered(
    features: Path, snapshot: Path, backbone: Path, tmp_path: Path
) -> None:
    finetune(features, tmp_path / "m", FinetuneSettings(str(backbone), **SETTINGS), snapshot)
    told = history(tmp_path / "m")
    assert told["strategy"] == "lexical"
    assert told["headline"].startswith("The backbone adds nothing here that validation can show: ")
    assert names(tmp_path / "m")[:3] == ["lexical", "probe", "probe with words"]
    assert not (tmp_path / "m/model.safetensors").exists()
    assert load_artifact(tmp_path / "m").predict([("a small pan and oven",)])[0]["label"] == "kitchen"


def test_a_recipe_that_is_known_is_not_looked_for_again(
    searched: Path, pair_snapshot: Path, registry: str, tmp_path: Path
) -> None:
    """Retraining from a champion: its own learning rate, and no other."""
    from tests.components.finetune.test_starts import make_version

    transform(pair_snapshot, tmp_path / "features", TransformSettings(str(searched)))
    known = make_version(pair_snapshot)
    settings = FinetuneSettings(str(searched), **SETTINGS, known=known, pooling="first")
    finetune(tmp_path / "features", tmp_path / "m", settings)
    told = history(tmp_path / "m")
    trained = [name for name in names(tmp_path / "m") if name.startswith("probe-then-full")]
    assert trained in ([], ["probe-then-full, 0.002"])
    assert told["learned"]
    assert not (tmp_path / "m/notes/comparison.json").exists(), "the champion is no baseline of itself"


def test_a_learning_rate_that_fails_is_replaced(pair_features: Path, backbone: Path, tmp_path: Path) -> None:
    """One at which nothing is left of the network; asked for by name it is said that nothing was learned."""
    settings = {**SETTINGS, "learning_rate": 9.0, "max_grad_norm": 1e6, "strategy": "full"}
    finetune(pair_features, tmp_path / "m", FinetuneSettings(str(backbone), **settings))
    told = history(tmp_path / "m")
    assert not told["learned"]
    assert "learning_rate" in told["advice"] or "labels" in told["advice"]


def test_labels_that_are_noise_end_in_nothing_was_learned(backbone: Path, tmp_path: Path) -> None:
    draw = random.Random(3)
    rows = [
        {"text": row["input_1"], "label": draw.choice("ab")} for row in tasks.get("text-classification").sample(300, 1)
    ]
    ingest(tmp_path / "s", IngestSettings(str(write_csv(tmp_path / "data.csv", rows)), ["text"], "label"))
    transform(tmp_path / "s", tmp_path / "f", TransformSettings(str(backbone)))
    finetune(tmp_path / "f", tmp_path / "m", FinetuneSettings(str(backbone), **SETTINGS), tmp_path / "s")
    assert not history(tmp_path / "m")["learned"]


def test_a_damaged_backbone_is_wrong_input(features: Path, tmp_path: Path) -> None:
    folder = make_broken_bert(tmp_path / "backbone")
    for strategy in ("auto", "probe"):
        with pytest.raises(InputError, match="its weights are damaged"):
            finetune(features, tmp_path / "m", FinetuneSettings(str(folder), strategy=strategy))


def test_auto_stands_alone() -> None:
    with pytest.raises(InputError, match="'auto' looks for the best itself"):
        FinetuneSettings("x", strategy="auto,probe")


def test_a_difference_must_hold_in_most_samples() -> None:
    truth = np.arange(200) % 2
    half = truth.copy()
    half[:60] = 1 - half[:60]
    slightly = truth.copy()
    slightly[-59:] = 1 - slightly[-59:]
    assert is_better(truth, half, truth, "accuracy", 0)
    assert not is_better(half, truth, truth, "macro_f1", 0)
    assert not is_better(slightly, half, truth, "accuracy", 0)
