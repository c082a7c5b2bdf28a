"""Some rows of a source with all their columns: what its columns are told from, without reading all of it."""

import contextlib
import itertools
import mimetypes
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, TypeVar

import pyarrow as pa

from components.shared import tasks
from components.shared.errors import InputError, quote_all
from components.shared.profile.columns import Column, describe
from components.shared.sources import packed
from components.shared.sources.brat import Documents
from components.shared.sources.hub import PREFIX, read_hub
from components.shared.sources.images import SUFFIXES, Pictures, find_images
from components.shared.sources.layout import Layout
from components.shared.sources.listing import list_source, splits_among
from components.shared.sources.readers import Dialect
from components.shared.sources.rows import Row, find_rows, read_rows
from components.shared.sources.source import SourceSettings
from components.shared.sources.sql import is_sql, read_sql
from components.shared.sources.texts import TextTree
from components.shared.sources.trees import rows_beside
from components.shared.storage.storage import File

ROWS = 20_000
_CHARACTERS, _CELLS = 64 << 20, 1_000_000
_LEAST_ROWS = 100
_COLUMNS = 20_000
_FILES = 100  # that are opened
_HUB_ROWS = 2_000
_PICTURE_ROWS = 2_000
_TEXTS = 1_000  # files, where each is a text
ARCHIVES = (".tar", ".tar.gz", ".tgz", ".zip")


@dataclass(frozen=True)
class Table:
    """A sample of a source's rows.

    Attributes:
        name: Of the source.
        rows: Their values by column.
        columns: What they hold.
        is_tree: Whether each row is a file of its own.
    """

    name: str
    rows: Sequence[dict[str, Any]]
    columns: Sequence[Column]
    is_tree: bool = False

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
    names: dict[str, None] = {}
    for row in _rows(settings, _PICTURE_ROWS if pictures else ROWS):
        bad = bad or (row if row.fault else None)
        if row.fault is None:
            rows.append(row.values)
            names |= dict.fromkeys(row.values)
            characters += sum(len(value) for value in row.values.values() if isinstance(value, str | bytes))
        if len(names) > _COLUMNS:
            raise InputError(
                f"{settings.source} has over {_COLUMNS:,} columns, such as {quote_all(list(names)[-3:])}: they may be "
                "values that are written as names. Write them as values, in columns of their own."
            )
        if characters > _CHARACTERS or (len(rows) >= _LEAST_ROWS and len(rows) * len(names) > _CELLS):
            break
    if bad and not rows:
        raise InputError(f"{settings.source} has no row that can be used; the first, {bad.place}: {bad.fault}.")
    return Table(settings.source, rows, describe(rows), _is_text_tree(settings))


def look_beside(settings: SourceSettings) -> Table | None:
    """Returns some rows of the tables that tell what is on the images in archives; None where there are none.

    Args:
        settings: Where the archives are.

    Raises:
        InputError: There is no data, or a file is damaged.
    """
    files = list_source(settings.source)
    asked = Layout(settings.class_level, splits_among(files, settings.splits))
    found = find_images(settings.source, files, asked, _silent)
    if found.kind != "archives":
        return None
    rows = rows_beside(found.files[0], found.tables, asked, _PICTURE_ROWS)
    return Table(settings.source, rows, describe(rows)) if rows else None


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
        columns, images = look(settings).columns, False
    else:
        files = list_source(source)
        archives = [file for file in files if file.name.lower().endswith(ARCHIVES)]
        if archives and _holds_pictures(archives[0]):
            beside = look_beside(settings)
            return task_for(pa.binary(), beside.columns if beside else [])
        asked = Layout(settings.class_level, splits_among(files, settings.splits))
        pictures = _tried(lambda: find_images(source, files, asked, _silent))
        tables = _tried(lambda: find_rows(source, files, asked, _silent))
        if isinstance(pictures, Pictures) and pictures.kind == "tree":
            return task_for(pa.binary(), [])
        if isinstance(tables, InputError):
            if isinstance(pictures, InputError):
                raise pictures if any(_is_picture(file) for file in files) else tables
            if pictures.images:
                return task_for(pa.binary(), [])
            raise tables
        columns = look(settings, pictures=True).columns
        images = isinstance(pictures, Pictures) and bool(pictures.images)
    has_texts = any(column.kind == "text" for column in columns)
    is_pictures = (images or any(column.kind == "picture" for column in columns)) and not has_texts
    return task_for(pa.binary() if is_pictures else pa.string(), columns)


def _holds_pictures(file: File) -> bool:
    """Tells whether most of the first files of an archive are pictures."""
    with packed.opened(file) as archive:
        names = list(itertools.islice(packed.names_in(archive), 1000)) if packed.is_archive(archive) else []
    return 2 * sum(name.lower().endswith(SUFFIXES) for name in names) > len(names) > 0


def task_for(input_type: pa.DataType, columns: Sequence[Column]) -> str:
    """Returns the name of the task that a table is made for; of classes, where none claims it.

    Args:
        input_type: What its inputs are.
        columns: Those of the table; none where it is a tree of pictures.
    """
    fitting = [task for task in map(tasks.get, tasks.names()) if task.input_type == input_type]
    claimed = [task.name for task in fitting if task.target.claims(columns)]
    classes = [task.name for task in fitting if task.target.exclusive]
    return [*claimed, *classes][0]


_Found = TypeVar("_Found")


def _tried(find: Callable[[], _Found]) -> _Found | InputError:
    try:
        return find()
    except InputError as error:
        return error


def _silent(_: str) -> None:
    """Tells nobody."""


def _is_picture(file: File) -> bool:
    return (mimetypes.guess_type(file.name)[0] or "").startswith("image/")


def _rows(settings: SourceSettings, most: int) -> Iterator[Row]:
    source, splits = settings.source, settings.splits
    if source.startswith(PREFIX):
        yield from itertools.islice(read_hub(source, [], [], splits), min(most, _HUB_ROWS))
        return
    if is_sql(source):
        yield from itertools.islice(read_sql(source, settings.query, []), most)
        return
    listed = list_source(source)
    splits = splits_among(listed, splits)
    dialect = Dialect(settings.encoding, settings.delimiter, settings.sheet, settings.class_level)
    folders = tasks.get(settings.task, settings.task_args).target.exclusive
    files, texts = _files(source, listed, Layout(settings.class_level, splits), most == _PICTURE_ROWS, folders)
    if texts:
        for part in texts.parts(files[:: -(-len(files) // _TEXTS)], (), dialect):
            yield from part.rows()
        return
    chosen = files[:: -(-len(files) // _FILES)]
    total = sum(file.size for file in chosen) or 1
    for file in chosen:
        quota = max(most // _FILES, most * file.size // total, 1)
        with contextlib.closing(_generator(read_rows([file], [], splits, dialect))) as rows:
            yield from itertools.islice(rows, quota)


def _files(
    source: str, listed: Sequence[File], asked: Layout, pictures: bool, folders: bool
) -> tuple[list[File], TextTree | Documents | None]:
    """Returns what holds rows, and the texts that these are; where pictures are looked for, tables that name some."""
    rows = _tried(lambda: find_rows(source, listed, asked, _silent))
    if isinstance(rows, tuple) and isinstance(rows[1], Documents):
        return rows
    found = _tried(lambda: find_images(source, listed, asked, _silent, folders)) if pictures else None
    if isinstance(found, Pictures) and found.kind == "tables":
        return found.files, None
    if isinstance(rows, InputError):
        raise rows
    return rows


def _is_text_tree(settings: SourceSettings) -> bool:
    source = settings.source
    if source.startswith(PREFIX) or is_sql(source):
        return False
    listed = list_source(source)
    found = _tried(lambda: find_rows(source, listed, Layout(settings.class_level, settings.splits), _silent))
    return not isinstance(found, InputError) and isinstance(found[1], TextTree)


def _generator(rows: Iterator[Row]) -> Any:
    """Closing it gives back what an unread rest holds: a file, a download."""
    yield from rows
