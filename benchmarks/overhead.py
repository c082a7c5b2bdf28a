"""What `graft run` costs outside the steps' own work, and how fast the light steps start.

The same job three ways: through `graft run` (kfp.local, a process a step), as the steps' own commands one after the
other, and as five calls in one warm process. Against the commands it is kfp and graft that is measured; against the
warm process also five starts of Python with all that a step imports (torch, transformers, scikit-learn, MLflow).

    python benchmarks/overhead.py [ROUNDS]
"""

import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

from corpus import encoder_folder

JOB = """
model: overhead
task: text-classification
data: {{source: {data}, inputs: [operation, description], label: label, max_rejects: 1}}
backbone: {backbone}
training: {{epochs: 1, batch_size: 32}}
"""
IMPORTS = {
    "ingest": "import components.ingest.ingest",
    "transform": "import components.transform.transform",
    "register": "import components.register.register",
    "register, with the MLflow that it imports on its way,": "import components.register.register, mlflow.tracking",
}


def main(rounds: int) -> None:
    """Prints the medians."""
    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(scratch)
        os.environ["MLFLOW_TRACKING_URI"] = f"sqlite:///{folder / 'mlflow.db'}"
        job = prepare(folder)
        run_through_kfp(folder, job)  # makes the database
        ways = (
            lambda n: run_through_kfp(folder, job),
            lambda n: run_commands(folder, n),
            lambda n: run_calls(folder, n),
        )
        times = [[way(number) for way in ways] for number in range(rounds)]
    through_kfp, commands, calls = (statistics.median(side) for side in zip(*times, strict=True))
    over = [statistics.median(row[0] - row[other] for row in times) for other in (1, 2)]
    print(f"graft run {through_kfp:.1f} s; five commands {commands:.1f} s; five calls in a warm process {calls:.1f} s")
    print(f"graft run takes {over[0]:.1f} s more than the commands, {over[1]:.1f} s more than the calls")
    for step, imports in IMPORTS.items():
        starts = [start(imports) for _ in range(rounds + 1)][1:]
        print(f"{step} starts in {statistics.median(starts):.2f} s")


def prepare(folder: Path) -> Path:
    """Writes a small part of the demo's data and its job; returns the job's path."""
    script = Path(__file__).parent.parent / "examples" / "make_aws_operations.py"
    subprocess.run([sys.executable, str(script), str(folder / "demo")], check=True, stdout=subprocess.DEVNULL)
    data = folder / "data"
    data.mkdir()
    for file in (folder / "demo/data/aws-operations").iterdir():
        (data / file.name).write_text("".join(file.open().readlines()[:200]))
    job = folder / "job.yaml"
    job.write_text(JOB.format(data=data, backbone=encoder_folder()))
    return job


def run_through_kfp(folder: Path, job: Path) -> float:
    """Returns the seconds of `graft run`."""
    given = ["run", str(job), "--no-cache", "--root", str(folder / "root")]
    command = [sys.executable, "-m", "pipelines.command.cli", *given]
    return timed(lambda: subprocess.run(command, check=True, capture_output=True))


def run_commands(folder: Path, number: int) -> float:
    """Returns the seconds of `python -m components.<step>`, five times."""
    at, backbone = folder / f"commands-{number}", ["--backbone", str(encoder_folder())]
    folders = {
        name: [f"--{name}", str(at / name)] for name in ("snapshot", "features", "model", "evaluation", "version")
    }
    snapshot, features, model, evaluation, version = folders.values()
    data = ["--source", str(folder / "data"), "--inputs", "operation", "description", "--label", "label"]
    commands = {
        "ingest": [*snapshot, *data, "--max-rejects", "1"],
        "transform": [*snapshot, *features, *backbone],
        "finetune": [*features, *model, *backbone, "--epochs", "1", "--experiment", "overhead"],
        "evaluate": [*snapshot, *features, *model, *evaluation],
        "register": [*model, *evaluation, *version, "--name", "overhead"],
    }

    def run() -> None:
        for step, options in commands.items():
            command = [sys.executable, "-m", f"components.{step}", *options]
            subprocess.run(command, check=True, capture_output=True)

    return timed(run)


def run_calls(folder: Path, number: int) -> float:
    """Returns the seconds of the five steps as functions, all imports done."""
    from components.evaluate.evaluate import EvaluateSettings, evaluate
    from components.finetune.finetune import finetune
    from components.finetune.settings import FinetuneSettings
    from components.ingest.ingest import IngestSettings, ingest
    from components.register.register import RegisterSettings, register
    from components.transform.transform import TransformSettings, transform

    at, backbone = folder / f"direct-{number}", str(encoder_folder())
    inputs = ["operation", "description"]

    def run() -> None:
        ingest(at / "snapshot", IngestSettings(str(folder / "data"), inputs, "label", max_rejects=1))
        transform(at / "snapshot", at / "features", TransformSettings(backbone))
        finetune(at / "features", at / "model", FinetuneSettings(backbone, epochs=1, experiment="overhead"))
        evaluate(at / "snapshot", at / "features", at / "model", at / "evaluation", EvaluateSettings())
        register(at / "model", at / "evaluation", at / "version", RegisterSettings("overhead"))

    return timed(run)


def start(code: str) -> float:
    """Returns the seconds of a Python process that runs some imports."""
    return timed(lambda: subprocess.run([sys.executable, "-c", code], check=True))


def timed(act: Callable[[], object]) -> float:
    """Returns how many seconds a call took."""
    began = time.perf_counter()
    act()
    return time.perf_counter() - began


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else 3)
