"""Excel workbooks (.xlsx), one sheet of them, with what Excel shows in a cell as text."""

import datetime
import zipfile
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any, BinaryIO

from components.shared.errors import InputError, did_you_mean, quote_all
from components.shared.sources.columns import Batch, Record, batches, check_columns
from components.shared.sources.readers import Content, Dialect, register

_MOST = 256 << 20  # bytes of the table of texts, which is held
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
            except (zipfile.BadZipFile, KeyError, ValueError, EOFError, SyntaxError, TypeError, IndexError) as error:
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
        chosen = sheet or sheets[0]
        if not sheet and len(sheets) > 1:
            tell(f"{name}: the sheet {chosen!r} is read, of {quote_all(sheets)} (data.sheet names another)")
        worksheet = book[chosen]
        worksheet.reset_dimensions()  # what the file says of its size may be wrong
        yield from batches(_records(worksheet.iter_rows(values_only=True), name, columns), columns)
    finally:
        book.close()


def _records(rows: Iterator[Sequence[Any]], name: str, columns: Sequence[str]) -> Iterator[Record]:
    header: list[str] = []
    empty = 0
    for number, cells in enumerate(rows, 1):
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
