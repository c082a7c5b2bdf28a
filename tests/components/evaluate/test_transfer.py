"""Whether transfer helped, and what more labels brought: from the notes that finetune left."""

from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
import pytest

from components.evaluate.baselines import fit_baselines
from components.evaluate.evaluate import EvaluateReport, EvaluateSettings, evaluate
from components.evaluate.transfer import p_value_of, read_comparison, sentence_of_curve, transfer_of
from components.shared import tasks
from components.shared.artifacts.artifact import open_artifact
from components.shared.artifacts.features import FeatureSplit
from components.shared.baselines import Baseline, Labelled, Terms
from components.shared.errors import InputError
from components.shared.statistics import Statistics
from components.shared.tasks.classification.metrics import ACCURACY
from components.shared.tasks.classification.scoring import MAJORITY
from components.shared.tasks.classification.statistics import statistics_of
from tests.components.evaluate.artifacts import point, with_notes

TASK = tasks.get("image-classification")
CLASSICAL = ("SVM on HOG", "SVM on pixels", "Nearest class mean")


def evaluation_of(report: EvaluateReport) -> dict[str, Any]:
    told: dict[str, Any] = open_artifact(report.report.parent.parent, "evaluation").read_json("evaluation.json")
    return told


def statistics_with(labels: np.ndarray, accuracy: float) -> Statistics:
    """What a model made of the test split that has its first examples right."""
    right = np.arange(len(labels)) < accuracy * len(labels)
    return statistics_of(np.eye(10)[np.where(right, labels, (labels + 1) % 10)], labels)


@pytest.mark.parametrize(
    ("accuracy", "verdict", "says"),
    [
        (0.9, "positive", "Positive transfer: accuracy 0.900 against 0.700 (from scratch)"),
        (0.71, "none shown", "No gain from transfer was shown: accuracy 0.710"),
        (0.5, "negative", "Negative transfer, the model is worse than one without pretrained weights"),
    ],
)
def test_verdict_follows_the_interval_to_the_reference(
    accuracy: float, verdict: str, says: str, digits: dict[str, Path]
) -> None:
    labels = FeatureSplit(open_artifact(digits["features"], "features"), "test").labels
    comparison = read_comparison(open_artifact(digits["model"], "model"), TASK, statistics_with(labels, accuracy))
    found = transfer_of(comparison, seed=0)
    assert found is not None
    assert found["verdict"] == verdict
    assert found["sentence"].startswith(says)
    assert [arm["name"] for arm in found["arms"]] == ["probe, pretrained", "probe, random", "from scratch"]
    reference = found["arms"][2]
    assert reference["metrics"]["accuracy"] == pytest.approx(0.7)
    assert reference["difference"]["value"] == pytest.approx(accuracy - 0.7)
    low, high = reference["difference"]["low"], reference["difference"]["high"]
    assert {"positive": low > 0, "none shown": low <= 0 <= high, "negative": high < 0}[verdict]
    assert (reference["difference"]["p_value"] < 0.05) == (verdict != "none shown")


def test_evaluation_tells_the_arms_but_no_seconds(digits_report: EvaluateReport) -> None:
    told = evaluation_of(digits_report)
    assert told["transfer"]["reference"] == "from scratch"
    assert set(told["transfer"]["arms"][0]) == {
        "name", "pretrained", "strategy", "validation", "metrics", "difference",
    }  # fmt: skip
    timing = open_artifact(digits_report.report.parent.parent, "evaluation").read_json("notes/timing.json")
    assert timing["arms"] == {"probe, pretrained": 3.25, "probe, random": 3.25, "from scratch": 3.25}


def test_unasked_nothing_is_told(digits: dict[str, Path], tmp_path: Path) -> None:
    bare = with_notes(digits["model"], digits["features"], tmp_path / "model", {})
    told = evaluation_of(evaluate(digits["snapshot"], digits["features"], bare, tmp_path / "e", EvaluateSettings()))
    assert told["transfer"] is None
    assert told["learning_curve"] is None
    page = (tmp_path / "e/notes/report.html").read_text("utf-8")
    assert "Did transfer help?" not in page
    assert "Would more labels help?" not in page


def test_curve_compares_model_and_baselines_on_as_many_labels(digits_report: EvaluateReport) -> None:
    told = evaluation_of(digits_report)
    curve = told["learning_curve"]
    assert [(point["labels_per_class"], point["examples"]) for point in curve] == [(8, 80), (32, 320), (60, 600)]
    assert [point["model"]["accuracy"] for point in curve[:2]] == pytest.approx([0.4, 0.6])
    assert curve[-1]["model"] == told["metrics"]
    assert curve[-1]["baselines"] == {name: told["baselines"][name] for name in CLASSICAL}
    assert curve[0]["baselines"]["SVM on HOG"]["accuracy"] < curve[-1]["baselines"]["SVM on HOG"]["accuracy"]


def test_baselines_of_a_point_learn_from_the_first_examples_of_each_class(
    digits: dict[str, Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    fitted = []

    def remember(_: object, train: Labelled, held: Labelled, test: list[list[bytes]], terms: Terms) -> Any:
        fitted.append(list(zip(train.inputs[0], train.labels.tolist(), strict=True)))
        assert len(held) == 100  # all of validation
        yield Baseline("a guess", "", np.full((len(test[0]), terms.classes), 0.1), 0, 0.0, len(train))

    monkeypatch.setattr(type(tasks.get("image-classification")), "baselines", remember)
    snapshot = open_artifact(digits["snapshot"], "snapshot")
    labels = FeatureSplit(open_artifact(digits["features"], "features"), "test").labels
    found = fit_baselines(snapshot, labels, 400, 100, seed=0, curve=[3, 20, 50])
    assert set(found.curve) == {3, 20}  # 500 are more than may be used
    assert set(found.curve[3]) == {"a guess"}
    assert MAJORITY not in found.classical
    rows = pq.read_table(snapshot.file("train-00000.parquet")).to_pylist()
    first = [row for n, row in enumerate(rows) if [other["label"] for other in rows[:n]].count(row["label"]) < 3]
    assert fitted[1] == [(row["input_1"], int(row["label"][-1])) for row in first]


def test_predictions_of_other_examples_are_refused(digits: dict[str, Path], tmp_path: Path) -> None:
    model = open_artifact(digits["model"], "model")
    with pytest.raises(InputError, match=r"300 predictions of 'from scratch'; the test split has 7 examples"):
        read_comparison(model, TASK, statistics_with(np.arange(7), 1.0)).statistics("from scratch")


def test_sentence_says_what_a_doubling_brought() -> None:
    points = [{"examples": 80, "model": {"accuracy": 0.5}}, {"examples": 320, "model": {"accuracy": 0.7}}]
    assert sentence_of_curve(points, 10, ACCURACY) == (
        "From 8 to 32 labels a class the model's accuracy went from 0.500 to 0.700: +0.100 for each doubling."
    )


def test_small_p_values_are_not_written_as_zero() -> None:
    assert [p_value_of(value) for value in (1e-9, 0.0123, 1.0)] == ["p < 0.001", "p = 0.012", "p = 1.000"]


def test_curve_alone_gives_no_verdict_and_ends_with_the_model_itself(digits: dict[str, Path], tmp_path: Path) -> None:
    whole = {**point(100, 10, 0.8), "examples": 600}  # no class has 100: these are all examples
    notes = {"arms": [], "reference": None, "curve": [point(8, 10, 0.5), whole]}
    model = with_notes(digits["model"], digits["features"], tmp_path / "model", notes)
    told = evaluation_of(evaluate(digits["snapshot"], digits["features"], model, tmp_path / "e", EvaluateSettings()))
    assert told["transfer"] is None
    assert [point["examples"] for point in told["learning_curve"]] == [
        80,
        600,
    ]  # of 100 a class there are none left out
