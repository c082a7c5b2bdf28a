"""How near `transform` comes to the bare tokenizers library, on the same texts and cores.

Both sides tokenize the same texts (first paragraphs of API documentation) with MiniLM's tokenizer and the same
truncation. The bare side only calls `encode_batch_fast`; the step's side also reads Parquet and writes Arrow.

    python benchmarks/tokenization.py [ROUNDS]
"""

import statistics
import sys
import tempfile
import time
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
from corpus import encoder_folder, paragraphs

from components.ingest.ingest import IngestSettings, ingest
from components.shared.artifacts.artifact import open_artifact
from components.shared.artifacts.snapshot import SPLITS, read_batches
from components.shared.backbones.tokenizer import load_tokenizer
from components.transform.transform import TransformSettings, transform


def main(rounds: int) -> None:
    """Prints the texts per second of both sides, and their ratio pair by pair."""
    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(scratch)
        rows = [{"text": f"{text} {n}", "label": "ab"[n % 2]} for n in range(4) for text in paragraphs()]
        pq.write_table(pa.Table.from_pylist(rows), folder / "data.parquet")
        ingest(folder / "snapshot", IngestSettings(str(folder / "data.parquet"), ["text"], "label"))
        snapshot = open_artifact(folder / "snapshot", "snapshot")
        texts = [t for s in SPLITS for b in read_batches(snapshot, s) for t in b.column("input_1").to_pylist()]
        pairs = [(bare(texts), step(folder, number)) for number in range(rounds)]
    speeds = [statistics.median(len(texts) / seconds for seconds in side) for side in zip(*pairs, strict=True)]
    ratios = sorted(bare_seconds / step_seconds for bare_seconds, step_seconds in pairs)
    print(f"{len(texts):,} texts, {sum(map(len, texts)) / len(texts):.0f} characters in the mean")
    print(f"bare tokenizers: {speeds[0]:,.0f} texts/s; transform: {speeds[1]:,.0f} texts/s (medians of {rounds})")
    print(f"transform / bare: median {statistics.median(ratios):.2f}, from {ratios[0]:.2f} to {ratios[-1]:.2f}")


def bare(texts: list[str]) -> float:
    """Returns the seconds of the library alone, in batches as large as the step's."""
    tokenizer = load_tokenizer(encoder_folder())
    tokenizer.no_padding()
    tokenizer.enable_truncation(256)
    began = time.perf_counter()
    for start in range(0, len(texts), 4096):
        tokenizer.encode_batch_fast(texts[start : start + 4096])
    return time.perf_counter() - began


def step(folder: Path, number: int) -> float:
    """Returns the seconds of the whole step, verification of its input and writing included."""
    settings = TransformSettings(str(encoder_folder()), max_length=256)
    began = time.perf_counter()
    transform(folder / "snapshot", folder / f"features-{number}", settings)
    return time.perf_counter() - began


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else 5)
