"""What `ingest` and `transform` cost as data grows: rows a second, memory at the most, bytes written.

Each step in a process of its own, on a made-up CSV of short texts (12 words) in 7 classes; of a hundred rows one says
what another one said, and one nearly that. Memory is what is resident of the process and its children together, pages
of mapped files included. `tokenizers` is the bare library on the same texts, cores and truncation, MiniLM's tokenizer:
reading them and all else that the step does is no part of its seconds.

    python benchmarks/rows.py [ROWS …] [--steps ingest transform tokenizers]   (100000 1000000 10000000)

Ten million rows take some minutes, and 6 GB of TMPDIR.
"""

import argparse
import contextlib
import os
import random
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import psutil
import pyarrow as pa
import pyarrow.parquet as pq
from corpus import encoder_folder

STEPS = ("ingest", "transform", "tokenizers")
MAX_LENGTH = 128  # tokens
_WORDS = 12
_EVERY = 0.1  # seconds between two looks at memory


def main(sizes: Sequence[int], steps: Sequence[str]) -> None:
    """Prints rows a second, memory and bytes of each step for each number of rows."""
    heads = ("rows", "seconds", "of CPU", "rows/s", "MiB at most", "MB written", "MB kept")
    print(f"{'step':<10}", *(f"{head:>11}" for head in heads))
    for rows in sizes:
        with tempfile.TemporaryDirectory() as scratch:
            folder = Path(scratch)
            write(folder / "data.csv", rows)
            for step in steps:
                cost = measure(*command(step, folder))
                kept = sum(file.stat().st_size for file in (folder / step).rglob("*") if file.is_file())
                sizes_told = (cost.memory / 2**20, cost.written / 1e6, kept / 1e6)
                numbers = (rows, cost.seconds, cost.cpu, rows / cost.seconds, *sizes_told)
                print(
                    f"{step:<10}",
                    *(f"{number:>11,.{place in (1, 2):d}f}" for place, number in enumerate(numbers)),
                    flush=True,
                )


def command(step: str, folder: Path) -> tuple[list[str], bool]:
    """Returns how a step is started, and whether it tells its own seconds."""
    if step == "ingest":
        data = ["--source", str(folder / "data.csv"), "--inputs", "text", "--label", "label"]
        return ["-m", "components.ingest", *data, "--snapshot", str(folder / "ingest")], False
    if step == "transform":
        settings = ["--backbone", str(encoder_folder()), "--max-length", str(MAX_LENGTH)]
        paths = ["--snapshot", str(folder / "ingest"), "--features", str(folder / "transform")]
        return ["-m", "components.transform", *settings, *paths], False
    return [__file__, "--bare", str(folder / "ingest")], True


def write(path: Path, rows: int) -> None:
    """Writes texts of whole words, such as the tokenizer knows."""
    draw, words = random.Random(0), common_words()
    with path.open("w", encoding="utf-8") as file:
        file.write("text,label\n")
        before = ""
        for number in range(rows):
            text = " ".join(draw.choices(words, k=_WORDS))
            if number % 100 == 1:
                text = before
            elif number % 100 == 2:
                text = f"{before} again"
            file.write(f"{text},class {number // 100 % 7}\n")
            before = text


def common_words() -> list[str]:
    """Returns words of MiniLM's vocabulary."""
    vocabulary = (encoder_folder() / "vocab.txt").read_text("utf-8").split("\n")
    return [word for word in vocabulary if word.isascii() and word.isalpha() and len(word) > 2][:5000]


class Cost(NamedTuple):
    """Of a process and its children: seconds, seconds of CPU, bytes of memory at the most, bytes written."""

    seconds: float
    cpu: float
    memory: int
    written: int


def measure(arguments: Sequence[str], tells: bool) -> Cost:
    """Runs Python with some arguments; where it tells its own seconds, they are taken."""
    began = time.perf_counter()
    process = subprocess.Popen([sys.executable, *arguments], stdout=subprocess.PIPE, text=True)
    watch = _Watch(process.pid)
    assert process.stdout is not None
    said = process.stdout.read()
    os.waitid(os.P_PID, process.pid, os.WEXITED | os.WNOWAIT)  # ended, and still to be asked
    seconds, written = time.perf_counter() - began, written_by(process.pid)
    peak = watch.end()
    _, status, usage = os.wait4(process.pid, 0)
    process.returncode = os.waitstatus_to_exitcode(status)
    assert process.returncode == 0, said
    seconds = float(said) if tells else seconds
    return Cost(seconds, usage.ru_utime + usage.ru_stime, max(peak, usage.ru_maxrss * 1024), written)


def written_by(process: int) -> int:
    """Returns the bytes that a process has written, to whatever."""
    told = dict(line.split(": ") for line in Path(f"/proc/{process}/io").read_text("ascii").splitlines())
    return int(told["wchar"])


class _Watch:
    """Looks at the memory of a process and its children, in a thread."""

    def __init__(self, process: int) -> None:
        self._process, self._peak, self._over = psutil.Process(process), 0, threading.Event()
        self._thread = threading.Thread(target=self._look)
        self._thread.start()

    def _look(self) -> None:
        while not self._over.wait(_EVERY):
            with contextlib.suppress(psutil.Error):
                all_of_them = [self._process, *self._process.children(recursive=True)]
                self._peak = max(self._peak, sum(one.memory_info().rss for one in all_of_them))

    def end(self) -> int:
        """Returns the most bytes that were resident."""
        self._over.set()
        self._thread.join()
        return self._peak


def bare(snapshot: Path) -> None:
    """Prints the seconds that the library takes for the texts of a snapshot, in batches as large as the step's."""
    from components.shared.backbones.tokenizer import load_tokenizer

    tokenizer = load_tokenizer(encoder_folder())
    tokenizer.no_padding()
    tokenizer.enable_truncation(MAX_LENGTH)
    seconds = 0.0
    for shard in sorted(snapshot.glob("*.parquet")):
        for batch in pq.ParquetFile(shard).iter_batches(4096, columns=["input_1"]):
            texts = pa.table(batch).column(0).to_pylist()
            began = time.perf_counter()
            tokenizer.encode_batch_fast(texts)
            seconds += time.perf_counter() - began
    print(seconds)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("rows", type=int, nargs="*", default=[100_000, 1_000_000, 10_000_000])
    parser.add_argument("--steps", nargs="+", choices=STEPS, default=STEPS)
    parser.add_argument("--bare", type=Path, help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.bare:
        bare(given.bare)
    else:
        main(given.rows, given.steps)
