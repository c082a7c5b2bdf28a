"""Rows by columns: what a reader gives, and which columns of a file are asked for."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
import pyarrow as pa

from components.shared.errors import InputError, did_you_mean, quote_all

Values = dict[str, Any]
Record = tuple[int, Values, str | None]
"""Line or row number, values by column, and why the row cannot be used."""

_ROWS, _CHARACTERS, _CELLS = 4096, 8 << 20, 2_000_000  # of rows that are held at once
_OBJECT = 60  # bytes that a short text takes beside its characters


class Batch(NamedTuple):
    """Some rows of a file.

    Attributes:
        numbers: Line or row number of each, for people.
        columns: The values of each column that is needed, invalid bytes as surrogate escapes; or an array of Arrow,
            see `plain`.
        faults: Why a row cannot be used, by its position.
        part: The part of the file that they stand in, where it has several (a sheet, a list): it may give a split.
    """

    numbers: "Sequence[int] | np.ndarray"
    columns: Mapping[str, Sequence[Any] | pa.Array]
    faults: Mapping[int, str]
    part: str | None = None


def batches(records: Iterator[Record], columns: Sequence[str]) -> Iterator[Batch]:
    """Gathers rows into batches of at most 4,096 rows or some 8 Mi characters.

    Args:
        records: The rows.
        columns: Those that are needed; empty: all that a batch has.
    """
    rows: list[Record] = []
    names: set[str] = set(columns)
    size = 0
    for record in records:
        rows.append(record)
        size += sum(map(_room, record[1].values()))
        if not columns:
            names.update(record[1])
        if len(rows) == _ROWS or size >= _CHARACTERS or len(rows) * len(names) >= _CELLS:
            yield _batch(rows, columns)
            rows, size, names = [], 0, set(columns)
    if rows:
        yield _batch(rows, columns)


def _room(value: Any) -> int:
    """Returns how many characters a value takes, or the texts in a list, of which each is an object."""
    if isinstance(value, str | bytes):
        return len(value)
    return sum(_OBJECT + len(one) for one in value if isinstance(one, str)) if isinstance(value, list) else 0


def _batch(rows: Sequence[Record], columns: Sequence[str]) -> Batch:
    wanted = columns or list(dict.fromkeys(name for _, values, _ in rows for name in values))
    faults = {place: fault for place, (_, _, fault) in enumerate(rows) if fault}
    return Batch(
        [number for number, _, _ in rows],
        {name: [values.get(name) for _, values, _ in rows] for name in wanted},
        faults,
    )


def plain(column: Sequence[Any] | pa.Array) -> Sequence[Any]:
    """Returns a column as a sequence of values of Python."""
    if not isinstance(column, pa.Array):
        return column
    if column.type == pa.string():
        values: list[Any] = column.to_numpy(zero_copy_only=False).tolist()  # much faster than to_pylist
        return values
    return column.to_pylist()  # type: ignore[no-any-return]


def class_name(value: Any, names: Sequence[str]) -> str | None:
    """Returns the name of a class number; None for -1, which stands for "not labelled"."""
    return names[int(value)] if value is not None and 0 <= int(value) < len(names) else None


def check_columns(name: str, found: Sequence[str], columns: Sequence[str]) -> None:
    """Raises `InputError` where a column that is needed is not among those found, or is there twice."""
    for column in columns:
        if column not in found:
            raise MissingColumnError(
                f"{name} has no column {column!r}; it has {quote_all(found) or 'none'}.{did_you_mean(column, found)} "
                "Set data.inputs and data.label in the job.",
                column,
            )
        if sum(other == column for other in found) > 1:
            raise InputError(
                f"{name} has {sum(other == column for other in found)} columns called {column!r} (it has "
                f"{quote_all(found)}). Which is meant cannot be told: rename all but one."
            )


class MissingColumnError(InputError):
    """A file lacks a column that is needed.

    Attributes:
        column: The one.
    """

    def __init__(self, message: str, column: str) -> None:
        super().__init__(message)
        self.column = column
