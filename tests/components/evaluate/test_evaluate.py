"""From three artifacts to an evaluation: what it holds, what it refuses."""

import json
import shutil
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest

from components.evaluate.evaluate import EvaluateReport, EvaluateSettings, evaluate
from components.evaluate.predictions import MISTAKES, Classifier, predict
from components.evaluate.sources import open_sources
from components.shared import tasks
from components.shared.artifacts.artifact import Artifact, open_artifact
from components.shared.errors import InputError
from components.shared.process.step import Progress


def evaluation_of(report: EvaluateReport) -> Artifact:
    return open_artifact(report.report.parent.parent, "evaluation")


def test_evaluation_of_single_texts(report: EvaluateReport, model: Path) -> None:
    evaluation = evaluation_of(report)
    told = evaluation.read_json("evaluation.json")
    assert evaluation.digest == report.digest
    assert evaluation.inputs == open_artifact(model, "model").lineage()
    assert set(report.metrics) == {"accuracy", "macro_f1", "log_loss", "ece", "roc_auc"}
    assert report.metrics["accuracy"] > 0.9
    assert report.best_baseline in report.baselines
    assert set(report.baselines) == {
        "Majority class",
        "SVM on words",
        "Logistic regression on words",
        "SVM on characters",
    }
    assert set(told) >= {
        "metrics", "baselines", "best_baseline", "difference", "verdict", "sentence",
        "classes", "confusion", "reliability", "roc",
    }  # fmt: skip
    assert np.sum(report.confusion) == told["examples"] == sum(row["support"] for row in told["classes"])
    assert report.sentence == told["sentence"]


def test_predictions_are_those_that_were_scored(report: EvaluateReport) -> None:
    table = pq.read_table(evaluation_of(report).file("predictions.parquet"))
    assert table.column_names == ["id", "input_1", "label", "predicted", "confidence", "probabilities"]
    rows = table.to_pylist()
    assert np.mean([row["label"] == row["predicted"] for row in rows]) == pytest.approx(report.metrics["accuracy"])
    for row in rows:
        assert sum(row["probabilities"]) == pytest.approx(1, abs=1e-5)
        assert row["confidence"] == max(row["probabilities"])
        assert row["predicted"] == report.labels[int(np.argmax(row["probabilities"]))]


def test_predictions_agree_with_prediction_from_raw_text(report: EvaluateReport, model: Path) -> None:
    from components.shared.backbones.transformers import Predictor

    rows = pq.read_table(evaluation_of(report).file("predictions.parquet")).to_pylist()[:20]
    found = Predictor(model, "cpu").probabilities([[row["input_1"]] for row in rows])
    np.testing.assert_allclose(found, [row["probabilities"] for row in rows], atol=1e-5)


def test_evaluation_of_pairs(pair_report: EvaluateReport) -> None:
    table = pq.read_table(evaluation_of(pair_report).file("predictions.parquet"))
    assert {"input_1", "input_2"} <= set(table.column_names)
    assert set(pair_report.baselines) == {
        "Majority class",
        "SVM on words",
        "Logistic regression on words",
        "SVM on characters",
        "Frozen backbone, linear head",
    }
    best = pair_report.baselines[pair_report.best_baseline]["accuracy"]
    assert pair_report.difference["value"] == pytest.approx(pair_report.metrics["accuracy"] - best)


def test_predictions_of_pictures_name_them_and_do_not_repeat_them(digits_report: EvaluateReport) -> None:
    table = pq.read_table(evaluation_of(digits_report).file("predictions.parquet"))
    assert table.column_names == ["id", "label", "predicted", "confidence", "probabilities"]
    assert digits_report.metrics["accuracy"] == np.mean([r["label"] == r["predicted"] for r in table.to_pylist()]) > 0.6
    assert {"Majority class", "SVM on HOG", "SVM on pixels", "Nearest class mean"} == set(digits_report.baselines)


def test_predictions_agree_with_prediction_from_raw_pictures(
    digits_report: EvaluateReport, digits: dict[str, Path]
) -> None:
    from components.shared.backbones.timm import Predictor

    pictures = pq.read_table(digits["snapshot"] / "test-00000.parquet")["input_1"].to_pylist()[:20]
    rows = pq.read_table(evaluation_of(digits_report).file("predictions.parquet")).to_pylist()[:20]
    found = Predictor(digits["model"], "cpu").probabilities([[picture] for picture in pictures])
    np.testing.assert_allclose(found, [row["probabilities"] for row in rows], atol=1e-5)


def test_chunks_of_pictures_change_nothing(
    digits_report: EvaluateReport, digits: dict[str, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("components.evaluate.predictions.PICTURE_CHUNK", 77)
    chunked = evaluate(**digits, evaluation=tmp_path / "chunked", settings=EvaluateSettings())
    assert chunked.metrics == pytest.approx(digits_report.metrics, abs=1e-5)
    ids = [pq.read_table(evaluation_of(it).file("predictions.parquet"))["id"] for it in (chunked, digits_report)]
    assert ids[0].equals(ids[1])


def test_most_confident_mistakes_hold_their_pictures(digits: dict[str, Path], tmp_path: Path) -> None:
    sources = open_sources(**digits)
    classifier = Classifier(sources.model, sources.features, batch_size=64)
    found = predict(classifier, sources.snapshot, tmp_path / "predictions.parquet", Progress("evaluate", 1.0), 1.0)
    rows = {row["id"]: row for row in pq.read_table(digits["snapshot"] / "test-00000.parquet").to_pylist()}
    table = pq.read_table(tmp_path / "predictions.parquet").to_pylist()
    wrong = sorted(row["confidence"] for row in table if row["label"] != row["predicted"])
    assert [shown.mistake.badge for shown in found.mistakes] == [
        f"{value:.3f}" for value in wrong[: -MISTAKES - 1 : -1]
    ]
    for shown in found.mistakes:
        assert shown.inputs == (rows[shown.id]["input_1"],)
        (_, predicted), (_, label) = shown.mistake.said
        assert label == rows[shown.id]["label"] != predicted


def test_same_inputs_give_the_same_evaluation(
    report: EvaluateReport, snapshot: Path, features: Path, model: Path, tmp_path: Path
) -> None:
    settings = EvaluateSettings(title="kitchen-or-ship")
    assert evaluate(snapshot, features, model, tmp_path / "again", settings).digest == report.digest


def test_chunks_change_nothing(
    report: EvaluateReport, snapshot: Path, features: Path, model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("components.evaluate.predictions.CHUNK", 7)
    chunked = evaluate(snapshot, features, model, tmp_path / "chunked", EvaluateSettings())
    assert chunked.metrics == pytest.approx(report.metrics, abs=1e-5)
    assert chunked.confusion == report.confusion
    ids = [pq.read_table(evaluation_of(it).file("predictions.parquet"))["id"] for it in (chunked, report)]
    assert ids[0].equals(ids[1])


def test_failed_baselines_leave_an_evaluation_that_shows_no_gain(
    snapshot: Path, features: Path, model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: object) -> None:
        raise ValueError("empty <vocabulary>")

    monkeypatch.setattr(type(tasks.get("text-classification")), "baselines", fail)
    report = evaluate(snapshot, features, model, tmp_path / "evaluation", EvaluateSettings())
    assert report.difference["low"] > 0  # over the majority class
    assert report.verdict == "not shown"
    assert "not all baselines could be fitted" in report.sentence
    assert "empty &lt;vocabulary&gt;" in report.report.read_text("utf-8")


@pytest.mark.parametrize("which", ["snapshot", "features", "model"])
def test_changed_file_is_named(which: str, snapshot: Path, features: Path, model: Path, tmp_path: Path) -> None:
    folders = {"snapshot": snapshot, "features": features, "model": model}
    copy = folders[which] = Path(shutil.copytree(folders[which], tmp_path / which))
    file = copy / {"snapshot": "test-00000.parquet", "features": "test.arrow", "model": "model.safetensors"}[which]
    with file.open("r+b") as stream:
        stream.seek(100)
        stream.write(b"changed")
    with pytest.raises(InputError, match=str(file)):
        evaluate(**folders, evaluation=tmp_path / "evaluation", settings=EvaluateSettings())
    assert not (tmp_path / "evaluation").exists()


def test_features_of_another_snapshot_are_refused(
    snapshot: Path, pair_snapshot: Path, pair_features: Path, model: Path, tmp_path: Path
) -> None:
    digest = open_artifact(pair_snapshot, "snapshot").digest[:12]
    with pytest.raises(InputError, match=f"features at {pair_features} was made from snapshot {digest}"):
        evaluate(snapshot, pair_features, model, tmp_path / "evaluation", EvaluateSettings())


def test_model_of_other_features_is_refused(snapshot: Path, features: Path, pair_model: Path, tmp_path: Path) -> None:
    with pytest.raises(InputError, match="model at .* was made from snapshot"):
        evaluate(snapshot, features, pair_model, tmp_path / "evaluation", EvaluateSettings())


def test_setting_below_one_is_refused() -> None:
    with pytest.raises(InputError, match="baseline_examples is 0"):
        EvaluateSettings(baseline_examples=0)


def test_evaluation_holds_no_number_that_is_none_of_json(report: EvaluateReport) -> None:
    text = evaluation_of(report).file("evaluation.json").read_text("utf-8")
    json.loads(text, parse_constant=lambda name: pytest.fail(f"{name} is no JSON"))
