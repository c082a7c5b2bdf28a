"""What the docker runner costs: the steps of one small job, each in a process here and in a container of its image.

    make images && python benchmarks/containers.py [ROUNDS]

The two take turns; the figures are each step's median. What a container costs is read off ingest and transform, which
have little to do here: with the others, the noise of their own work is larger.
"""

import json
import statistics
import subprocess
import sys
import tempfile
from pathlib import Path

from overhead import prepare

STEPS = ("ingest", "transform", "finetune", "evaluate", "register", "promote")


def main(rounds: int) -> None:
    """Prints the medians, and whether both made the same."""
    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(scratch)
        job = prepare(folder)
        run(job, folder, "docker")  # reads the images from the disk
        pairs = [(run(job, folder, "subprocess"), run(job, folder, "docker")) for _ in range(rounds)]
    for step in STEPS:
        here, there = (statistics.median(told["seconds"][step] for told in side) for side in zip(*pairs, strict=True))
        print(f"{step:<10} {here:6.2f} s in a process {there:6.2f} s in a container")
    extra = [two["seconds"][step] - one["seconds"][step] for one, two in pairs for step in STEPS[:2]]
    print(f"a container costs {statistics.median(extra):+.2f} s a step ({min(extra):+.2f} to {max(extra):+.2f})")


def run(job: Path, folder: Path, runner: str) -> dict:
    """Runs the job; returns its result."""
    root, result = folder / f"root-{runner}", folder / "result.json"
    command = ["run", str(job), "--no-cache", "--runner", runner, "--root", str(root), "--json", str(result)]
    subprocess.run([sys.executable, "-m", "pipelines.command.cli", *command], check=True, capture_output=True)
    return json.loads(result.read_text())


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else 3)
