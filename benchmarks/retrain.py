"""What does training go on from when data arrives, and how much of the old data must it see again?

The champion was trained on pairs of operations and descriptions of one half of AWS' services (MiniLM; the demo's task).
Then pairs of the other half arrive, a third as many. Four ways to the next model, by the same settings: from the
backbone on all data, and from the champion on all, on the new and a quarter of the old, and on the new alone. Each is
scored on test pairs of both halves, beside the champion: what is lost on the old half is forgotten.

    python benchmarks/retrain.py [ROUNDS]
"""

import contextlib
import io
import json
import os
import random
import statistics
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np

ROOT = Path(__file__).parent.parent
sys.path[:0] = [str(ROOT / "examples"), str(ROOT)]

import make_aws_operations  # noqa: E402
from corpus import encoder_folder, register_inventory  # noqa: E402

from components.finetune.finetune import finetune  # noqa: E402
from components.finetune.settings import FinetuneSettings  # noqa: E402
from components.ingest.ingest import IngestSettings, ingest  # noqa: E402
from components.shared.prediction import load_artifact  # noqa: E402
from components.transform.transform import TransformSettings, transform  # noqa: E402

COUNTS = {"old": {"train": 2400, "validation": 300, "test": 800}, "new": {"train": 800, "validation": 100, "test": 800}}
INPUTS = ["operation", "description"]
TRAINING: dict[str, Any] = {"epochs": 1, "learning_rate": 1e-4, "batch_size": 16}

Rows = dict[str, list[dict[str, str]]]


def main(rounds: int) -> None:
    """Prints seconds of training and accuracies on both halves: medians."""
    told: dict[str, list[tuple[float, float, float]]] = {}
    for seed in range(rounds):
        for name, figures in play(seed).items():
            told.setdefault(name, []).append(figures)
    slowest = statistics.median(row[0] for row in told["from the backbone, all data"])
    for name, rows in told.items():
        seconds, old, new = (statistics.median(column) for column in zip(*rows, strict=True))
        ratio = f"{seconds:6.1f} s ({seconds / slowest:.2f})" if seconds else " " * 15
        print(f"{name:<44} {ratio}  accuracy on old {old:.3f}, on new {new:.3f}")


def play(seed: int) -> dict[str, tuple[float, float, float]]:
    """Trains a champion, and the models after it; returns seconds and both accuracies of each."""
    halves = make_halves(seed)
    os.environ.pop("MLFLOW_TRACKING_URI", None)  # the registry of the round before is gone
    with tempfile.TemporaryDirectory() as scratch, contextlib.redirect_stdout(io.StringIO()):
        folder = Path(scratch)
        backbone, champion = str(encoder_folder()), folder / "old-model"
        prepare(folder, "old", halves["old"], backbone)
        finetune(folder / "old-features", champion, FinetuneSettings(backbone, seed=seed, **TRAINING))
        known = register_inventory(folder, folder / "old-snapshot", "pairs")
        both = {split: halves["old"][split] + halves["new"][split] for split in halves["old"]}
        prepare(folder, "all", both, backbone)
        ways: dict[str, tuple[str, dict[str, Any]]] = {
            "from the backbone, all data": (backbone, {}),
            "from the champion, all data": (str(champion), {}),
            "from the champion, new and a quarter of old": (str(champion), {"known": known, "replay": 0.25}),
            "from the champion, new alone": (str(champion), {"known": known, "replay": 0.0}),
        }
        found = {"the champion itself": (0.0, *scores(champion, halves))}
        for number, (name, (start, options)) in enumerate(ways.items()):
            model = folder / f"model-{number}"
            began = time.perf_counter()
            finetune(folder / "all-features", model, FinetuneSettings(start, seed=seed, **options, **TRAINING))
            found[name] = (time.perf_counter() - began, *scores(model, halves))
    return found


def make_halves(seed: int) -> dict[str, Rows]:
    """Returns pairs of one half of the services, and of the other."""
    operations = sorted(set(make_aws_operations.read_operations()))
    services = sorted({service for service, _, _ in operations})
    draw = random.Random(seed)
    old = set(draw.sample(services, len(services) // 2))
    halves: dict[str, Rows] = {}
    for half, counts in COUNTS.items():
        of_half = [row for row in operations if (row[0] in old) == (half == "old")]
        rows: Rows = {split: [] for split in counts}
        for split, row in make_aws_operations.make_pairs(of_half, counts=None):
            rows[split].append(row)
        halves[half] = {split: draw.sample(rows[split], count) for split, count in counts.items()}
    return halves


def prepare(folder: Path, name: str, rows: Rows, backbone: str) -> None:
    """Ingests and transforms pairs."""
    for split, members in rows.items():
        path = folder / f"{name}-data" / f"{split}.jsonl"
        path.parent.mkdir(exist_ok=True)
        path.write_text("".join(json.dumps(row) + "\n" for row in members), "utf-8")
    settings = IngestSettings(str(folder / f"{name}-data"), INPUTS, "label", max_rejects=0.1)
    ingest(folder / f"{name}-snapshot", settings)
    transform(folder / f"{name}-snapshot", folder / f"{name}-features", TransformSettings(backbone))


def scores(model: Path, halves: dict[str, Rows]) -> tuple[float, float]:
    """Returns the accuracies on test pairs of the old half and of the new."""
    return score(model, halves["old"]["test"]), score(model, halves["new"]["test"])


def score(model: Path, rows: list[dict[str, str]]) -> float:
    """Returns the accuracy of a model on pairs."""
    told = load_artifact(model).predict([[row[name] for name in INPUTS] for row in rows])
    return float(np.mean([found["label"] == row["label"] for found, row in zip(told, rows, strict=True)]))


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else 3)
