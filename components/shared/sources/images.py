"""Images with their labels: a tree with a folder a class, archives of such a tree, or a table of them.

A folder train, validation or test above the classes gives the split; which folder is the class says `layout`. An
archive may hold tables, too, or labels beside each image (`1.jpg` and `1.cls`, as webdataset has them).
"""

import hashlib
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

from components.shared.errors import InputError, quote_all
from components.shared.sources import packed
from components.shared.sources.columns import plain
from components.shared.sources.layout import Layout, layout_of
from components.shared.sources.listing import found, list_source, sources_of, splits_among
from components.shared.sources.rows import is_data, is_stray, read_parts, unnamed
from components.shared.sources.splits import refuse_mixed
from components.shared.storage import storage

SUFFIXES = (
    ".jpg", ".jpeg", ".jpe", ".jfif", ".png", ".apng", ".webp", ".bmp", ".gif", ".tif", ".tiff", ".ppm", ".pgm",
    ".pbm", ".pnm", ".jp2", ".j2k", ".avif",
)  # fmt: skip
_OTHERS = (
    ".heic", ".heif", ".jxl", ".svg", ".psd", ".dng", ".cr2", ".cr3", ".nef", ".arw", ".orf", ".rw2", ".raw", ".eps",
    ".ico", ".exr", ".hdr", ".dcm", ".pdf",
)  # fmt: skip
"""Pictures that are not read."""

PATHS = (
    "file_name", "filename", "path", "image_path", "filepath", "file_path", "file", "image_name", "image_file", "fname",
    "image_id", "img", "id",
)  # fmt: skip
"""What tables call the path of an image, where they do not call it as the job does."""

_BASE64 = ("/9j/", "iVBORw0KGgo", "R0lGOD", "UklGR")
_FEW_TABLES = 20  # that are opened to see whether they name images
_SMALL_TABLE = 4 << 20  # bytes; what is larger names images, and is nothing that lies beside


@dataclass(frozen=True)
class Pictures:
    """How the images of a source are found.

    Attributes:
        kind: "tree", "archives" or "tables".
        files: What is read, and its stamps tell whether it is new.
        layout: Of a tree; of archives what is known before they are read.
        images: The image files beside tables, by name.
        tables: That tell the labels of what is in archives beside them.
    """

    kind: str
    files: list[storage.File]
    layout: Layout
    images: Mapping[str, storage.File] = field(default_factory=dict)
    tables: Sequence[storage.File] = ()


def is_inline(text: str) -> bool:
    """Tells an image that is written as text: a `data:` address, or the base64 of a JPEG, PNG, GIF or WebP."""
    return text.startswith("data:image/") or (len(text) > 64 and text.startswith(_BASE64) and " " not in text[:256])


def image_files(
    source: str, level: int = 0, splits: Mapping[str, str] | None = None, folders: bool = True
) -> list[storage.File]:
    """Lists what holds the images of a source: see `find_images`.

    Args:
        source: What people know it by.
        level: Of the class; 0: to be found out.
        splits: For a given split's name, which split it is to be.
        folders: Whether an image's folder can be its answer: a class.
    """
    files = list_source(source)
    asked = Layout(level, splits_among(files, splits or {}))
    return find_images(source, files, asked, lambda _: None, folders).files


def find_images(
    source: str, files: Sequence[storage.File], asked: Layout, tell: Callable[[str], None], folders: bool = True
) -> Pictures:
    """Sorts the files of a source: images in folders, archives, or tables with image files beside them.

    Args:
        source: What people know it by.
        files: All its files.
        asked: The level of the class (0: to be found out), and which split is to be which.
        tell: Takes a sentence on what is left out.
        folders: Whether an image's folder can be its answer: a class; else only tables tell answers.

    Raises:
        InputError: There is none, or archives beside images; a class holds only pictures that are not read; or the
            answers cannot be told.
    """
    images = [file for file in files if file.name.lower().endswith(SUFFIXES)]
    archives = [file for file in files if file.name.lower().endswith(packed.ARCHIVES)]
    tables = [file for file in files if is_data(file.name) and not is_stray(file.name)] or (
        _lists(files) if images else unnamed(files)
    )
    if not images and not archives and not tables:
        _refuse_unread(source, files, {})
        raise InputError(
            f"{source} holds no images: {found(files)}. Expected a folder a class with image files in it (.jpg, .png, "
            "…), .tar or .zip archives of such folders, or a table with a column of images, or of their paths."
        )
    if archives and images:
        raise InputError(
            f"{source} holds archives and image files (such as {quote_all([archives[0].name, images[0].name])}); one "
            "of them was expected. Give the folder that holds only what is to be read."
        )
    if archives:
        return Pictures("archives", _stamped(archives, tables), asked, {}, tables)
    if tables and (not images or not folders or any(_is_metadata(file.name) for file in tables)):
        return _tables(tables, images, asked, tell)
    if not folders:
        raise InputError(
            f"{source} holds {len(images):,} images (such as {images[0].name!r}), and no table that tells what is to "
            "be learned of them; a folder can tell no more than one class. Expected a table beside them (metadata.csv, "
            "labels.csv, .jsonl, .parquet, COCO's annotations): a row for each image, with its path in the column "
            "file_name, and columns of what is to be learned, which data.label names."
        )
    is_list = len(sources_of(source)) > 1
    layout = layout_of(source, [file.name for file in images], asked.level, asked.splits, is_list)
    labels = {label for file in images if (label := layout.sort_in(file.name)[1])}
    if tables and len(labels) < 2:
        return _tables(tables, images, asked, tell)
    if not labels:
        raise InputError(
            f"{source} holds {len(images):,} images, none of them in the folder of a class (such as "
            f"{images[0].name!r}). Expected a folder a class (cat/1.jpg), or a table beside them with the columns "
            "file_name and label."
        )
    _check_tree(source, files, images, layout, tell)
    return Pictures("tree", images, layout)


def _lists(files: Sequence[storage.File]) -> list[storage.File]:
    """Returns files of XML, or lists of paths and labels in text, that say what is on images beside them."""
    found = unnamed(files)
    return [file for file in found if file.name.lower().endswith(".xml")] or found


def _is_metadata(name: str) -> bool:
    return name.rpartition("/")[2].lower().startswith("metadata.")


def _tables(
    tables: Sequence[storage.File], images: Sequence[storage.File], asked: Layout, tell: Callable[[str], None]
) -> Pictures:
    """Where an image changes, so does what its table holds: the table's stamp tells of both."""
    chosen = [file for file in tables if _is_metadata(file.name)] or _naming_images(tables)
    if len(chosen) < len(tables):
        tell(f"left out {quote_all(file.name for file in tables if file not in chosen)}: others tell the labels")
    return Pictures("tables", _stamped(chosen, images), asked, {file.name: file for file in images})


def _stamped(files: Sequence[storage.File], others: Sequence[storage.File]) -> list[storage.File]:
    """Returns files with stamps that tell of others, too, which decide what is in them."""
    stamps = hashlib.blake2b("\n".join(file.stamp for file in others).encode(), digest_size=16).hexdigest()
    return [
        storage.File(file.uri, file.name, file.size, f"{file.stamp} {stamps}" if others and file.stamp else file.stamp)
        for file in files
    ]


def _naming_images(tables: Sequence[storage.File]) -> list[storage.File]:
    """Returns the tables that name images, by their first rows; all where none does, or there are many."""
    if not 1 < len(tables) <= _FEW_TABLES:
        return list(tables)
    return [file for file in tables if file.size > _SMALL_TABLE or _names_images(file)] or list(tables)


def _names_images(file: storage.File) -> bool:
    for part in read_parts([file], [], {}):
        columns = part.batch.columns
        values = [value for column in columns.values() for value in plain(column[:20])]
        return any(name.strip().lower() in PATHS for name in columns) or any(
            isinstance(value, bytes) or (isinstance(value, str) and value.lower().endswith(SUFFIXES))
            for value in values
        )
    return False


def _check_tree(
    source: str,
    files: Sequence[storage.File],
    images: Sequence[storage.File],
    layout: Layout,
    tell: Callable[[str], None],
) -> None:
    sorted_in = {file.name: layout.sort_in(file.name) for file in images}
    refuse_mixed(source, {name: split for name, (split, label) in sorted_in.items() if label})
    others = [file for file in files if file.name not in sorted_in]
    kept = {label for _, label in sorted_in.values()}
    lost = {label: file.name for file in others if (label := layout.sort_in(file.name)[1]) and label not in kept}
    if lost:
        _refuse_unread(source, others, lost)
    if others:
        kinds = Counter(f".{file.name.rpartition('.')[2].lower()}" for file in others)
        counts = ", ".join(f"{count:,} {kind}" for kind, count in kinds.most_common(5))
        tell(f"left out {len(others):,} files that are no images ({counts}), such as {others[0].name!r}")


def _refuse_unread(source: str, others: Sequence[storage.File], lost: Mapping[str, str]) -> None:
    """Refuses a source without images, or a class of one, whose pictures are all of a kind that is not read."""
    names = list(lost.values()) or [file.name for file in others]
    unread = [name for name in names if name.lower().endswith(_OTHERS)]
    if unread:
        of = f" of {quote_all(sorted(label for label, name in lost.items() if name in unread))}" if lost else ""
        raise InputError(
            f"{source}: nothing that can be read is left{of}. It holds pictures such as {unread[0]!r}: convert them to "
            "JPEG or PNG."
        )
