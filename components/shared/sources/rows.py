"""Rows of labelled data, one after the other, out of files of any format, packed or not, or a hub dataset."""

import itertools
import posixpath
from collections.abc import Callable, Iterator, Sequence
from typing import Any, NamedTuple

import pyarrow as pa

from components.shared import storage
from components.shared.errors import InputError, quote_all
from components.shared.sources import packed
from components.shared.sources.columns import Batch, MissingColumnError, Values, check_columns, class_name, plain
from components.shared.sources.listing import found, list_source
from components.shared.sources.packed import Packed
from components.shared.sources.readers import Dialect, Reader, reader_of, readers, suffixes
from components.shared.sources.splits import given_split, refuse_mixed

__all__ = ["Row", "check_columns", "class_name", "data_files", "found", "given_split", "read_rows", "refuse_mixed"]

_STRAYS = {
    "dataset_infos.json", "dataset_info.json", "dataset_dict.json", "state.json", "config.json", "package.json",
    "croissant.json", "tokenizer.json", "schema.json", "manifest.json",
}  # fmt: skip
_CACHES = ("cache-", "indices-")  # of Hugging Face's datasets, beside what `save_to_disk` wrote


class Row(NamedTuple):
    """A row as it was read.

    Attributes:
        place: File and line (or row) number, for people.
        file: Name of the file that it was read from.
        split: The split that it is given for, or None.
        values: Its values by column, invalid bytes as surrogate escapes.
        fault: Why it could not be read, or None.
    """

    place: str
    file: str
    split: str | None
    values: Values
    fault: str | None = None


class Part(NamedTuple):
    """Some rows of a file.

    Attributes:
        place: The file, and a member of an archive, for people.
        file: Name of the file in its source.
        split: The split that its rows are given for, or None.
        batch: The rows.
    """

    place: str
    file: str
    split: str | None
    batch: Batch

    def rows(self) -> Iterator[Row]:
        """Yields the rows one by one."""
        columns = {name: plain(column) for name, column in self.batch.columns.items()}
        return map(self._replace(batch=self.batch._replace(columns=columns)).row, range(len(self.batch.numbers)))

    def row(self, at: int) -> Row:
        """Returns one of the rows, by its position."""
        values = {name: _value(column, at) for name, column in self.batch.columns.items()}
        place = f"{self.place}:{self.batch.numbers[at]}"
        return Row(place, self.file, self.split, values, self.batch.faults.get(at))


def _value(column: Sequence[Any] | pa.Array, at: int) -> Any:
    return column[at].as_py() if isinstance(column, pa.Array) else column[at]


def read_rows(
    files: Sequence[storage.File],
    columns: Sequence[str],
    splits: dict[str, str],
    dialect: Dialect | None = None,
    tell: Callable[[str], None] | None = None,
) -> Iterator[Row]:
    """Reads the rows of all files in turn; see `read_parts`."""
    for part in read_parts(files, columns, splits, dialect, tell):
        yield from part.rows()


def read_parts(
    files: Sequence[storage.File],
    columns: Sequence[str],
    splits: dict[str, str],
    dialect: Dialect | None = None,
    tell: Callable[[str], None] | None = None,
) -> Iterator[Part]:
    """Reads the rows of all files in turn, many at once.

    Args:
        files: Data files, from `data_files`.
        columns: The columns that are needed; empty: all.
        splits: For a given split's name, which split it is to be (the same, where not told).
        dialect: How they are read where what they hold is not to decide.
        tell: Takes a sentence on each thing that was found out.

    Raises:
        InputError: A file is empty, damaged, or lacks a column; or archives mix given splits with none.
    """
    first: dict[bool, tuple[str, str | None]] = {}
    for file in files:
        if file.size == 0:
            raise InputError(f"{file.name} is empty. Remove it, or write it again.")
        for content in _contents(file):
            rows = 0
            for part in read_content(content, file.name, columns, splits, dialect or Dialect(), tell or _silent):
                first.setdefault(bool(part.split), (content.name, part.split))
                refuse_mixed(file.name, dict(first.values()))
                rows += len(part.batch.numbers)
                yield part
            if not rows:
                raise InputError(f"{content.name} holds no rows. Remove it, or write it again.")


def read_content(
    content: Packed,
    file: str,
    columns: Sequence[str],
    splits: dict[str, str],
    dialect: Dialect,
    tell: Callable[[str], None],
) -> Iterator[Part]:
    """Reads the rows of one file, or of one in an archive; see `read_parts`."""
    split = given_split(file, splits) or given_split(content.inner, splits)
    place, own = storage.printable(content.name), storage.printable(file)
    for batch in _read(content, columns, split, dialect, tell):
        yield Part(place, own, split, batch)


def _silent(_: str) -> None:
    """Tells nobody."""


def _contents(file: storage.File) -> Iterator[Packed]:
    """Yields what lies in a file: itself, or the members of an archive that hold rows."""
    with packed.opened(file) as whole:
        if not packed.is_archive(whole):
            yield whole
            return
        found_some = False
        for member in packed.members(whole, lambda name: is_data(name) and not is_stray(name)):
            found_some = True
            yield member
        if not found_some:
            names = list(itertools.islice(packed.names_in(whole), 100))
            raise InputError(f"{file.name} holds no data: found {quote_all(names)}. Expected {_formats()} in it.")


def _read(
    content: Packed, columns: Sequence[str], split: str | None, dialect: Dialect, tell: Callable[[str], None]
) -> Iterator[Batch]:
    reader = _reader(content)
    try:
        yield from reader.read(content, columns, dialect, tell)
    except MissingColumnError as error:
        advice = ""
        if is_stray(content.inner):
            advice = " Such a file describes data and holds no rows: name the file that does in data.source."
        if split == "test" and columns and error.column == columns[-1]:
            advice = (
                f" If {content.inner} has no labels because they are to be predicted, name only the labelled files in "
                f"data.source; afterwards `graft predict MODEL {content.inner}` takes it."
            )
        raise InputError(f"{error}{advice}") from error


def _reader(content: Packed) -> Reader:
    """Returns the reader of what a file holds; among formats of text the name decides where the beginning does not."""
    if not content.head:
        raise InputError(f"{content.name} is empty. Remove it, or write it again.")
    reader = reader_of(content.head)
    named = [one for one in readers() if content.inner.lower().endswith(tuple(one.suffixes))]
    if reader is readers()[-1] and named and named[0] is not reader:
        reader = named[0] if b"\n{" in content.head else None  # JSON Lines whose first line is damaged
    if reader is None:
        expected = f"{named[0].name} file" if named else f"data: expected {_formats()}"
        raise InputError(
            f"{content.name} is no readable {expected} (it begins with {content.head[:16]!r}). Write it again."
        )
    return reader


def columns_of(file: storage.File, dialect: Dialect) -> list[str]:
    """Returns the names of the columns of a file's first rows."""
    for content in _contents(file):
        for batch in _reader(content).read(content, (), dialect, lambda _: None):
            return list(batch.columns)
    return []


def data_files(source: str) -> list[storage.File]:
    """Lists the data files of a source; other files in a folder are left out.

    Raises:
        InputError: There is none.
    """
    return sort_out(source, list_source(source), lambda _: None)


def sort_out(source: str, files: Sequence[storage.File], tell: Callable[[str], None]) -> list[storage.File]:
    """Returns those files of a source that hold rows; tells which look as if they did, and do not.

    A single file is data whatever it is called.
    """
    is_file = len(files) == 1 and posixpath.basename(source) == files[0].name
    if is_file and _holds_rows(files[0]):
        return list(files)
    data = [file for file in files if is_data(file.name) or file.name.lower().endswith(packed.ARCHIVES)]
    strays = [file for file in data if is_stray(file.name)]
    data = [file for file in data if file not in strays]
    if not data:
        raise InputError(
            f"{source} holds no data: {found(files)}. Expected {_formats()}; pictures are read for tasks such as "
            "image-classification."
        )
    if strays:
        tell(f"left out {quote_all(file.name for file in strays)}: such files describe data, and hold no rows")
    return data


def _holds_rows(file: storage.File) -> bool:
    if is_data(file.name) or file.name.lower().endswith(packed.ARCHIVES):
        return True
    if file.size == 0:
        return False
    with packed.opened(file) as content:
        return packed.is_archive(content) or reader_of(content.head) is not None


def is_data(name: str) -> bool:
    lower = name.lower()
    for suffix in packed.SUFFIXES:
        lower = lower.removesuffix(suffix)
    return lower.endswith(tuple(suffixes()))


def is_stray(name: str) -> bool:
    last = name.rpartition("/")[2]
    return last in _STRAYS or (last.startswith(_CACHES) and last.endswith(".arrow"))


def _formats() -> str:
    """Returns the formats that are read, for a message."""
    known = [suffix for reader in reversed(readers()) for suffix in reader.suffixes]
    return f"{', '.join(known)} files (also packed: {', '.join(packed.SUFFIXES)}, .zip, .tar)"
