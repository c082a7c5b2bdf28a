"""CSV and TSV: whatever delimiter, quoting and encoding the file shows.

Tab-separated values know no quoting, unless the file shows that it is quoted. A quoted field that swallows the lines of
others, because a quote was never closed, is found by those lines: each is a row by itself, with a label that is known.
"""

import csv
import itertools
import operator
from collections.abc import Callable, Iterator, Sequence

import pyarrow as pa
import pyarrow.compute as pc

from components.shared.errors import InputError
from components.shared.sources.columns import Batch, check_columns
from components.shared.sources.quick import parse_delimited
from components.shared.sources.readers import Content, Dialect, register
from components.shared.sources.styles import NAMES, Style, style_of
from components.shared.sources.text import (
    LINE_LIMIT,
    TOO_LONG,
    blocks_of,
    check_encoding,
    decode_head,
    encoding_of,
    is_text,
    lines_in,
)

_FIELD_LIMIT = LINE_LIMIT + (1 << 20)  # characters; beyond it a quote was never closed
_ROWS, _CHARACTERS = 4096, 8 << 20  # of a batch
_MOST_COLUMNS = 20_000
_MANY, _LONG = 1000, 1000  # values of a column that are remembered, and their characters: else it is none of classes


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
            yield from _Rows(content.name, style, blocks_of(stream, encoding)).read(columns)


def _tell(name: str, encoding: str, style: Style, tell: Callable[[str], None]) -> None:
    """Tells what is not as everybody expects it."""
    usual = "\t" if ".tsv" in name.lower() or ".tab" in name.lower() else ","
    odd = [f"in {encoding}"] if encoding not in ("utf-8", "utf-8-sig") else []
    if style.delimiter != usual:
        odd.append(f"separated by {NAMES.get(style.delimiter, repr(style.delimiter))}")
    if style.escaped or style.quote != '"':
        odd.append('with \\" in quotes' if style.escaped else "in single quotes")
    if odd:
        tell(f"{name} is read as text {', '.join(odd)}")
    if style.skipped:
        tell(f"{name}: the header is its line {style.skipped + 1}; what stands above is left out")
    if not style.has_header:
        tell(
            f"{name} has no header: its columns are called {', '.join(style.names[:3])}{', …' * (len(style.names) > 3)}"
        )


def _refuse_no_data(name: str, head: str) -> None:
    """Raises `InputError` where the text is not the file that its name promises."""
    begins = head[:200].lstrip().lower()
    if begins.startswith(("<!doctype html", "<html", "<?xml", "%pdf")):
        raise InputError(
            f"{name} is a page of the web or a document (it begins with {head.strip()[:20]!r}), no table: "
            "a login page that was saved, perhaps. Download it again, or save it as CSV."
        )


class _Lines:
    """Lines of one block after the other, counted; which of them were too long.

    Attributes:
        number: Lines of the blocks that were taken in.
        characters: Likewise.
        long: The numbers of lines that were too long.
    """

    def __init__(self, blocks: Iterator[str]) -> None:
        self._blocks, self._left = blocks, iter(list[str]())
        self.number = self.characters = 0
        self.long: list[int] = []

    def __iter__(self) -> Iterator[str]:
        while True:
            yield from self._left
            block = next(self._blocks, None)
            if block is None:
                return
            self.take(block)

    def take(self, block: str) -> None:
        """Goes on with a block."""
        lines = lines_in(block)
        if lines and lines[0] == TOO_LONG:  # it begins a block: the one before ended with its own last line
            self.long.append(self.number + 1)
            lines[0] = "\n"
        self.number += len(lines)
        self.characters += len(block)
        self._left = iter(lines)

    @property
    def at_end(self) -> bool:
        """Whether the block has no more lines."""
        return operator.length_hint(self._left) == 0

    def rest(self) -> str:
        """Takes back what is left of the block."""
        lines = list(self._left)
        self.number -= len(lines)
        return "".join(lines)


class _Rows:
    """The rows of one file: block by block by Arrow, or line by line where it takes a closer look."""

    def __init__(self, name: str, style: Style, blocks: Iterator[str]) -> None:
        self.name, self.style, self.blocks, self.lines = name, style, blocks, _Lines(blocks)
        self.header: list[str] = []
        self.first: list[str] = []
        self.places: list[int] = []
        self.again: list[list[str]] = []
        self.known: dict[int, set[str]] = {}

    def read(self, columns: Sequence[str]) -> Iterator[Batch]:
        """Yields batches of the columns that are needed."""
        for block in itertools.chain([self._begin(columns)], self.blocks):
            batch = self._quick(block) if block else None
            if batch is None and block:
                self.lines.take(block)
                yield from self._slow()
            elif batch is not None and len(batch.numbers):
                yield batch
        if long := self.lines.long:
            faults = dict.fromkeys(range(len(long)), f"line longer than {LINE_LIMIT:,} characters")
            yield self._batch(long, [[] for _ in long], faults)

    def _begin(self, columns: Sequence[str]) -> str:
        """Reads the header; returns what is left of the first block."""
        lines = iter(self.lines)
        for _ in itertools.islice(lines, self.style.skipped):
            pass
        if self.style.has_header:
            self.first = next(self._parted(lines, self.style.skipped), (0, []))[1]
        self.header = list(self.style.names) or [name.strip() for name in self.first]
        if len(self.header) > _MOST_COLUMNS:
            raise InputError(
                f"{self.name} has {len(self.header):,} columns ({_MOST_COLUMNS:,} are read): its first line is no "
                "header, or rows stand where columns should."
            )
        check_columns(self.name, self.header, columns)
        first_of = {name: place for place, name in reversed(list(enumerate(self.header)))}
        self.places = [first_of[column] for column in columns or self.header]
        if self.first:
            self.again = [self.first, ["\ufeff" + self.first[0], *self.first[1:]]]
        self.known = {place: set() for place in range(len(self.header))}
        return self.lines.rest()

    def _parted(self, lines: Iterator[str], before: int) -> Iterator[tuple[int, list[str]]]:
        """Yields the fields of each row, and the number of the line on which it ends."""
        rows = self.style.rows(lines)
        try:
            for fields in rows:
                yield before + rows.line_num, fields
        except csv.Error as error:
            raise InputError(
                f"{self.name}, after line {before + rows.line_num}: {error}. Is a quote never closed?"
            ) from error

    def _quick(self, block: str) -> Batch | None:
        """Returns the rows of a block; None where Arrow cannot part them, or where something is wrong with them."""
        style = self.style
        if style.escaped:
            return None
        wanted = sorted({0, *self.places})
        found = parse_delimited(block, style.delimiter, style.quote if style.quoted else "", len(self.header), wanted)
        if found is None:
            return None
        columns = found.columns
        if any(pc.any(pc.equal(columns[0], pa.scalar(first[0]))).as_py() for first in self.again):
            return None
        for row in found.spread.tolist():
            if self._swallowed([columns[place][row].as_py() for place in range(len(self.header))]):
                return None
        for place, values in columns.items():
            if len(self.known[place]) < _MANY:
                some = values.unique()
                self.known[place].update(some.filter(pc.less(pc.binary_length(some), _LONG))[:_MANY].to_pylist())
        before = self.lines.number
        self.lines.number += found.length
        numbers = found.lines + (before + 1)
        return Batch(numbers, {self.header[place]: columns[place] for place in self.places}, {})

    def _slow(self) -> Iterator[Batch]:
        """Yields the rows of the block that the lines are at, and of those that its last row reaches into."""
        numbers: list[int] = []
        held: list[list[str]] = []
        faults: dict[int, str] = {}
        before = self.lines.number - operator.length_hint(self.lines._left)
        start = self.lines.characters
        for number, fields in self._parted(iter(self.lines), before):
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
            if self.lines.at_end:
                break
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
        for first in self.again:  # files that were put together, each with its mark or without
            if first[0] in columns[0]:
                faults |= {place: "the header again" for place, fields in enumerate(rows) if fields == first}
        for place, known in self.known.items():
            if len(known) < _MANY:
                known.update(value for value in columns[place] if len(value) < _LONG)
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
