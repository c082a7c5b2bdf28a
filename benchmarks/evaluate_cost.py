"""What evaluate costs beside finetune on 5,000 training texts, each step in a process of its own, imports included.

The set is that of benchmarks/quality.py's services, with as many classes as make 5,000 training texts, and MiniLM.
Beside the seconds that pass, those that the processors work: what else the machine does counts less there.

    python benchmarks/evaluate_cost.py [--strategies probe,auto] [--minutes 2] [--examples 5000]
"""

import argparse
import json
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from quality_sets import Row, encoder_folder, services

from components.finetune.comparison import FROZEN
from components.ingest.ingest import IngestSettings, ingest
from components.transform.transform import TransformSettings, transform


def main(strategies: list[str], minutes: float, examples: int) -> None:
    """Prints a line for each strategy."""
    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(scratch)
        _write(folder / "data", examples)
        ingest(folder / "snapshot", IngestSettings(str(folder / "data"), ["text"], "label"))
        rows = transform(folder / "snapshot", folder / "features", TransformSettings(str(encoder_folder()))).rows
        print(f"{rows}, seconds:\n", flush=True)
        print("| strategy | finetune (worked) | evaluate (worked) | of it baselines | prediction | ratio (worked) |")
        print("| --- | --- | --- | --- | --- | --- |")
        for strategy in strategies:
            print(_row(strategy, minutes, folder), flush=True)


def _row(strategy: str, minutes: float, folder: Path) -> str:
    paths = {name: folder / name for name in ("snapshot", "features")}
    paths |= {"model": folder / strategy, "evaluation": folder / f"{strategy}-evaluation"}
    training = ["--backbone", str(encoder_folder()), "--strategy", strategy, "--minutes", f"{minutes:g}"]
    spent = [
        _run("finetune", {name: paths[name] for name in ("features", "snapshot", "model")}, training),
        _run("evaluate", paths, []),
    ]
    told = json.loads((paths["evaluation"] / "notes/timing.json").read_text("utf-8"))
    baselines = f"{sum(seconds for name, seconds in told['baselines'].items() if name != FROZEN):.1f}"  # finetune's
    steps = " | ".join(f"{passed:.1f} ({worked:.1f})" for passed, worked in spent)
    ratios = " ".join(f"{ours / theirs:.2f}" for theirs, ours in zip(*spent, strict=True))
    return f"| {strategy} | {steps} | {baselines} | {told['seconds']:.1f} | {ratios} |"


def _run(step: str, paths: dict[str, Path], options: list[str]) -> tuple[float, float]:
    """Runs a step from a shell; returns the seconds that passed, and those that the processors worked."""
    given = [part for name, path in paths.items() for part in (f"--{name}", str(path))]
    command = [sys.executable, "-m", f"components.{step}", *given, *options]
    began, before = time.perf_counter(), _worked()
    subprocess.run(command, check=True, cwd=Path(__file__).parent.parent, stdout=subprocess.DEVNULL)
    return time.perf_counter() - began, _worked() - before


def _worked() -> float:
    told = resource.getrusage(resource.RUSAGE_CHILDREN)
    return told.ru_utime + told.ru_stime


def _write(folder: Path, examples: int) -> None:
    """Writes documentation by service: the largest services, until there are so many training texts."""
    folder.mkdir()
    rows = services(classes=round(examples / 59))
    kept: dict[str, list[Row]] = {**rows, "train": rows["train"][:examples]}
    for split, members in kept.items():
        lines = (json.dumps(row, ensure_ascii=False) + "\n" for row in members)
        (folder / f"{split}.jsonl").write_text("".join(lines), "utf-8")


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--strategies", default="probe,auto")
    parser.add_argument("--minutes", type=float, default=2.0)
    parser.add_argument("--examples", type=int, default=5000)
    given = parser.parse_args()
    main(given.strategies.split(","), given.minutes, given.examples)
