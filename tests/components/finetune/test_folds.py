"""Few examples: each is predicted by a model of the other folds, and the model that is kept learns from all."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
import pytest

from components.finetune.folds import folds_of
from components.finetune.settings import FinetuneSettings
from components.shared.artifacts.artifact import open_artifact
from components.shared.artifacts.snapshot import CROSSED, SPLITS, read_batches, read_folds
from components.shared.prediction import load_artifact
from tests.few import Few, make_few, rows_of

FULL = {"strategy": "full", "epochs": 3, "learning_rate": 2e-3, "batch_size": 8}


@pytest.fixture(scope="module")
def few(tmp_path_factory: pytest.TempPathFactory, backbone: Path) -> Few:
    return make_few(tmp_path_factory.mktemp("few"), backbone, rows_of(40))


@pytest.fixture(scope="module")
def noise(tmp_path_factory: pytest.TempPathFactory, backbone: Path) -> Few:
    return make_few(tmp_path_factory.mktemp("noise"), backbone, rows_of(40, noise=True))


def history_of(model: Path) -> dict[str, Any]:
    found: dict[str, Any] = json.loads((model / "notes/history.json").read_text())
    return found


def examples_of(few: Few) -> tuple[list[tuple[str]], list[str]]:
    """Returns texts and labels of all examples, in the snapshot's order."""
    batches = [batch for split in SPLITS for batch in read_batches(open_artifact(few.snapshot, "snapshot"), split)]
    texts = [(text,) for batch in batches for text in batch.column("input_1").to_pylist()]
    return texts, [label for batch in batches for label in batch.column("label").to_pylist()]


@pytest.mark.parametrize(
    "training", [{"strategy": "lexical"}, {"strategy": "probe"}, {"strategy": "probe", "lexical": "false"}, FULL]
)
def test_each_example_is_predicted_by_a_model_of_the_other_folds(few: Few, training: dict[str, Any]) -> None:
    model = few.train("-".join(map(str, training.values())), **training)
    table = pq.read_table(model / CROSSED)
    folds = read_folds(open_artifact(few.snapshot, "snapshot"))
    assert dict(zip(table["id"].to_pylist(), table["fold"].to_pylist(), strict=True)) == folds
    probabilities = np.array(table["probabilities"].to_pylist())
    assert probabilities.shape == (40, 4)
    assert np.allclose(probabilities.sum(1), 1, atol=1e-5)
    told = json.loads((model / "model.json").read_text())
    assert told["trained_on"] == ["train", "validation", "test"]
    right = sum(
        told["labels"][row.argmax()] == label
        for row, label in zip(probabilities, table["label"].to_pylist(), strict=True)
    )
    assert history_of(model)["reason"].startswith(f"{right} of 40 examples of a cross-validation are right")
    assert history_of(model)["crossed"]["folds"] == 5


@pytest.mark.parametrize("strategy", ["lexical", "probe"])
def test_the_model_has_seen_all_examples_and_the_predictions_that_count_have_not(few: Few, strategy: str) -> None:
    model = few.train(f"known-{strategy}", strategy=strategy)
    texts, labels = examples_of(few)
    table, loaded = pq.read_table(model / CROSSED), load_artifact(model)
    assert table["label"].to_pylist() == labels
    by_heart, held_out = loaded.probabilities(texts), np.array(table["probabilities"].to_pylist())
    shares = [np.mean(np.array(loaded.labels)[found.argmax(1)] == np.array(labels)) for found in (by_heart, held_out)]
    assert shares[0] > 0.95
    assert shares[1] < 0.9


@pytest.mark.parametrize("strategy", ["lexical", "probe"])
def test_labels_that_are_noise_are_not_learned(noise: Few, strategy: str) -> None:
    assert not history_of(noise.train(strategy, strategy=strategy))["learned"]


def test_the_same_examples_give_the_same_model(few: Few) -> None:
    digests = [open_artifact(few.train(name, strategy="lexical"), "model").digest for name in ("one", "other")]
    assert digests[0] == digests[1]


def test_a_training_that_would_take_too_long_is_not_repeated_and_says_so(few: Few) -> None:
    model = few.train("long", **FULL, minutes=1e-6)
    assert "training.minutes" in history_of(model)["crossed"]["reason"]
    assert not (model / CROSSED).exists()
    assert "trained_on" not in json.loads((model / "model.json").read_text())


@pytest.mark.parametrize(
    ("settings", "reason"),
    [
        ({"transfer_check": True}, "transfer_check"),
        ({"learning_curve": [8]}, "learning_curve"),
        ({"known": "models:/demo/1", "replay": 0.5}, "replay"),
    ],
)
def test_what_needs_the_test_split_keeps_it(few: Few, settings: dict[str, Any], reason: str) -> None:
    features = open_artifact(few.features, "features")
    folds, why = folds_of(features, few.snapshot, FinetuneSettings("b", **settings))
    assert folds is None
    assert reason in why


def test_many_examples_are_not_cross_validated(features: Path, snapshot: Path) -> None:
    assert folds_of(open_artifact(features, "features"), snapshot, FinetuneSettings("b")) == (None, "")
