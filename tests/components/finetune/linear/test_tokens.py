"""Words beside a network that answers for tokens: fitted alone, added to it, served, in windows of long texts."""

import dataclasses
import importlib
import json
import sys
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest
import torch

from components.evaluate.page.search import search
from components.evaluate.predictions import Classifier
from components.finetune.finetune import finetune
from components.finetune.linear.fitters import Answered
from components.finetune.linear.fitting import Effort, effort_of
from components.finetune.linear.raw import RawTokens, raw_of
from components.finetune.linear.tokens import TokenColumns, TokenWords, fit_tokens
from components.finetune.settings import FinetuneSettings
from components.ingest.ingest import IngestSettings, ingest
from components.register.copies import copy_predictor
from components.shared import tasks
from components.shared.artifacts.artifact import open_artifact
from components.shared.artifacts.features import FeatureSplit
from components.shared.artifacts.snapshot import read_batches
from components.shared.backbones.network import WIDE_IDS, WIDE_SIZES, wide_columns
from components.shared.errors import InputError
from components.shared.prediction import load_artifact
from components.shared.tasks.multi_label.head import Head as SeveralLabels
from components.shared.tasks.question_answering.head import Head as Answer
from components.shared.tasks.token_classification.head import Head
from components.transform.transform import TransformSettings, transform
from tests.components.shared.tasks.test_steps import reports, write_lines

NER = "token-classification"
SETTINGS: dict[str, Any] = {"minutes": 0.02, "epochs": 1, "batch_size": 16, "seed": 7, "precision": "float32"}


@dataclasses.dataclass(frozen=True)
class Made:
    snapshot: Path
    features: Path
    model: Path


@pytest.fixture(scope="module")
def made(backbone: Path, tmp_path_factory: pytest.TempPathFactory) -> Made:
    folder = tmp_path_factory.mktemp("tokens")
    found = Made(*(folder / name for name in ("snapshot", "features", "model")))
    source = write_lines(folder / "a.jsonl", reports(160, 1))
    ingest(found.snapshot, IngestSettings(str(source), ["input_1"], "label", task=NER))
    transform(found.snapshot, found.features, TransformSettings(str(backbone), max_length=12))
    finetune(found.features, found.model, FinetuneSettings(str(backbone), **SETTINGS), found.snapshot)
    return found


@pytest.fixture
def raw(made: Made, tmp_path: Path) -> RawTokens:
    found = raw_of(
        open_artifact(made.features, "features"), made.snapshot, FinetuneSettings("any"), tmp_path / "columns"
    )
    assert isinstance(found, RawTokens)
    return found


def texts_of(made: Made, split: str) -> list[str]:
    return [
        text
        for batch in read_batches(open_artifact(made.snapshot, "snapshot"), split)
        for text in batch["input_1"].to_pylist()
    ]


def test_words_are_fitted_alone_and_told_by_what_they_carry(made: Made, raw: RawTokens) -> None:
    sample = raw.sample(np.zeros(0, np.int64))
    assert len(sample.numbers) == 0
    assert raw.fit(sample, 7) is None  # nothing to learn from
    split = FeatureSplit(open_artifact(made.features, "features"), "train")
    assert len(split) > len(np.unique(split.examples))  # there are windows
    sample = raw.sample(np.arange(len(split)))
    assert isinstance(sample, TokenWords)
    fit = fit_tokens(sample, 7)
    assert fit is not None
    assert fit.validation["entity_f1"] > 0.9
    assert fit.columns.shape == (len(sample.numbers), fit.maker.width)
    again = fit_tokens(sample, 7, like=fit)
    assert again is not None
    assert again.linear.penalty == fit.linear.penalty
    tags = raw.labels
    assert tags == ["O", "B-port", "I-port", "B-ship", "I-ship"]
    lists = split.take_lists(np.arange(len(split)))
    flat, answers = np.concatenate(lists["tags"]), sample.answers
    assert answers is not None
    assert answers.targets["tags"].tolist() == flat[sample.numbers].tolist()
    assert (flat[sample.numbers] != -100).all()


def test_columns_on_the_disk_are_those_of_raw_texts(made: Made, raw: RawTokens) -> None:
    split = FeatureSplit(open_artifact(made.features, "features"), "validation")
    everything = np.arange(len(split))
    maker = raw.fit(raw.sample(everything), 7)
    assert maker is not None
    columns = raw.columns(maker.maker, "validation")
    assert isinstance(columns, TokenColumns)
    extras = {**split.take_lists(everything), "example": split.examples}
    expected = wide_columns(maker.maker, [texts_of(made, "validation")], extras)
    some = np.array([3, 0, 7])
    for name, rows in columns.take(some).items():
        for row, number in zip(rows, some.tolist(), strict=True):
            np.testing.assert_array_equal(row, expected[name][number])
    assert [len(row) for row in columns.take(everything)[WIDE_SIZES]] == split.lengths.tolist()
    assert sum(map(len, columns.take(everything)[WIDE_IDS])) > len(everything)


def test_the_model_has_them_beside_and_answers_raw_texts_as_features(made: Made) -> None:
    told, history = (json.loads((made.model / name).read_text()) for name in ("model.json", "notes/history.json"))
    assert told["wide"] > 100
    assert json.loads((made.model / "lexical.json").read_text())["level"] == "tokens"
    names = [line["name"] for line in history["candidates"] if line["validation"]]
    assert {"probe", "probe, with words"} <= set(names)
    assert "lexical" not in names  # there is no model of them without torch
    assert history["epochs"][history["best_epoch"] - 1]["entity_f1"] > 0.9
    carried = json.loads((made.model / "notes/lexical.json").read_text())
    assert sum(side["share"] for side in carried["sides"].values()) == pytest.approx(1.0)
    assert carried["alone"]["entity_f1"] > 0.9
    assert len(carried["classes"]["B-ship"]) > 3
    told_on_page = search(open_artifact(made.model, "model"), tasks.get(NER))
    assert told_on_page is not None
    other = told_on_page["other"]
    assert other is None or all(other.name in row["validation"] for row in told_on_page["rows"])
    texts = texts_of(made, "test")
    answers = load_artifact(made.model).answers([(text,) for text in texts])["entities"]
    by_features = Classifier(open_artifact(made.model, "model"), open_artifact(made.features, "features"), 16)
    found = by_features.answers(0, len(texts), [texts])
    for entities, spans in zip(answers, found, strict=True):
        assert [(one["start"], one["end"], one["entity_group"]) for one in entities] == spans
    assert sum(map(len, answers)) > 5


def test_one_head_sees_words_beside_the_vectors_of_tokens(made: Made, backbone: Path, tmp_path: Path) -> None:
    settings = FinetuneSettings(str(backbone), strategy="probe", lexical="true", batch_size=16, precision="float32")
    finetune(made.features, tmp_path / "model", settings, made.snapshot)
    told, history = (
        json.loads((tmp_path / "model" / name).read_text()) for name in ("model.json", "notes/history.json")
    )
    assert told["normalize"]
    assert told["wide"] > 100
    assert history["epochs"][0]["entity_f1"] > 0.9
    answers = load_artifact(tmp_path / "model").answers([("the Aurora left Oslo at dawn",)])["entities"]
    assert [(one["word"], one["entity_group"]) for one in answers[0]] == [("Aurora", "ship"), ("Oslo", "port")]


def test_it_is_served_with_the_files_that_register_copies(made: Made, tmp_path: Path) -> None:
    copy_predictor("transformers", NER, tmp_path / "predictor")
    package = ModuleType("_graft_served_tokens")
    package.__path__ = [str(tmp_path / "predictor")]
    sys.modules[package.__name__] = package
    predictor = importlib.import_module(f"{package.__name__}.backbones.transformers").Predictor(made.model)
    texts = [*texts_of(made, "test")[:4], "", "the Aurora left Oslo at dawn and " * 30]
    found, expected = (
        predictor.predict([(text,) for text in texts]),
        load_artifact(made.model).answers([(t,) for t in texts]),
    )
    assert found["entities"] == expected["entities"]
    assert found["entities"][4] == []
    assert len(found["entities"][5]) > 30  # in windows


def test_they_can_be_left_out_or_asked_for_in_vain(made: Made, backbone: Path, tmp_path: Path) -> None:
    features = open_artifact(made.features, "features")
    assert raw_of(features, made.snapshot, FinetuneSettings("any", lexical="false"), tmp_path) is None
    with pytest.raises(InputError, match="a model without torch"):
        raw_of(features, made.snapshot, FinetuneSettings("any", strategy="lexical"), tmp_path)
    with pytest.raises(InputError, match="a model without torch"):
        finetune(
            made.features, tmp_path / "model", FinetuneSettings(str(backbone), strategy="probe,lexical"), made.snapshot
        )
    assert Answered(features).has_words
    assert not Answered(features).has_columns


def test_a_probe_of_tokens_takes_what_the_minutes_allow() -> None:
    spec = {"labels": ["x"]}
    assert effort_of(SeveralLabels(4, spec), 0.3) == Effort()
    short, long = (effort_of(Head(4, spec), minutes) for minutes in (0.3, 20))
    assert (short.rows, short.last) == (6_000, 6_000)
    assert (long.rows, long.last) == (20_000, 400_000)
    assert not short.dense
    asked = Head(4, spec).asked({"tags": torch.tensor([[-100, 0, 1]])})
    assert asked.tolist() == [[False, True, True]]


@pytest.mark.parametrize("head", [Head(4, {"labels": ["x"]}), Answer(4, {})])
def test_tokens_that_the_loss_has_nothing_of_can_be_left_out(head: Any) -> None:
    rows = {"tags": [[-100, 1, 2, -100, 0]], "starts": [[-1, -1, 3, 5, -1]], "start": [2], "end": [3]}
    targets = head.targets(rows)
    asked = head.asked(targets)
    assert 0 < int(asked.sum()) < asked.numel()
    logits = torch.randn(1, 5, head.out_features, generator=torch.Generator().manual_seed(0))
    whole, count = head.loss({"logits": logits}, targets)
    part, same = head.loss({"logits": logits[asked]}, {name: values[asked] for name, values in targets.items()})
    torch.testing.assert_close((part, same), (whole, count))
