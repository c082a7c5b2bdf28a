"""JSON: one object a line, an array of them, a mapping that holds one, columns; nested fields by dotted names.

What is no JSON Lines is read piece by piece, each of at most 8 Mi characters, so that memory stays bounded.
"""

import contextlib
import itertools
import json
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, BinaryIO

import pyarrow as pa

from components.shared.errors import InputError
from components.shared.sources.coco import coco_rows, is_coco, labels_of
from components.shared.sources.columns import Batch, Record, batches, check_columns
from components.shared.sources.exports import by_place, flatten
from components.shared.sources.pieces import JsonText
from components.shared.sources.quick import parse_objects
from components.shared.sources.readers import Content, Dialect, register
from components.shared.sources.splits import split_word
from components.shared.sources.squad import rows_of_article
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
_COLUMNS = {"text", "data", "columns"}  # whose lists are columns, and no rows
_ANNOTATED = ("annotations", "completions")  # of one example, that its row holds
_DEEP = 4  # levels of keys that a message names
_KINDS = {str: pa.string(), int: pa.int64(), bool: pa.bool_()}
_MADE = ("annotations", "completions", "_task_hash", "accept", "result", "cats", "classificationAnnotation")
_EXPORTS = tuple(f'"{key}"' for key in _MADE)  # keys of what `flatten` makes rows of
_DAMAGED = "is no JSON that can be read"


class Objects:
    """Objects of JSON, by their keys."""

    name = "JSON"
    suffixes = (".json", ".jsonl", ".ndjson")

    def matches(self, head: bytes) -> bool:
        """An object begins, or an array of objects or arrays, or one that starts with a text."""
        text = decode_head(head[:4096], encoding_of(head[:4096])) if head else ""
        return bool(re.match(r'\s*(\{\s*["}]|\[\s*[\[{\]]|\[\s*"(?:[^"\\]|\\.)*"\s*,)', text))

    def read(
        self, content: Content, columns: Sequence[str], dialect: Dialect, tell: Callable[[str], None]
    ) -> Iterator[Batch]:
        """See `Reader`."""
        if dialect.encoding:
            check_encoding(dialect.encoding)
        encoding = dialect.encoding or encoding_of(content.head)
        if encoding not in ("utf-8", "utf-8-sig"):
            tell(f"{content.name} is read as text in {encoding}")
        head = decode_head(content.head, encoding)
        with content.open() as stream:
            if is_coco(head) and not (_are_lines(head) and len(head.splitlines()) > 1):
                with content.open() as first, _explained(content.name):
                    labels = labels_of(JsonText(texts_of(first, encoding)))
                    found = coco_rows(JsonText(texts_of(stream, encoding)), labels)
                    records = ((None, (number, row, None)) for number, row in enumerate(found, 1))
                    yield from _batches(records, content.name, columns)
            elif _are_lines(head):
                yield from _Lines(content.name, columns).read(blocks_of(stream, encoding))
            else:
                yield from _batches(_records(stream, encoding, content.name), content.name, columns)


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
        for batch in _batches(((None, record) for record in head), self._name, self._columns):
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


def _batches(records: Iterator[tuple[str | None, Record]], name: str, columns: Sequence[str]) -> Iterator[Batch]:
    """Gathers records; those of each part of a file apart."""
    for part, some in itertools.groupby(_picked(records, name, columns), key=lambda pair: pair[0]):
        for batch in batches((record for _, record in some), columns):
            yield batch._replace(part=part)


def _records(stream: BinaryIO, encoding: str, name: str) -> Iterator[tuple[str | None, Record]]:
    """Yields records, each with the name of the part of the file that it stands in (`{"train": […]}`)."""
    with _explained(name):
        found = _rows_of(JsonText(texts_of(stream, encoding)))
        rows = ((part, row) for part, value in found for row in rows_of_article(value))
        for number, (part, value) in enumerate(rows, 1):
            yield part, _record(number, value)


def _record(number: int, value: Any) -> Record:
    if isinstance(value, list) and len(value) > 1 and not any(isinstance(one, list) for one in value):
        value = by_place(value)
    return (number, flatten(value), None) if isinstance(value, dict) else (number, {}, "JSON, but no object")


@contextlib.contextmanager
def _explained(name: str) -> Iterator[None]:
    try:
        yield
    except (ValueError, RecursionError) as error:
        raise InputError(f"{name} {_DAMAGED} ({_reason(error)}). Write it again, or as JSON Lines.") from error


def _are_lines(head: str) -> bool:
    """Tells JSON Lines: the first lines, one of which is whole, are objects; one alone may be a mapping of rows."""
    lines = [line for line in head.splitlines() if line.strip()][:20]
    values = [_parse(0, line)[1] for line in lines]
    whole = [value for value in values if value]
    if lines and lines[0].lstrip().startswith("["):
        return len(lines) > 1 and all(line.lstrip().startswith(("[", "{")) for line in lines[:2]) and len(whole) > 1
    if len(lines) == 1 and whole:
        return not _holds_rows(whole[0])
    return bool(whole)


def _holds_rows(value: Mapping[str, Any]) -> bool:
    """Tells a mapping that holds rows, or columns of them, from one row."""
    if value.keys() & {"annotations", "completions", "options", "spans", "cats"}:
        return False
    lists = {key: item for key, item in value.items() if isinstance(item, list) and item}
    if any(all(isinstance(row, dict) for row in item) for item in lists.values()):
        return True
    if any(split_word(key) and all(isinstance(row, list) for row in item) for key, item in lists.items()):
        return True
    inner = next(iter(value.values())) if len(value) == 1 else None
    return _are_columns(value) or _are_classes(value) or (isinstance(inner, dict) and _holds_rows(inner))


def _are_columns(value: Mapping[str, Any]) -> bool:
    """Tells columns by their names, as pandas and R write them."""
    columns = list(value.values())
    lists = [item for item in columns if isinstance(item, list)]
    return len(columns) > 1 and (
        all(isinstance(item, dict) and list(item) == list(columns[0]) for item in columns)
        or (len(lists) == len(columns) and len({len(item) for item in lists}) == 1 and len(lists[0]) > 1)
        or {"columns", "data"} <= value.keys()
    )


def _are_classes(value: Mapping[str, Any]) -> bool:
    """Tells texts by their classes (`{"spam": ["…"], "ham": ["…", "…"]}`) from columns by their lengths."""
    some = [item for item in value.values() if isinstance(item, list) and all(isinstance(text, str) for text in item)]
    return len(some) == len(value) > 1 and len({len(item) for item in some}) > 1 and sum(map(len, some)) > 2 * len(some)


def _parse(number: int, line: str) -> Record:
    if line == TOO_LONG:
        return number, {}, f"line longer than {LINE_LIMIT:,} characters"
    try:
        values = json.loads(line)
    except (ValueError, RecursionError):  # a number of too many digits is a plain ValueError
        return number, {}, "invalid JSON"
    return _record(number, values)


def _rows_of(text: JsonText) -> Iterator[tuple[str | None, Any]]:
    """Yields the rows of an array, of a mapping that holds some, or of objects one after the other."""
    while first := text.peek():
        if first == "[":
            yield from ((None, row) for row in text.array())
        elif first == "{":
            yield from _mapping(text)
        else:
            raise ValueError(f"{first!r} stands where an object was expected")


def _mapping(text: JsonText) -> Iterator[tuple[str | None, Any]]:
    """Yields rows of `{"data": [{…}]}`, of columns (`{"text": […]}`, pandas' and R's), or the mapping as a row.

    Lists under the names of splits are given splits; rows may also stand under a name or number of their own.
    """
    others: dict[str, Any] = {}
    held = by_name = False
    for key in text.members():
        is_split = split_word(key) is not None
        if text.peek() == "[" and (is_split or not others.keys() & _COLUMNS) and key not in _ANNOTATED:
            rows = text.array()
            first = next(rows, None)
            if isinstance(first, dict) or (isinstance(first, list) and key not in _COLUMNS):
                held = True
                yield from ((key, row) for row in itertools.chain([first], rows))
            else:
                others[key] = [] if first is None else [first, *rows]
        elif by_name:
            yield None, text.value()
        else:
            others[key] = text.value()
            if _are_rows(others):
                held = by_name = True
                yield from ((None, row) for row in others.values())
    if not held:
        yield from ((None, row) for row in _by_columns(others))


def _are_rows(found: Mapping[str, Any]) -> bool:
    """Tells two or more rows under names of their own; pandas' columns have numbers as keys."""
    rows = list(found.values())
    keys = list(rows[0]) if isinstance(rows[0], dict) else []
    return (
        len(rows) > 1
        and len(keys) > 1
        and not any(key.isdigit() for key in keys)
        and all(isinstance(row, dict) and list(row) == keys for row in rows)
        and any(isinstance(value, str) for value in rows[0].values())
    )


def _by_columns(found: dict[str, Any]) -> Iterator[Any]:
    """Yields the rows of a mapping that was read whole."""
    inner = next(iter(found.values())) if len(found) == 1 else None
    if {"columns", "data"} <= found.keys():  # pandas, orient="split"
        yield from (dict(zip(found["columns"], row, strict=False)) for row in found["data"])
    elif _are_columns(found):
        columns = [list(value.values()) if isinstance(value, dict) else value for value in found.values()]
        yield from (dict(zip(found, row, strict=True)) for row in zip(*columns, strict=True))
    elif _are_classes(found):
        yield from ({"text": text, "label": label} for label, some in found.items() for text in some)
    elif isinstance(inner, dict) and _holds_rows(inner):
        rows = [value for value in inner.values() if isinstance(value, list) and value and isinstance(value[0], dict)]
        yield from (row for some in rows for row in some) if rows else _by_columns(inner)
    else:
        yield found


def _picked(
    records: Iterator[tuple[str | None, Record]], name: str, columns: Sequence[str]
) -> Iterator[tuple[str | None, Record]]:
    """Yields rows with the columns that are needed, after a look at the first ones for their names."""
    peeked = list(itertools.islice(records, _PEEK))
    first = [record for _, record in peeked]
    keys = dict.fromkeys(key for _, values, _ in first for key in values)
    dotted = dict.fromkeys(key for _, values, _ in first for key in _dotted(values))
    readable = any(fault is None for _, _, fault in first)
    if readable or not first:
        found = dict.fromkeys([*keys, *dotted])
        check_columns(name, list(found), [c for c in columns if not any(_reach(v, c) is not None for _, v, _ in first)])
    for part, record in itertools.chain(peeked, records):
        yield part, _reached(record, columns)


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
