"""Inputs that went wrong for others: refused in words before training, or right."""

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
from tokenizers import Tokenizer

from components.finetune.finetune import finetune
from components.finetune.settings import FinetuneSettings
from components.ingest.ingest import IngestSettings, ingest
from components.shared.errors import InputError
from components.shared.prediction import load_artifact
from components.transform.transform import TransformSettings, transform
from tests.backbones import make_text_backbone
from tests.cases import SETTINGS, picture, sample_snapshot
from tests.conftest import TRAINING

RESNET = {"stem_width": 8, "channels": [8, 8, 16, 32]}


def test_more_tokens_than_embeddings(snapshot: Path, backbone: Path, tmp_path: Path) -> None:
    """transformers 12763, 11102, 2468: an index out of range, deep in the network."""
    folder = shutil.copytree(backbone, tmp_path / "backbone")
    tokenizer = Tokenizer.from_file(str(folder / "tokenizer.json"))
    tokenizer.add_tokens(["<one>", "<two>"])
    tokenizer.save(str(folder / "tokenizer.json"))
    transform(snapshot, tmp_path / "f", TransformSettings(str(folder)))
    with pytest.raises(InputError, match=r"gives tokens up to number \d+, but the backbone has embeddings for \d+"):
        finetune(tmp_path / "f", tmp_path / "m", FinetuneSettings(str(folder), **TRAINING))
    assert not (tmp_path / "m").exists()


def test_an_empty_text_has_one_answer_whatever_its_neighbours(snapshot: Path, tmp_path: Path) -> None:
    """A decoder without a padding token, whose tokenizer adds none: alone there was nothing to compute."""
    folder = make_text_backbone("gpt2", tmp_path / "backbone")
    tokenizer = json.loads((folder / "tokenizer.json").read_text())
    tokenizer["post_processor"] = None
    (folder / "tokenizer.json").write_text(json.dumps(tokenizer))
    transform(snapshot, tmp_path / "f", TransformSettings(str(folder)))
    finetune(tmp_path / "f", tmp_path / "m", FinetuneSettings(str(folder), **{**TRAINING, "epochs": 1}))
    model = load_artifact(tmp_path / "m")
    alone = model.probabilities([("",)])[0]
    beside = model.probabilities([("",), ("a red pan and some salt",)])[0]
    np.testing.assert_allclose(alone, beside, atol=1e-6)


@pytest.fixture
def pictures(tmp_path: Path) -> Path:
    return sample_snapshot("image-classification", tmp_path, 120)


def test_grey_pictures_are_fed_as_such(pictures: Path, tmp_path: Path) -> None:
    args = {**RESNET, "img_size": 32, "in_chans": 1}
    name = "random:timm/resnet10t"
    transform(pictures, tmp_path / "f", TransformSettings(name, args))
    settings = {**SETTINGS, "epochs": 1, "strategy": "full"}
    finetune(tmp_path / "f", tmp_path / "m", FinetuneSettings(name, args, **settings))
    assert load_artifact(tmp_path / "m").predict([(picture(),)])[0]["label"] in ("cross", "disc")
    with pytest.raises(InputError, match="pictures of 4 channels"):
        finetune(tmp_path / "f", tmp_path / "n", FinetuneSettings(name, {**args, "in_chans": 4}, **settings))


def test_small_pictures_are_not_blown_up_from_scratch(pictures: Path, tmp_path: Path) -> None:
    """Of 32 pixels, by an architecture that is made for 224; a job that names a size has it."""
    name = "random:timm/resnet10t"
    transform(pictures, tmp_path / "f", TransformSettings(name, RESNET))
    assert json.loads((tmp_path / "f/preprocessing.json").read_text())["size"] == 64
    settings = {**SETTINGS, "epochs": 1, "strategy": "full"}
    finetune(tmp_path / "f", tmp_path / "m", FinetuneSettings(name, RESNET, **settings))
    assert json.loads((tmp_path / "m/config.json").read_text())["architecture"] == "resnet10t"
    assert load_artifact(tmp_path / "m").predict([(picture(),)])[0]["confidence"] > 0
    transform(pictures, tmp_path / "g", TransformSettings(name, {**RESNET, "img_size": 96}))
    assert json.loads((tmp_path / "g/preprocessing.json").read_text())["size"] == 96


def test_the_count_of_pictures_does_not_break_a_norm(tmp_path: Path) -> None:
    """fastai 970 and 1352, pytorch 7716: 79 pictures, 13 a step, one is left over."""
    for number in range(99):
        split = "train" if number < 79 else "validation" if number < 89 else "test"
        file = tmp_path / f"data/{split}/{'ab'[number % 2]}/{number}.png"
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_bytes(picture(color=(200, 30 + number, 30) if number % 2 else (30, 30 + number, 200)))
    source = IngestSettings(str(tmp_path / "data"), ["image"], "label", task="image-classification")
    ingest(tmp_path / "s", source)
    name, args = "random:timm/resnet10t", {**RESNET, "img_size": 32}
    transform(tmp_path / "s", tmp_path / "f", TransformSettings(name, args))
    settings = {**SETTINGS, "epochs": 1, "batch_size": 13, "strategy": "full"}
    finetune(tmp_path / "f", tmp_path / "m", FinetuneSettings(name, args, **settings))
    steps = json.loads((tmp_path / "m/notes/history.json").read_text())["epochs"][-1]["step"]
    assert steps == 6
    with pytest.raises(InputError, match="Batches would hold 1 example, but the network has"):
        finetune(tmp_path / "f", tmp_path / "n", FinetuneSettings(name, args, **{**settings, "batch_size": 1}))
