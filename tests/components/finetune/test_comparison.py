"""Arms that tell whether transfer helped, and points of a learning curve: what finetune keeps for evaluate."""

import json
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest

from components.evaluate.evaluate import EvaluateSettings, evaluate
from components.finetune.finetune import finetune
from components.finetune.settings import FinetuneSettings
from components.shared.artifacts.artifact import open_artifact
from components.shared.artifacts.features import FeatureSplit
from components.shared.errors import InputError
from tests.conftest import TRAINING


@pytest.fixture(scope="module")
def compared(features: Path, backbone: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    model = tmp_path_factory.mktemp("compared") / "model"
    settings = FinetuneSettings(str(backbone), **TRAINING, transfer_check=True, learning_curve=[4, 16, 100_000])
    finetune(features, model, settings)
    return model


def test_arms_and_points_predict_the_test_examples(compared: Path, features: Path) -> None:
    told = json.loads((compared / "notes/comparison.json").read_text())
    assert [arm["name"] for arm in told["arms"]] == ["probe, pretrained", "probe, random", "from scratch"]
    assert [arm["pretrained"] for arm in told["arms"]] == [True, False, False]
    without = [arm for arm in told["arms"] if not arm["pretrained"]]
    best = max(without, key=lambda arm: (arm["validation"]["accuracy"], -arm["validation"]["validation_loss"]))
    assert told["reference"] == best["name"]
    assert [point["labels_per_class"] for point in told["curve"]] == [4, 16], "a point with all examples says nothing"
    assert [point["examples"] for point in told["curve"]] == [8, 32]
    predictions = pq.read_table(compared / "notes/comparison.parquet").to_pandas()
    truth = FeatureSplit(open_artifact(features, "features"), "test").labels
    for name, rows in predictions.groupby("arm"):
        assert len(rows) == len(truth), name
        right = np.exp(-rows["loss"].to_numpy())[rows["predicted"].to_numpy() == truth]
        np.testing.assert_allclose(
            right, rows["confidence"].to_numpy()[rows["predicted"].to_numpy() == truth], atol=1e-4
        )


def test_the_model_is_the_same_with_and_without_them(compared: Path, model: Path) -> None:
    assert open_artifact(compared, "model").digest == open_artifact(model, "model").digest


def test_evaluate_tells_whether_transfer_helped(compared: Path, features: Path, snapshot: Path, tmp_path: Path) -> None:
    report = evaluate(snapshot, features, compared, tmp_path / "evaluation", EvaluateSettings())
    content = json.loads((tmp_path / "evaluation/evaluation.json").read_text())
    assert report.transfer == content["transfer"]["verdict"]
    assert content["transfer"]["verdict"] in ("positive", "none shown", "negative")
    assert [point["labels_per_class"] for point in content["learning_curve"]][:2] == [4, 16]


def test_without_pretrained_weights_nothing_is_transferred(features: Path, backbone: Path, tmp_path: Path) -> None:
    settings = FinetuneSettings(f"random:{backbone}", strategy="full", transfer_check=True)
    with pytest.raises(InputError, match="transfer_check asks whether transfer helped, but 'random:"):
        finetune(features, tmp_path / "model", settings)
