"""A model of few examples is scored on all of them, as models of the other folds predict them."""

import json
import shutil
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest

from components.evaluate.evaluate import EvaluateReport, EvaluateSettings, evaluate
from components.register.register import RegisterSettings, register
from components.shared.artifacts.artifact import MANIFEST, open_artifact, write_artifact
from components.shared.artifacts.snapshot import CROSSED
from components.shared.errors import InputError
from components.shared.registry import tracking
from tests.few import Few, make_few, rows_of

NAME = "few"


@pytest.fixture(scope="module")
def few(tmp_path_factory: pytest.TempPathFactory, backbone: Path) -> Few:
    found = make_few(tmp_path_factory.mktemp("few"), backbone, rows_of(40))
    found.train("model", strategy="lexical")
    return found


@pytest.fixture(scope="module")
def report(few: Few) -> EvaluateReport:
    return evaluated(few, few.folder / "evaluation")


def evaluated(few: Few, folder: Path, champion: str = "") -> EvaluateReport:
    return evaluate(few.snapshot, few.features, few.folder / "model", folder, EvaluateSettings(champion=champion))


def crown(few: Few, evaluation: Path, folder: Path) -> None:
    version = register(few.folder / "model", evaluation, folder, RegisterSettings(NAME)).version
    tracking.client().set_registered_model_alias(NAME, "champion", version)


def test_forty_examples_give_a_verdict_with_a_wide_interval(few: Few, report: EvaluateReport) -> None:
    table = pq.read_table(few.folder / "model" / CROSSED)
    predicted = np.array(table["probabilities"].to_pylist()).argmax(1)
    right = np.array(report.labels)[predicted] == np.array(table["label"].to_pylist())
    assert report.metrics["accuracy"] == pytest.approx(right.mean())
    assert report.difference["examples"] == 40
    assert report.difference["high"] - report.difference["low"] > 0.1
    assert "by cross-validation over 40 examples" in report.sentence
    assert report.decision == "promote"
    assert 0.25 < report.baselines["SVM on words"]["accuracy"] < 1
    assert report.baselines["Majority class"]["accuracy"] == pytest.approx(0.25)


def test_the_page_and_the_predictions_tell_of_all_examples(few: Few, report: EvaluateReport) -> None:
    page = report.report.read_text("utf-8")
    assert "40 examples in 5 folds, each fold predicted by a model of the others" in page
    assert "test examples" not in page
    predictions = pq.read_table(report.report.parent.parent / "predictions.parquet")
    assert len(predictions) == 40
    assert (
        predictions["probabilities"].to_pylist()
        == pq.read_table(few.folder / "model" / CROSSED)["probabilities"].to_pylist()
    )


def test_the_inventory_tells_that_all_was_trained_on(report: EvaluateReport) -> None:
    told = json.loads((report.report.parent / "inventory/inventory.json").read_text())
    assert told["trained_on"] == ["train", "validation", "test"]


def test_labels_that_are_noise_do_not_become_champion(tmp_path: Path, backbone: Path) -> None:
    noise = make_few(tmp_path, backbone, rows_of(40, noise=True))
    noise.train("model", strategy="lexical")
    found = evaluated(noise, tmp_path / "evaluation")
    assert (found.verdict, found.decision) == ("nothing was learned", "refuse")


def test_a_champion_is_compared_on_what_it_has_not_seen(
    few: Few, report: EvaluateReport, registry: str, tmp_path: Path, backbone: Path
) -> None:
    crown(few, report.report.parent.parent, tmp_path / "version")
    version = tracking.client().get_model_version_by_alias(NAME, "champion")
    assert (version.tags["train_examples"], version.tags["test_examples"]) == ("40", "40")
    again = few.folder / "again"
    shutil.rmtree(again, ignore_errors=True)
    same = Few(again, backbone)
    shutil.copytree(few.snapshot, same.snapshot)
    shutil.copytree(few.features, same.features)
    same.train("model", strategy="lexical", lexical="true")  # other settings: another model
    found = evaluated(same, tmp_path / "same", NAME)
    assert found.decision == "refuse"
    assert any(
        "the 40 examples that there are to compare on" in reason or "same model" in reason for reason in found.reasons
    )
    grown = make_few(tmp_path / "grown", backbone, rows_of(60))
    grown.train("model", strategy="lexical")
    found = evaluated(grown, tmp_path / "evaluation", NAME)
    compared = json.loads((tmp_path / "evaluation/evaluation.json").read_text())["champion"]
    assert compared["difference"]["examples"] == 20
    assert compared["seen"] == 0
    assert found.difference["examples"] == 60
    assert "20 examples that the champion has not seen" in found.report.read_text("utf-8")


def test_a_model_that_has_seen_the_test_split_is_not_scored_on_it(few: Few, tmp_path: Path) -> None:
    source = open_artifact(few.folder / "model", "model")
    with write_artifact(tmp_path / "model", "model", source.settings, source.inputs) as draft:
        for name in source.files:
            if name not in (CROSSED, MANIFEST):
                (draft.path / name).parent.mkdir(exist_ok=True)
                shutil.copyfile(source.file(name), draft.path / name)
    with pytest.raises(InputError, match="Run finetune again"):
        evaluate(few.snapshot, few.features, tmp_path / "model", tmp_path / "evaluation", EvaluateSettings())
