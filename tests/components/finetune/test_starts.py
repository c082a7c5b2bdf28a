"""What retraining starts from, and which of the old examples it repeats."""

import json
from collections import Counter
from pathlib import Path
from typing import Any

import mlflow
import numpy as np
import pytest

from components.finetune.finetune import finetune
from components.finetune.settings import FinetuneSettings
from components.ingest.ingest import IngestSettings, ingest
from components.shared import tasks
from components.shared.artifacts.artifact import open_artifact
from components.shared.artifacts.features import FeatureSplit
from components.shared.artifacts.inventory import FOLDER
from components.shared.errors import InputError
from components.transform.transform import TransformSettings, transform
from tests.backbones import make_bert
from tests.conftest import TRAINING, write_csv


@pytest.fixture
def known(snapshot: Path, registry: str) -> str:
    """A version that tells it was trained on the session's snapshot."""
    return make_version(snapshot)


def make_version(snapshot: Path) -> str:
    """Registers a version that tells it was trained on a snapshot; returns its address."""
    client = mlflow.MlflowClient()
    run = client.create_run("0").info.run_id
    client.log_artifacts(run, str(snapshot / FOLDER), "inventory")
    client.create_registered_model("topics")
    client.create_model_version("topics", "somewhere", run)
    return "models:/topics/1"


@pytest.fixture
def grown(tmp_path: Path, backbone: Path) -> Path:
    """Features of the session's data, and of 100 examples more."""
    rows = [row for seed, count in ((1, 400), (9, 100)) for row in tasks.get("text-classification").sample(count, seed)]
    source = write_csv(tmp_path / "data.csv", [{"text": row["input_1"], "topic": row["label"]} for row in rows])
    ingest(tmp_path / "snapshot", IngestSettings(str(source), ["text"], "topic"))
    transform(tmp_path / "snapshot", tmp_path / "features", TransformSettings(str(backbone)))
    return tmp_path / "features"


def history(model: Path) -> dict[str, Any]:
    told: dict[str, Any] = open_artifact(model, "model").read_json("notes/history.json")
    return told


@pytest.mark.parametrize("replay", [0.0, 0.25, 1.0])
def test_all_that_is_new_and_a_part_of_what_is_old(
    grown: Path, snapshot: Path, known: str, backbone: Path, tmp_path: Path, replay: float
) -> None:
    settings = {**TRAINING, "epochs": 1, "known": known, "replay": replay}
    finetune(grown, tmp_path / "model", FinetuneSettings(str(backbone), **settings))
    before = Counter(open_artifact(snapshot, "snapshot").read_json("snapshot.json")["classes"]["train"])
    everything = FeatureSplit(open_artifact(grown, "features"), "train")
    new = len(everything) - before.total()
    assert new > 50
    assert history(tmp_path / "model")["examples"] == new + sum(int(np.ceil(replay * n)) for n in before.values())


def test_nothing_new_and_no_replay_is_nothing_to_train_on(
    features: Path, known: str, backbone: Path, tmp_path: Path
) -> None:
    settings = FinetuneSettings(str(backbone), **{**TRAINING, "known": known, "replay": 0.0})
    with pytest.raises(InputError, match="there is nothing to train on. Set retrain.replay to 'all'"):
        finetune(features, tmp_path / "model", settings)


def test_a_version_that_tells_nothing_of_its_data_cannot_say_what_is_old(
    features: Path, registry: str, backbone: Path, tmp_path: Path
) -> None:
    client = mlflow.MlflowClient()
    client.create_registered_model("topics")
    client.create_model_version("topics", "somewhere", client.create_run("0").info.run_id)
    settings = FinetuneSettings(str(backbone), **{**TRAINING, "known": "models:/topics/1", "replay": 0.5})
    with pytest.raises(InputError, match="models:/topics/1 does not tell what it was trained on"):
        finetune(features, tmp_path / "model", settings)


def test_of_two_starts_the_better_on_validation_is_kept(
    model: Path, backbone: Path, snapshot: Path, known: str, tmp_path: Path
) -> None:
    """The trained model's features are those of its backbone: they can be compared, and the trained one wins."""
    transform(snapshot, tmp_path / "features", TransformSettings(str(model)))
    settings = {**TRAINING, "epochs": 1, "learning_rate": 1e-5, "known": known, "alternative": str(backbone)}
    finetune(tmp_path / "features", tmp_path / "better", FinetuneSettings(str(model), **settings))
    starts = {row["start"]: row for row in history(tmp_path / "better")["starts"]}
    assert set(starts) == {"champion", "backbone"}
    assert starts["champion"]["kept"]
    assert starts["champion"]["macro_f1"] > starts["backbone"]["macro_f1"]
    backwards = {**settings, "alternative": str(model)}
    finetune(tmp_path / "features", tmp_path / "same", FinetuneSettings(str(backbone), **backwards))
    weights = [(tmp_path / name / "model.safetensors").read_bytes() for name in ("better", "same")]
    assert weights[0] == weights[1]


def test_two_starts_must_read_inputs_the_same_way(model: Path, features: Path, known: str, tmp_path: Path) -> None:
    other = make_bert(tmp_path / "other")
    tokenizer = json.loads((other / "tokenizer.json").read_text())
    tokenizer["normalizer"] = {"type": "Lowercase"} if tokenizer["normalizer"] != {"type": "Lowercase"} else None
    (other / "tokenizer.json").write_text(json.dumps(tokenizer))
    settings = FinetuneSettings(str(model), **{**TRAINING, "known": known, "alternative": str(other)})
    with pytest.raises(InputError, match="do not read inputs the same way.*tokenizer.json differs"):
        finetune(features, tmp_path / "model", settings)


def test_replay_is_a_part() -> None:
    with pytest.raises(InputError, match="replay is 1.5; a part from 0 to 1"):
        FinetuneSettings("x", replay=1.5)
