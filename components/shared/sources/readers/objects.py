"""JSON: one object a line, an array of them, a mapping that holds one, columns; nested fields by dotted names.

What is no JSON Lines is read piece by piece, each of at most 8 Mi characters, so that memory stays bounded.
"""

import itertools
import json
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, BinaryIO

import pyarrow as pa

from components.shared.errors import InputError
from components.shared.sources.columns import Batch, Record, batches, check_columns
from components.shared.sources.exports import flatten
from components.shared.sources.quick import parse_objects
from components.shared.sources.readers import Content, Dialect, register
from components.shared.sources.text import (
    LINE_LIMIT,
    TOO_LONG,
    blocks_of,
    check_encoding,
    decode_head,
    encoding_of,
    lines_in,
    texts_of,
)

_PEEK = 100  # rows whose keys tell the columns
_DECODER = json.JSONDecoder()
_SPACE = re.compile(r"[\s,]*")
_DEEP = 4  # levels of keys that a message names
_KINDS = {str: pa.string(), int: pa.int64(), bool: pa.bool_()}
_EXPORTS = ('"annotations"', '"_task_hash"', '"accept"')  # keys of what `flatten` makes rows of
_DAMAGED = "is no JSON that can be read"


class Objects:
    """Objects of JSON, by their keys."""

    name = "JSON"
    suffixes = (".json", ".jsonl", ".ndjson")

    def matches(self, head: bytes) -> bool:
        """An object or an array of them begins."""
        text = decode_head(head[:4096], encoding_of(head[:4096])) if head else ""
        return bool(re.match(r'\s*(\{\s*["}]|\[\s*[\[{\]])', text))

    def read(
        self, content: Content, columns: Sequence[str], dialect: Dialect, tell: Callable[[str], None]
    ) -> Iterator[Batch]:
        """See `Reader`."""
        if dialect.encoding:
            check_encoding(dialect.encoding)
        encoding = dialect.encoding or encoding_of(content.head)
        if encoding not in ("utf-8", "utf-8-sig"):
            tell(f"{content.name} is read as text in {encoding}")
        with content.open() as stream:
            if _are_lines(decode_head(content.head, encoding)):
                yield from _Lines(content.name, columns).read(blocks_of(stream, encoding))
            else:
                records = _records(stream, encoding, content.name)
                yield from batches(_picked(records, content.name, columns), columns)


class _Lines:
    """JSON Lines, block by block: by Arrow where each line is a plain object, else line by line."""

    def __init__(self, name: str, columns: Sequence[str]) -> None:
        self._name, self._columns, self._number = name, columns, 0
        self._kinds: dict[str, pa.DataType] = {}

    def read(self, blocks: Iterator[str]) -> Iterator[Batch]:
        """Yields batches."""
        head: list[Record] = []
        for block in blocks:
            head += self._parsed(block)
            if len(head) >= _PEEK:
                break
        for batch in batches(_picked(iter(head), self._name, self._columns), self._columns):
            self._learn(batch)
            yield batch
        del head
        for block in blocks:
            found = self._quick(block)
            if found is None:
                records = (_reached(record, self._columns) for record in self._parsed(block))
                yield from batches(records, self._columns)
            elif len(found.numbers):
                yield found

    def _parsed(self, block: str) -> Iterator[Record]:
        lines = lines_in(block)
        before, self._number = self._number, self._number + len(lines)
        return (_parse(number, line) for number, line in enumerate(lines, before + 1) if not line.isspace())

    def _learn(self, batch: Batch) -> None:
        """Learns what columns hold, as far as Arrow knows it as Python does."""
        for column, values in batch.columns.items() if self._columns else ():
            kinds = {type(value) for value in values if value is not None}
            if len(kinds) == 1 and (kind := kinds.pop()) in _KINDS and "." not in column:
                self._kinds.setdefault(column, _KINDS[kind])

    def _quick(self, block: str) -> Batch | None:
        if not self._columns or self._kinds.keys() != set(self._columns) or any(key in block for key in _EXPORTS):
            return None
        found = parse_objects(block, self._kinds)
        if found is None:
            return None
        numbers, self._number = found.lines + (self._number + 1), self._number + found.length
        return Batch(numbers, found.columns, {})


def _records(stream: BinaryIO, encoding: str, name: str) -> Iterator[Record]:
    text = _Text(texts_of(stream, encoding))
    try:
        for number, value in enumerate(_rows_of(text), 1):
            is_row = isinstance(value, dict)
            yield number, flatten(value) if is_row else {}, None if is_row else "JSON, but no object"
    except (ValueError, RecursionError) as error:
        raise InputError(f"{name} {_DAMAGED} ({_reason(error)}). Write it again, or as JSON Lines.") from error


def _are_lines(head: str) -> bool:
    """Tells JSON Lines: the first lines, one of which is whole, are objects; one alone may be a mapping of rows."""
    lines = [line for line in head.splitlines() if line.strip()][:20]
    values = [_parse(0, line)[1] for line in lines]
    whole = [value for value in values if value]
    if lines and lines[0].lstrip().startswith("["):
        return len(lines) > 1 and all(line.lstrip().startswith(("[", "{")) for line in lines[:2]) and len(whole) > 0
    if len(lines) == 1 and whole:
        return not _holds_rows(whole[0])
    return bool(whole)


def _holds_rows(value: Mapping[str, Any]) -> bool:
    """Tells a mapping that holds rows, or columns of them, from one row."""
    lists = [item for item in value.values() if isinstance(item, list)]
    if any(item and all(isinstance(row, dict) for row in item) for item in lists) and "annotations" not in value:
        return "options" not in value and "spans" not in value
    columns = list(value.values())
    return len(columns) > 1 and (
        all(isinstance(item, dict) and list(item) == list(columns[0]) for item in columns)
        or (len(lists) == len(columns) and len({len(item) for item in lists}) == 1 and len(lists[0]) > 1)
        or {"columns", "data"} <= value.keys()
    )


def _parse(number: int, line: str) -> Record:
    if line == TOO_LONG:
        return number, {}, f"line longer than {LINE_LIMIT:,} characters"
    try:
        values = json.loads(line)
    except (ValueError, RecursionError):  # a number of too many digits is a plain ValueError
        return number, {}, "invalid JSON"
    return (number, flatten(values), None) if isinstance(values, dict) else (number, {}, "JSON, but no object")


class _Text:
    """A text that is read from its beginning to its end, as far as its pieces need."""

    def __init__(self, parts: Iterator[str]) -> None:
        self._parts, self._text, self._at = parts, "", 0

    def peek(self) -> str:
        """Returns the next character that is no space and no comma; "" at the end."""
        while True:
            match = _SPACE.match(self._text, self._at)
            self._at = match.end() if match else self._at
            if self._at < len(self._text):
                return self._text[self._at]
            if not self._more():
                return ""

    def take(self, character: str) -> bool:
        """Goes behind a character where it is the next one."""
        found = self.peek() == character
        self._at += found
        return found

    def value(self) -> Any:
        """Returns the next value.

        Raises:
            ValueError: It is no JSON, or longer than can be held.
        """
        self.peek()
        while True:
            try:
                value, end = _DECODER.raw_decode(self._text, self._at)
            except json.JSONDecodeError:
                if len(self._text) - self._at > LINE_LIMIT:
                    raise ValueError(f"a value is invalid, or longer than {LINE_LIMIT:,} characters") from None
                if not self._more():
                    raise
            else:
                if end == len(self._text) and isinstance(value, int | float) and self._more():
                    continue  # a number may go on
                self._at = end
                return value

    def _more(self) -> bool:
        """Reads on, as much again as is held: what is not whole is not tried too often."""
        parts = [self._text[self._at :]]
        while sum(map(len, parts[1:])) <= len(parts[0]) and (part := next((p for p in self._parts if p), "")):
            parts.append(part)
        self._text, self._at = "".join(parts), 0
        return len(parts) > 1


def _rows_of(text: _Text) -> Iterator[Any]:
    """Yields the rows of an array, of a mapping that holds one, or of objects one after the other."""
    while first := text.peek():
        if first == "[":
            yield from _array(text)
        elif first == "{":
            yield from _mapping(text)
        else:
            raise ValueError(f"{first!r} stands where an object was expected")


def _array(text: _Text) -> Iterator[Any]:
    text.take("[")
    while not text.take("]"):
        if not text.peek():
            raise ValueError("the array is never closed: the file is cut off")
        yield text.value()


def _mapping(text: _Text) -> Iterator[Any]:
    """Yields rows of `{"data": [{…}]}`, of columns (`{"text": […]}`, pandas' and R's), or the mapping as a row."""
    text.take("{")
    others: dict[str, Any] = {}
    held = False
    while not text.take("}"):
        key = text.value()
        if not isinstance(key, str) or not text.take(":"):
            raise ValueError("a key with a colon was expected")
        if text.peek() == "[" and not others.keys() & {"text", "data", "columns"} and key not in ("annotations",):
            rows = _array(text)
            first = next(rows, None)
            if isinstance(first, dict):
                held = True
                yield from itertools.chain([first], rows)
            else:
                others[key] = [] if first is None else [first, *rows]
        else:
            others[key] = text.value()
    if not held:
        yield from _by_columns(others)


def _by_columns(found: dict[str, Any]) -> Iterator[Any]:
    if {"columns", "data"} <= found.keys():  # pandas, orient="split"
        yield from (dict(zip(found["columns"], row, strict=False)) for row in found["data"])
    elif found and _holds_rows(found):
        columns = [list(value.values()) if isinstance(value, dict) else value for value in found.values()]
        yield from (dict(zip(found, row, strict=True)) for row in zip(*columns, strict=True))
    else:
        yield found


def _picked(records: Iterator[Record], name: str, columns: Sequence[str]) -> Iterator[Record]:
    """Yields rows with the columns that are needed, after a look at the first ones for their names."""
    first = list(itertools.islice(records, _PEEK))
    keys = dict.fromkeys(key for _, values, _ in first for key in values)
    dotted = dict.fromkeys(key for _, values, _ in first for key in _dotted(values))
    readable = any(fault is None for _, _, fault in first)
    if readable or not first:
        found = dict.fromkeys([*keys, *dotted])
        check_columns(name, list(found), [c for c in columns if not any(_reach(v, c) is not None for _, v, _ in first)])
    for record in itertools.chain(first, records):
        yield _reached(record, columns)


def _reached(record: Record, columns: Sequence[str]) -> Record:
    number, values, fault = record
    return number, {column: _reach(values, column) for column in columns} if columns else values, fault


def _dotted(values: Any, before: str = "", deep: int = _DEEP) -> Iterator[str]:
    if isinstance(values, dict) and deep:
        for key, value in values.items():
            yield from _dotted(value, f"{before}{key}.", deep - 1)
    elif before:
        yield before[:-1]


def _reach(values: Any, column: str) -> Any:
    """Returns a field by its name or, where there is none, by the keys and places on the way to it ("a.0.b")."""
    if column in values:
        return values[column]
    for part in column.split(".") if "." in column else ():
        if isinstance(values, dict):
            values = values.get(part)
        elif isinstance(values, list) and part.isdigit() and int(part) < len(values):
            values = values[int(part)]
        else:
            return None
    return values if "." in column else None


def _reason(error: Exception) -> str:
    return "nested too deeply" if isinstance(error, RecursionError) else str(error)


register(Objects())
