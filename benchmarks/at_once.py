"""Ten retrainings of one model at once, by a real MLflow server: what is told, and what is left in the registry?

A champion is trained. Then `graft retrain` runs as many times at once as is asked for: with its data unchanged, and
with new data. Told are the notices that a webhook got, the champions of the log, the versions of each content, and the
MLflow runs that are still open. Anything that should not be ends it with an error.

    python benchmarks/at_once.py [RUNS]
"""

import collections
import json
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parent.parent
sys.path.insert(0, str(ROOT))

from mlflow import MlflowClient  # noqa: E402

from components.shared import tasks  # noqa: E402
from components.shared.registry import promotions  # noqa: E402
from tests.backbones import make_bert  # noqa: E402
from tests.conftest import TRAINING, write_csv  # noqa: E402
from tests.servers import serving, webhook_server  # noqa: E402

MODEL = "at-once"


def main(runs: int) -> None:
    """Plays both, and prints what came of them."""
    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(scratch)
        store = f"sqlite:///{folder / 'mlflow.db'}"
        server = ["server", "--backend-store-uri", store, "--artifacts-destination", str(folder / "artifacts")]
        with serving([*server, "--workers", "2"], folder) as address, webhook_server() as webhook:
            os.environ |= {"MLFLOW_TRACKING_URI": address, "GRAFT_NOTIFY_URL": webhook.address, "OMP_NUM_THREADS": "1"}
            prepare(folder)
            retrain(folder, 1)
            webhook.taken.clear()
            told = play(folder, runs)
            check("unchanged data", told, webhook.taken, notices=0, versions=1, champions=["1"])
            write_rows(folder / "data" / "tuesday.csv", 200, seed=2)
            told = play(folder, runs)
            check("new data", told, webhook.taken, notices=1, versions=2, champions=["1", "2"])


def prepare(folder: Path) -> None:
    """Writes data, a backbone and the job."""
    write_rows(folder / "data" / "monday.csv", 300, seed=1)
    job = {
        "model": MODEL, "task": "text-classification", "backbone": str(make_bert(folder / "backbone")),
        "data": {"source": "data", "inputs": ["text"], "label": "topic"}, "strategy": "full", "training": TRAINING,
        "promotion": {"min_gain": -0.5, "must_beat_baseline": False},
    }  # fmt: skip
    (folder / "job.yaml").write_text(json.dumps(job))


def write_rows(path: Path, count: int, seed: int) -> None:
    """Writes sample texts with their classes."""
    sample = tasks.get("text-classification").sample(count, seed=seed)
    write_csv(path, [{"text": row["input_1"], "topic": row["label"]} for row in sample])


def play(folder: Path, runs: int) -> float:
    """Retrains so many times at once; returns the seconds."""
    began = time.monotonic()
    retrain(folder, runs)
    return time.monotonic() - began


def retrain(folder: Path, runs: int) -> None:
    """Runs `graft retrain` so many times at once."""
    command = [sys.executable, "-m", "pipelines.command.cli", "retrain", "job.yaml"]
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    processes = [
        subprocess.Popen(
            command, cwd=folder, env=environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
        )
        for _ in range(runs)
    ]
    for process in processes:
        told, _ = process.communicate()
        if process.returncode:
            raise SystemExit(f"a retraining failed:\n{told[-4000:]}")


def check(what: str, seconds: float, taken: list[Any], notices: int, versions: int, champions: list[str]) -> None:
    """Prints what is told and what is left, and ends where it is not as it should be."""
    client = MlflowClient()
    found = client.search_model_versions(f"name='{MODEL}'")
    contents = collections.Counter(version.tags["model_digest"] for version in found)
    experiment = client.get_experiment_by_name(MODEL)
    assert experiment is not None
    still_open = client.search_runs([experiment.experiment_id], "attributes.status = 'RUNNING'")
    history = [entry.after for entry in promotions.history(MODEL)][::-1]
    print(
        f"{what:<15} {seconds:5.0f} s  notices {len(taken)}  versions {len(found)} of {len(contents)} contents  "
        f"champions {' → '.join(history)}  open runs {len(still_open)}",
        flush=True,
    )
    for notice in taken:
        print(f"  {notice['text']}", flush=True)
    right = (len(taken), len(found), len(contents), len(still_open)) == (notices, versions, versions, 0)
    if not right or history != champions:
        raise SystemExit("that is not as it should be")


if __name__ == "__main__":
    main(*[int(argument) for argument in sys.argv[1:]] or [10])
