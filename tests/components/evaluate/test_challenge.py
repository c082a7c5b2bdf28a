"""Champion against challenger, on today's test split, with a real registry."""

import hashlib
import json
import shutil
from collections import Counter
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from components.evaluate.champion import forecast
from components.evaluate.evaluate import EvaluateReport, EvaluateSettings
from components.evaluate.predictions import Classifier, predict
from components.evaluate.sources import open_sources
from components.register.register import RegisterSettings, register
from components.shared.artifacts.artifact import open_artifact
from components.shared.errors import InputError, ServiceError
from components.shared.prediction import load_artifact
from components.shared.process.step import Progress
from components.shared.registry import tracking
from tests.components.evaluate.champions import CHANGES, NAME, Day, crown, retold
from tests.components.evaluate.conftest import Retraining


def told_by(report: EvaluateReport) -> dict[str, Any]:
    told: dict[str, Any] = open_artifact(report.report.parent.parent, "evaluation").read_json("evaluation.json")
    return told


def note_of(report: EvaluateReport, name: str) -> dict[str, Any]:
    note: dict[str, Any] = json.loads((report.report.parent / name).read_text("utf-8"))
    return note


def predicted_from_raw(model: Path, day: Day) -> list[str]:
    """What a model's own prediction makes of a day's test texts."""
    return [told["label"] for told in load_artifact(model).predict([[row["input_1"]] for row in day.test_rows()])]


def accuracy(predicted: list[str], rows: list[dict[str, Any]]) -> float:
    return sum(label == row["label"] for label, row in zip(predicted, rows, strict=True)) / len(rows)


def test_each_predicts_from_raw_input_with_its_own_preprocessing(retraining: Retraining) -> None:
    today, rows = retraining.today, retraining.today.test_rows()
    truncations = [tokenizer_of(day.model)["truncation"]["max_length"] for day in (retraining.yesterday, today)]
    assert truncations == [7, 64]
    champion, challenger = (predicted_from_raw(day.model, today) for day in (retraining.yesterday, today))
    compared = told_by(retraining.report)["champion"]
    assert compared["champion"] == pytest.approx(accuracy(champion, rows))
    assert compared["challenger"] == pytest.approx(accuracy(challenger, rows)) == retraining.report.metrics["accuracy"]
    gained, lost = (compared["difference"][name] for name in ("model_only", "baseline_only"))
    assert gained - lost == pytest.approx((compared["challenger"] - compared["champion"]) * len(rows))
    assert compared["metrics"]["challenger"]["macro_f1"] == pytest.approx(retraining.report.metrics["macro_f1"])


def tokenizer_of(model: Path) -> dict[str, Any]:
    told: dict[str, Any] = json.loads((model / "tokenizer.json").read_text("utf-8"))
    return told


def test_digest_tells_the_examples_that_both_predicted(retraining: Retraining) -> None:
    digest = hashlib.sha256()
    for row in retraining.today.test_rows():
        digest.update(f"{row['id']} {len(row['label'])} {row['label']}\n".encode())
    compared = told_by(retraining.report)["champion"]
    assert compared["test_digest"] == compared["challenger_test_digest"] == digest.hexdigest()


@pytest.mark.case(12)
def test_new_and_vanished_labels_count_as_wrong(retraining: Retraining) -> None:
    compared = told_by(retraining.report)["champion"]
    support = Counter(row["label"] for row in retraining.today.test_rows())
    assert [(row["label"], row["support"]) for row in compared["classes"]] == sorted(support.items())
    assert compared["classes"][0] == {
        "label": "harbour", "support": support["harbour"], "champion": 0.0, "challenger": pytest.approx(1, abs=0.5),
    }  # fmt: skip
    assert compared["labels"] == {
        "unknown": ["harbour"], "vanished": ["galley"], "unknown_examples": support["harbour"],
    }  # fmt: skip


def test_old_changed_and_new_examples_are_looked_at_apart(retraining: Retraining) -> None:
    rows = retraining.today.test_rows()
    before = {row["text"]: row["topic"] for row in csv_rows(retraining.yesterday.snapshot.parent / "data.csv")}
    ages = ["new" if (was := before.get(row["input_1"])) is None else "old" if was == row["label"] else "changed"
            for row in rows]  # fmt: skip
    predicted = predicted_from_raw(retraining.yesterday.model, retraining.today)
    for age in ("old", "changed", "new"):
        some = [place for place, found in enumerate(ages) if found == age]
        (row,) = (it for it in told_by(retraining.report)["champion"]["slices"] if it["value"] == age)
        assert (row["column"], row["support"]) == ("data", len(some))
        assert row["champion"] == pytest.approx(accuracy([predicted[n] for n in some], [rows[n] for n in some]))
    assert told_by(retraining.report)["champion"]["seen"] == 0


def csv_rows(path: Path) -> list[dict[str, str]]:
    import csv

    with path.open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


def test_columns_that_the_job_names_are_slices(retraining: Retraining) -> None:
    slices = [row for row in told_by(retraining.report)["champion"]["slices"] if row["column"] == "channel"]
    support = Counter(row["slice_1"] or "(none)" for row in retraining.today.test_rows())
    assert {row["value"]: row["support"] for row in slices} == support
    assert [row["support"] for row in slices] == sorted(support.values(), reverse=True)


def test_decision_latency_and_inventory_are_notes(retraining: Retraining, tmp_path: Path) -> None:
    report = retraining.report
    assert (report.decision, report.champion) == ("promote", "1")
    assert note_of(report, "decision.json") == {"verdict": "promote", "reasons": report.reasons, "champion": "1"}
    assert report.reasons[0].startswith("It is better than the champion: accuracy")
    latency = note_of(report, "timing.json")["latency"]
    assert latency["ratio"] == pytest.approx(latency["challenger"] / latency["champion"])
    assert latency["examples"] == 64
    told = told_by(report)
    assert told["rows"] == open_artifact(retraining.today.snapshot, "snapshot").read_json("snapshot.json")["rows"]
    assert told["changes"] == CHANGES
    assert "latency" not in told["champion"]
    for file in (retraining.today.snapshot / "notes/inventory").iterdir():
        assert (report.report.parent / "inventory" / file.name).read_bytes() == file.read_bytes()
    again = retraining.today.evaluate(tmp_path / "again", changes=CHANGES)
    assert again.digest == report.digest  # it depends on no clock


def test_sizes_are_those_of_the_networks(retraining: Retraining) -> None:
    from components.shared import backbones

    sizes = told_by(retraining.report)["champion"]["sizes"]
    for name, day in (("champion", retraining.yesterday), ("challenger", retraining.today)):
        network = backbones.family("transformers").from_model(day.model)
        assert sizes[name]["parameters"] == sum(weight.numel() for weight in network.parameters())
        assert sizes[name]["bytes"] == (day.model / "model.safetensors").stat().st_size


def test_tie_and_worse_are_not_promoted(retraining: Retraining, tmp_path: Path) -> None:
    equal = replace(retraining.yesterday, model=retold(retraining.yesterday.model, tmp_path / "equal", [0, 0, 1e-6]))
    tie = equal.evaluate(tmp_path / "tie")
    assert tie.decision == "refuse"
    assert "A tie is not promoted" in tie.reasons[0]
    relaxed = equal.evaluate(tmp_path / "relaxed", promotion={"min_gain": -0.1})
    assert relaxed.decision == "promote"
    assert "not worse than the champion by more than 0.1" in relaxed.reasons[0]
    spoilt = replace(retraining.yesterday, model=retold(retraining.yesterday.model, tmp_path / "spoilt", [99, 0, 0]))
    worse = spoilt.evaluate(tmp_path / "worse", promotion={"min_gain": -0.1})
    assert worse.decision == "refuse"
    assert "It may be worse than the champion by more than 0.1" in " ".join(worse.reasons)
    assert "It is worse than the champion" in " ".join(spoilt.evaluate(tmp_path / "worse2").reasons)


def test_champion_itself_is_no_challenger(retraining: Retraining, tmp_path: Path) -> None:
    report = retraining.yesterday.evaluate(tmp_path / "evaluation")
    assert report.reasons == ["It is the champion, version 1: training gave the same model again."]


def test_macro_f1_can_decide(retraining: Retraining, tmp_path: Path) -> None:
    report = retraining.today.evaluate(tmp_path / "evaluation", promotion={"metric": "macro_f1"})
    compared = told_by(report)["champion"]
    assert compared["difference"]["metric"] == compared["metric"] == "macro_f1"
    assert compared["difference"]["value"] == pytest.approx(compared["challenger"] - compared["champion"])
    assert report.decision == "promote"
    assert "It is better than the champion: macro-F1" in report.reasons[0]


def test_other_test_examples_refuse(retraining: Retraining, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("components.evaluate.champion.add_examples", lambda digest, *_: digest.update(b"others"))
    report = retraining.today.evaluate(tmp_path / "evaluation")
    assert report.decision == "refuse"
    assert "scored on different test examples" in report.reasons[0]


def test_rules_are_checked_before_any_work(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="promotion.min_gian is no rule.*Did you mean 'min_gain'"):
        EvaluateSettings(promotion={"min_gian": 0.1})
    with pytest.raises(InputError, match="'a/b' cannot be a model's name"):
        EvaluateSettings(champion="a/b")


@pytest.mark.usefixtures("registry")
def test_without_a_champion_the_baselines_decide(retrained: Retraining, tmp_path: Path) -> None:
    report = retrained.today.evaluate(tmp_path / "evaluation", promotion={"must_beat_baseline": True})
    assert told_by(report)["champion"] is None
    assert (report.decision, report.champion) == ("refuse", "")
    assert note_of(report, "timing.json")["latency"] is None
    manual = retrained.today.evaluate(tmp_path / "manual", promotion={"approval": "manual"})
    assert manual.decision == "await approval"
    assert manual.reasons[0].startswith("There is no champion yet.")


def test_registry_that_is_not_there_is_no_champion_that_is_not_there(
    retrained: Retraining, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(InputError, match="MLFLOW_TRACKING_URI is not set"):
        retrained.today.evaluate(tmp_path / "evaluation")
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "http://127.0.0.1:9")
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "0")
    with pytest.raises(ServiceError, match="looking for the champion of 'demo'"):
        retrained.today.evaluate(tmp_path / "evaluation")
    assert not (tmp_path / "evaluation").exists()


@pytest.fixture
def crowned(retrained: Retraining, registry: str, tmp_path: Path) -> Path:
    """The artifacts of the model that is champion of a registry that a test may spoil."""
    assert registry.endswith(f"{tmp_path}/mlflow.db")
    crown(retrained.yesterday, tmp_path / "first")
    (folder,) = (file.parent for file in tmp_path.rglob("mlflow-artifacts/**/MLmodel"))
    return folder


def refusal_of(day: Day, folder: Path) -> str:
    """Evaluates against a champion that cannot be compared; returns why."""
    report = day.evaluate(folder, promotion={"max_latency_ratio": 1.0})
    assert (report.decision, report.champion) == ("refuse", "1")
    compared = told_by(report)["champion"]
    assert compared["test_digest"] == ""
    assert compared["challenger"] == pytest.approx(report.metrics["accuracy"])
    assert f"It could not be compared with the champion (version 1): {compared['failure']}." in report.reasons[0]
    assert "Not to be promoted" in report.report.read_text("utf-8")
    return str(compared["failure"])


def test_champion_whose_files_are_gone_is_told(retrained: Retraining, crowned: Path, tmp_path: Path) -> None:
    (weights,) = crowned.rglob("model.safetensors")
    content = weights.read_bytes()[:-1]
    weights.unlink()  # it is one file with the model that was trained
    weights.write_bytes(content)
    assert "files in the artifact store were changed or damaged" in refusal_of(retrained.today, tmp_path / "damaged")
    shutil.rmtree(crowned)
    assert "not in the registry's artifact store any more" in refusal_of(retrained.today, tmp_path / "gone")


@pytest.mark.usefixtures("registry")
def test_bucket_that_is_empty_is_no_bucket_that_does_not_answer(
    s3: Any, retrained: Retraining, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    tracking.client().create_experiment("in-a-bucket", artifact_location="s3://bucket/models")
    crown(retrained.yesterday, tmp_path / "first", "in-a-bucket")
    for entry in s3.list_objects_v2(Bucket="bucket")["Contents"]:
        s3.delete_object(Bucket="bucket", Key=entry["Key"])
    assert "not in the registry's artifact store any more" in refusal_of(retrained.today, tmp_path / "gone")
    monkeypatch.setenv("MLFLOW_S3_ENDPOINT_URL", "http://127.0.0.1:9")
    monkeypatch.setenv("AWS_MAX_ATTEMPTS", "1")
    with pytest.raises(ServiceError, match="failed while downloading models:/demo/1"):
        retrained.today.evaluate(tmp_path / "silent")


@pytest.mark.usefixtures("registry")
def test_champion_of_somebody_else_is_told(retrained: Retraining, tmp_path: Path) -> None:
    import mlflow

    class Foreign(mlflow.pyfunc.PythonModel):  # type: ignore[name-defined, misc]
        def predict(self, model_input: list[str]) -> list[str]:
            return model_input

    mlflow.pyfunc.save_model(tmp_path / "foreign", python_model=Foreign(), pip_requirements=[])
    client = tracking.client()
    client.create_registered_model(NAME)
    client.create_model_version(NAME, (tmp_path / "foreign").as_uri())
    client.set_registered_model_alias(NAME, "champion", "1")
    assert "was not registered by graft" in refusal_of(retrained.today, tmp_path / "evaluation")


@pytest.mark.parametrize(
    ("told", "says"),
    [
        ({"task": "image-classification"}, "it learned image-classification, and the data is for text-classification"),
        ({"inputs": ["title"]}, "its inputs are 'title', and those of the data 'text'"),
        ({"family": "timm"}, "its model cannot be loaded"),
        ({"columns": ["letters"]}, "it cannot predict today's test examples"),
    ],
)
@pytest.mark.usefixtures("registry")
def test_champion_that_learned_something_else_is_told(
    told: dict[str, Any], says: str, retrained: Retraining, tmp_path: Path
) -> None:
    other = replace(retrained.yesterday, model=retold(retrained.yesterday.model, tmp_path / "other", [0, 0, 0], **told))
    retrained.yesterday.evaluate(tmp_path / "first")
    evaluation = told_again(tmp_path / "first", other.model)
    register(other.model, evaluation, tmp_path / "version", RegisterSettings(NAME))
    tracking.client().set_registered_model_alias(NAME, "champion", "1")
    assert says in refusal_of(retrained.today, tmp_path / "evaluation")


def told_again(evaluation: Path, model: Path) -> Path:
    """Says of an evaluation that it is another model's."""
    manifest = json.loads((evaluation / "manifest.json").read_text("utf-8"))
    manifest["inputs"]["model"] = open_artifact(model, "model").digest
    (evaluation / "manifest.json").write_text(json.dumps(manifest), "utf-8")
    return evaluation


@pytest.mark.parametrize("at_once", [7, 64])
def test_pictures_are_predicted_a_few_at_once(
    at_once: int, digits: dict[str, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("components.evaluate.champion._PICTURES", at_once)
    sources, progress = open_sources(**digits), Progress("evaluate", 1.0)
    classifier = Classifier(sources.model, sources.features, batch_size=64)
    expected = predict(classifier, sources.snapshot, tmp_path / "predictions.parquet", progress, 0.5)
    found = forecast(load_artifact(digits["model"]), sources.snapshot, classifier.spec, progress, 0.5)
    assert found.statistics["predicted"].tolist() == expected.statistics["predicted"].tolist()
    assert found.test_digest == expected.test_digest
