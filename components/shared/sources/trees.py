"""Reading a tree of files, one a class's folder, as it lies in folders or in archives."""

import itertools
import json
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, BinaryIO, NamedTuple

from components.shared.errors import InputError
from components.shared.sources import packed
from components.shared.sources.columns import Batch, plain
from components.shared.sources.images import PATHS, SUFFIXES
from components.shared.sources.layout import Layout, layout_of
from components.shared.sources.packed import Packed
from components.shared.sources.parts import Part
from components.shared.sources.readers import Dialect
from components.shared.sources.rows import Row, explained, is_data, is_stray, read_content, read_parts
from components.shared.sources.splits import given_split, paired, refuse_mixed
from components.shared.storage import storage

MOST = 256 << 20
"""Bytes of a file that is read."""

COLUMNS = ("image", "label")
_FEW_TABLES = 20  # files of JSON; more are labels beside images
_SIDECARS = (".cls", ".json", ".txt", ".label")
_SIDECAR_MOST = 1 << 20  # bytes of a label beside an image
_BEGINNING = 64  # bytes that tell an image from zeros


class _Found(NamedTuple):
    """An image in an archive; no content where it is too large."""

    name: str
    content: bytes | None
    label: str | None


def read_tree(files: Sequence[storage.File], layout: Layout) -> Iterator[Row]:
    """Reads image files; the columns are `image` (bytes) and `label`."""
    contents = storage.read_all([file for file in files if file.size <= MOST])
    for file in files:
        split, label = layout.sort_in(file.name)
        data = next(contents) if file.size <= MOST else None
        yield _row(file.name, file.name, split, data, label)


def read_archives(
    files: Sequence[storage.File],
    asked: Layout,
    label: str,
    tables: Sequence[storage.File] = (),
    folders: bool = True,
) -> Iterator[Row]:
    """Reads the images in archives, as they stream by; the columns are `image` (bytes) and that of the label.

    Args:
        files: The archives.
        asked: The level of the class (0: to be found out), and which split is to be which.
        label: The column that holds the label, where there are tables, or JSON beside the images.
        tables: Beside the archives, that tell the labels.
        folders: Whether an image's folder can be its label: a class.

    Raises:
        InputError: One is damaged or holds no images, or no labels of them; or they mix given splits with none.
    """
    first: dict[bool, tuple[str, str | None]] = {}
    outside: dict[str, str] = {}
    for part in read_parts(tables, (), {}):
        outside |= _told_in(part.batch, part.file, label)
    for file in files:
        count = labelled = 0
        with explained(file), packed.opened(file) as archive:
            if not packed.is_archive(archive):
                raise packed.damaged(file.name, "archive", "it begins like none")
            layout, labels = _look(archive, asked, label, folders)
            for image in _images(archive, label):
                count += 1
                split, folder = layout.sort_in(image.name)
                split = given_split(file.name, asked.splits) or split
                own = image.label or _label_of(image.name, labels) or _label_of(image.name, outside)
                own = own or (folder if folders else None)
                if own:
                    labelled += 1
                    first.setdefault(bool(split), (f"{file.name}:{image.name}", split))
                    refuse_mixed(file.name, dict(first.values()))
                row = _row(f"{file.name}:{image.name}", file.name, split, image.content, own)
                yield row if folders else row._replace(values={COLUMNS[0]: image.content, label: own})
        if not count:
            raise InputError(
                f"{file.name} holds no images. Expected a folder a class with image files in it (.jpg, .png, …)."
            )
        if not labelled and not folders:
            raise InputError(
                f"{file.name} holds {count:,} images, and no table in it or beside it tells {label!r} of them. "
                "Expected one (metadata.csv, labels.csv, .jsonl) with the columns file_name and those of what is to be "
                "learned; data.label names the one."
            )


def rows_beside(file: storage.File, tables: Sequence[storage.File], asked: Layout, most: int) -> list[dict[str, Any]]:
    """Returns rows of the tables that tell what is on the images in an archive: those in it, or else those beside it.

    None are needed, and none returned, where the folders in it are classes.

    Args:
        file: The archive.
        tables: Beside it.
        asked: As of `read_archives`.
        most: Rows, about.
    """
    rows: list[dict[str, Any]] = []
    with explained(file), packed.opened(file) as archive:
        if not packed.is_archive(archive):
            return []
        sight = _seen_in(archive, asked, False)
        if sight.classes:
            return []
        inner = (part for _, part in _table_parts(archive, sight.json_tables))
        for part in inner if sight.tables else read_parts(tables, (), {}):
            if any(name in part.batch.columns for name in PATHS):
                rows += (row.values for row in part.rows() if row.fault is None)
            if len(rows) >= most:
                break
    return rows[:most]


def _row(place: str, file: str, split: str | None, data: bytes | None, label: str | None) -> Row:
    fault = f"file larger than {MOST:,} bytes" if data is None else None
    return Row(storage.printable(place), storage.printable(file), split, {"image": data, "label": label}, fault)


class _Sight(NamedTuple):
    """What the names in an archive tell.

    Attributes:
        layout: Which folder is the class.
        classes: Whether folders tell the classes of all images.
        tables: Whether there are tables, where they do not.
        json_tables: Whether files of JSON are tables: they are few.
    """

    layout: Layout
    classes: bool
    tables: bool
    json_tables: bool


def _look(archive: Packed, asked: Layout, label: str, folders: bool) -> tuple[Layout, Mapping[str, str]]:
    """Returns the layout of an archive, and the labels that tables in it tell, by the names of images."""
    sight = _seen_in(archive, asked, folders)
    return sight.layout, _labels(archive, label, sight.json_tables) if sight.tables else {}


def _seen_in(archive: Packed, asked: Layout, quick: bool) -> _Sight:
    """Looks at the names in an archive.

    They are gone through first where they can be without unpacking (zip), or must be: where the first image does not
    lie in one folder, which is the one of its class.

    Args:
        archive: Of images.
        asked: As of `read_archives`.
        quick: Whether one folder is taken for a class at once.
    """
    first = next((name for name in packed.names_in(archive) if _is_image(name)), "")
    layout = Layout(asked.level or 1, asked.splits)
    if quick and not packed.is_zip(archive) and first.count("/") == 1 and layout.sort_in(first)[1]:
        return _Sight(layout, True, False, False)
    folders: set[str] = set()
    tables = False
    json_files = 0
    for name in packed.names_in(archive):
        json_files += name.lower().endswith(".json")
        tables = tables or _is_table(name)
        if _is_image(name):
            folders.add(name.rpartition("/")[0] + "/")
    layout = layout_of(archive.name, folders, asked.level, {**paired(folders), **asked.splits})
    labels = {layout.sort_in(folder)[1] for folder in folders}
    classes = len(labels) > 1 and None not in labels
    return _Sight(layout, classes, tables and not classes, json_files <= _FEW_TABLES)


def _labels(archive: Packed, label: str, json_tables: bool) -> dict[str, str]:
    """Returns the label of each image that a table in an archive names, by its path in the archive.

    Where tables lie in a folder of their own, by its name alone, too.
    """
    found: dict[str, str] = {}
    for table, part in _table_parts(archive, json_tables):
        found |= _told_in(part.batch, table, label)
    return found


def _table_parts(archive: Packed, json_tables: bool) -> Iterator[tuple[str, Part]]:
    """Yields the rows of the tables in an archive, each with the table's name."""
    for table in packed.members(archive, lambda name: _is_table(name) and (json_tables or not _is_sidecar(name))):
        if not is_stray(table.inner):
            for part in read_content(table, archive.name, (), {}, Dialect(), lambda _: None):
                yield table.inner, part


def _told_in(batch: Batch, table: str, label: str) -> dict[str, str]:
    """Returns the labels that rows of a table tell: by an image's path, taken from the table's folder, and its name."""
    path = next((name for name in PATHS if name in batch.columns), None)
    others = [name for name in batch.columns if name not in (path, "")]
    column = label if label in others or len(others) != 1 else others[0]
    if not path or column not in batch.columns:
        return {}
    folder = table.rpartition("/")[0]
    pairs = zip(plain(batch.columns[path]), plain(batch.columns[column]), strict=True)
    told = {str(name): str(value) for name, value in pairs if value is not None}
    found = {f"{folder}/{name}".strip("/"): value for name, value in told.items()}
    return found | {name.rpartition("/")[2]: value for name, value in told.items()}


def _label_of(name: str, labels: Mapping[str, str]) -> str | None:
    """Returns the label that tables tell of an image: by its path, its name, or its name without ending."""
    last = name.rpartition("/")[2]
    return labels.get(name) or labels.get(last) or labels.get(last.rpartition(".")[0])


def _is_table(name: str) -> bool:
    return is_data(name) or name.lower().endswith(".xml")


def _is_sidecar(name: str) -> bool:
    return name.lower().endswith(".json") and "metadata" not in name


def _images(archive: Packed, label: str) -> Iterator[_Found]:
    """Yields the images; what lies beside one under the same name may tell its label, before it or after."""
    members = _members(archive)
    for _, group in itertools.groupby(members, lambda member: _key(member[0])):
        image: _Found | None = None
        told: str | None = None
        for name, size, stream in group:
            if _is_image(name):
                if image:
                    yield image._replace(label=told)
                image = _Found(name, _content(stream, size), None)
            elif name.lower().endswith(_SIDECARS) and size <= _SIDECAR_MOST:
                told = _told(name, _whole(stream, _SIDECAR_MOST), label) or told
        if image:
            yield image._replace(label=told)


def _members(archive: Packed) -> Iterator[tuple[str, int, BinaryIO]]:
    if packed.is_zip(archive):
        for member in packed.members(archive, lambda name: _is_image(name) or name.lower().endswith(_SIDECARS)):
            with member.open() as stream:
                yield member.inner, member.full, stream
    else:
        yield from packed.tar_files(archive)


def _key(name: str) -> str:
    """What webdataset calls the key: the path up to the first point in the file's name."""
    folder, _, last = name.rpartition("/")
    return f"{folder}/{last.partition('.')[0]}"


def _is_image(name: str) -> bool:
    return name.lower().endswith(SUFFIXES)


def _content(stream: BinaryIO, size: int) -> bytes | None:
    """Returns an image; of what has not the beginning of one only that, so that zeros take no memory."""
    if size > MOST:
        return None
    begun = _whole(stream, _BEGINNING)
    if not begun.strip(b"\0"):
        return begun
    data = begun + _whole(stream, MOST + 1)
    return data if len(data) <= MOST else None


def _whole(stream: BinaryIO, most: int) -> bytes:
    """Returns so many bytes, or all there are: a raw stream may give fewer at once."""
    parts = []
    while most > 0 and (part := stream.read(min(most, 1 << 20))):
        parts.append(part)
        most -= len(part)
    return b"".join(parts)


def _told(name: str, data: bytes, label: str) -> str | None:
    text = data.decode("utf-8", "replace").strip()
    if not name.lower().endswith(".json"):
        return text if len(text) <= 1000 and "\n" not in text else None
    try:
        found: Any = json.loads(text)
    except (ValueError, RecursionError):
        return None
    if isinstance(found, dict):
        found = next((found[key] for key in (label, "label", "cls", "class") if key in found), None)
    return str(found) if isinstance(found, str | int) else None
