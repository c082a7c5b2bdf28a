import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from components.evaluate.predictions import Classifier
from components.finetune.finetune import finetune
from components.finetune.settings import FinetuneSettings
from components.shared.artifacts.artifact import open_artifact
from components.shared.errors import InputError
from components.shared.prediction import load_artifact
from components.transform.transform import TransformSettings, transform
from tests.cases import inputs_of
from tests.conftest import TRAINING


@pytest.fixture(scope="module")
def words_model(features: Path, snapshot: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A model of the words alone. The backbone is not there: nothing looks at it."""
    folder = tmp_path_factory.mktemp("words") / "model"
    finetune(features, folder, FinetuneSettings("./no-such-backbone", strategy="lexical"), snapshot)
    return folder


def history_of(model: Path) -> dict[str, Any]:
    found: dict[str, Any] = json.loads((model / "notes/history.json").read_text())
    return found


def test_words_alone_are_learned_in_megabytes(words_model: Path) -> None:
    told = json.loads((words_model / "model.json").read_text())
    assert (told["family"], told["backbone"]) == ("lexical", "./no-such-backbone")
    history = json.loads((words_model / "notes/history.json").read_text())
    assert history["strategy"] == "lexical"
    assert history["epochs"][0]["accuracy"] > 0.95
    assert {file.name for file in words_model.glob("*.safetensors")} == {"lexical.safetensors"}
    assert sum(file.stat().st_size for file in words_model.rglob("*")) < 1 << 20
    note = json.loads((words_model / "notes/lexical.json").read_text())
    told = " ".join(word for word, _ in note["classes"]["kitchen"])  # words, or sequences of their characters
    assert any(word in told for word in ("oven", "knife", "pan"))


def test_words_alone_predict_from_raw_text(words_model: Path, snapshot: Path) -> None:
    model = load_artifact(words_model)
    found = model.predict([("a red pan with salt",), ("the old anchor",), ("",)])
    assert [row["label"] for row in found[:2]] == ["kitchen", "ship"]
    assert sum(found[2]["probabilities"].values()) == pytest.approx(1)


def test_the_same_texts_give_the_same_bytes(words_model: Path, features: Path, snapshot: Path, tmp_path: Path) -> None:
    settings = FinetuneSettings("./no-such-backbone", strategy="lexical")
    assert finetune(features, tmp_path / "m", settings, snapshot).digest == open_artifact(words_model, "model").digest


@pytest.mark.parametrize("strategy", ["probe", "full", "probe-then-full", "lora", "partial"])
def test_words_beside_a_backbone(strategy: str, features: Path, snapshot: Path, backbone: Path, tmp_path: Path) -> None:
    settings = {**TRAINING, "epochs": 1, "strategy": strategy, "lexical": "true"}
    report = finetune(features, tmp_path / "model", FinetuneSettings(str(backbone), **settings), snapshot)
    assert report.validation["accuracy"] > 0.95
    note = json.loads((tmp_path / "model/notes/lexical.json").read_text())
    assert sum(side["share"] for side in note["sides"].values()) == pytest.approx(1)
    assert load_artifact(tmp_path / "model").predict([("a small pan and oven",)])[0]["label"] == "kitchen"


@pytest.fixture(scope="module")
def wide_pairs(
    pair_features: Path, pair_snapshot: Path, backbone: Path, tmp_path_factory: pytest.TempPathFactory
) -> Path:
    """A probe with words, of pairs of texts."""
    folder = tmp_path_factory.mktemp("wide") / "model"
    settings = FinetuneSettings(str(backbone), **{**TRAINING, "strategy": "probe", "lexical": "true"})
    finetune(pair_features, folder, settings, pair_snapshot)
    return folder


def test_raw_text_predicts_as_features_and_words_did(
    wide_pairs: Path, pair_features: Path, pair_snapshot: Path, tmp_path: Path
) -> None:
    classifier = Classifier(open_artifact(wide_pairs, "model"), open_artifact(pair_features, "features"), 16)
    texts = inputs_of(pair_snapshot, "test")
    rows = [texts[id_] for id_ in classifier.split]
    expected = classifier.probabilities(0, len(rows), list(zip(*rows, strict=True)))
    np.testing.assert_allclose(load_artifact(wide_pairs).probabilities(rows), expected, atol=1e-5)
    told = json.loads((wide_pairs / "notes/history.json").read_text())
    assert told["epochs"][0]["accuracy"] > 0.9


def test_without_words_a_model_is_as_it_was(
    features: Path, snapshot: Path, backbone: Path, model: Path, tmp_path: Path
) -> None:
    settings = FinetuneSettings(str(backbone), **{**TRAINING, "lexical": "false"})
    again = finetune(features, tmp_path / "model", settings, snapshot)
    assert (tmp_path / "model/model.safetensors").read_bytes() == (model / "model.safetensors").read_bytes()
    assert "lexical.json" not in open_artifact(tmp_path / "model", "model").files
    assert again.strategy == "full"


def test_a_sweep_weighs_the_words_alone_like_any_other(
    features: Path, snapshot: Path, backbone: Path, tmp_path: Path
) -> None:
    settings = FinetuneSettings(str(backbone), **{**TRAINING, "strategy": "lexical,probe", "lexical": "auto"})
    report = finetune(features, tmp_path / "model", settings, snapshot)
    rows = {row["strategy"]: row for row in history_of(tmp_path / "model")["sweep"]}
    assert set(rows) == {"lexical", "probe"}
    assert rows[report.strategy]["kept"]
    assert rows[report.strategy]["macro_f1"] == max(row["macro_f1"] for row in rows.values())


def test_points_of_a_learning_curve_read_words_too(
    features: Path, snapshot: Path, backbone: Path, tmp_path: Path
) -> None:
    options = {**TRAINING, "strategy": "probe", "lexical": "true", "learning_curve": [8], "transfer_check": True}
    finetune(features, tmp_path / "model", FinetuneSettings(str(backbone), **{**options, "epochs": 1}), snapshot)
    told = json.loads((tmp_path / "model/notes/comparison.json").read_text())
    assert [point["labels_per_class"] for point in told["curve"]] == [8]
    by_words = told["curve"][0]["validation"]["accuracy"]
    assert by_words > next(arm for arm in told["arms"] if arm["name"] == "probe, random")["validation"]["accuracy"]


def test_training_goes_on_from_a_champion_with_words(wide_pairs: Path, pair_snapshot: Path, tmp_path: Path) -> None:
    """Head and words were fitted together: a training begins with both, as one at a learning rate of nothing shows."""
    transform(pair_snapshot, tmp_path / "features", TransformSettings(str(wide_pairs)))
    still = {**TRAINING, "epochs": 1, "learning_rate": 1e-9, "strategy": "full"}
    settings = FinetuneSettings(str(wide_pairs), **{**still, "lexical": "true"})
    report = finetune(tmp_path / "features", tmp_path / "model", settings, pair_snapshot)
    before = history_of(wide_pairs)["epochs"][0]
    assert report.validation["accuracy"] == before["accuracy"]
    assert report.validation["validation_loss"] == pytest.approx(before["validation_loss"], rel=1e-3)


def test_a_model_of_words_alone_stands_for_the_backbone_of_its_job(
    features: Path, snapshot: Path, backbone: Path, tmp_path: Path
) -> None:
    finetune(features, tmp_path / "words", FinetuneSettings(str(backbone), strategy="lexical"), snapshot)
    again = transform(snapshot, tmp_path / "features", TransformSettings(str(tmp_path / "words")))
    assert again.rows == open_artifact(features, "features").read_json("features.json")["rows"]
    settings = {**TRAINING, "epochs": 1}
    start = str(tmp_path / "words")
    finetune(tmp_path / "features", tmp_path / "model", FinetuneSettings(start, **settings), snapshot)
    assert (tmp_path / "model/config.json").exists()
    finetune(tmp_path / "features", tmp_path / "again", FinetuneSettings(start, strategy="lexical"), snapshot)
    told = [json.loads((tmp_path / name / "model.json").read_text())["backbone"] for name in ("words", "again")]
    assert told == [str(backbone)] * 2


def test_a_backbone_that_is_gone_is_told_with_its_model(words_model: Path, snapshot: Path, tmp_path: Path) -> None:
    with pytest.raises(InputError, match="without a backbone.*its job named './no-such-backbone'"):
        transform(snapshot, tmp_path / "features", TransformSettings(str(words_model)))


def test_another_snapshot_is_refused(features: Path, pair_snapshot: Path, backbone: Path, tmp_path: Path) -> None:
    with pytest.raises(InputError, match="Name the snapshot that they were made from"):
        finetune(features, tmp_path / "m", FinetuneSettings(str(backbone)), pair_snapshot)


@pytest.mark.parametrize("options", [{"strategy": "lexical"}, {"lexical": "true"}])
def test_words_need_texts(options: dict[str, str], features: Path, backbone: Path, tmp_path: Path) -> None:
    with pytest.raises(InputError, match="--snapshot"):
        finetune(features, tmp_path / "m", FinetuneSettings(str(backbone), **options))
