"""How long does it take to see whether data has changed? A folder or bucket of many small images, one object each.

They are ingested once, as for a first training. Then `detect` looks at them: as they are, with one in a hundred new,
and after every file was touched (here, where its times are all that tells a file from another; in S3 a touched object
has the ETag it had). The object store of `--s3` is moto's, on this machine: slower than a real one.

    python benchmarks/detect.py [FILES] [--s3]      (default: 100,000)
"""

import argparse
import contextlib
import io
import os
import resource
import struct
import sys
import tempfile
import time
import zlib
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

from corpus import register_inventory

sys.path.insert(0, str(Path(__file__).parent.parent))

from components.detect.detect import DetectSettings, detect
from components.ingest.ingest import IngestSettings, ingest
from components.shared.artifacts.inventory import FOLDER

COLUMNS: dict[str, Any] = {"inputs": ["image"], "label": "label", "task": "image-classification"}


def main(count: int, in_s3: bool) -> None:
    """Prints the times."""
    with tempfile.TemporaryDirectory() as scratch, contextlib.ExitStack() as stack:
        folder = Path(scratch)
        put, source = bucket(stack) if in_s3 else files(folder / "data")
        with ThreadPoolExecutor(16) as pool:
            list(pool.map(put, range(count)))
        register(folder, source)
        look(folder, source, "nothing is new")
        with ThreadPoolExecutor(16) as pool:
            list(pool.map(put, range(count, count + count // 100)))
        look(folder, source, f"{count // 100:,} are new")
        if not in_s3:
            for path in Path(source).rglob("*.png"):
                path.touch()
            look(folder, source, "every file was touched")
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    print(f"at most {peak:,.0f} MiB of memory, ingest included")


def files(folder: Path) -> tuple[Any, str]:
    """Returns what writes an image's file, and where they lie."""
    for label in "ab":
        (folder / label).mkdir(parents=True)
    return lambda number: (folder / name(number)).write_bytes(picture(number)), str(folder)


def bucket(stack: contextlib.ExitStack) -> tuple[Any, str]:
    """Returns what puts an image into a bucket, and its address."""
    import boto3

    from tests.conftest import s3_environment
    from tests.servers import s3_server

    os.environ.update(s3_environment(stack.enter_context(s3_server())))
    client = boto3.client("s3")
    client.create_bucket(Bucket="bucket")
    return lambda number: client.put_object(Bucket="bucket", Key=f"images/{name(number)}", Body=picture(number)), (
        "s3://bucket/images"
    )


def name(number: int) -> str:
    """Returns what an image is called: its folder is its class."""
    return f"{'ab'[number % 2]}/{number:07d}.png"


def picture(number: int) -> bytes:
    """Returns a PNG of 8 x 8 pixels that no other number has."""

    def chunk(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    header = struct.pack(">IIBBBBB", 8, 8, 8, 0, 0, 0, 0)
    rows = b"".join(b"\0" + number.to_bytes(8, "little") for _ in range(8))
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(rows)) + chunk(b"IEND", b"")


def register(folder: Path, source: str) -> None:
    """Ingests the images, and registers a champion that tells it was trained on them."""
    with timed("ingest"):
        ingest(folder / "snapshot", IngestSettings(source, **COLUMNS))
    register_inventory(folder, folder / "snapshot", "images")
    size = sum(path.stat().st_size for path in (folder / "snapshot" / FOLDER).iterdir())
    print(f"the inventory takes {size / 2**20:.1f} MiB", flush=True)


def look(folder: Path, source: str, what: str) -> None:
    """Detects, and prints what was found and how long that took."""
    settings = DetectSettings(source=source, model="images", backbone="random:timm/resnet18", **COLUMNS)
    with timed(f"detect, {what}"):
        found = detect(folder / f"changes-{what}".replace(" ", "-"), settings)
    print(f"  {found.summary['sentence']}", flush=True)


@contextlib.contextmanager
def timed(what: str) -> Iterator[None]:
    """Prints how long a block took, and nothing that it prints."""
    began = time.perf_counter()
    with contextlib.redirect_stdout(io.StringIO()):
        yield
    print(f"{what}: {time.perf_counter() - began:.1f} s", flush=True)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("files", nargs="?", type=int, default=100_000)
    parser.add_argument("--s3", action="store_true", help="in object storage")
    given = parser.parse_args()
    main(given.files, given.s3)
