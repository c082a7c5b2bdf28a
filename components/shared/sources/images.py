"""Images with their labels: a tree with a folder a class, tar archives of such a tree, or Parquet with an image column.

In a tree the name of a file's folder is its label, and a folder train, validation or test above gives its split.
"""

import gzip
import tarfile
import zlib
from collections.abc import Iterator, Sequence
from pathlib import PurePosixPath
from typing import Self

from components.shared import storage
from components.shared.errors import InputError, quote_all
from components.shared.snapshot import SPLITS
from components.shared.sources.rows import Row, check_columns, found, given_split, read_rows, refuse_mixed

_SUFFIXES = {
    "image files": (
        ".jpg", ".jpeg", ".jpe", ".jfif", ".png", ".apng", ".webp", ".bmp", ".gif", ".tif", ".tiff", ".ppm", ".pgm",
        ".pbm", ".pnm", ".jp2", ".j2k", ".avif",
    ),
    "tar archives": (".tar", ".tar.gz", ".tgz"),
    "Parquet files": (".parquet",),
}  # fmt: skip
_COLUMNS = ("image", "label")
_MOST = 1 << 30  # bytes of a file


def image_files(source: str) -> list[storage.File]:
    """Lists the image files, tar archives or Parquet files of a path or S3 address; other files are left out.

    Raises:
        InputError: There is none, or more than one of these kinds, or some are given splits and some are not.
    """
    files = storage.list_files(source)
    by_kind = {kind: [file for file in files if _kind_of(file.name) == kind] for kind in _SUFFIXES}
    kinds = [kind for kind, some in by_kind.items() if some]
    if not kinds:
        raise InputError(
            f"{source} holds no images: {found(files)}. Expected a folder a class with image files in it (.jpg, .png, "
            "…), .tar or .tgz archives of such folders, or .parquet files with a column of images."
        )
    if len(kinds) > 1:
        some = [by_kind[kind][0].name for kind in kinds]
        raise InputError(
            f"{source} holds {' and '.join(kinds)} (such as {quote_all(some)}); one of them was expected. Give the "
            "folder that holds only what is to be read."
        )
    data = by_kind[kinds[0]]
    if kinds[0] == "Parquet files":
        refuse_mixed(source, {file.name: given_split(file.name) for file in data})
    elif kinds[0] == "image files":
        sorted_in = {file.name: _sort_in(file.name) for file in data}
        refuse_mixed(source, {name: split for name, (split, label) in sorted_in.items() if label})
    return data


def read_images(files: Sequence[storage.File], columns: Sequence[str], splits: dict[str, str]) -> Iterator[Row]:
    """Reads the images of all files in turn; those of a tree have the columns `image` (bytes) and `label`.

    Args:
        files: From `image_files`: all of one kind.
        columns: The columns that are needed.
        splits: For a given split's name, which split it is to be (the same, where not told).

    Raises:
        InputError: A file is damaged, holds no images, or lacks a column; or archives mix given splits with none.
    """
    kind = _kind_of(files[0].name)
    if kind == "Parquet files":
        yield from read_rows(files, columns, splits)
        return
    check_columns("A tree of image files", _COLUMNS, columns)
    for file, place, (given, label), data in _read_tars(files) if kind == "tar archives" else _read_tree(files):
        split = splits.get(given, given) if given else None
        fault = f"file larger than {_MOST:,} bytes" if data is None else None
        yield Row(storage.printable(place), storage.printable(file), split, {"image": data, "label": label}, fault)


_Read = Iterator[tuple[str, str, tuple[str | None, str | None], bytes | None]]
"""File, place, (split, label) and content of images, one after the other; no content where a file is too large."""


def _read_tree(files: Sequence[storage.File]) -> _Read:
    contents = storage.read_all([file for file in files if file.size <= _MOST])
    for file in files:
        yield file.name, file.name, _sort_in(file.name), next(contents) if file.size <= _MOST else None


def _read_tars(files: Sequence[storage.File]) -> _Read:
    first: dict[bool, tuple[str, str | None]] = {}  # an image in a given split, and one in none
    for file in files:
        for path, data in _read_tar(file):
            place = f"{file.name}:{path}"
            split, label = _sort_in(path)
            split = given_split(file.name) or split
            if label:
                first.setdefault(bool(split), (place, split))
                refuse_mixed(file.name, dict(first.values()))
            yield file.name, place, (split, label), data


def _read_tar(file: storage.File) -> Iterator[tuple[str, bytes | None]]:
    """Yields path and content of the images in an archive, as it streams by; links and the like are left out."""
    count = 0
    try:
        with storage.open_stream(file) as stream:
            plain = gzip.GzipFile(fileobj=stream) if stream.peek(2)[:2] == b"\x1f\x8b" else stream
            with tarfile.open(fileobj=plain, mode="r|", tarinfo=_Member) as archive:
                while (member := archive.next()) is not None:
                    archive.members.clear()  # type: ignore[attr-defined]  # it would remember them all
                    content = archive.extractfile(member) if _is_image(member) else None
                    if content is not None:
                        count += 1
                        yield _path_of(member), content.read() if member.size <= _MOST else None
    except (tarfile.TarError, gzip.BadGzipFile, zlib.error, EOFError) as error:
        raise InputError(
            f"{file.name} is a damaged or truncated archive (it broke off after {count} images: {error}). "
            "Copy it again."
        ) from error
    if not count:
        raise InputError(
            f"{file.name} holds no images. Expected a folder a class with image files in it (.jpg, .png, …)."
        )


class _Member(tarfile.TarInfo):
    """A member with a whole header: tarfile itself takes a damaged one for the end of the archive."""

    @classmethod
    def fromtarfile(cls, archive: tarfile.TarFile) -> Self:
        try:
            return super().fromtarfile(archive)
        except tarfile.HeaderError as error:
            if isinstance(error, tarfile.EOFHeaderError):  # type: ignore[attr-defined]  # zeros: the archive's end
                raise
            raise tarfile.ReadError(str(error)) from error


def _is_image(member: tarfile.TarInfo) -> bool:
    path = _path_of(member)
    safe = not path.startswith("/") and not storage.is_hidden(path)  # ".." is hidden, too
    return member.isfile() and safe and _kind_of(path) == "image files"


def _path_of(member: tarfile.TarInfo) -> str:
    return PurePosixPath(member.name).as_posix()  # without "./"


def _kind_of(name: str) -> str | None:
    return next((kind for kind, suffixes in _SUFFIXES.items() if name.lower().endswith(suffixes)), None)


def _sort_in(path: str) -> tuple[str | None, str | None]:
    """Returns the split and the label that an image's path gives it ("train/cat/1.jpg"), None where it gives none."""
    folders = path.split("/")[:-1]
    split = given_split("/".join(folders[:-1]))
    if not split and folders and folders[-1] in SPLITS:
        return folders[-1], None
    return split, folders[-1] if folders else None
