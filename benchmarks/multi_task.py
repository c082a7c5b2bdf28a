"""Does learning several tasks together help? One model of four answers beside four models of one, on the same texts.

    python examples/make_aws_several.py && python benchmarks/multi_task.py [FOLDER]      (default: .graft/demo)

All learn by the same strategy, from the same backbone, split and settings; what differs is how many tasks share the
network. Told are the test examples that have an answer for a task, by its own metric, and the seconds of training.
"""

import dataclasses
import json
import sys
import tempfile
from pathlib import Path
from typing import Any

from components.evaluate.evaluate import EvaluateSettings, evaluate
from components.finetune.finetune import finetune
from components.finetune.settings import FinetuneSettings
from components.ingest.ingest import IngestSettings, ingest
from components.shared.artifacts.artifact import open_artifact
from components.transform.transform import TransformSettings, transform

TASKS: dict[str, dict[str, Any]] = {
    "service": {"task": "text-classification", "label": "service"},
    "verb": {"task": "text-classification", "label": "verb"},
    "topics": {"task": "multi-label-classification", "label": "topics"},
    "parameters": {"task": "text-regression", "label": "parameters", "weight": 0.5},
}
SETTINGS: dict[str, Any] = {
    "strategy": "partial",
    "trainable_blocks": 1,
    "epochs": 6,
    "seed": 42,
    "lexical": "false",
    "precision": "float32",
}

EPOCHS, LONG = 6, 4


def main(demo: Path) -> None:
    """Trains one model of all tasks for as many steps as each model of one has, and for as long as they take together.

    Then the models of one task; prints a table.
    """
    source = str(demo / "data" / "aws-several")
    columns = json.dumps([told["label"] for told in TASKS.values()])
    data = IngestSettings(source, ["text"], columns, "multi-task", {"tasks": TASKS})
    few, many = (learn(demo, data, epochs) for epochs in (EPOCHS, LONG * EPOCHS))
    print(f"{'':12}{'together':>10}{f'{LONG} x longer':>12}{'alone':>10}{'baseline':>10}")
    seconds = 0.0
    for name, told in TASKS.items():
        alone = learn(demo, IngestSettings(source, ["text"], told["label"], told["task"], unlabelled="hold"), EPOCHS)
        seconds += alone["seconds"]
        rows = [next(row for row in one["members"] if row["name"] == name) for one in (few, many)]
        rival = rows[0]["baselines"][rows[0]["best_baseline"]][rows[0]["metric"]]
        values = f"{rows[0]['value']:10.4f}{rows[1]['value']:12.4f}{alone['value']:10.4f}{rival:10.4f}"
        print(f"{name:12}{values}  {rows[0]['metric']}", flush=True)
    print(f"{'seconds':12}{few['seconds']:10.0f}{many['seconds']:12.0f}{seconds:10.0f}")


def learn(demo: Path, data: IngestSettings, epochs: int) -> dict[str, Any]:
    """Returns what evaluation tells of a model, its value by its first metric, and the seconds of training."""
    backbone, settings = str(demo / "minilm"), {**SETTINGS, "epochs": epochs, "patience": epochs}
    with tempfile.TemporaryDirectory() as scratch:
        paths = {name: Path(scratch) / name for name in ("snapshot", "features", "model", "evaluation")}
        ingest(paths["snapshot"], dataclasses.replace(data, near_duplicates=1.0))
        transform(paths["snapshot"], paths["features"], TransformSettings(backbone, max_length=40))
        finetune(paths["features"], paths["model"], FinetuneSettings(backbone, **settings), paths["snapshot"])
        evaluate(*paths.values(), EvaluateSettings())
        told = open_artifact(paths["evaluation"], "evaluation").read_json("evaluation.json")
        seconds = open_artifact(paths["model"], "model").read_json("notes/history.json")["seconds"]
    return {**told, "value": told["metrics"][told["difference"]["metric"]], "seconds": seconds}


if __name__ == "__main__":
    main(Path(sys.argv[1] if len(sys.argv) > 1 else ".graft/demo"))
