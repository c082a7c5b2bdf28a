"""Rows of labelled data, one after the other, out of files of any format, packed or not, or a hub dataset."""

import contextlib
import errno
import itertools
import posixpath
import re
from collections.abc import Callable, Iterator, Sequence

from components.shared.errors import InputError, quote_all
from components.shared.sources import packed
from components.shared.sources.beir import Judgements, find_judgements, read_judgements
from components.shared.sources.brat import Documents, documents_in, find_documents, holds_documents
from components.shared.sources.columns import Batch, MissingColumnError, check_columns, class_name
from components.shared.sources.foreign import advice_on, told_by
from components.shared.sources.layout import Layout
from components.shared.sources.listing import found, list_source
from components.shared.sources.packed import Packed
from components.shared.sources.parts import Part, Row
from components.shared.sources.readers import Dialect, Reader, reader_of, readers, suffixes
from components.shared.sources.splits import given_split, refuse_mixed
from components.shared.sources.styles import is_tabular
from components.shared.sources.texts import TextTree, find_texts, layout_in, texts_in
from components.shared.storage import storage

__all__ = [
    "Part",
    "Row",
    "check_columns",
    "class_name",
    "data_files",
    "found",
    "given_split",
    "read_rows",
    "refuse_mixed",
]

_STRAYS = {
    "dataset_infos.json", "dataset_info.json", "dataset_dict.json", "state.json", "config.json", "package.json",
    "croissant.json", "tokenizer.json", "schema.json", "manifest.json",
}  # fmt: skip
_SECOND = (".xml", ".txt", ".text", ".list", ".manifest", ".out", "")  # endings of many other things, too
_KAGGLE = re.compile(r"(sample[-_ ]?submission|gender_submission|submission).*\.(csv|parquet|json)", re.IGNORECASE)
_CACHES = ("cache-", "indices-")  # of Hugging Face's datasets, beside what `save_to_disk` wrote


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
        if isinstance(file, Judgements):
            yield from read_judgements(file, columns, splits)
            continue
        if file.size == 0:
            raise InputError(f"{file.name} is empty. Remove it, or write it again.")
        with explained(file):
            found_some = False
            for content in _contents(file):
                rows, found_some = 0, True
                for part in read_content(content, file.name, columns, splits, dialect or Dialect(), tell or _silent):
                    where = f"{content.name}:{part.batch.part}" if part.batch.part else content.name
                    first.setdefault(bool(part.split), (where, part.split))
                    refuse_mixed(file.name, dict(first.values()))
                    rows += len(part.batch.numbers)
                    yield part
                if not rows:
                    raise InputError(f"{content.name} holds no rows. Remove it, or write it again.")
            if not found_some:
                yield from _texts(file, columns, splits, dialect or Dialect())


@contextlib.contextmanager
def explained(file: storage.File) -> Iterator[None]:
    """Tells damage that a library tells as if the machine had failed (bzip2, or a zip's place beyond its end)."""
    try:
        yield
    except OSError as error:
        if error.errno not in (None, errno.EINVAL):
            raise
        raise packed.damaged(file.name, "file", str(error)) from error


def _texts(file: storage.File, columns: Sequence[str], splits: dict[str, str], dialect: Dialect) -> Iterator[Part]:
    """Reads an archive without tables: it may hold texts with annotations, or in the folders of their classes."""
    own = given_split(file.name, splits)
    with packed.opened(file) as archive:
        if holds_documents(packed.names_in(archive)):
            for part in documents_in(archive, columns, splits, dialect):
                yield part._replace(split=own) if own else part
            return
        layout = layout_in(archive, dialect.class_level, splits)
        if layout is None:
            names = list(itertools.islice(packed.names_in(archive), 100))
            raise InputError(f"{file.name} holds no data: found {quote_all(names)}. Expected {_formats()} in it.")
        for part in texts_in(archive, layout, columns, dialect):
            yield part._replace(split=own) if own else part


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
        yield Part(place, own, given_split(batch.part, splits) or split if batch.part else split, batch)


def _silent(_: str) -> None:
    """Tells nobody."""


def _contents(file: storage.File) -> Iterator[Packed]:
    """Yields what lies in a file: itself, or the members of an archive that hold rows."""
    with packed.opened(file) as whole:
        if told := told_by(whole.head):
            raise InputError(f"{file.name} cannot be read: {told}")
        if not packed.is_archive(whole):
            yield whole
            return
        yield from packed.members(whole, lambda name: is_data(name) and not is_stray(name))


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
                f" If {content.inner} has no labels because they are to be predicted, {_only(content)} in "
                f"data.source; afterwards `graft predict MODEL {content.inner}` takes it."
            )
        raise InputError(f"{error}{advice}") from error


def _only(content: Packed) -> str:
    """Returns how a file is left out."""
    return (
        "name only the labelled files" if ":" not in content.name else "unpack the archive, and name the labelled files"
    )


def _reader(content: Packed) -> Reader:
    """Returns the reader of what a file holds; among formats of text the name decides where the beginning does not."""
    if not content.head:
        raise InputError(f"{content.name} is empty. Remove it, or write it again.")
    if told := told_by(content.head):
        raise InputError(f"{content.name} cannot be read: {told}")
    reader = reader_of(content.head)
    named = [one for one in readers() if content.inner.lower().endswith(tuple(one.suffixes))]
    if reader is readers()[-1] and named and named[0] is not reader:
        reader = named[0] if b"\n{" in content.head else None  # JSON Lines whose first line is damaged
    if reader is None:
        expected = f"{named[0].name} file" if named else f"data: expected {_formats()}"
        raise InputError(
            f"{content.name} is no readable {expected} (it begins with {content.head[:16]!r}"
            f"{', and holds zeros' * (bytes(4) in content.head)}). Write it again."
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
    return sort_out(source, list_source(source), _silent)


def find_rows(
    source: str, files: Sequence[storage.File], asked: Layout, tell: Callable[[str], None]
) -> tuple[list[storage.File], TextTree | Documents | None]:
    """Returns what of a source holds rows: `sort_out`.

    Where there are no tables: texts with annotations beside them, or in the folders of their classes.
    """
    if any(_is_table(file) and not is_stray(file.name) for file in files):
        return sort_out(source, files, tell), None
    texts = find_documents(source, files, asked.splits, tell) or find_texts(source, files, asked, tell)
    return (texts.files, texts) if texts else (sort_out(source, files, tell), None)


def sort_out(source: str, files: Sequence[storage.File], tell: Callable[[str], None]) -> list[storage.File]:
    """Returns those files of a source that hold rows; tells which look as if they did, and do not.

    A single file is data whatever it is called; of a folder without tables so are files without a name that tells
    (`.txt`, `.xml`, none), where what they hold does.
    """
    if judgements := find_judgements(files):
        tell(f"{quote_all(file.name for file in judgements)} read as judgements of a corpus, as BEIR has them")
        return list(judgements)
    is_file = len(files) == 1 and posixpath.basename(source) == files[0].name
    if is_file and _holds_rows(files[0]):
        return list(files)
    data = [file for file in files if _is_table(file)]
    strays = [file for file in data if is_stray(file.name)]
    data = [file for file in data if file not in strays] or unnamed(files)
    if not data:
        raise InputError(
            f"{source} holds no data: {found(files)}.{advice_on(files)} Expected {_formats()}; pictures are read for "
            "tasks such as image-classification."
        )
    if strays:
        tell(f"left out {quote_all(file.name for file in strays)}: such files describe data, and hold no rows")
    return data


def _is_table(file: storage.File) -> bool:
    return is_data(file.name) or file.name.lower().endswith(packed.ARCHIVES)


def unnamed(files: Sequence[storage.File]) -> list[storage.File]:
    """Returns files whose names do not tell what they hold, and whose beginnings do: of each ending one is opened."""
    kept: list[storage.File] = []
    groups: dict[str, list[storage.File]] = {}
    for file in files:
        ending = posixpath.splitext(_bare(file.name))[1].lower()
        if ending in _SECOND and file.size and not is_stray(file.name):
            groups.setdefault(ending, []).append(file)
    for group in groups.values():
        with explained(group[0]), packed.opened(group[0]) as content:
            reader = reader_of(content.head)
            if reader and (reader is not readers()[-1] or is_tabular(content.head)):
                kept += group
    return sorted(kept, key=lambda file: file.name)


def _holds_rows(file: storage.File) -> bool:
    if is_data(file.name) or file.name.lower().endswith(packed.ARCHIVES):
        return True
    if file.size == 0:
        return False
    with explained(file), packed.opened(file) as content:
        if told := told_by(content.head):
            raise InputError(f"{file.name} cannot be read: {told}")
        return packed.is_archive(content) or reader_of(content.head) is not None


def is_data(name: str) -> bool:
    return _bare(name).lower().endswith(tuple(suffixes() - set(_SECOND)))


def _bare(name: str) -> str:
    """Returns a name without the endings of how it is packed."""
    for suffix in packed.SUFFIXES:
        name = name[: -len(suffix)] if name.lower().endswith(suffix) else name
    return name


def is_stray(name: str) -> bool:
    last = name.rpartition("/")[2]
    return last in _STRAYS or (last.startswith(_CACHES) and last.endswith(".arrow")) or bool(_KAGGLE.match(last))


def _formats() -> str:
    """Returns the formats that are read, for a message."""
    known = [suffix for reader in reversed(readers()) for suffix in reader.suffixes if suffix not in _SECOND]
    return f"{', '.join(known)} files (also packed: {', '.join(packed.SUFFIXES)}, .zip, .tar)"
