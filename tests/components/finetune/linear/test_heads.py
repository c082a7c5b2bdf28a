"""Heads of several tasks: each learns by each strategy, is saved, and answers raw texts as it does features."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from components.finetune.finetune import finetune
from components.finetune.settings import FinetuneSettings
from components.shared.artifacts.artifact import open_artifact
from components.shared.artifacts.features import FeatureSplit
from components.shared.backbones import family
from components.shared.errors import InputError
from components.shared.prediction import load_artifact
from tests.sketches import KINDS, LEARNED, register, sentences, texts_of, write_features

SETTINGS: dict[str, Any] = {
    "epochs": 8, "learning_rate": 2e-3, "batch_size": 16, "seed": 10, "precision": "float32", "patience": 9,
    "trainable_blocks": 1, "layer_decay": 1.0,
}  # fmt: skip
BEST = {"multi-label": "micro_f1", "regression": "r2", "tokens": "entity_f1"}


@pytest.fixture(scope="module", autouse=True)
def known() -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patch:
        register(patch)
        yield


@pytest.fixture(scope="module")
def made(backbone: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    folder = tmp_path_factory.mktemp("heads")
    return {name: write_features(learned, backbone, folder / name) for name, learned in LEARNED.items()}


@pytest.fixture(scope="module")
def models(made: dict[str, Path], backbone: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    folder = tmp_path_factory.mktemp("models")
    for name, features in made.items():
        finetune(features, folder / name, FinetuneSettings(str(backbone), strategy="probe-then-full", **SETTINGS))
    return {name: folder / name for name in made}


def history_of(model: Path) -> dict[str, Any]:
    found: dict[str, Any] = json.loads((model / "notes/history.json").read_text())
    return found


@pytest.mark.parametrize("name", LEARNED)
def test_it_learns(name: str, models: dict[str, Path]) -> None:
    history = history_of(models[name])
    assert history["selection"] == BEST[name]
    assert history["learned"], history["reason"]
    assert history["epochs"][history["best_epoch"] - 1][BEST[name]] > 0.8
    assert history["probe"]["fits"] > 2  # its head was fitted before
    told = json.loads((models[name] / "model.json").read_text())
    assert told["head"] == LEARNED[name].sketch.package.rpartition(".")[2]


@pytest.mark.parametrize("name", LEARNED)
def test_raw_texts_are_answered_as_features_are(name: str, models: dict[str, Path], made: dict[str, Path]) -> None:
    kind, split = family("transformers"), FeatureSplit(open_artifact(made[name], "features"), "test")
    network = kind.from_model(models[name])
    outputs = kind.outputs_of(network, split.take(np.arange(len(split))), 0, 16)
    found = load_artifact(models[name]).answers([(text,) for text in texts_of("test")])
    assert list(found) == LEARNED[name].sketch.prediction.names
    if name == "tokens":  # what needs the texts, too
        assert [len(entities) for entities in found["entities"]]
        return
    expected = network.head.decode(outputs, {})
    for column, values in expected.items():
        flat = [np.ravel(row) for row in values]
        for row, other in zip(flat, found[column], strict=True):
            assert row.tolist() == pytest.approx(np.ravel(other).tolist(), abs=1e-4) if len(row) else not other


def test_several_labels_are_given_from_their_thresholds_on(models: dict[str, Path]) -> None:
    history, loaded = history_of(models["multi-label"]), load_artifact(models["multi-label"])
    thresholds = history["calibration"]["thresholds"]
    assert all(0 < threshold < 1 for threshold in thresholds)
    texts = texts_of("test")
    right = 0
    for text, told in zip(texts, loaded.predict([(text,) for text in texts]), strict=True):
        given = [name for name, least in zip(KINDS, thresholds, strict=True) if told["probabilities"][name] >= least]
        assert told["labels"] == given
        right += given == [name for name, words in KINDS.items() if set(words) & set(text.split())]
    assert right > 0.8 * len(texts)
    assert any(not row for row in loaded.answers([(text,) for text in texts])["labels"])  # none is an answer, too


def test_numbers_come_in_the_unit_of_the_data(models: dict[str, Path]) -> None:
    texts = texts_of("test")
    found = load_artifact(models["regression"]).answers([(text,) for text in texts])["value"]
    truth = [100.0 + 10 * sum(word in KINDS["kitchen"] for word in text.split()) for text in texts]
    assert np.abs(np.array(found) - truth).mean() < 4


def test_entities_stand_where_they_are_told_to(models: dict[str, Path]) -> None:
    texts = texts_of("test")
    wrong = 0
    for text, told in zip(texts, load_artifact(models["tokens"]).predict([(text,) for text in texts]), strict=True):
        for entity in told["entities"]:
            assert entity["word"] == text[entity["start"] : entity["end"]]
            assert 0 < entity["score"] <= 1
            wrong += not set(entity["word"].split()) <= set(KINDS[entity["entity_group"]])
        found = {word for entity in told["entities"] for word in entity["word"].split()}
        wrong += found != set(text.split()) & {word for words in KINDS.values() for word in words}
    assert wrong < 0.3 * len(texts)


def test_a_long_text_is_read_in_windows(models: dict[str, Path], backbone: Path, tmp_path: Path) -> None:
    """Ten times as long as the network's positions: each word is answered for, and once."""
    import shutil

    from tokenizers import Tokenizer

    model = shutil.copytree(models["tokens"], tmp_path / "model")
    tokenizer = Tokenizer.from_file(str(model / "tokenizer.json"))
    tokenizer.enable_truncation(64, stride=16)
    tokenizer.save(str(model / "tokenizer.json"))
    from components.shared.backbones.transformers import Predictor

    text = " ".join(" ".join(sentence.split()[:-1]) for sentence in sentences(80, seed=9))
    (entities,) = Predictor(model).predict([(text,)])["entities"]
    found = [word for entity in entities for word in entity["word"].split()]
    wanted = [word for word in text.split() if any(word in words for words in KINDS.values())]
    assert len(wanted) > 80
    assert abs(len(found) - len(wanted)) < 0.2 * len(wanted)
    assert len({entity["start"] for entity in entities}) == len(entities)


@pytest.mark.parametrize("name", LEARNED)
@pytest.mark.parametrize("strategy", ["probe", "partial", "lora"])
def test_every_head_learns_by_other_strategies(
    name: str, strategy: str, made: dict[str, Path], backbone: Path, tmp_path: Path
) -> None:
    settings = FinetuneSettings(str(backbone), strategy=strategy, **{**SETTINGS, "learning_rate": 5e-3})
    report = finetune(made[name], tmp_path / "m", settings)
    assert report.strategy == strategy
    epochs = history_of(tmp_path / "m")["epochs"]
    assert len(epochs) == 1 or epochs[-1]["train_loss"] < 0.9 * epochs[0]["train_loss"]
    assert load_artifact(tmp_path / "m").predict([("the old pan",)])


@pytest.mark.parametrize("name", LEARNED)
def test_auto_tries_probe_and_training(name: str, made: dict[str, Path], backbone: Path, tmp_path: Path) -> None:
    settings = FinetuneSettings(str(backbone), minutes=0.05, precision="float32", seed=7)
    finetune(made[name], tmp_path / "m", settings)
    history = history_of(tmp_path / "m")
    assert history["candidates"][0]["name"] == "probe"
    assert len(history["candidates"]) > 1
    assert sum(row["kept"] for row in history["candidates"]) == 1


@pytest.mark.parametrize("name", LEARNED)
def test_the_same_seed_gives_the_same_bytes(
    name: str, models: dict[str, Path], made: dict[str, Path], backbone: Path, tmp_path: Path
) -> None:
    settings = FinetuneSettings(str(backbone), strategy="probe-then-full", **SETTINGS)
    assert finetune(made[name], tmp_path / "m", settings).digest == open_artifact(models[name], "model").digest


@pytest.mark.parametrize("name", LEARNED)
def test_training_goes_on_from_an_older_head(
    name: str, models: dict[str, Path], made: dict[str, Path], tmp_path: Path
) -> None:
    """What the champion's head knows is there from the first step on; a head of another task is not taken."""
    start = FinetuneSettings(str(models[name]), strategy="full", **{**SETTINGS, "epochs": 1, "learning_rate": 1e-6})
    finetune(made[name], tmp_path / "m", start)
    (epoch,) = history_of(tmp_path / "m")["epochs"]
    before = history_of(models[name])
    assert epoch[BEST[name]] == pytest.approx(before["epochs"][before["best_epoch"] - 1][BEST[name]], abs=0.02)
    other = next(kind for kind in LEARNED if kind != name)
    finetune(
        made[other],
        tmp_path / "other",
        FinetuneSettings(str(models[name]), **{**SETTINGS, "epochs": 1}, strategy="full"),
    )


def test_settings_of_classes_are_refused(made: dict[str, Path], backbone: Path, tmp_path: Path) -> None:
    for name, value, why in (("mixup", 0.2, "no labels that a blend"), ("logit_adjustment", 1.0, "have no classes")):
        with pytest.raises(InputError, match=f"training.{name} is .* {why}"):
            finetune(made["regression"], tmp_path / name, FinetuneSettings(str(backbone), **{name: value}))
    with pytest.raises(InputError, match="it needs a task on texts, and the snapshot"):
        finetune(made["tokens"], tmp_path / "l", FinetuneSettings(str(backbone), strategy="lexical"))
