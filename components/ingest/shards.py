"""Parquet shards of a snapshot.

Their bytes depend on the examples alone: groups and shards end after so many rows, or so many bytes of input.
"""

from collections.abc import Callable, Sequence
from pathlib import Path
from types import TracebackType
from typing import Self

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from components.shared.storage.prefetch import Behind

GROUP_ROWS = 8192
GROUP_BYTES = 32 << 20
SHARD_ROWS = 64 * GROUP_ROWS
SHARD_BYTES = 512 << 20


class ShardWriter:
    """Writes the examples of one split as `<split>-00000.parquet`, …: `id`, `input_1`, …, `slice_1`, …, `label`.

    Columns are encoded in a thread, while others are gathered.
    """

    def __init__(
        self, folder: Path, split: str, input_types: Sequence[pa.DataType], slices: int, label_type: pa.DataType
    ) -> None:
        inputs = [(f"input_{number}", kind) for number, kind in enumerate(input_types, 1)]
        sliced = [(f"slice_{number}", pa.string()) for number in range(1, slices + 1)]
        self._schema = pa.schema([("id", pa.string()), *inputs, *sliced, ("label", label_type)])
        self._folder, self._split = folder, split
        self._group: list[pa.Table] = []
        self._group_rows = self._group_bytes = self._rows = self._bytes = 0
        self._shards = 0
        self._behind = Behind()
        self._writer: pq.ParquetWriter | None = None

    def add(self, rows: np.ndarray, sizes: np.ndarray, read: Callable[[np.ndarray], Sequence[pa.Array]]) -> None:
        """Adds examples.

        Args:
            rows: int64 [examples], where `read` finds them.
            sizes: int64 [examples], of their inputs.
            read: Returns the columns of some of these rows.
        """
        while len(rows):
            ends = self._group_bytes + np.cumsum(sizes[: GROUP_ROWS - self._group_rows])
            count = min(int(np.searchsorted(ends, GROUP_BYTES)) + 1, len(ends))
            self._group.append(pa.table(read(rows[:count]), schema=self._schema))
            self._group_rows, self._group_bytes = self._group_rows + count, int(ends[count - 1])
            rows, sizes = rows[count:], sizes[count:]
            if self._group_rows == GROUP_ROWS or self._group_bytes >= GROUP_BYTES:
                self._write_group()
            if self._rows >= SHARD_ROWS or self._bytes >= SHARD_BYTES:
                self._close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        with self._behind:
            if kind is None and (self._group or not self._shards):
                self._write_group()
            if kind is None:
                self._close()
        if self._writer is not None:
            self._writer.close()

    def _write_group(self) -> None:
        opened = self._rows == 0
        self._shards += opened
        empty = pa.table([pa.array([], kind) for kind in self._schema.types], schema=self._schema)
        self._behind.do(self._encode, self._group or [empty], self._shards - 1 if opened else None)
        self._rows += max(self._group_rows, 1)
        self._bytes += self._group_bytes
        self._group, self._group_rows, self._group_bytes = [], 0, 0

    def _encode(self, group: list[pa.Table], shard: int | None) -> None:
        """Writes a group, into a new shard where it has a number."""
        if shard is not None:
            path = self._folder / f"{self._split}-{shard:05d}.parquet"
            few = [name for name in self._schema.names if name.startswith(("slice_", "label"))]  # different values
            self._writer = pq.ParquetWriter(
                path, self._schema, compression="zstd", use_dictionary=few, write_statistics=False
            )
        assert self._writer is not None, "the first group opens a shard"
        # One piece a column: where pages end depends on the examples, and not on how they came.
        self._writer.write_table(pa.concat_tables(group).combine_chunks(), row_group_size=GROUP_ROWS)

    def _close(self) -> None:
        """Ends a shard, if one is open."""
        if self._rows:
            self._behind.do(self._end)
        self._rows = self._bytes = 0

    def _end(self) -> None:
        if self._writer is not None:
            self._writer.close()
        self._writer = None
