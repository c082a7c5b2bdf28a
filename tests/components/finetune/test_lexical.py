import json
from pathlib import Path

import pytest

from components.finetune.finetune import finetune
from components.finetune.settings import FinetuneSettings
from components.shared.artifact import open_artifact
from components.shared.errors import InputError
from components.shared.packaged import load_artifact
from tests.conftest import TRAINING


@pytest.fixture(scope="module")
def words_model(features: Path, snapshot: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A model of the words alone. The backbone is not there: nothing looks at it."""
    folder = tmp_path_factory.mktemp("words") / "model"
    finetune(features, folder, FinetuneSettings("no/such-backbone", strategy="lexical"), snapshot)
    return folder


def test_words_alone_are_learned_in_megabytes(words_model: Path) -> None:
    told = json.loads((words_model / "model.json").read_text())
    assert (told["family"], told["backbone"]) == ("lexical", "no/such-backbone")
    history = json.loads((words_model / "notes/history.json").read_text())
    assert history["strategy"] == "lexical"
    assert history["epochs"][0]["accuracy"] > 0.95
    assert {file.name for file in words_model.glob("*.safetensors")} == {"lexical.safetensors"}
    assert sum(file.stat().st_size for file in words_model.rglob("*")) < 1 << 20
    note = json.loads((words_model / "notes/lexical.json").read_text())
    assert {"oven", "knife", "pan"} & {word for word, _ in note["classes"]["kitchen"]}


def test_words_alone_predict_from_raw_text(words_model: Path, snapshot: Path) -> None:
    model = load_artifact(words_model)
    found = model.predict([("a red pan with salt",), ("the old anchor",), ("",)])
    assert [row["label"] for row in found[:2]] == ["kitchen", "ship"]
    assert sum(found[2]["probabilities"].values()) == pytest.approx(1)


def test_the_same_texts_give_the_same_bytes(words_model: Path, features: Path, snapshot: Path, tmp_path: Path) -> None:
    settings = FinetuneSettings("no/such-backbone", strategy="lexical")
    assert finetune(features, tmp_path / "m", settings, snapshot).digest == open_artifact(words_model, "model").digest


@pytest.mark.parametrize("strategy", ["probe", "full", "probe-then-full", "lora"])
def test_words_beside_a_backbone(strategy: str, features: Path, snapshot: Path, backbone: Path, tmp_path: Path) -> None:
    settings = {**TRAINING, "epochs": 1, "strategy": strategy, "lexical": "true"}
    report = finetune(features, tmp_path / "model", FinetuneSettings(str(backbone), **settings), snapshot)
    assert report.validation["accuracy"] > 0.95
    note = json.loads((tmp_path / "model/notes/lexical.json").read_text())
    assert sum(side["share"] for side in note["sides"].values()) == pytest.approx(1)
    assert load_artifact(tmp_path / "model").predict([("a small pan and oven",)])[0]["label"] == "kitchen"


def test_another_snapshot_is_refused(features: Path, pair_snapshot: Path, backbone: Path, tmp_path: Path) -> None:
    with pytest.raises(InputError, match="Name the snapshot that they were made from"):
        finetune(features, tmp_path / "m", FinetuneSettings(str(backbone)), pair_snapshot)


@pytest.mark.parametrize("options", [{"strategy": "lexical"}, {"lexical": "true"}])
def test_words_need_texts(options: dict[str, str], features: Path, backbone: Path, tmp_path: Path) -> None:
    with pytest.raises(InputError, match="--snapshot"):
        finetune(features, tmp_path / "m", FinetuneSettings(str(backbone), **options))
