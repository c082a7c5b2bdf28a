"""Reading a snapshot: its examples, split by split, in batches."""

from collections.abc import Iterator

import pyarrow as pa
import pyarrow.parquet as pq

from components.shared.artifact import Artifact

SPLITS = ("train", "validation", "test")


def read_batches(snapshot: Artifact, split: str, rows: int = 4096) -> Iterator[pa.RecordBatch]:
    """Yields the examples of a split in the snapshot's order: columns `id`, `input_1`, …, `label` (all strings)."""
    for path in sorted(snapshot.path.glob(f"{split}-*.parquet")):
        with pq.ParquetFile(path) as file:
            yield from file.iter_batches(batch_size=rows)
