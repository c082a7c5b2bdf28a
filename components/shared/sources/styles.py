"""How delimited text is written: what parts and quotes its fields, which line is the header, all told by its beginning.

What everybody writes is tried first; another quote, escaped quotes or blanks between fields are taken only where they
part the lines better. A first line that is data is no header: what stands in it comes again in its column.
"""

import csv
import io
import re
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any

from components.shared.errors import InputError
from components.shared.sources.text import decode_head, encoding_of

NAMES = {",": "commas", "\t": "tabs", ";": "semicolons", "|": "bars", " ": "blanks"}
COLUMN = "column_{}"
"""What the columns of a file without a header are called."""

_LINES = 200  # that are looked at
_DECLARED = re.compile(r'"?sep=(.)"?\s*$')  # Excel's first line
_IMAGE = re.compile(r"\.(jpe?g|png|webp|bmp|gif|tiff?)$", re.IGNORECASE)
_FEW = 0.02  # of the lines in which a first line's value must come again


@dataclass(frozen=True)
class Style:
    """How a file is written.

    Attributes:
        delimiter: Between fields.
        quoted: Whether quotes part fields.
        quote: The quote.
        escaped: Whether quotes within are written with a backslash.
        skipped: Lines before the header.
        names: Of the columns, where no line tells them as they are.
        has_header: Whether the first line tells them.
    """

    delimiter: str
    quoted: bool = True
    quote: str = '"'
    escaped: bool = False
    skipped: int = 0
    names: tuple[str, ...] = ()
    has_header: bool = True

    def rows(self, lines: Iterator[str]) -> Any:
        """Returns csv's reader of lines."""
        if not self.quoted:
            return csv.reader(lines, delimiter=self.delimiter, quoting=csv.QUOTE_NONE)
        if self.escaped:
            return csv.reader(lines, delimiter=self.delimiter, quotechar=self.quote, doublequote=False, escapechar="\\")
        return csv.reader(lines, delimiter=self.delimiter, quotechar=self.quote)


def style_of(head: str, name: str, delimiter: str, columns: Sequence[str]) -> Style:
    """Returns how a file that begins so is written.

    Args:
        head: Its beginning.
        name: Of the file.
        delimiter: What parts fields; empty: to be found out.
        columns: Those that are needed: a line that has them all is the header.
    """
    if delimiter and len(delimiter) != 1:
        raise InputError(f'data.delimiter is {delimiter!r}; one character was expected, such as ";" or "\\t".')
    lines = io.StringIO(head, newline="").readlines()[: _LINES + 1]
    lines = lines[:-1] if len(lines) > 1 and len(head) > 1000 and not lines[-1].endswith(("\n", "\r")) else lines
    skipped = next((number for number, line in enumerate(lines) if line.strip()), 0)
    if declared := _DECLARED.match(lines[skipped]) if lines else None:
        skipped, delimiter = skipped + 1, delimiter or declared.group(1)
    lines = lines[skipped:]
    style = _parted(lines, name, delimiter)
    before = _before_header(style, lines, columns)
    style = replace(style, skipped=skipped + before)
    return _named(style, [row for row in _read(style, lines[before:]) if row], columns)


def is_tabular(head: bytes) -> bool:
    """Tells a table from a text, by its beginning: two fields or more in every line, parted all alike."""
    lines = io.StringIO(decode_head(head, encoding_of(head)), newline="").readlines()[:_LINES]
    lines = lines[:-1] if len(lines) > 2 else lines
    fits, width = _fit(_parted(lines, "", ""), lines)
    return len(lines) > 1 and width > 1 and fits > 0.98


def _parted(lines: Sequence[str], name: str, delimiter: str) -> Style:
    """Returns what parts and quotes fields: what is usual, unless something else fits more of the lines."""
    if not delimiter:
        delimiter = _delimiter(lines, name)
    usual = Style(delimiter, delimiter != "\t" or _shows_quotes(lines, delimiter))
    if not usual.quoted or delimiter == "\t":
        return usual
    best, fits = usual, _fit(usual, lines)[0]
    for other in (replace(usual, escaped=True), replace(usual, quote="'")):
        found = _fit(other, lines)[0] if any(f"'{delimiter}" in line or '\\"' in line for line in lines) else 0.0
        proof = other.escaped and found >= fits and _shows_escapes(lines, delimiter)
        if proof or found > max(fits, 0.9):
            best, fits = other, found
    return best


def _shows_escapes(lines: Sequence[str], delimiter: str) -> bool:
    """Tells whether a quote that ended a field, were it none that is escaped, would have something behind it."""
    parted = re.escape(delimiter)
    escaped = re.compile(rf'(?:^|{parted})"(?:[^"\\]|\\.)*?\\"[^"{parted}\r\n]')
    return any('\\"' in line and escaped.search(line) for line in lines)


def _read(style: Style, lines: Sequence[str]) -> list[list[str]]:
    try:
        return list(style.rows(iter(lines)))
    except csv.Error:
        return []


def _fit(style: Style, lines: Sequence[str]) -> tuple[float, int]:
    """Returns which part of the lines has as many fields as most have, and how many these are."""
    rows = [len(row) for row in _read(style, lines) if row]
    if not rows:
        return 0.0, 0
    width, count = Counter(rows).most_common(1)[0]
    return count / len(rows), width


def _delimiter(lines: Sequence[str], name: str) -> str:
    """Returns the delimiter that parts most lines into as many fields as the header, the most of them."""
    lower = name.lower()
    usual = "\t" if lower.endswith((".tsv", ".tab")) or ".tsv." in lower else ","
    best, most = usual, (0.0, 0)
    for delimiter in sorted(NAMES, key=lambda one: (one == " ", one != usual)):
        if delimiter == " " and (most[0] > 0.9 or not _parts_by_blanks(lines)):
            continue
        rows = list(_read(Style(delimiter, delimiter != "\t" or _shows_quotes(lines, delimiter)), lines))
        rows = [row for row in rows if row]
        width = len(rows[0]) if rows else 0
        if width < 2:
            continue
        fits = sum(len(row) == width for row in rows) / len(rows)
        whole = (
            delimiter == "\t" and fits == 1.0 and len(rows) > 2
        )  # each text of a file may have one comma; but no tab
        if delimiter == " " or whole or ((fits, width) > most if best != usual or most == (0.0, 0) else fits > most[0]):
            best, most = delimiter, (fits, width)
    return best


def _parts_by_blanks(lines: Sequence[str]) -> bool:
    """Tells R's `write.table` (everything quoted but numbers) and lists of images with their label."""
    rows = [row for row in _read(Style(" "), lines) if row]
    widths = {len(row) for row in rows[1:]} or {0}
    if len(rows) < 2 or len(widths) > 1 or max(widths) < 2:
        return False
    first = lines[0].strip()
    quoted = first.startswith('"') and first.count('"') == 2 * len(rows[0]) and len(rows[0]) > 1
    return quoted or (len(rows[0]) == max(widths) and all(_IMAGE.search(row[0]) for row in rows[1:]))


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


def _before_header(style: Style, lines: Sequence[str], columns: Sequence[str]) -> int:
    """Returns how many lines stand before the header: comments, titles that people write above a table."""
    rows = [_read(style, [line]) for line in lines[:20]]
    cells = [[cell.strip() for cell in row[0]] if row else [] for row in rows]
    if columns and (at := next((n for n, row in enumerate(cells) if set(columns) <= set(row)), None)) is not None:
        return at
    width = _fit(style, lines)[1]
    at = 0
    while at < len(cells) - 1 and width > 1 and _is_above(lines[at], cells[at], cells[at + 1 :], width):
        at += 1
    return at if at < len(cells) - 1 else 0


def _is_above(line: str, cells: Sequence[str], below: Sequence[Sequence[str]], width: int) -> bool:
    """Tells a title, an empty line or a comment: at most one field has something in it, where the table has more."""
    full = any(len(row) == width and sum(map(bool, row)) > 1 for row in below)
    return full and line.count('"') % 2 == 0 and sum(map(bool, cells)) < 2


def _named(style: Style, rows: Sequence[Sequence[str]], columns: Sequence[str]) -> Style:
    """Returns the style with the names of its columns, where the first line does not tell them as they are."""
    if len(rows) < 2:
        return style
    header, body = [cell.strip() for cell in rows[0]], rows[1:]
    widths = Counter(map(len, body))
    if not widths[len(header)] and widths[len(header) + 1] > 0.9 * len(body):  # R names rows, but not that column
        names = [*header, ""] if not any(row[-1].strip() for row in body) else ["", *header]
        return replace(style, names=tuple(names))
    if not (columns and set(columns) <= set(header)) and _is_data(header, body):
        return replace(style, has_header=False, names=tuple(COLUMN.format(n + 1) for n in range(len(header))))
    return style


def _is_data(header: Sequence[str], body: Sequence[Sequence[str]]) -> bool:
    """Tells a first line that is a row as the others: one of its values comes again in its column, now and then."""
    if any(list(row) == list(header) for row in body) or header == [str(n) for n in range(len(header))]:
        return False  # files put together; pandas names columns by number
    if header[:1] == [""] and header[1:] == [str(n) for n in range(len(header) - 1)]:
        return False
    if any(_IMAGE.search(cell) for cell in header):
        return True
    least = max(2 if len(body) > 10 else 1, _FEW * len(body))
    wide = [row for row in body if len(row) == len(header)]
    counts = [sum(row[n].strip() == cell for row in wide) for n, cell in enumerate(header)]
    return len(header) > 1 and any(cell and counts[n] >= least for n, cell in enumerate(header)) and all(header)
