"""Evaluations of the small models, made once a session."""

from pathlib import Path

import pytest

from components.evaluate.evaluate import EvaluateReport, EvaluateSettings, evaluate
from components.ingest.ingest import IngestSettings, ingest
from components.transform.transform import TransformSettings, transform
from tests.conftest import write_csv

LABELS = ["<i>html</i>", "ספנות & סירות"]
TEXTS = [
    "<script>document.title = 'taken over'</script> soup {number}",
    "</dd><img src=https://example.com/{number}.png onerror=alert(1)> <b>deck</b>",
    "זה טקסט מימין לשמאל 🚢 {number}",
    "{{ 7 * 7 }} a very long text " + "and more " * 300 + "{number}",
]


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
    finetune(folder / "features", folder / "model", FinetuneSettings(str(backbone), epochs=1, learning_rate=1e-6))
    folders = [folder / name for name in ("snapshot", "features", "model", "evaluation")]
    return evaluate(*folders, EvaluateSettings(title="<b>title</b>"))
