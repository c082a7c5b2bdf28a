"""CSV and TSV: whatever delimiter, quoting and encoding the file shows.

Tab-separated values know no quoting, unless the file shows that it is quoted. A quoted field that swallows the lines of
others, because a quote was never closed, is found by those lines: each is a row by itself, with a label that is known.
"""

import csv
import itertools
from collections.abc import Callable, Iterator, Sequence
from typing import Any

from components.shared.errors import InputError
from components.shared.sources.columns import Batch, check_columns
from components.shared.sources.readers import Content, Dialect, register
from components.shared.sources.styles import NAMES, Style, style_of
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
_ROWS, _CHARACTERS = 4096, 8 << 20  # of a batch
_MANY = 1000  # values of a column that are remembered: it is no column of classes


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
        head = decode_head(content.head, encoding)
        _refuse_no_data(content.name, head)
        style = style_of(head, content.name, dialect.delimiter, columns)
        _tell(content.name, encoding, style, tell)
        csv.field_size_limit(_FIELD_LIMIT)
        with content.open() as stream:
            lines = _Lines(lines_of(stream, encoding))
            rows = style.rows(itertools.islice(lines, style.skipped, None))
            try:
                first = next(rows, []) if style.has_header else []
                header = list(style.names) or [name.strip() for name in first]
                check_columns(content.name, header, columns)
                yield from _Rows(header, columns or header, style, lines).read(rows, first)
            except csv.Error as error:
                raise InputError(
                    f"{content.name}, after line {rows.line_num}: {error}. Is a quote never closed?"
                ) from error


def _tell(name: str, encoding: str, style: Style, tell: Callable[[str], None]) -> None:
    """Tells what is not as everybody expects it."""
    usual = "\t" if ".tsv" in name.lower() or ".tab" in name.lower() else ","
    odd = [f"in {encoding}"] if encoding not in ("utf-8", "utf-8-sig") else []
    if style.delimiter != usual:
        odd.append(f"separated by {NAMES.get(style.delimiter, repr(style.delimiter))}")
    if style.escaped or style.quote != '"':
        odd.append("with \\\" in quotes" if style.escaped else "in single quotes")
    if odd:
        tell(f"{name} is read as text {', '.join(odd)}")
    if style.skipped:
        tell(f"{name}: the header is its line {style.skipped + 1}; what stands above is left out")
    if not style.has_header:
        tell(f"{name} has no header: its columns are called {', '.join(style.names[:3])}{', …' * (len(style.names) > 3)}")


def _refuse_no_data(name: str, head: str) -> None:
    """Raises `InputError` where the text is not the file that its name promises."""
    begins = head[:200].lstrip().lower()
    if begins.startswith("version https://git-lfs"):
        raise InputError(f"{name} is a pointer of Git LFS, and the data lies elsewhere. Bring it: git lfs pull.")
    if begins.startswith(("<!doctype html", "<html", "<?xml", "%pdf")):
        raise InputError(f"{name} is a page of the web or a document (it begins with {head.strip()[:20]!r}), no table: "
                         "a login page that was saved, perhaps. Download it again, or save it as CSV.")


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

    def __init__(self, header: Sequence[str], columns: Sequence[str], style: Style, lines: _Lines) -> None:
        self.header, self.columns, self.style, self.lines = header, columns, style, lines
        self.places = [header.index(column) for column in columns]
        self.known: dict[int, set[str]] = {place: set() for place in range(len(header))}
        self.first: list[str] = []

    def read(self, rows: Any, first: list[str]) -> Iterator[Batch]:
        """Yields batches.

        Args:
            rows: csv's reader, behind the header.
            first: The line of the header.
        """
        self.first, skipped = first, self.style.skipped
        numbers: list[int] = []
        held: list[list[str]] = []
        faults: dict[int, str] = {}
        start, before = self.lines.characters, rows.line_num + skipped
        for fields in rows:
            number = rows.line_num + skipped
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
        if self.first and columns and self.first[0] in columns[0]:  # files that were put together
            faults |= {place: "the header again" for place, fields in enumerate(rows) if fields == self.first}
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


register(Delimited())
