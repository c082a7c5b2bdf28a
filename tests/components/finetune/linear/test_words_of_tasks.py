"""Words of texts where answers are no one class: alone, beside a frozen and a trained backbone, served, gone on from.

The samples of both tasks are decided by words alone.
"""

import json
from pathlib import Path
from typing import Any

import mlflow
import numpy as np
import pandas as pd
import pytest
from scipy.sparse import csr_matrix

from components.evaluate.predictions import Classifier
from components.finetune.finetune import finetune
from components.finetune.linear.convex import OwnLoss
from components.finetune.linear.fusion import fuse_answers
from components.finetune.linear.lexical import top_words
from components.finetune.search import answers_better
from components.finetune.settings import FinetuneSettings
from components.register.package import write_package
from components.shared.artifacts.artifact import open_artifact
from components.shared.artifacts.snapshot import spec_of
from components.shared.lexical.corpus import Corpus, Reading
from components.shared.lexical.vectorizer import Vectorizer
from components.shared.prediction import load_artifact
from components.shared.tasks.multi_label.head import Head as SeveralLabels
from components.shared.tasks.objective import objective_of
from components.shared.tasks.regression.head import Head as Number
from components.transform.transform import TransformSettings, transform
from tests.cases import inputs_of, sample_snapshot

TASKS = {"multi-label-classification": "micro_f1", "text-regression": "r2"}
TRAINING: dict[str, Any] = {"epochs": 1, "learning_rate": 2e-3, "batch_size": 32, "seed": 7, "precision": "float32"}


class Data:
    """A task's sample, as snapshot and features."""

    def __init__(self, task: str, backbone: Path, folder: Path) -> None:
        self.task, self.metric, self.backbone = task, TASKS[task], backbone
        self.snapshot, self.features = sample_snapshot(task, folder), folder / "features"
        transform(self.snapshot, self.features, TransformSettings(str(backbone)))

    def train(self, model: Path, **settings: Any) -> Any:
        """Trains a model; returns the report."""
        given = FinetuneSettings(settings.pop("start", str(self.backbone)), **{**TRAINING, **settings})
        return finetune(self.features, model, given, self.snapshot)


@pytest.fixture(scope="module", params=TASKS)
def data(request: pytest.FixtureRequest, backbone: Path, tmp_path_factory: pytest.TempPathFactory) -> Data:
    return Data(request.param, backbone, tmp_path_factory.mktemp(request.param))


@pytest.fixture(scope="module")
def words_model(data: Data, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A model of the words alone. The backbone is not there: nothing looks at it."""
    folder = tmp_path_factory.mktemp(data.task) / "model"
    data.train(folder, start="./no-such-backbone", strategy="lexical")
    return folder


@pytest.fixture(scope="module")
def wide_model(data: Data, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A frozen backbone with words beside it."""
    folder = tmp_path_factory.mktemp(data.task) / "model"
    data.train(folder, strategy="probe", lexical="true")
    return folder


def read(model: Path, name: str) -> dict[str, Any]:
    found: dict[str, Any] = json.loads((model / name).read_text())
    return found


def assert_raw_texts_are_answered_as_features_are(data: Data, model: Path) -> None:
    classifier = Classifier(open_artifact(model, "model"), open_artifact(data.features, "features"), 16)
    texts = inputs_of(data.snapshot, "test")
    rows = [texts[id_] for id_ in classifier.ids]
    expected = classifier.answers(0, len(rows), list(zip(*rows, strict=True)))
    found = classifier.scoring.read(load_artifact(model).answers(rows), classifier.spec)
    np.testing.assert_allclose(found.astype(float), expected.astype(float), atol=1e-4)


def test_words_alone_are_learned_and_answer(data: Data, words_model: Path) -> None:
    history, told = read(words_model, "notes/history.json"), read(words_model, "model.json")
    assert history["learned"], history["reason"]
    assert history["epochs"][0][data.metric] > 0.9
    assert (told["family"], told["backbone"]) == ("lexical", "./no-such-backbone")
    assert {file.name for file in words_model.glob("*.safetensors")} == {"lexical.safetensors"}
    model = load_artifact(words_model)
    (row,) = model.predict([("the old soup near salt and an oven",)])
    assert row.get("labels", ["food", "kitchen"]) == ["food", "kitchen"]
    assert row.get("value", 2.0) == pytest.approx(2.0, abs=0.7)
    assert model.predict([("",)])
    assert model.predict([]) == []
    assert_raw_texts_are_answered_as_features_are(data, words_model)


def test_thresholds_of_words_alone_are_those_that_are_told(data: Data, words_model: Path) -> None:
    calibration = read(words_model, "notes/history.json")["calibration"]
    if not calibration:
        pytest.skip("a number has none")
    model = load_artifact(words_model)
    for row in model.predict([(text,) for text in ("salt", "pan deck", "the red", "sail oven soup flour")]):
        given = [label for label, least in zip(model.labels, calibration["thresholds"], strict=True)
                 if row["probabilities"][label] >= least]  # fmt: skip
        assert row["labels"] == given


def test_words_alone_are_served_without_torch(data: Data, words_model: Path, tmp_path: Path) -> None:
    write_package(open_artifact(words_model, "model"), tmp_path / "package", "0" * 32)
    texts = ["the old soup near salt and an oven", "wine bread", ""]
    found = mlflow.pyfunc.load_model(str(tmp_path / "package")).predict(pd.DataFrame({"input_1": texts}))
    assert found.to_dict("list") == load_artifact(words_model).answers([(text,) for text in texts])
    assert "torch" not in (tmp_path / "package/requirements.txt").read_text()
    assert not [path for path in (tmp_path / "package").rglob("*.py") if "import torch" in path.read_text()]


def test_the_same_texts_give_the_same_bytes(data: Data, words_model: Path, tmp_path: Path) -> None:
    report = data.train(tmp_path / "m", start="./no-such-backbone", strategy="lexical")
    assert report.digest == open_artifact(words_model, "model").digest


def test_words_beside_a_frozen_backbone(data: Data, wide_model: Path) -> None:
    history, note = read(wide_model, "notes/history.json"), read(wide_model, "notes/lexical.json")
    assert history["epochs"][0][data.metric] > 0.8
    assert sum(side["share"] for side in note["sides"].values()) == pytest.approx(1, abs=1e-4)
    assert note["sides"]["words"]["share"] > 0.5
    assert all(data.metric in side for side in note["sides"].values())
    told = {label: " ".join(word for word, _ in rows) for label, rows in note["classes"].items()}
    assert "wine" in told.get("raises", "wine")
    assert "mast" in told.get("ship", "mast")
    assert_raw_texts_are_answered_as_features_are(data, wide_model)


def test_words_beside_a_trained_backbone(data: Data, tmp_path: Path) -> None:
    report = data.train(tmp_path / "model", strategy="full", lexical="true", learning_curve=[8])
    assert report.validation[data.metric] > 0.8
    assert (tmp_path / "model/lexical.json").exists()
    assert_raw_texts_are_answered_as_features_are(data, tmp_path / "model")


def test_training_goes_on_from_a_champion_with_words(data: Data, wide_model: Path, tmp_path: Path) -> None:
    """Head and words were fitted together, and both are there: at a learning rate of nothing it is as good."""
    still = {"strategy": "full", "lexical": "true", "learning_rate": 1e-9}
    report = data.train(tmp_path / "model", start=str(wide_model), **still)
    before = read(wide_model, "notes/history.json")["epochs"][0]
    assert report.validation[data.metric] > before[data.metric] - 0.1


def test_auto_delivers_the_words_where_they_decide_all(data: Data, tmp_path: Path) -> None:
    report = data.train(tmp_path / "model", strategy="auto", minutes=0.02, epochs=0, learning_rate=0.0)
    history = read(tmp_path / "model", "notes/history.json")
    names = [row["name"] for row in history["candidates"]]
    assert names[:3] == ["lexical", "probe", "probe with words"]
    assert report.strategy == "lexical"
    assert history["headline"].startswith("The backbone adds nothing here")
    assert read(tmp_path / "model", "model.json")["backbone"] == str(data.backbone)


def test_pairs_of_texts_have_what_they_share(backbone: Path, tmp_path: Path) -> None:
    """How alike two orders are is told by no word, but by how many they share."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    from components.ingest.ingest import IngestSettings, ingest

    draw, menu, rows = np.random.default_rng(0), np.array([f"dish{letter}" for letter in "abcdefghij"]), []
    for number in range(300):
        one, other = draw.choice(menu, 4, replace=False), draw.choice(menu, 4, replace=False)
        rows.append({"a": f"{' '.join(one)} {number}", "b": " ".join(other), "score": len(set(one) & set(other))})
    pq.write_table(pa.Table.from_pylist(rows), tmp_path / "rows.parquet")
    ingest(tmp_path / "s", IngestSettings(str(tmp_path / "rows.parquet"), ["a", "b"], "score", task="text-regression"))
    transform(tmp_path / "s", tmp_path / "f", TransformSettings(str(backbone)))
    settings = FinetuneSettings(str(backbone), strategy="lexical")
    report = finetune(tmp_path / "f", tmp_path / "m", settings, tmp_path / "s")
    assert report.validation["pearson"] > 0.9
    same, other = load_artifact(tmp_path / "m").answers(
        [("disha dishb", "disha dishb"), ("disha dishb", "dishc dishd")]
    )["value"]
    assert same > other + 1


def test_both_sides_are_added_as_validation_says() -> None:
    """The network is right but for its scale and an offset, the words know nothing."""
    truth = np.random.default_rng(0).normal(size=200)
    spec = {"labels": [], "mean": 0.0, "deviation": 1.0}
    head = Number(1, spec)
    deep, wide = (truth / 3 - 1)[:, None].astype(np.float32), np.random.default_rng(1).normal(size=(200, 1))
    fusion = fuse_answers(OwnLoss(head), deep, wide.astype(np.float32), head.targets({"value": truth}))
    assert (fusion.deep, fusion.offset) == pytest.approx((3, 3), abs=0.05)
    assert fusion.wide < 0.05
    found = fusion.logits(deep, wide)[:, 0]
    assert np.abs(found - truth).mean() < 0.05


def test_a_difference_is_shown_or_not() -> None:
    draw, spec = np.random.default_rng(0), {"labels": ["a", "b"]}
    there = draw.random((300, 2)) < 0.5
    rows, objective = (
        {"labels": [np.flatnonzero(row) for row in there]},
        objective_of("multi-label-classification", spec),
    )
    good, poor = ({"logits": (there - 0.5) * scale + draw.normal(size=there.shape)} for scale in (4, 2))
    assert answers_better(good, poor, rows, objective, "micro_f1", 0)
    assert not answers_better(good, good, rows, objective, "micro_f1", 0)
    assert not answers_better(poor, good, rows, objective, "micro_f1", 0)
    assert OwnLoss(SeveralLabels(3, spec)).outputs == 2


def test_words_that_raise_and_lower_a_number() -> None:
    terms, _ = Corpus(["red wine", "red salt", "wine", "salt"]).terms(Reading(), 1, 10)
    weights = csr_matrix([[0.5 if term == "wine" else -0.5 if term == "salt" else 0.0 for term in terms.vocabulary]])
    found = top_words(Vectorizer((terms,), 1), weights.toarray(), [], exclusive=False)
    assert found == {"raises": [["wine", 0.5]], "lowers": [["salt", 0.5]]}


def test_what_is_told_of_the_task_goes_with_words_alone(data: Data, words_model: Path) -> None:
    told, features = read(words_model, "model.json"), read(data.features, "features.json")
    assert spec_of(told) == spec_of(features)
