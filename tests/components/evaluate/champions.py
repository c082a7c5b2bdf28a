"""Two days of the same job, a model of each, and the first one's in a registry as champion."""

import json
import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq

from components.evaluate.evaluate import EvaluateReport, EvaluateSettings, evaluate
from components.ingest.ingest import IngestSettings, ingest
from components.register.register import RegisterSettings, register
from components.shared import tasks
from components.shared.artifacts.artifact import MANIFEST, open_artifact, write_artifact
from components.shared.registry import tracking
from components.transform.transform import TransformSettings, transform
from tests.conftest import make_model, write_csv

NAME = "demo"
YESTERDAY, TODAY = {"flour": "galley"}, {"tide": "harbour"}
CHANNELS = ["mail", "<b>chat</b>", ""]
CHANGES: dict[str, Any] = {  # as detect tells them
    "sentence": "160 new, 36 relabelled, 40 gone of 360 examples since version 1, the champion, was trained.",
    "champion": "1",
    "examples": {"before": 240, "after": 360, "new": 160, "changed": 36, "vanished": 40},
    "labels": {"new": ["harbour"], "vanished": ["galley"]},
    "classes": [
        {"label": "galley", "before": 30, "after": 0},
        {"label": "harbour", "before": 0, "after": 60},
        {"label": "kitchen", "before": 90, "after": 180},
        {"label": "ship", "before": 120, "after": 120},
    ],
    "balance": 0.2917,
    "drift": {"score": 0.57, "p_value": 0.012, "examples": 400},
}


@dataclass(frozen=True)
class Day:
    """The artifacts of one day's run."""

    snapshot: Path
    features: Path
    model: Path

    def evaluate(self, folder: Path, **settings: Any) -> EvaluateReport:
        """Evaluates the day's model against the champion; baselines need not be beaten, unless that is asked for."""
        promotion = {"must_beat_baseline": False, **settings.pop("promotion", {})}
        given = EvaluateSettings(**{"title": NAME, "champion": NAME, "promotion": promotion, **settings})
        return evaluate(self.snapshot, self.features, self.model, folder, given)

    def test_rows(self) -> list[dict[str, Any]]:
        """Returns the examples of the test split."""
        files = sorted(self.snapshot.glob("test-*.parquet"))
        return [row for file in files for row in pq.read_table(file).to_pylist()]


def rows_of(first: int, last: int, labels: dict[str, str]) -> list[dict[str, str]]:
    """Returns sample rows, each with a channel; a word gives the rows that hold it another label."""
    found = []
    for number, row in enumerate(tasks.get("text-classification").sample(last, seed=1)[first:], first):
        label = next((labels[word] for word in labels if word in row["input_1"]), row["label"])
        found.append({"text": row["input_1"], "topic": label, "channel": CHANNELS[number % 3]})
    return found


def make_day(folder: Path, rows: list[dict[str, str]], backbone: Path, max_length: int = 0, **training: Any) -> Day:
    """Ingests, transforms and trains."""
    source = write_csv(folder / "data.csv", rows)
    splits = {"validation_fraction": 0.15, "test_fraction": 0.35}
    ingest(folder / "snapshot", IngestSettings(str(source), ["text"], "topic", slices=["channel"], **splits))
    transform(folder / "snapshot", folder / "features", TransformSettings(str(backbone), max_length=max_length))
    return Day(folder / "snapshot", folder / "features", make_model(folder / "features", backbone, **training))


def crown(day: Day, folder: Path, experiment: str = "") -> str:
    """Registers a day's model and makes it champion; returns its version."""
    day.evaluate(folder / "evaluation")
    version = register(day.model, folder / "evaluation", folder / "version", RegisterSettings(NAME, experiment)).version
    client = tracking.client()
    run = client.get_model_version(NAME, version).run_id
    client.log_artifacts(run, str(day.snapshot / "notes/inventory"), "inventory")
    client.set_registered_model_alias(NAME, "champion", version)
    return version


def retold(model: Path, folder: Path, bias: list[float], **told: Any) -> Path:
    """Copies a model with something added to its head's bias, and other words in its model.json."""
    from safetensors.torch import load_file, save_file
    from torch import tensor

    source = open_artifact(model, "model")
    with write_artifact(folder, "model", dict(source.settings), source.inputs) as draft:
        shutil.copytree(model, folder, dirs_exist_ok=True, ignore=shutil.ignore_patterns(MANIFEST))
        weights = load_file(folder / "model.safetensors")
        weights["head.bias"] += tensor(bias)
        save_file(weights, folder / "model.safetensors", {"format": "pt"})
        content = {**source.read_json("model.json"), **told}
        (folder / "model.json").write_text(json.dumps(content), "utf-8")
        draft.producer.update(source.producer)
    return folder
