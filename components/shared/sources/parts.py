"""Rows as they were read, one by one or many at once: where each stands, and which split it is given for."""

from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple

import pyarrow as pa

from components.shared.sources.columns import Batch, Values, plain


class Row(NamedTuple):
    """A row as it was read.

    Attributes:
        place: File and line (or row) number, for people.
        file: Name of the file that it was read from.
        split: The split that it is given for, or None.
        values: Its values by column, invalid bytes as surrogate escapes.
        fault: Why it could not be read, or None.
    """

    place: str
    file: str
    split: str | None
    values: Values
    fault: str | None = None


class Part(NamedTuple):
    """Some rows of a file.

    Attributes:
        place: The file, and a member of an archive, for people.
        file: Name of the file in its source.
        split: The split that its rows are given for, or None.
        batch: The rows.
    """

    place: str
    file: str
    split: str | None
    batch: Batch

    def rows(self) -> Iterator[Row]:
        """Yields the rows one by one."""
        columns = {name: plain(column) for name, column in self.batch.columns.items()}
        return map(self._replace(batch=self.batch._replace(columns=columns)).row, range(len(self.batch.numbers)))

    def row(self, at: int) -> Row:
        """Returns one of the rows, by its position."""
        values = {name: _value(column, at) for name, column in self.batch.columns.items()}
        place = f"{self.place}:{self.batch.numbers[at]}"
        return Row(place, self.file, self.split, values, self.batch.faults.get(at))


def _value(column: Sequence[Any] | pa.Array, at: int) -> Any:
    return column[at].as_py() if isinstance(column, pa.Array) else column[at]
