"""Parquet."""

from collections.abc import Callable, Iterator, Sequence

import pyarrow as pa
import pyarrow.parquet as pq

from components.shared.errors import InputError
from components.shared.sources.arrays import batch_of, class_names, nested
from components.shared.sources.columns import Batch
from components.shared.sources.readers import Content, Dialect, register

_ROWS, _BYTES = 4096, 8 << 20  # that are read at once


class Parquet:
    """Parquet files, group by group."""

    name = "Parquet"
    suffixes = (".parquet", ".pq")

    def matches(self, head: bytes) -> bool:
        """Its magic number."""
        return head.startswith(b"PAR1")

    def read(
        self, content: Content, columns: Sequence[str], dialect: Dialect, tell: Callable[[str], None]
    ) -> Iterator[Batch]:
        """See `Reader`."""
        with content.path() as path:
            try:
                with pq.ParquetFile(path, buffer_size=1 << 20) as file:
                    yield from _read(file, content.name, columns)
            except (pa.ArrowException, UnicodeDecodeError, OverflowError, OSError) as error:
                if isinstance(error, MemoryError) or (isinstance(error, OSError) and error.errno):
                    raise
                raise InputError(f"{content.name} is no readable Parquet file ({error}). Write it again.") from error


def _read(file: pq.ParquetFile, name: str, columns: Sequence[str]) -> Iterator[Batch]:
    roots = nested(name, file.schema_arrow, columns)
    names = class_names(file.schema_arrow)
    number, rows, columns = 0, _batch_rows(file.metadata), sorted(set(roots.values()))
    for group in range(file.num_row_groups):  # of all that are asked for at once each would hold a buffer
        for batch in file.iter_batches(batch_size=rows, row_groups=[group], columns=columns):
            yield batch_of(batch, roots, names, number)
            number += batch.num_rows


def _batch_rows(metadata: pq.FileMetaData) -> int:
    size: int = sum(metadata.row_group(number).total_byte_size for number in range(metadata.num_row_groups))
    rows: int = metadata.num_rows
    return max(1, min(_ROWS, _BYTES * rows // max(size, 1)))


register(Parquet())
