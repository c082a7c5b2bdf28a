"""How much memory and time `ingest` takes as data grows: the step in a process of its own, on made-up CSV.

python benchmarks/ingest_memory.py [ROWS …]      (default: 100000 1000000)
"""

import os
import random
import subprocess
import sys
import tempfile
import time
from pathlib import Path


def main(sizes: list[int]) -> None:
    """Prints rows, bytes, peak memory and rows per second for each size."""
    for rows in sizes:
        with tempfile.TemporaryDirectory() as scratch:
            source = Path(scratch) / "data.csv"
            write(source, rows)
            seconds, peak = measure(source, Path(scratch) / "snapshot")
            size = source.stat().st_size / 2**20
        print(
            f"{rows:>10,} rows ({size:,.0f} MiB): peak {peak:,.0f} MiB, {seconds:.1f} s, {rows / seconds:,.0f} rows/s"
        )


def write(path: Path, rows: int) -> None:
    """Writes rows of some 20 words each."""
    draw = random.Random(0)
    words = ["".join(draw.choices("abcdefghijklmnop", k=draw.randint(2, 9))) for _ in range(5000)]
    with path.open("w") as file:
        file.write("text,label\n")
        for number in range(rows):
            file.write(f"{' '.join(draw.choices(words, k=20))} {number},class {number % 7}\n")


def measure(source: Path, snapshot: Path) -> tuple[float, float]:
    """Returns the seconds and the peak resident memory in MiB of the step's process."""
    options = ["--source", str(source), "--inputs", "text", "--label", "label", "--snapshot", str(snapshot)]
    began = time.perf_counter()
    process = subprocess.Popen([sys.executable, "-m", "components.ingest", *options], stdout=subprocess.DEVNULL)
    _, status, usage = os.wait4(process.pid, 0)
    assert os.waitstatus_to_exitcode(status) == 0
    return time.perf_counter() - began, usage.ru_maxrss / 1024


if __name__ == "__main__":
    main([int(argument) for argument in sys.argv[1:]] or [100_000, 1_000_000])
