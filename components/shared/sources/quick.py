"""Text parsed by Arrow, many lines at once: where it is so plain that what comes out is what Python makes of it.

What is not (damage, rows of another width, a quote that is never closed, values of other types) is left to the readers'
own way, line by line, which is ten times as slow and tells what is wrong.
"""

from collections.abc import Mapping, Sequence
from typing import Generic, NamedTuple, TypeVar

import numpy as np
import pyarrow as pa
import pyarrow.csv
import pyarrow.json

_NEWLINE, _RETURN, _OPENS, _CLOSES = (ord(character) for character in "\n\r{}")
_DEEPEST = 1_000  # brackets that open in a line


Key = TypeVar("Key", int, str)


class Parsed(NamedTuple, Generic[Key]):
    """Rows of a text.

    Attributes:
        lines: int64 [rows], the line on which each ends, the first being 0.
        length: How many lines the text has.
        columns: The values, by the number or the name of the column.
        spread: int64, those rows that are spread over several lines.
    """

    lines: np.ndarray
    length: int
    columns: Mapping[Key, pa.Array]
    spread: np.ndarray


def parse_delimited(text: str, delimiter: str, quote: str, width: int, wanted: Sequence[int]) -> Parsed[int] | None:
    """Parses lines of delimited text; None where it takes Python to do so.

    Args:
        text: Whole lines, that end in a newline.
        delimiter: Between fields.
        quote: Around fields; "" where there is none.
        width: How many fields each row has.
        wanted: The numbers of the columns that are needed; all come where rows are spread over lines.
    """
    data = _encoded(text)
    if data is None or not (delimiter + quote).isascii():
        return None
    quoted = bool(quote) and quote in text
    found = _records(data, quote if quoted else "")
    if found is None:
        return None
    lines, count, spread = found
    names = [str(place) for place in range(width)]
    try:
        table = pa.csv.read_csv(
            pa.BufferReader(data),
            pa.csv.ReadOptions(column_names=names, block_size=len(data) + 1, use_threads=False),
            pa.csv.ParseOptions(
                delimiter=delimiter, quote_char=quote if quoted else False, newlines_in_values=len(spread) > 0
            ),
            pa.csv.ConvertOptions(
                column_types=dict.fromkeys(names, pa.string()),
                strings_can_be_null=False,
                check_utf8=False,
                include_columns=names if len(spread) else [str(place) for place in wanted],
            ),
        )
    except pa.ArrowInvalid:
        return None
    if table.num_rows != len(lines):
        return None
    columns = {int(name): _whole(table[name]) for name in table.column_names}
    return Parsed(lines, count, columns, spread)


def parse_objects(text: str, kinds: Mapping[str, pa.DataType]) -> Parsed[str] | None:
    """Parses JSON Lines; None where it takes Python to do so.

    Args:
        text: Whole lines.
        kinds: The columns that are needed, and what they hold.
    """
    data = _encoded(text)
    found = _records(data, "") if data is not None else None
    if data is None or found is None or not _are_objects(data):
        return None
    lines, count, spread = found
    try:
        table = pa.json.read_json(
            pa.BufferReader(data),
            pa.json.ReadOptions(block_size=len(data) + 1, use_threads=False),
            pa.json.ParseOptions(explicit_schema=pa.schema(dict(kinds)), unexpected_field_behavior="ignore"),
        )
    except pa.ArrowInvalid:
        return None
    if table.num_rows != len(lines):
        return None
    return Parsed(lines, count, {name: _whole(table[name]) for name in kinds}, spread)


def _encoded(text: str) -> bytes | None:
    if "\0" in text:  # the mark of a line that is too long
        return None
    try:
        return text.encode() if text.endswith("\n") else text.encode() + b"\n"
    except UnicodeEncodeError:  # bytes that were no UTF-8
        return None


def _records(data: bytes, quote: str) -> tuple[np.ndarray, int, np.ndarray] | None:
    r"""Returns the lines on which records end, how many lines there are, and which records are spread over several.

    Empty lines are none. None where a line ends in `\r` alone, or the last record is not closed.
    """
    content = np.frombuffer(data, np.uint8)
    ends = np.flatnonzero(content == _NEWLINE)
    closed = np.ones(len(ends), bool)
    if quote:
        closed = np.searchsorted(np.flatnonzero(content == ord(quote)), ends) % 2 == 0
    filled = np.diff(ends, prepend=-1) > 1
    if b"\r" in data:
        returns = np.flatnonzero(content == _RETURN)
        if (content[returns + 1] != _NEWLINE).any():  # the last byte is a newline
            return None
        filled &= (np.diff(ends, prepend=-1) != 2) | (content[ends - 1] != _RETURN)
    if not closed[-1]:
        return None
    if closed.all():
        return np.flatnonzero(filled), len(ends), np.zeros(0, np.int64)
    begins = np.concatenate([[True], closed[:-1]])  # lines that begin a record
    lines = np.flatnonzero(closed & (filled | ~begins))
    return lines, len(ends), np.flatnonzero(~begins[lines])


def _are_objects(data: bytes) -> bool:
    """Tells whether each line is an object by its first and its last byte, and none is nested too deeply."""
    content = np.frombuffer(data, np.uint8)
    ends = np.flatnonzero(content == _NEWLINE)
    begins = np.concatenate([[0], ends[:-1] + 1])
    lasts = ends - 1 - (content[ends - 1] == _RETURN)
    filled = lasts >= begins
    if not ((content[begins] == _OPENS) & (content[lasts] == _CLOSES))[filled].all():
        return False
    brackets = np.searchsorted(np.flatnonzero((content | 32) == _OPENS), ends)
    return bool(np.diff(brackets, prepend=0).max() <= _DEEPEST)


def _whole(column: pa.ChunkedArray) -> pa.Array:
    return column.chunk(0) if column.num_chunks == 1 else column.combine_chunks()
