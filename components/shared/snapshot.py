"""Reading a snapshot: its examples, split by split, in batches."""

from collections.abc import Iterator

import pyarrow as pa
import pyarrow.parquet as pq

from components.shared.artifact import Artifact, Draft

SPLITS = ("train", "validation", "test")

_BATCH_ROWS, _BATCH_BYTES = 4096, 2 << 20
_BUFFER = 1 << 20


def read_batches(snapshot: Artifact | Draft, split: str, row_bytes: int = 0) -> Iterator[pa.RecordBatch]:
    """Yields the examples of a split in the snapshot's order, in bounded memory.

    Args:
        snapshot: The artifact, or one whose shards are written.
        split: One of `SPLITS`.
        row_bytes: What will be made of an example, if that is more than it holds: batches of larger ones hold fewer.

    Yields:
        Columns `id`, `input_1`, …, `label`: strings, but for inputs that are files (binary).
    """
    for path in sorted(snapshot.path.glob(f"{split}-*.parquet")):
        with pq.ParquetFile(path, buffer_size=_BUFFER) as file:
            metadata = file.metadata
            held = sum(metadata.row_group(number).total_byte_size for number in range(metadata.num_row_groups))
            each = max(held // max(metadata.num_rows, 1), row_bytes, 1)
            yield from file.iter_batches(batch_size=max(1, min(_BATCH_ROWS, _BATCH_BYTES // each)))
