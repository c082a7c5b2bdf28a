"""Reading a snapshot: its examples, split by split, in batches."""

from collections.abc import Iterator

import pyarrow as pa
import pyarrow.parquet as pq

from components.shared.artifact import Artifact

SPLITS = ("train", "validation", "test")


_BATCH_ROWS, _BATCH_FILES = 4096, 64  # files are larger than texts: a batch must fit into memory
_BUFFER = 1 << 20


def read_batches(snapshot: Artifact, split: str, rows: int = 0) -> Iterator[pa.RecordBatch]:
    """Yields the examples of a split in the snapshot's order, in bounded memory.

    Args:
        snapshot: The artifact.
        split: One of `SPLITS`.
        rows: The most examples in a batch; 0: as many as fit the kind of input.

    Yields:
        Columns `id`, `input_1`, …, `label`: strings, but for inputs that are files (binary).
    """
    for path in sorted(snapshot.path.glob(f"{split}-*.parquet")):
        with pq.ParquetFile(path, buffer_size=_BUFFER) as file:
            usual = _BATCH_FILES if pa.binary() in file.schema_arrow.types else _BATCH_ROWS
            yield from file.iter_batches(batch_size=rows or usual)
