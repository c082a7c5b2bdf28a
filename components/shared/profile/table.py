"""Some rows of a source with all their columns: what its columns are told from, without reading all of it."""

import contextlib
import itertools
import mimetypes
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import pyarrow as pa

from components.shared import tasks
from components.shared.errors import InputError
from components.shared.profile.columns import Column, describe
from components.shared.sources.hub import PREFIX, read_hub
from components.shared.sources.images import image_files
from components.shared.sources.readers import Dialect
from components.shared.sources.rows import Row, data_files, read_rows
from components.shared.sources.source import SourceSettings
from components.shared.sources.sql import is_sql, read_sql
from components.shared.storage import File

ROWS = 20_000
_CHARACTERS = 64 << 20
_FILES = 100  # that are opened
_HUB_ROWS = 2_000
_PICTURE_ROWS = 64
ARCHIVES = (".tar", ".tar.gz", ".tgz", ".zip")


@dataclass(frozen=True)
class Table:
    """A sample of a source's rows.

    Attributes:
        name: Of the source.
        rows: Their values by column.
        columns: What they hold.
    """

    name: str
    rows: Sequence[dict[str, Any]]
    columns: Sequence[Column]

    def column(self, name: str) -> Column | None:
        """Returns a column by its name, or None."""
        return next((column for column in self.columns if column.name == name), None)


def look(settings: SourceSettings, pictures: bool = False) -> Table:
    """Reads some rows of a source: a part of each file, by its size, and of at most 100 files.

    Args:
        settings: Where they are; of `inputs` and `label` nothing is needed.
        pictures: Whether its rows hold pictures, of which fewer are read.

    Raises:
        InputError: There is no data, or a file is damaged.
        ServiceError: The store or the hub did not answer.
    """
    rows, characters, bad = [], 0, None
    for row in _rows(settings, _PICTURE_ROWS if pictures else ROWS):
        bad = bad or (row if row.fault else None)
        if row.fault is None:
            rows.append(row.values)
            characters += sum(len(value) for value in row.values.values() if isinstance(value, str | bytes))
        if characters > _CHARACTERS:
            break
    if bad and not rows:
        raise InputError(f"{settings.source} has no row that can be used; the first, {bad.place}: {bad.fault}.")
    return Table(settings.source, rows, describe(rows))


def is_tree(files: Sequence[File]) -> bool:
    """Tells whether files are images, or archives of them, and no tables."""
    return bool(files) and all(_is_picture(file) or file.name.lower().endswith(ARCHIVES) for file in files)


def task_of(settings: SourceSettings) -> str:
    """Returns the task that a source's data can be of, by what it holds: pictures, or texts.

    Raises:
        InputError: It holds neither.
    """
    source = settings.source
    if source.startswith(PREFIX) or is_sql(source):
        columns = look(settings).columns
    else:
        pictures, tables = _listed(image_files, source), _listed(data_files, source)
        if isinstance(pictures, list) and any(_is_picture(file) for file in pictures):
            return _with(pa.binary())
        if not isinstance(tables, list):
            if isinstance(pictures, list):
                return _with(pa.binary())
            raise tables
        columns = look(settings, pictures=True).columns
    is_pictures = any(column.kind == "picture" for column in columns) and not any(c.kind == "text" for c in columns)
    return _with(pa.binary() if is_pictures else pa.string())


def _with(input_type: pa.DataType) -> str:
    """Returns the name of the classification task that takes such inputs."""
    kind = "image" if input_type == pa.binary() else "text"
    return next(name for name in tasks.names() if name == f"{kind}-classification")


def _listed(list_files: Any, source: str) -> list[File] | InputError:
    try:
        found: list[File] = list_files(source)
    except InputError as error:
        return error
    return found


def _is_picture(file: File) -> bool:
    return (mimetypes.guess_type(file.name)[0] or "").startswith("image/")


def _rows(settings: SourceSettings, most: int) -> Iterator[Row]:
    source, splits = settings.source, settings.splits
    if source.startswith(PREFIX):
        yield from itertools.islice(read_hub(source, [], "", splits), min(most, _HUB_ROWS))
        return
    if is_sql(source):
        yield from itertools.islice(read_sql(source, settings.query, []), most)
        return
    files, dialect = data_files(source), Dialect(settings.encoding, settings.delimiter, settings.sheet)
    chosen = files[:: -(-len(files) // _FILES)]
    total = sum(file.size for file in chosen) or 1
    for file in chosen:
        quota = max(most // _FILES, most * file.size // total, 1)
        with contextlib.closing(_generator(read_rows([file], [], splits, dialect))) as rows:
            yield from itertools.islice(rows, quota)


def _generator(rows: Iterator[Row]) -> Any:
    """Closing it gives back what an unread rest holds: a file, a download."""
    yield from rows
