"""CSV and TSV: whatever delimiter, quoting and encoding the file shows.

Tab-separated values know no quoting, unless the file shows that it is quoted. A quoted field that swallows the lines of
others, because a quote was never closed, is found by those lines: each is a row by itself, with a label that is known.
"""

import csv
import io
import itertools
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from components.shared.errors import InputError
from components.shared.sources.columns import Batch, check_columns
from components.shared.sources.readers import Content, Dialect, register
from components.shared.sources.text import (
    LINE_LIMIT,
    TOO_LONG,
    check_encoding,
    decode_head,
    encoding_of,
    is_text,
    lines_of,
)

_FIELD_LIMIT = LINE_LIMIT + (1 << 20)  # characters; beyond it a quote was never closed
_DELIMITERS = {",": "commas", "\t": "tabs", ";": "semicolons", "|": "bars"}
_ROWS, _CHARACTERS = 4096, 8 << 20  # of a batch
_MANY = 1000  # values of a column that are remembered: it is no column of classes
_LINES = 200  # that are looked at for the delimiter


@dataclass(frozen=True)
class _Style:
    delimiter: str
    quoted: bool

    def rows(self, lines: Iterator[str]) -> Any:
        """Returns csv's reader of lines."""
        if self.quoted:
            return csv.reader(lines, delimiter=self.delimiter)
        return csv.reader(lines, delimiter=self.delimiter, quoting=csv.QUOTE_NONE)


class Delimited:
    """Rows of delimited text with a header."""

    name = "CSV"
    suffixes = (".csv", ".tsv", ".tab")

    def matches(self, head: bytes) -> bool:
        """Text of any kind: what every other reader left."""
        return is_text(head)

    def read(
        self, content: Content, columns: Sequence[str], dialect: Dialect, tell: Callable[[str], None]
    ) -> Iterator[Batch]:
        """See `Reader`."""
        if dialect.encoding:
            check_encoding(dialect.encoding)
        encoding = dialect.encoding or encoding_of(content.head)
        style = _style(decode_head(content.head, encoding), content.name, dialect.delimiter)
        _tell(content.name, encoding, style, tell)
        csv.field_size_limit(_FIELD_LIMIT)
        with content.open() as stream:
            lines = _Lines(lines_of(stream, encoding))
            rows = style.rows(iter(lines))
            try:
                header = [name.strip() for name in next(rows, [])]
                check_columns(content.name, header, columns)
                yield from _Rows(header, columns or header, style, lines).read(rows)
            except csv.Error as error:
                raise InputError(
                    f"{content.name}, after line {rows.line_num}: {error}. Is a quote never closed?"
                ) from error


def _tell(name: str, encoding: str, style: _Style, tell: Callable[[str], None]) -> None:
    """Tells what is not as everybody expects it."""
    usual = "\t" if ".tsv" in name.lower() or ".tab" in name.lower() else ","
    odd = [f"in {encoding}"] if encoding not in ("utf-8", "utf-8-sig") else []
    if style.delimiter != usual:
        odd.append(f"separated by {_DELIMITERS.get(style.delimiter, repr(style.delimiter))}")
    if odd:
        tell(f"{name} is read as text {', '.join(odd)}")


class _Lines:
    """Lines, counted in characters; which of them were too long."""

    def __init__(self, blocks: Iterator[list[str]]) -> None:
        self._blocks = blocks
        self.long: list[int] = []
        self.characters = self._number = 0

    def __iter__(self) -> Iterator[str]:
        return itertools.chain.from_iterable(self._watched())

    def _watched(self) -> Iterator[list[str]]:
        for lines in self._blocks:
            self.characters += sum(map(len, lines))
            if lines[0] == TOO_LONG:  # it begins a block: the one before ended with its own last line
                self.long.append(self._number + 1)
                lines[0] = "\n"
            self._number += len(lines)
            yield lines


class _Rows:
    """The rows of one file."""

    def __init__(self, header: Sequence[str], columns: Sequence[str], style: _Style, lines: _Lines) -> None:
        self.header, self.columns, self.style, self.lines = header, columns, style, lines
        self.places = [header.index(column) for column in columns]
        self.known: dict[int, set[str]] = {place: set() for place in range(len(header))}

    def read(self, rows: Any) -> Iterator[Batch]:
        """Yields batches."""
        numbers: list[int] = []
        held: list[list[str]] = []
        faults: dict[int, str] = {}
        start, before = self.lines.characters, rows.line_num
        for fields in rows:
            number = rows.line_num
            if number > before + 1 and (swallowed := self._swallowed(fields)):
                for line in range(before + 1, number + 1):
                    faults[len(held)] = f"a quoted field swallows {swallowed} lines (from line {before + 1})"
                    numbers.append(line)
                    held.append([])
            elif fields:
                numbers.append(number)
                held.append(fields)
            before = number
            if len(held) >= _ROWS or self.lines.characters - start > _CHARACTERS + (1 << 20):
                yield self._batch(numbers, held, faults)
                numbers, held, faults, start = [], [], {}, self.lines.characters
        for line in self.lines.long:
            faults[len(held)] = f"line longer than {LINE_LIMIT:,} characters"
            numbers.append(line)
            held.append([])
        if held:
            yield self._batch(numbers, held, faults)

    def _batch(self, numbers: list[int], rows: list[list[str]], faults: dict[int, str]) -> Batch:
        width = len(self.header)
        if set(map(len, rows)) != {width}:
            for place, fields in enumerate(rows):
                if len(fields) != width:
                    kind = "too many" if len(fields) > width else "too few"
                    faults.setdefault(place, f"{kind} fields ({len(fields)}, the header has {width})")
                    rows[place] = (fields + [""] * width)[:width]
        columns = list(zip(*rows, strict=True))
        for place, known in self.known.items():
            if len(known) < _MANY:
                known.update(columns[place])
        return Batch(numbers, {self.header[place]: columns[place] for place in self.places}, faults)

    def _swallowed(self, fields: Sequence[str]) -> int:
        """Returns how many lines a field holds that are rows of this file by themselves; 0: it is a text of lines.

        Lines of a text may have as many commas as the header; that what stands in a column of few values is one of
        these values, in every line, they do not.
        """
        for field in fields:
            inner = field.splitlines()[1:-1]
            if not inner:
                continue
            parts = [next(csv.reader([line], delimiter=self.style.delimiter), []) for line in inner[:100]]
            if all(len(part) == len(self.header) for part in parts) and self._are_known(parts):
                return len(inner)
        return 0

    def _are_known(self, rows: Sequence[Sequence[str]]) -> bool:
        few = [place for place, known in self.known.items() if 0 < len(known) < _MANY]
        if not few:
            return len(rows) > 2
        return any(all(row[place] in self.known[place] for row in rows) for place in few)


def _style(head: str, name: str, delimiter: str) -> _Style:
    """Returns how the beginning of a file is delimited and quoted."""
    if delimiter and len(delimiter) != 1:
        raise InputError(f'data.delimiter is {delimiter!r}; one character was expected, such as ";" or "\\t".')
    lines = io.StringIO(head, newline="").readlines()[: _LINES + 1]
    lines = lines[:-1] if len(lines) > 1 and len(head) > 1000 and not lines[-1].endswith(("\n", "\r")) else lines
    if not delimiter:
        delimiter = _delimiter(lines, name)
    return _Style(delimiter, delimiter != "\t" or _shows_quotes(lines, delimiter))


def _delimiter(lines: Sequence[str], name: str) -> str:
    """Returns the delimiter that parts most lines into as many fields as the header, the most of them."""
    lower = name.lower()
    usual = "\t" if lower.endswith((".tsv", ".tab")) or ".tsv." in lower else ","
    best, most = usual, (0.0, 0)
    for delimiter in sorted(_DELIMITERS, key=lambda one: one != usual):
        quoted = delimiter != "\t" or _shows_quotes(lines, delimiter)
        try:
            rows = [row for row in _Style(delimiter, quoted).rows(iter(lines)) if row]
        except csv.Error:
            continue
        width = len(rows[0]) if rows else 0
        if width < 2:
            continue
        fits = sum(len(row) == width for row in rows) / len(rows)
        if (fits, width) > most if best != usual or most == (0.0, 0) else fits > most[0]:
            best, most = delimiter, (fits, width)
    return best


def _shows_quotes(lines: Sequence[str], delimiter: str) -> bool:
    """Tells whether quotes part fields: none that opens is left open, and one holds what must be quoted, or all are."""
    quoted = proof = 0
    columns: dict[int, list[bool]] = {}
    for line in lines:
        fields = line.rstrip("\r\n").split(delimiter)
        for place, field in enumerate(fields):
            opens = field.startswith('"')
            columns.setdefault(place, []).append(opens)
            if opens:
                inner = field[1:-1] if len(field) > 1 and field.endswith('"') else None
                if inner is None or inner.replace('""', "").count('"'):
                    return False
                quoted += 1
                proof += '""' in inner
    return quoted > 0 and (proof > 0 or any(all(opens) and len(opens) > 1 for opens in columns.values()))


register(Delimited())
