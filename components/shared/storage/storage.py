"""Local paths and `s3://` behind the same few verbs: list, read many, read one as a stream, copy a file or a folder.

Credentials and endpoint come from the environment (`AWS_*`, `AWS_ENDPOINT_URL_S3`), as boto3 reads them.
"""

import contextlib
import fnmatch
import io
import os
import shutil
import tempfile
from collections.abc import Generator, Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import IO, TYPE_CHECKING

from components.shared.artifacts.durable import publish
from components.shared.errors import InputError
from components.shared.storage import objects, s3
from components.shared.storage.prefetch import map_ahead

if TYPE_CHECKING:
    from _typeshed import WriteableBuffer

_SHOWN = ("_annotations.coco.json", "_classes.csv")  # labels, as Roboflow exports them
_BLOCK = 16 << 20  # bytes of a stream that are fetched at once


@dataclass(frozen=True, slots=True)
class File:
    """A file in a store.

    Attributes:
        uri: Its address.
        name: Its path below what was listed (`/` between parts).
        size: In bytes.
        stamp: While it is the same, so is the content: an object's ETag; of a local file when it was last written and
            changed. Empty: nobody knows.
    """

    uri: str
    name: str
    size: int
    stamp: str = ""


def is_s3(uri: str) -> bool:
    """Tells whether an address is an object or prefix in S3."""
    return uri.startswith("s3://")


def list_files(uri: str) -> list[File]:
    """Lists a file, or all files below a folder or prefix, sorted by name; hidden ones (`.x`, `_x`) are left out.

    Raises:
        InputError: There is no such path, bucket or object, or these credentials may not read it.
        ServiceError: The store did not answer.
    """
    files = _list_s3(uri) if is_s3(uri) else _list_local(uri)
    return sorted((file for file in files if not is_hidden(file.name)), key=lambda file: file.name)


def printable(name: str) -> str:
    """Returns a file's name with bytes that are no UTF-8 written out: it can be printed, and stored."""
    return name.encode("utf-8", "backslashreplace").decode()


def is_hidden(name: str) -> bool:
    """Tells whether a file, or a folder on its way, is hidden (`.x`, `_x`, Excel's locks `~$x`): no data."""
    return any(part.startswith((".", "_", "~$")) and part not in _SHOWN for part in name.split("/"))


def read_all(files: Sequence[File]) -> Iterator[bytes]:
    """Yields the content of each file, in order; the next ones are read ahead, so that many small ones go fast.

    Raises:
        InputError: A file is not there (any more), or may not be read.
        ServiceError: The store did not answer.
    """

    def read(file: File) -> bytes:
        if is_s3(file.uri):
            return objects.content(file.uri, file.stamp)
        with _readable(file.uri):
            return Path(file.uri).read_bytes()

    return map_ahead(read, files, s3.THREADS, lambda file: file.size)


@contextlib.contextmanager
def open_stream(file: File) -> Iterator[io.BufferedReader]:
    """Opens a file to be read once from beginning to end; one in S3 is fetched in blocks, ahead, and never stored.

    Raises:
        InputError: The file is not there (any more), or may not be read.
        ServiceError: The store did not answer.
    """
    if is_s3(file.uri):
        with contextlib.closing(_blocks(file)) as blocks:
            yield io.BufferedReader(_Stream(blocks), _BLOCK)
    else:
        with _readable(file.uri), Path(file.uri).open("rb") as stream:
            yield stream


@contextlib.contextmanager
def local_copy(uri: str) -> Iterator[Path]:
    """Gives a local path to a file: itself, or a download that is gone after the block."""
    if not is_s3(uri):
        yield Path(uri)
        return
    with tempfile.TemporaryDirectory(prefix="graft-") as folder:
        path = Path(folder) / (s3.split(uri)[1].rsplit("/", 1)[-1] or "object")
        objects.download([(uri, path)])
        yield path


def download_folder(uri: str, folder: Path, patterns: Sequence[str]) -> None:
    """Copies the objects below an S3 prefix whose names fit a pattern into a local folder, under the same names."""
    files = list_files(uri)
    if not files:
        raise InputError(f"{uri} holds no object. Give the prefix that holds the files.")
    wanted = [file for file in files if any(fnmatch.fnmatch(file.name, pattern) for pattern in patterns)]
    objects.download((file.uri, folder / file.name) for file in wanted)


def read_if_there(uri: str) -> bytes | None:
    """Returns the content of a small file; None where there is none.

    Raises:
        InputError: There is no such bucket, or it may not be read.
        ServiceError: The store did not answer.
    """
    if is_s3(uri):
        return next((objects.content(uri) for file in _list_s3(uri) if file.uri == uri), None)
    with _readable(uri):
        return Path(uri).read_bytes() if Path(uri).is_file() else None


def write_whole(uri: str, content: bytes) -> None:
    """Writes a small file: whoever reads it finds the old one or the new one, whole.

    Raises:
        InputError: There is no such bucket, or these credentials may not write there.
        ServiceError: The store did not answer.
        OSError: The disk took it not.
    """
    if is_s3(uri):
        objects.put(uri, content)
        return
    with _written(Path(uri)) as file:
        file.write(content)


def bring_all(wanted: Iterable[tuple[str, Path]], verified: bool = False) -> None:
    """Brings files here: from S3, many at a time; or as hard links (a copy where the disk is another): a second name.

    Args:
        wanted: Address and path of each.
        verified: Whether who asks compares them with digests that were kept elsewhere.

    Raises:
        InputError: There is no such file, or it may not be read.
        ServiceError: The store did not answer.
    """
    pairs = list(wanted)
    objects.download((pair for pair in pairs if is_s3(pair[0])), verified)
    for uri, path in pairs:
        if not is_s3(uri):
            path.parent.mkdir(parents=True, exist_ok=True)
            with _readable(uri):
                _link(uri, path)


def send_all(given: Sequence[tuple[Path, str]]) -> None:
    """Brings files elsewhere: each is there whole, or not at all. A manifest is sent after what it tells of.

    Args:
        given: Path and address of each.

    Raises:
        InputError: There is no such bucket, or these credentials may not write there.
        ServiceError: The store did not answer.
        OSError: The disk took it not.
    """
    objects.upload([(path, uri) for path, uri in given if is_s3(uri)])
    for path, uri in given:
        if not is_s3(uri):
            with _written(Path(uri)) as file, path.open("rb") as source:
                shutil.copyfileobj(source, file, _BLOCK)


@contextlib.contextmanager
def _written(path: Path) -> Iterator[IO[bytes]]:
    """Gives a file that has its name after the block, whole; where the disk takes it not, nothing of it is left."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.NamedTemporaryFile(dir=path.parent, prefix=".", delete=False) as file:
        scratch = Path(file.name)
        try:
            yield file
            file.flush()
            scratch.chmod(0o644)  # others may read it, as they may any file of a run
            publish(scratch, path)
        except BaseException:
            scratch.unlink(missing_ok=True)
            raise


def _link(uri: str, path: Path) -> None:
    try:
        os.link(uri, path)
    except FileNotFoundError:
        raise
    except OSError:
        shutil.copyfile(uri, path)


def _list_local(uri: str) -> Iterator[File]:
    path = Path(uri).expanduser()
    if path.is_file():
        yield _local_file(path, path.name)
    elif path.is_dir():
        for file in _walk(path):
            if file.is_file():
                yield _local_file(file, file.relative_to(path).as_posix())
    else:
        raise InputError(f"There is no file or folder {uri!r} (looked from {Path.cwd()}). Check the path.")


def _walk(folder: Path) -> Iterator[Path]:
    """Yields the files below a folder; links to folders are followed, as of classes, but in no circle."""
    for name, folders, files in os.walk(folder, followlinks=True):
        place = Path(name)
        if place != folder and place.is_symlink() and place.parent.resolve().is_relative_to(place.resolve()):
            folders.clear()
        else:
            yield from (place / file for file in files)


def _local_file(path: Path, name: str) -> File:
    """The time of the last change, which nobody can set, betrays a file whose other time was set back."""
    told = path.stat()
    return File(str(path), name, told.st_size, f"{told.st_mtime_ns}-{told.st_ctime_ns}")


def _list_s3(uri: str) -> Iterator[File]:
    bucket, key = s3.split(uri)
    prefix = key if not key or key.endswith("/") else key + "/"

    for item in objects.listed(uri):
        if item["Key"] == key:
            yield File(uri, key.rsplit("/", 1)[-1], item["Size"], item.get("ETag", ""))
        elif item["Key"].startswith(prefix) and not item["Key"].endswith("/"):
            name = item["Key"][len(prefix) :]
            yield File(f"s3://{bucket}/{item['Key']}", name, item["Size"], item.get("ETag", ""))


class _Stream(io.RawIOBase):
    """Blocks of bytes as one stream."""

    def __init__(self, blocks: Iterator[bytes]) -> None:
        self._blocks, self._block = blocks, memoryview(b"")

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: "WriteableBuffer") -> int:
        target = memoryview(buffer).cast("B")
        if not self._block:
            self._block = memoryview(next(self._blocks, b""))
        count = min(len(target), len(self._block))
        target[:count] = self._block[:count]
        self._block = self._block[count:]
        return count


def _blocks(file: File) -> Generator[bytes, None, None]:
    """Fetches an object in ranges, several at a time."""

    def fetch(start: int) -> bytes:
        end = min(start + _BLOCK, file.size)
        return objects.content(file.uri, file.stamp, Range=f"bytes={start}-{end - 1}")

    return map_ahead(fetch, range(0, file.size, _BLOCK), s3.THREADS, lambda _: _BLOCK)


@contextlib.contextmanager
def _readable(path: str) -> Iterator[None]:
    try:
        yield
    except (FileNotFoundError, PermissionError) as error:
        raise InputError(f"{path} cannot be read ({error.strerror}). Check its rights.") from error
