"""Parquet shards of a snapshot.

Their bytes depend on the examples alone: groups and shards have fixed numbers of rows.
"""

from pathlib import Path
from types import TracebackType
from typing import Self

import pyarrow as pa
import pyarrow.parquet as pq

from components.ingest.buckets import Example

GROUP_ROWS = 8192
SHARD_ROWS = 64 * GROUP_ROWS


class ShardWriter:
    """Writes the examples of one split as `<split>-00000.parquet`, …: columns `id`, `input_1`, …, `label` (strings)."""

    def __init__(self, folder: Path, split: str, inputs: int) -> None:
        names = ["id", *(f"input_{n + 1}" for n in range(inputs)), "label"]
        self._schema = pa.schema([(name, pa.string()) for name in names])
        self._folder, self._split = folder, split
        self._rows: list[tuple[str, ...]] = []
        self._writer: pq.ParquetWriter | None = None
        self.count = 0

    def add(self, example: Example) -> None:
        """Adds an example."""
        self._rows.append((example.id, *example.inputs, example.label))
        self.count += 1
        if len(self._rows) == GROUP_ROWS:
            self._write_group()
        if self.count % SHARD_ROWS == 0:
            self._close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if kind is None and (self._rows or self.count == 0):
            self._write_group()
        self._close()

    def _write_group(self) -> None:
        if self._writer is None:
            number = max(self.count - 1, 0) // SHARD_ROWS
            path = self._folder / f"{self._split}-{number:05d}.parquet"
            self._writer = pq.ParquetWriter(path, self._schema, compression="zstd")
        columns = list(zip(*self._rows, strict=True)) or [()] * len(self._schema)
        arrays = [pa.array(column, pa.string()) for column in columns]
        self._writer.write_table(pa.table(arrays, schema=self._schema), row_group_size=GROUP_ROWS)
        self._rows.clear()

    def _close(self) -> None:
        if self._writer is not None:
            self._writer.close()
            self._writer = None
