"""How fast does an artifact of many files come out of an object store, and go into it?

Files of the same size, downloaded by graft (many at a time, in ranges, synced to the disk, then verified against the
manifest) and by boto3's `download_file` with its defaults, one file after the other, as Kubeflow's launcher does. The
store is `line.py`, which costs this machine hardly any CPU and has what a network has: latency before each answer, and
a bandwidth of each connection and of all. Both sides in one run, in turns; the CPU's seconds are told, too: where other
work shares it, they are the limit.

    python benchmarks/storage.py [FILES] [MB] [--latency 0.02] [--rate 100] [--line 1250]   (64 files of 16 MB)

A disk that is slow to sync (graft syncs what it brings, boto3 does not) is left out by TMPDIR=/dev/shm.
"""

import argparse
import os
import random
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent.parent))
os.environ |= {
    "AWS_ACCESS_KEY_ID": "key",
    "AWS_SECRET_ACCESS_KEY": "secret",
    "AWS_DEFAULT_REGION": "us-east-1",
}

from components.shared.artifacts.artifact import write_artifact
from components.shared.artifacts.copies import copy_artifact
from components.shared.storage import s3, storage

STORE, MEMORY = Path(__file__).with_name("line.py"), Path("/dev/shm")


def main(files: int, megabytes: int, latency: float, rate: float, line: float) -> None:
    """Prints the times."""
    options = ["--latency", str(latency), "--rate", str(rate * 1e6), "--line", str(line * 1e6)]
    with (
        tempfile.TemporaryDirectory(dir=MEMORY if MEMORY.is_dir() else None) as objects,
        tempfile.TemporaryDirectory() as scratch,
        subprocess.Popen(
            [sys.executable, STORE, objects, *options], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        ) as store,
    ):
        assert store.stdout is not None
        os.environ["AWS_ENDPOINT_URL_S3"] = store.stdout.readline().strip()
        try:
            measure(Path(scratch), files, megabytes)
        finally:
            store.kill()


def measure(scratch: Path, files: int, megabytes: int) -> None:
    """Uploads an artifact, and downloads it by each side twice, in turns."""
    draw = random.Random(0)
    with write_artifact(scratch / "made", "features", {}) as draft:
        for number in range(files):
            (scratch / f"made/{number:03d}").write_bytes(draw.randbytes(megabytes * 10**6))
    names = sorted(file.name for file in (scratch / "made").iterdir())
    s3.call("s3://bucket", lambda: s3.client().create_bucket(Bucket="bucket"))
    size = files * megabytes
    told("graft uploads", size, lambda: storage.send_all([(scratch / "made" / n, f"s3://bucket/a/{n}") for n in names]))

    def graft(folder: Path) -> None:
        copy_artifact(
            lambda wanted: storage.bring_all([(f"s3://bucket/a/{name}", path) for name, path in wanted], verified=True),
            folder, "features", draft.digest,
        )  # fmt: skip

    def one_by_one(folder: Path) -> None:
        import boto3

        client = boto3.client("s3")
        folder.mkdir()
        for name in names:
            client.download_file("bucket", f"a/{name}", str(folder / name))

    seconds: dict[str, list[float]] = {"graft": [], "one by one": []}
    for turn in range(2):
        for name, side in (("graft", graft), ("one by one", one_by_one)):
            took = told(f"{name} downloads", size, lambda: side(scratch / f"{name}-{turn}"))  # noqa: B023
            seconds[name].append(took)
    print(f"one after the other takes {min(seconds['one by one']) / min(seconds['graft']):.1f} times as long")


def told(words: str, megabytes: int, act: Callable[[], None]) -> float:
    """Prints and returns how long something takes."""
    began, worked = time.perf_counter(), time.process_time()
    act()
    took, worked = time.perf_counter() - began, time.process_time() - worked
    print(f"{words:<22} {took:6.1f} s  {megabytes / took:6.0f} MB/s  {worked:6.1f} s of CPU", flush=True)
    return took


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("files", type=int, nargs="?", default=64)
    parser.add_argument("megabytes", type=int, nargs="?", default=16)
    parser.add_argument("--latency", type=float, default=0.02, help="seconds before each answer")
    parser.add_argument("--rate", type=float, default=100, help="MB a second of each connection")
    parser.add_argument("--line", type=float, default=1250, help="MB a second of all of them")
    given = parser.parse_args()
    main(given.files, given.megabytes, given.latency, given.rate, given.line)
