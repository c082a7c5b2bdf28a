"""Texts that are files, each in the folder of its class, as in aclImdb and 20 newsgroups: `train/pos/1.txt`."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass

from components.shared.sources import packed
from components.shared.sources.columns import Batch, check_columns
from components.shared.sources.layout import Layout, layout_of
from components.shared.sources.packed import Packed
from components.shared.sources.parts import Part
from components.shared.sources.readers import Dialect
from components.shared.sources.splits import paired, refuse_mixed
from components.shared.sources.text import check_encoding, encoding_of
from components.shared.storage import storage

COLUMNS = ("text", "label")

_SUFFIXES = (".txt", ".text")
_MOST = 8 << 20  # bytes of a text
_NO_TEXTS = ("readme", "license", "licence", "copying", "makefile", "changelog")


@dataclass(frozen=True)
class TextTree:
    """Files that are texts.

    Attributes:
        files: The texts.
        layout: Which of their folders is the class.
    """

    files: list[storage.File]
    layout: Layout

    def parts(self, files: Sequence[storage.File], columns: Sequence[str], dialect: Dialect) -> Iterator[Part]:
        """Reads some of the files, each a row."""
        check_columns("A tree of texts", COLUMNS, columns)
        contents = storage.read_all([file for file in files if file.size <= _MOST])
        for file in files:
            split, label = self.layout.sort_in(file.name)
            content = next(contents) if file.size <= _MOST else None
            name = storage.printable(file.name)
            yield Part(name, name, split, _batch(content, label, columns, dialect))


def is_text(name: str) -> bool:
    """Tells a text by its name: .txt, or no ending (those of 20 newsgroups are numbers)."""
    last = name.rpartition("/")[2].lower()
    return (last.endswith(_SUFFIXES) or "." not in last) and not last.startswith(_NO_TEXTS)


def find_texts(
    source: str, files: Sequence[storage.File], asked: Layout, tell: Callable[[str], None]
) -> TextTree | None:
    """Returns the texts of a source, where they lie in the folders of two classes or more; else None.

    Args:
        source: What people know it by.
        files: All its files.
        asked: The level of the class (0: to be found out), and which split is to be which.
        tell: Takes a sentence on what is left out.

    Raises:
        InputError: Which folder is the class can be read in two ways, or splits are mixed with none.
    """
    texts = [file for file in files if "/" in file.name and is_text(file.name)]
    if len(texts) < 2:
        return None
    layout = layout_of(source, {_folder(file.name) for file in texts}, asked.level, asked.splits)
    sorted_in = {file.name: layout.sort_in(file.name) for file in texts}
    labels = {label for _, label in sorted_in.values() if label}
    if len(labels) < 2:
        return None
    kept = [file for file in texts if sorted_in[file.name][1] or layout.is_unlabelled(file.name)]
    refuse_mixed(source, {file.name: sorted_in[file.name][0] for file in kept})
    if others := [file for file in files if file not in set(kept)]:
        tell(f"left out {len(others):,} files that are no text of a class, such as {others[0].name!r}")
    return TextTree(kept, layout)


def layout_in(archive: Packed, level: int, splits: Mapping[str, str]) -> Layout | None:
    """Returns which folder of an archive is the class of the texts in it; None where it holds no texts of classes."""
    folders = {_folder(name) for name in packed.names_in(archive) if "/" in name and is_text(name)}
    layout = layout_of(archive.name, folders, level, {**paired(folders), **splits})
    return layout if len({label for folder in folders if (label := layout.sort_in(folder)[1])}) > 1 else None


def texts_in(archive: Packed, layout: Layout, columns: Sequence[str], dialect: Dialect) -> Iterator[Part]:
    """Yields the texts in an archive, as it streams by, each a row."""
    check_columns("A tree of texts", COLUMNS, columns)
    for member in packed.members(archive, is_text):
        split, label = layout.sort_in(member.inner)
        if label or layout.is_unlabelled(member.inner):
            with member.open() as stream:
                content = stream.read(_MOST + 1)
            batch = _batch(content if len(content) <= _MOST else None, label, columns, dialect)
            yield Part(storage.printable(member.name), storage.printable(archive.name), split, batch)


def _folder(name: str) -> str:
    return name.rpartition("/")[0] + "/"


def _batch(content: bytes | None, label: str | None, columns: Sequence[str], dialect: Dialect) -> Batch:
    values = {"text": _decoded(content or b"", dialect), "label": label}
    faults = {0: f"file larger than {_MOST:,} bytes"} if content is None else {}
    return Batch([1], {name: [values[name]] for name in columns or COLUMNS}, faults)


def _decoded(content: bytes, dialect: Dialect) -> str:
    if dialect.encoding:
        check_encoding(dialect.encoding)
    encoding = dialect.encoding or encoding_of(content)
    return content.decode(encoding, "surrogateescape").replace("\0", "\ufffd").removeprefix("\ufeff").strip()
