"""A million rows into a checked snapshot: Graft beside pandas and datasets, on the same file, in one run.

python benchmarks/ingest_formats.py [ROWS [FORMAT …]]      (default: 1000000 csv jsonl parquet)

"read" is the time until the rows are in memory (of Graft: have gone by, in bounded memory), "snapshot" the time until
they are checked, deduplicated, split and written. pandas and datasets have no such step: there it is the shortest code
that does the core of it with their own verbs (`snapshot_of`), without the profile, rejects, places, inventory and
digest that are in Graft's figure. "exact" is Graft without a look for near-duplicates (`data.near_duplicates: 1`),
which the other sides do not look for either. Each is a process of its own, imports included. CPU seconds tell more than
the clock where others use the machine.
"""

import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

from ingest_memory import write

FORMATS = ("csv", "jsonl", "parquet")
SIDES = ("graft", "exact", "pandas", "datasets")


def main(rows: int, formats: Sequence[str]) -> None:
    """Prints seconds, rows a second and peak memory of each side and format."""
    with tempfile.TemporaryDirectory() as scratch:
        subprocess.run([sys.executable, __file__, "make", str(rows), scratch, ""], check=True)  # else its memory counts
        files = {kind: Path(scratch) / f"data.{kind}" for kind in FORMATS}
        print(f"{rows:,} rows; seconds (of the CPU; rows/s; peak MiB)")
        for kind, path in ((kind, files[kind]) for kind in formats):
            for what in ("read", "snapshot"):
                told = []
                for side in SIDES if what == "snapshot" else (name for name in SIDES if name != "exact"):
                    seconds, busy, peak = measure(side, what, path, Path(scratch) / f"{side}-{kind}-{what}")
                    told.append(f"{side} {seconds:6.1f} ({busy:.1f}; {rows / seconds:,.0f}; {peak:,.0f})")
                print(f"{kind:>8} {what:>9}: " + "   ".join(told), flush=True)


def make(folder: Path, rows: int) -> None:
    """Writes the same rows in each format."""
    import pandas as pd

    paths = {kind: folder / f"data.{kind}" for kind in FORMATS}
    write(paths["csv"], rows)
    frame = pd.read_csv(paths["csv"])
    frame.to_parquet(paths["parquet"], index=False)
    frame.to_json(paths["jsonl"], orient="records", lines=True)


def measure(side: str, what: str, path: Path, target: Path) -> tuple[float, float, float]:
    """Returns seconds, seconds of the CPU and the peak memory in MiB of one side, in its own process."""
    target.mkdir()
    began = time.perf_counter()
    process = subprocess.Popen(
        [sys.executable, __file__, side, what, path, target], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    )
    _, status, usage = os.wait4(process.pid, 0)
    assert os.waitstatus_to_exitcode(status) == 0, f"{side} failed to {what} {path.name}"
    return time.perf_counter() - began, usage.ru_utime + usage.ru_stime, usage.ru_maxrss / 1024


def work(side: str, what: str, path: Path, target: Path) -> None:
    """Does one side's part."""
    if side in ("graft", "exact"):
        graft(what, path, target, 1.0 if side == "exact" else 0.75)
        return
    import pandas as pd

    kind = path.suffix[1:]
    if side == "pandas":
        readers = {"csv": pd.read_csv, "parquet": pd.read_parquet}
        frame = pd.read_json(path, lines=True) if kind == "jsonl" else readers[kind](path)
    else:
        import datasets

        name = {"jsonl": "json"}.get(kind, kind)
        loaded = datasets.load_dataset(name, data_files=str(path), split="train", cache_dir=str(target / "cache"))
        frame = loaded.to_pandas() if what == "snapshot" else None
    if what == "snapshot":
        snapshot_of(frame, target)


def graft(what: str, path: Path, target: Path, alike: float) -> None:
    """Reads, or runs the step."""
    if what == "snapshot":
        from components.ingest.ingest import IngestSettings, ingest

        ingest(target / "snapshot", IngestSettings(str(path), ["text"], "label", near_duplicates=alike))
        return
    from components.shared.sources.rows import data_files, read_parts

    for _ in read_parts(data_files(str(path)), ["text", "label"], {}):
        pass


def snapshot_of(frame: "object", target: Path) -> None:
    """Checks, deduplicates and splits rows by a hash of their text, and writes a file a split, with pandas."""
    import hashlib

    import pandas as pd

    assert isinstance(frame, pd.DataFrame)
    frame["text"], frame["label"] = frame["text"].astype(str), frame["label"].astype(str).str.strip()
    frame = frame[(frame["text"].str.strip() != "") & (frame["text"].str.len() <= 100_000) & (frame["label"] != "")]
    frame["id"] = [hashlib.blake2b(text.encode(), digest_size=16).hexdigest() for text in frame["text"]]
    frame = frame[frame.groupby("id")["label"].transform("nunique") == 1].drop_duplicates("id").sort_values("id")
    drawn = frame["id"].str[:8].map(lambda digits: int(digits, 16) / 2**32)
    for name, part in (("test", drawn < 0.1), ("validation", (drawn >= 0.1) & (drawn < 0.2)), ("train", drawn >= 0.2)):
        frame[part].to_parquet(target / f"{name}.parquet", index=False, compression="zstd")
    counts = frame["label"].value_counts().to_dict()
    (target / "snapshot.json").write_text(json.dumps(counts))


if __name__ == "__main__":
    if sys.argv[1:2] == ["make"]:
        make(Path(sys.argv[3]), int(sys.argv[2]))
    elif sys.argv[1:] and sys.argv[1] in SIDES:
        work(sys.argv[1], sys.argv[2], Path(sys.argv[3]), Path(sys.argv[4]))
    else:
        main(int(sys.argv[1]) if sys.argv[1:] else 1_000_000, sys.argv[2:] or FORMATS)
