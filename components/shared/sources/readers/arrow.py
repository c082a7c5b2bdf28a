"""Arrow: files and streams of record batches, Feather among them, as `Dataset.save_to_disk` writes them."""

from collections.abc import Callable, Iterator, Sequence

import pyarrow as pa
import pyarrow.feather

from components.shared.errors import InputError
from components.shared.sources.arrays import batch_of, class_names, nested
from components.shared.sources.columns import Batch
from components.shared.sources.readers import Content, Dialect, register

_ROWS = 4096


class Arrow:
    """Arrow IPC files and streams, mapped into memory: batches that somebody wrote in one are read in parts."""

    name = "Arrow"
    suffixes = (".arrow", ".feather", ".ipc")

    def matches(self, head: bytes) -> bool:
        """Magic numbers of IPC files and Feather 1, and the mark that begins each message of a stream."""
        return head.startswith((b"ARROW1", b"FEA1", b"\xff\xff\xff\xff"))

    def read(
        self, content: Content, columns: Sequence[str], dialect: Dialect, tell: Callable[[str], None]
    ) -> Iterator[Batch]:
        """See `Reader`."""
        with content.path() as path:
            try:
                with pa.memory_map(str(path)) as source:
                    schema, found = _open(source, content.head)
                    roots, names = nested(content.name, schema, columns), class_names(schema)
                    number = 0
                    for part in (batch.slice(at, _ROWS) for batch in found for at in range(0, batch.num_rows, _ROWS)):
                        part.validate(full=True)  # lengths in a damaged file lead anywhere
                        yield batch_of(part, roots, names, number)
                        number += part.num_rows
            except (pa.ArrowException, UnicodeDecodeError, ValueError, OverflowError, OSError) as error:
                if isinstance(error, MemoryError) or (isinstance(error, OSError) and error.errno):
                    raise
                raise InputError(f"{content.name} is no readable Arrow file ({error}). Write it again.") from error


def _open(source: pa.NativeFile, head: bytes) -> tuple[pa.Schema, Iterator[pa.RecordBatch]]:
    if head.startswith(b"FEA1"):
        table = pa.feather.read_table(source)  # the old format has no batches
        return table.schema, iter(table.to_batches())
    if head.startswith(b"ARROW1"):
        file = pa.ipc.open_file(source)
        return file.schema, (file.get_batch(number) for number in range(file.num_record_batches))
    stream = pa.ipc.open_stream(source)
    return stream.schema, iter(stream)


register(Arrow())
