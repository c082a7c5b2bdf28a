"""Baselines learn from a bounded sample in which every class occurs."""

from pathlib import Path

import numpy as np
import pytest

from components.evaluate.baselines import fit_baselines
from components.ingest.ingest import IngestSettings, ingest
from components.shared import tasks
from components.shared.artifacts.artifact import Artifact, open_artifact
from components.shared.artifacts.snapshot import read_batches
from components.shared.tasks.classification.scoring import MAJORITY
from tests.conftest import write_csv


def true_labels(snapshot: Artifact) -> np.ndarray:
    classes = snapshot.read_json("snapshot.json")["labels"]
    return np.array(
        [classes.index(label) for batch in read_batches(snapshot, "test") for label in batch["label"].to_pylist()]
    )


def test_baselines_of_single_texts(snapshot: Path) -> None:
    source = open_artifact(snapshot, "snapshot")
    found = fit_baselines(source, true_labels(source), 1000, 1000, seed=0)
    told = source.read_json("snapshot.json")
    assert set(found.statistics) == {MAJORITY, "SVM on words", "Logistic regression on words", "SVM on characters"}
    assert (found.train_examples, found.test_examples) == (told["rows"]["train"], told["rows"]["test"])
    largest = max(told["labels"], key=lambda label: told["classes"]["train"][label])
    assert found.statistics[MAJORITY]["right"].sum() == told["classes"]["test"][largest]
    assert found.statistics["SVM on words"]["right"].mean() > 0.9
    assert set(found.told) == set(found.statistics)
    assert set(found.seconds) == set(found.classical)


def test_sample_is_bounded_and_holds_every_class(tmp_path: Path) -> None:
    rows = [{"text": f"common words {number}", "label": "common"} for number in range(300)]
    rows += [{"text": f"seldom heard {number}", "label": "rare"} for number in range(12)]
    source = write_csv(tmp_path / "data.csv", rows)
    ingest(tmp_path / "snapshot", IngestSettings(str(source), ["text"], "label"))
    opened = open_artifact(tmp_path / "snapshot", "snapshot")
    found = fit_baselines(opened, true_labels(opened), train_most=1, test_most=5, seed=0)
    assert found.failure == ""
    assert found.train_examples == 2  # the first, and the first of the other class
    assert found.test_examples == len(found.statistics["SVM on words"]) == 5


def test_failing_baseline_is_told_and_loses_nothing(
    snapshot: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def fail(*_: object) -> None:
        raise ValueError("empty vocabulary")

    monkeypatch.setattr(type(tasks.get("text-classification")), "baselines", fail)
    source = open_artifact(snapshot, "snapshot")
    found = fit_baselines(source, true_labels(source), 1000, 1000, seed=0)
    assert set(found.statistics) == {MAJORITY}
    assert found.failure == "ValueError: empty vocabulary"
    assert "could not be fitted" in capsys.readouterr().out
