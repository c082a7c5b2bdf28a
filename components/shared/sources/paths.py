"""Tables of images: each row holds an image, or the path of one, relative to the table (or `s3://…`)."""

import base64
import posixpath
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any
from urllib.parse import unquote

from components.shared.errors import InputError
from components.shared.sources.images import PATHS, is_inline
from components.shared.sources.layout import Layout
from components.shared.sources.readers import Dialect
from components.shared.sources.rows import Part, Row, columns_of, read_parts
from components.shared.sources.trees import MOST
from components.shared.storage import storage
from components.shared.storage.storage import File

_UPLOADED = re.compile(r"^[0-9a-f]{8}-")  # what label-studio writes before the name of a file


class ImageTable:
    """Rows of tables whose images lie in them, or beside them.

    A path leads to a file of the source, or of the table's own folder; in a table in S3 never to this machine. Where
    none is called so, the one file of the source with that name, or with that name but for the ending, is meant. Where
    a table is given for no split, the folder of each image may be.
    """

    def __init__(
        self, files: Sequence[File], images: Mapping[str, File], splits: Mapping[str, str] | None = None
    ) -> None:
        self.files, self.images = files, images
        self._layout = Layout(splits=splits or {})
        self._folders: dict[str, Mapping[str, File]] = {}
        self._short = _by_short_name(images)

    def rows(
        self,
        image: str,
        columns: Sequence[str],
        splits: dict[str, str],
        dialect: Dialect,
        tell: Callable[[str], None] | None = None,
    ) -> Iterator[Row]:
        """Yields the rows with the bytes of their images in the column of the image.

        Args:
            image: The column that the job names; where a table has none, one that is usual for paths is taken.
            columns: Those that are needed, that one first.
            splits: For a given split's name, which split it is to be.
            dialect: How tables are read.
            tell: Takes a sentence on what was found out.
        """
        for file in self.files:
            known = columns_of(file, dialect)
            column = next((name for name in (image, *PATHS) if name in known), image)
            for part in read_parts([file], [column, *columns[1:]], splits, dialect, tell):
                yield from self._filled(part, file, column, image)

    def _filled(self, part: Part, table: File, column: str, image: str) -> Iterator[Row]:
        rows = list(part.rows())
        found = [self._find(row.values[column], table) for row in rows]
        contents = storage.read_all([file for file in found if isinstance(file, File) and file.size <= MOST])
        for row, file in zip(rows, found, strict=True):
            inline = _inline(row.values[column])
            if row.split is None and isinstance(file, File) and (split := self._layout.sort_in(file.name)[0]):
                row = row._replace(split=split)
            values = {name: value for name, value in row.values.items() if name != column}
            if inline is not None:
                yield row._replace(values={image: inline, **values})
            elif isinstance(file, str):
                yield row._replace(values={image: row.values[column], **values}, fault=row.fault or file)
            elif file is None:
                yield row._replace(values={image: row.values[column], **values})
            elif file.size > MOST:
                yield row._replace(values={image: None, **values}, fault=f"file larger than {MOST:,} bytes")
            else:
                yield row._replace(values={image: next(contents), **values})

    def _find(self, value: Any, table: File) -> File | str | None:
        """Returns the file that a value leads to, why there is none, or None where it is no path."""
        if not isinstance(value, str) or is_inline(value):
            return None
        path = unquote(value.strip().partition("/local-files/?d=")[2]) or value.strip().replace("\\", "/")
        if not path:
            return None
        folder = posixpath.dirname(table.name)
        for name in (posixpath.normpath(posixpath.join(folder, path)), posixpath.normpath(path)):
            if name in self.images:
                return self.images[name]
        last = _UPLOADED.sub("", name) if (name := posixpath.basename(path)) not in self._short else name
        if short := self._short.get(last) or self._short.get(posixpath.splitext(last)[0] if "." in last else last):
            return short
        reason = "several images are called so" if last in self._short else "no such image"
        return self._outside(path, table) or f"{reason} ({path[:200]})"

    def _outside(self, path: str, table: File) -> File | None:
        """Returns a file that is not among those of the source."""
        if not storage.is_s3(path) and storage.is_s3(table.uri):
            base = posixpath.dirname(table.uri)
            joined = posixpath.normpath(posixpath.join(base.removeprefix("s3://"), path))
            if path.startswith("/") or not joined.startswith(base.removeprefix("s3://") + "/"):
                return None  # neither this machine's files, nor another folder's
            path = f"s3://{joined}"
        if storage.is_s3(path):
            folder, _, name = path.rpartition("/")
            if folder not in self._folders:
                try:
                    self._folders[folder] = {file.name: file for file in storage.list_files(folder + "/")}
                except InputError:
                    self._folders[folder] = {}
            return self._folders[folder].get(name)
        local = Path(table.uri).parent / path
        return File(str(local), path, local.stat().st_size) if local.is_file() else None


def _inline(value: Any) -> bytes | None:
    """Returns the image of a `data:` address, or of its bytes in base64, which hold it."""
    if not isinstance(value, str) or not is_inline(value):
        return None
    try:
        return base64.b64decode(value.rpartition(",")[2], validate=False)
    except ValueError:
        return b""  # no image, and rejected as such


def _by_short_name(images: Mapping[str, File]) -> dict[str, File | None]:
    """Returns the images by their names without folders, with and without ending; None where several are called so."""
    found: dict[str, File | None] = {}
    for name, file in images.items():
        last = posixpath.basename(name)
        for short in {last, posixpath.splitext(last)[0]}:
            found[short] = None if short in found else file
    return found
