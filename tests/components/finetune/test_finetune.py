import json
from pathlib import Path

import numpy as np
import pytest
import torch

from components.finetune.finetune import finetune
from components.finetune.settings import FinetuneSettings
from components.shared.artifact import open_artifact
from components.shared.backbones import family
from components.shared.errors import InputError
from components.shared.features import FeatureSplit
from tests.conftest import TRAINING


def test_it_learns(model: Path, features: Path) -> None:
    history = json.loads((model / "notes/history.json").read_text())
    losses = [entry["train_loss"] for entry in history["epochs"]]
    assert losses[-1] < 0.5 * losses[0]
    assert max(entry["accuracy"] for entry in history["epochs"]) > 0.9


def test_pairs_learn(pair_model: Path) -> None:
    history = json.loads((pair_model / "notes/history.json").read_text())
    assert history["epochs"][-1]["train_loss"] < history["epochs"][0]["train_loss"]


@pytest.mark.usefixtures("model")
def test_same_seed_same_bytes(features: Path, model: Path, backbone: Path, tmp_path: Path) -> None:
    again = finetune(features, tmp_path / "again", FinetuneSettings(str(backbone), **TRAINING))
    assert again.digest == open_artifact(model, "model").digest
    other = finetune(features, tmp_path / "other", FinetuneSettings(str(backbone), **{**TRAINING, "seed": 8}))
    assert other.digest != again.digest
