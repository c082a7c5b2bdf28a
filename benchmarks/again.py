"""What the same job costs when it is run again: transform and finetune take what the first run made.

    python benchmarks/again.py [ROUNDS]

Each round has a seed of its own, so that its first run trains; the second is the very same command. Small on purpose
(480 training examples, one epoch of MiniLM): what the second run costs does not grow with what training costs.
"""

import json
import statistics
import subprocess
import sys
import tempfile
from pathlib import Path

from overhead import prepare

CACHED = ("transform", "finetune")


def main(rounds: int) -> None:
    """Prints the medians, and the range of the second runs."""
    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(scratch)
        job = prepare(folder)
        run(job, folder, 0)  # makes the database
        pairs = [(run(job, folder, seed), run(job, folder, seed)) for seed in range(1, rounds + 1)]
    for name in (*CACHED, "total"):
        first, second = ([told["seconds"][name] for told in side] for side in zip(*pairs, strict=True))
        spread = f"({min(second):.1f} to {max(second):.1f})"
        print(f"{name:<10} first {statistics.median(first):6.1f} s, again {statistics.median(second):6.1f} s {spread}")


def run(job: Path, folder: Path, seed: int) -> dict:
    """Runs the job; returns its result."""
    result = folder / "result.json"
    command = ["run", str(job), "--root", str(folder / "root"), "--set", f"training.seed={seed}"]
    command += ["--json", str(result)]
    subprocess.run([sys.executable, "-m", "pipelines.command.cli", *command], check=True, capture_output=True)
    return json.loads(result.read_text())


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else 3)
