"""Excel workbooks (.xlsx), one sheet of them, with what Excel shows in a cell as text."""

import datetime
import itertools
import zipfile
import zlib
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any, BinaryIO

from components.shared.errors import InputError, did_you_mean, quote_all
from components.shared.sources.columns import Batch, Record, batches, check_columns
from components.shared.sources.readers import Content, Dialect, register
from components.shared.sources.splits import split_word

_DAMAGE = (
    zipfile.BadZipFile, zlib.error, KeyError, ValueError, EOFError, SyntaxError, TypeError, IndexError, AttributeError,
    NotImplementedError, OverflowError, RecursionError,
)  # fmt: skip
_MOST = 256 << 20  # bytes of the table of texts, which is held
_PEEK = 20  # rows that the header is looked for in
_EMPTY = 1000  # rows without anything, after which a sheet is taken for ended


def is_workbook(head: bytes) -> bool:
    """Tells a zip archive whose first member is one of those that a workbook begins with."""
    name = head[30 : 30 + int.from_bytes(head[26:28], "little")]
    return head.startswith(b"PK\3\4") and name.startswith((b"[Content_Types].xml", b"_rels/", b"docProps/", b"xl/"))


class Excel:
    """Workbooks of Office Open XML."""

    name = "Excel"
    suffixes = (".xlsx", ".xlsm")

    def matches(self, head: bytes) -> bool:
        """See `is_workbook`."""
        return is_workbook(head)

    def read(
        self, content: Content, columns: Sequence[str], dialect: Dialect, tell: Callable[[str], None]
    ) -> Iterator[Batch]:
        """See `Reader`."""
        with content.path() as path:
            try:
                _check_size(path, content.name)
                with path.open("rb") as file:
                    yield from _read(file, content.name, columns, dialect.sheet, tell)
            except _DAMAGE as error:
                raise InputError(
                    f"{content.name} is no Excel workbook that can be read ({error}). Save it again, or as CSV."
                ) from error


def _check_size(path: Path, name: str) -> None:
    """Raises `InputError` where the table of texts, which openpyxl holds in memory, is too large."""
    with zipfile.ZipFile(path) as archive:
        held = sum(item.file_size for item in archive.infolist() if not item.filename.startswith("xl/worksheets/"))
    if held > _MOST:
        raise InputError(f"{name} unpacks to {held >> 20:,} MiB of texts ({_MOST >> 20} are read). Save it as CSV.")


def _read(
    file: BinaryIO, name: str, columns: Sequence[str], sheet: str, tell: Callable[[str], None]
) -> Iterator[Batch]:
    import openpyxl

    book = openpyxl.load_workbook(file, read_only=True, data_only=True)
    try:
        sheets = [one.title for one in book.worksheets if one.sheet_state == "visible"]
        if sheet and sheet not in book.sheetnames:
            near = did_you_mean(sheet, book.sheetnames)
            raise InputError(f"{name} has no sheet {sheet!r}; it has {quote_all(book.sheetnames)}.{near}")
        if not sheets and not sheet:
            raise InputError(f"{name} has no sheet that is shown.")
        for chosen in [sheet] if sheet else _chosen(book, sheets, name, columns, tell):
            rows, header = _sheet(book, chosen), _header(_sheet(book, chosen), columns)
            if header > 1:
                tell(f"{name}: the header is row {header}; what stands above is left out")
            records = _records(itertools.islice(rows, header - 1, None), header, name, columns)
            yield from (batch._replace(part=chosen) for batch in batches(records, columns))
    finally:
        book.close()


def _sheet(book: Any, title: str) -> Iterator[Sequence[Any]]:
    """Yields the rows of a sheet."""
    worksheet = book[title]
    worksheet.reset_dimensions()  # what the file says of its size may be wrong
    rows: Iterator[Sequence[Any]] = worksheet.iter_rows(values_only=True)
    return rows


def _chosen(
    book: Any, sheets: Sequence[str], name: str, columns: Sequence[str], tell: Callable[[str], None]
) -> list[str]:
    """Returns the sheets that are read: those called like splits, or else the first that holds a table."""
    if len(sheets) < 2:
        return list(sheets)
    heads = {title: _head(_sheet(book, title)) for title in sheets}
    tables = [title for title, rows in heads.items() if any(sum(map(_filled, row)) > 1 for row in rows)] or sheets
    given = [title for title in tables if split_word(title)]
    if any((split_word(title) or "").lower().startswith("train") for title in given) and len(given) > 1:
        tell(f"{name}: the sheets {quote_all(given)} are read, as given splits (data.sheet names one)")
        return given
    with_all = [title for title in tables if columns and any(set(columns) <= set(row) for row in heads[title])]
    first = (with_all or tables)[0]
    tell(f"{name}: the sheet {first!r} is read, of {quote_all(sheets)} (data.sheet names another)")
    return [first]


def _head(rows: Iterator[Sequence[Any]]) -> list[Sequence[Any]]:
    """Returns the first rows with something in them."""
    return list(itertools.islice((row for row in itertools.islice(rows, _EMPTY) if any(map(_filled, row))), _PEEK))


def _filled(cell: object) -> bool:
    return cell is not None and cell != ""


def _header(rows: Iterator[Sequence[Any]], columns: Sequence[str]) -> int:
    """Returns the row number of the header: the first with all that is needed, or as many texts as rows have values.

    People write titles and dates above their tables.
    """
    first = [(number, row) for number, row in enumerate(itertools.islice(rows, _EMPTY), 1) if any(map(_filled, row))]
    first = first[:_PEEK]
    if not first:
        return 1
    for number, row in first if columns else ():
        if set(columns) <= {cell.strip() for cell in row if isinstance(cell, str)}:
            return number
    counts = Counter(sum(map(_filled, row)) for _, row in first)
    width = max(counts, key=lambda count: (counts[count], count))
    full = (
        n for n, row in first if sum(map(_filled, row)) >= width and all(isinstance(c, str) for c in row if _filled(c))
    )
    return next(full, first[0][0])


def _records(rows: Iterator[Sequence[Any]], start: int, name: str, columns: Sequence[str]) -> Iterator[Record]:
    header: list[str] = []
    empty = 0
    for number, cells in enumerate(rows, start):
        texts = [_text(cell) for cell in cells]
        if not any(texts):
            empty += 1
            if empty > _EMPTY:
                return
            continue
        empty = 0
        if not header:
            header = [(text or "").strip() for text in texts]
            check_columns(name, [column for column in header if column], columns)
            continue
        yield number, dict(zip(header, texts, strict=False)), None


def _text(cell: object) -> str | None:
    """Returns a cell as Excel shows it: 1.0 as "1", a day without its midnight."""
    if cell is None or isinstance(cell, str):
        return cell
    if isinstance(cell, bool):
        return str(cell).lower()
    if isinstance(cell, float):
        return str(int(cell)) if cell.is_integer() else str(cell)
    if isinstance(cell, datetime.datetime):
        return cell.isoformat(" ").removesuffix(" 00:00:00")
    return str(cell)


register(Excel())
