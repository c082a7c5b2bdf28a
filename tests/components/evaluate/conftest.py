"""Evaluations of the small models, made once a session."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from components.evaluate.evaluate import EvaluateReport, EvaluateSettings, evaluate
from components.ingest.ingest import IngestSettings, ingest
from components.transform.transform import TransformSettings, transform
from tests.components.evaluate.artifacts import arm, make_digit_features, make_digit_model, make_digits, point
from tests.components.evaluate.champions import CHANGES, TODAY, YESTERDAY, Day, crown, make_day, rows_of
from tests.conftest import write_csv

LABELS = ["<i>html</i>", "ספנות & סירות"]
TEXTS = [
    "<script>document.title = 'taken over'</script> soup {number}",
    "</dd><img src=https://example.com/{number}.png onerror=alert(1)> <b>deck</b>",
    "זה טקסט מימין לשמאל 🚢 {number}",
    "{{ 7 * 7 }} a very long text " + "and more " * 300 + "{number}",
]
VALIDATION = {"validation_loss": 0.31, "accuracy": 0.93, "macro_f1": 0.92}
PROBE: dict[str, Any] = {  # as finetune tells of a probe, the better of two strategies
    "strategy": "probe",
    "frozen": "4 of 4 blocks frozen",
    "epochs": [{"epoch": 1, "step": 0, "train_loss": 0.2, **VALIDATION, "seconds": 1.5}],
    "steps": [],
    "best_epoch": 1,
    "stopped_early": False,
    "seconds": 1.5,
    "examples_per_second": 812.0,
    "probe": {"penalties": [0.1, 0.01, 0.001], "validation_losses": [0.6, 0.31, 0.4], "chosen": 0.01},
    "sweep": [
        {"strategy": "probe", **VALIDATION, "seconds": 1.5, "steps": 0, "kept": True},
        {"strategy": "full", **VALIDATION, "validation_loss": 0.47, "seconds": 12.0, "steps": 1200, "kept": False},
    ],
}
COMPARISON: dict[str, Any] = {
    "arms": [
        arm("probe, pretrained", 0.8, pretrained=True, strategy="probe"),
        arm("probe, random", 0.5, strategy="probe"),
        arm("from scratch", 0.7),
    ],
    "reference": "from scratch",
    "curve": [point(8, 10, 0.4), point(32, 10, 0.6)],
}


@pytest.fixture(scope="session")
def digits(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """A snapshot of pictures, its features, and a model of them with all notes that finetune can leave."""
    snapshot = make_digits(tmp_path_factory.mktemp("digits"))
    features = make_digit_features(snapshot)
    model = make_digit_model(features, {"history": PROBE, **COMPARISON})
    return {"snapshot": snapshot, "features": features, "model": model}


@pytest.fixture(scope="session")
def digits_report(digits: dict[str, Path]) -> EvaluateReport:
    """Of the model of pictures."""
    return evaluate(**digits, evaluation=digits["model"].parent / "evaluation", settings=EvaluateSettings())


@pytest.fixture(scope="session")
def report(snapshot: Path, features: Path, model: Path) -> EvaluateReport:
    """Of the model of single texts."""
    return evaluate(snapshot, features, model, model.parent / "evaluation", EvaluateSettings(title="kitchen-or-ship"))


@pytest.fixture(scope="session")
def pair_report(pair_snapshot: Path, pair_features: Path, pair_model: Path) -> EvaluateReport:
    """Of the model of pairs."""
    return evaluate(pair_snapshot, pair_features, pair_model, pair_model.parent / "evaluation", EvaluateSettings())


@pytest.fixture(scope="session")
def hostile_report(tmp_path_factory: pytest.TempPathFactory, backbone: Path) -> EvaluateReport:
    """Of a model that learns nothing, of texts and labels that would like to be HTML, with some rejected rows."""
    from components.finetune.finetune import finetune
    from components.finetune.settings import FinetuneSettings

    folder = tmp_path_factory.mktemp("hostile")
    texts = [TEXTS[number % 4].replace("{number}", str(number)) for number in range(200)]
    rows = [{"text": text, "label": LABELS[len(text) % 7 % 2]} for text in texts]
    rows.append({"text": "<script>document.title = 'taken over'</script>", "label": ""})
    source = write_csv(folder / "data.csv", rows)
    ingest(folder / "snapshot", IngestSettings(str(source), ["text"], "label"))
    transform(folder / "snapshot", folder / "features", TransformSettings(str(backbone)))
    finetune(
        folder / "features",
        folder / "model",
        FinetuneSettings(str(backbone), strategy="full", epochs=1, learning_rate=1e-6),
    )
    folders = [folder / name for name in ("snapshot", "features", "model", "evaluation")]
    return evaluate(*folders, EvaluateSettings(title="<b>title</b>"))


@dataclass(frozen=True)
class Retraining:
    """Yesterday's champion, which reads fewer tokens and knows another label, and today's challenger, evaluated."""

    uri: str
    yesterday: Day
    today: Day
    report: EvaluateReport


@pytest.fixture(scope="session")
def retrained(tmp_path_factory: pytest.TempPathFactory, backbone: Path, empty_database: Path) -> Retraining:
    folder = tmp_path_factory.mktemp("retraining")
    (folder / "mlflow.db").write_bytes(empty_database.read_bytes())
    uri = f"sqlite:///{folder / 'mlflow.db'}"
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("MLFLOW_TRACKING_URI", uri)
        rows = rows_of(0, 240, YESTERDAY)
        yesterday = make_day(folder / "yesterday", rows, backbone, max_length=7, epochs=16, patience=16)
        crown(yesterday, folder / "first")
        today = make_day(folder / "today", rows_of(40, 400, TODAY), backbone, epochs=9, patience=9)
        report = today.evaluate(folder / "second", changes=CHANGES)
    return Retraining(uri, yesterday, today, report)


@pytest.fixture
def retraining(retrained: Retraining, monkeypatch: pytest.MonkeyPatch) -> Retraining:
    """It, with the environment leading to its registry: leave that as it is."""
    monkeypatch.setenv("MLFLOW_TRACKING_URI", retrained.uri)
    return retrained


@pytest.fixture(scope="session")
def retraining_report(retrained: Retraining) -> EvaluateReport:
    """Of the challenger."""
    return retrained.report
