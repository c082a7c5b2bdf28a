"""What lies in files: itself, unpacked (gzip, bzip2, xz, Zstandard), or the members of an archive (zip, tar).

What a file holds decides, not its name. Nothing is written under a name that an archive gives, members whose names lead
out of it are left out, and what unpacks to far more than any data does is refused.
"""

import bz2
import contextlib
import gzip
import io
import lzma
import shutil
import tarfile
import tempfile
import zipfile
import zlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path, PurePosixPath
from typing import Any, BinaryIO, Self, cast

import pyarrow as pa

from components.shared.errors import InputError
from components.shared.sources.readers import HEAD
from components.shared.sources.readers.excel import is_workbook
from components.shared.storage import storage

SUFFIXES = (".gz", ".bz2", ".xz", ".zst")
ARCHIVES = (".zip", ".tar", ".tgz", ".tbz2", ".txz", ".tar.gz", ".tar.bz2", ".tar.xz", ".tar.zst")

_STREAMED = tuple(suffix for suffix in ARCHIVES if suffix != ".zip")

_HEADER_MOST = 1 << 20  # bytes of a member's name in a tar archive
_DEEPEST = 3  # archives within archives
_UNPACKED_MOST = 4 << 30  # bytes that need no reason
_RATIO_MOST = 250  # what text does not reach

_DAMAGE = (EOFError, gzip.BadGzipFile, zlib.error, lzma.LZMAError, tarfile.TarError, zipfile.BadZipFile)


class _Zstandard(io.RawIOBase):
    """Zstandard, as Arrow unpacks it."""

    def __init__(self, stream: BinaryIO) -> None:
        self._source = pa.CompressedInputStream(pa.PythonFile(stream, mode="r"), "zstd")

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        try:
            data = self._source.read(len(buffer))
        except OSError as error:
            raise EOFError(str(error)) from error
        buffer[: len(data)] = data
        return len(data)


def _unpack_xz(stream: BinaryIO) -> BinaryIO:
    return cast(BinaryIO, lzma.LZMAFile(stream))  # whoever asks closes it


_UNPACKERS: dict[bytes, tuple[str, Callable[[BinaryIO], BinaryIO]]] = {
    b"\x1f\x8b": ("gzip", lambda stream: cast(BinaryIO, gzip.GzipFile(fileobj=stream))),
    b"BZh": ("bzip2", lambda stream: cast(BinaryIO, bz2.BZ2File(stream))),
    b"\xfd7zXZ\0": ("xz", _unpack_xz),
    b"\x28\xb5\x2f\xfd": ("Zstandard", lambda stream: cast(BinaryIO, io.BufferedReader(_Zstandard(stream), 1 << 20))),
}


class _Remote(io.RawIOBase):
    """A file in a store as a stream, fetched in blocks."""

    def __init__(self, file: storage.File) -> None:
        self._stack = contextlib.ExitStack()
        self._stream = self._stack.enter_context(storage.open_stream(file))

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        return self._stream.readinto(buffer)

    def close(self) -> None:
        self._stack.close()
        super().close()


@dataclass(frozen=True)
class Packed:
    """A file as it lies somewhere, to be opened any number of times: a `Content` of the readers.

    Attributes:
        name: What people know it by: the file's name, and a member's behind a colon.
        inner: Its path in the archive, or the file's name.
        opener: Opens it.
        size: How much room it takes, packed; what is read of it is measured by that.
        lies: The file on the disk that it is, if it is one.
        kind: How it is packed, for messages; "" for not at all.
        full: How much it says it unpacks to, in bytes; 0: it does not say.
    """

    name: str
    inner: str
    opener: Callable[[], BinaryIO]
    size: int
    lies: Path | None = None
    kind: str = ""
    full: int = 0

    @cached_property
    def head(self) -> bytes:
        """Its first bytes."""
        with self.open() as stream:
            return stream.read(HEAD)

    @contextlib.contextmanager
    def open(self) -> Iterator[BinaryIO]:
        """Opens it at its beginning.

        Raises:
            InputError: It is damaged, or unpacks to more than can be meant.
        """
        with self._explained(), contextlib.closing(self.opener()) as stream:
            yield cast(BinaryIO, io.BufferedReader(_Watched(stream, self)))

    @contextlib.contextmanager
    def path(self) -> Iterator[Path]:
        """Gives it as a file on the disk."""
        if self.lies:
            yield self.lies
            return
        with tempfile.NamedTemporaryFile(prefix="graft-") as file:
            with self.open() as stream:
                shutil.copyfileobj(stream, file, 1 << 20)
            file.flush()
            yield Path(file.name)

    @contextlib.contextmanager
    def _explained(self) -> Iterator[None]:
        try:
            yield
        except _DAMAGE as error:
            raise damaged(self.name, f"{self.kind} file".strip(), str(error)) from error
        except RuntimeError as error:  # of zipfile: a password
            raise InputError(f"{self.name} cannot be unpacked ({error}). Unpack it yourself.") from error
        except NotImplementedError as error:
            raise InputError(f"{self.name} is packed in a way that is not known ({error}). Unpack it.") from error


def damaged(name: str, what: str, reason: str, after: str = "") -> InputError:
    """Returns the error of a file that breaks off."""
    return InputError(
        f"{name} is a damaged or truncated {what} (it broke off{after}{': ' if reason else ''}{reason}). Copy it again."
    )


class _Watched(io.RawIOBase):
    """A stream that is counted: an archive of zeros is refused before it fills a disk."""

    def __init__(self, stream: BinaryIO, packed: Packed) -> None:
        self._stream, self._packed, self._read = stream, packed, 0

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        data = self._stream.read(len(buffer))
        buffer[: len(data)] = data
        self._read += len(data)
        if self._packed.kind and self._read > max(_UNPACKED_MOST, _RATIO_MOST * self._packed.size):
            raise InputError(
                f"{self._packed.name} unpacks to over {self._read >> 30:,} GiB, {_RATIO_MOST} times its size: no data "
                "does. Unpack it yourself if it is meant."
            )
        return len(data)


@contextlib.contextmanager
def opened(file: storage.File) -> Iterator[Packed]:
    """Gives a file of a store, unpacked (though not taken apart, where it is an archive).

    It comes to the disk, but for a tar archive, which is read as it streams by.
    """
    if storage.is_s3(file.uri) and file.name.lower().endswith(_STREAMED):
        yield unpacked(
            Packed(file.name, file.name, lambda: cast(BinaryIO, io.BufferedReader(_Remote(file))), file.size)
        )
        return
    with storage.local_copy(file.uri) as path:
        try:
            size = path.stat().st_size
            whole = Packed(file.name, file.name, lambda: path.open("rb"), size, path)
            yield unpacked(whole)
        except (FileNotFoundError, PermissionError) as error:
            raise InputError(f"{file.uri} cannot be read ({error.strerror}). Check its rights.") from error


def unpacked(packed: Packed) -> Packed:
    """Returns what is in a packed file, unpacked; as it is where it is not packed."""
    for mark, (kind, unpack) in _UNPACKERS.items():
        if packed.head.startswith(mark):
            inner = packed.inner.removesuffix(next((s for s in SUFFIXES if packed.inner.lower().endswith(s)), ""))
            inner += ".tar" if packed.inner.lower().endswith((".tgz", ".tbz2", ".txz")) else ""

            def opener() -> BinaryIO:
                return unpack(packed.opener())  # noqa: B023  # returned at once

            return Packed(packed.name, inner, opener, packed.size, kind=kind)
    return packed


def is_archive(packed: Packed) -> bool:
    """Tells whether it is a zip (but no workbook) or a tar archive."""
    return is_zip(packed) or packed.head[257:262] == b"ustar"


def is_zip(packed: Packed) -> bool:
    """Tells whether it is a zip archive; a workbook of Excel is none here."""
    head = packed.head
    return head.startswith((b"PK\3\4", b"PK\5\6")) and not is_workbook(head)


def members(archive: Packed, wanted: Callable[[str], bool], deep: int = 1) -> Iterator[Packed]:
    """Yields the members of an archive whose names are wanted, each unpacked, as long as it is the turn of each.

    Archives within are taken apart, too.
    """
    if deep > _DEEPEST:
        raise InputError(f"{archive.name} holds archives within archives, over {_DEEPEST} deep. Unpack them.")
    found = _zip_members if is_zip(archive) else _tar_members
    for member in found(archive, lambda name: wanted(name) or name.lower().endswith((*ARCHIVES, *SUFFIXES))):
        inside = unpacked(member)
        if is_archive(inside):
            yield from members(inside, wanted, deep + 1)
        elif wanted(inside.inner):
            yield inside


def names_in(archive: Packed) -> Iterator[str]:
    """Yields the names of an archive's files, those of archives within left out; of a zip nothing is unpacked."""
    if is_zip(archive):
        with archive._explained(), archive.path() as path, zipfile.ZipFile(path) as opened:
            yield from (name for name in map(_zip_name, opened.infolist()) if is_safe(name) and name[-1:] != "/")
    else:
        yield from (name for name, _, _ in tar_files(archive))


def _zip_name(info: zipfile.ZipInfo) -> str:
    """Some programs for Windows write backslashes."""
    return PurePosixPath(info.filename.replace("\\", "/")).as_posix() + ("/" if info.is_dir() else "")


def _zip_members(archive: Packed, wanted: Callable[[str], bool]) -> Iterator[Packed]:
    with archive._explained(), archive.path() as path, zipfile.ZipFile(path) as opened:
        for info in opened.infolist():
            name = _zip_name(info)
            if not info.is_dir() and is_safe(name) and wanted(name):
                yield Packed(
                    f"{archive.name}:{storage.printable(name)}",
                    name,
                    _zip_opener(opened, info),
                    info.compress_size,
                    kind="zip",
                    full=info.file_size,
                )


def _zip_opener(archive: zipfile.ZipFile, info: zipfile.ZipInfo) -> Callable[[], BinaryIO]:
    return lambda: cast(BinaryIO, archive.open(info))


def _tar_members(archive: Packed, wanted: Callable[[str], bool]) -> Iterator[Packed]:
    """A member of a tar archive, which is read once from beginning to end, lies on the disk while it is its turn."""
    for name, size, content in tar_files(archive):
        if wanted(name):
            with tempfile.NamedTemporaryFile(prefix="graft-") as file:
                shutil.copyfileobj(content, file, 1 << 20)
                file.flush()
                path = Path(file.name)
                yield Packed(f"{archive.name}:{storage.printable(name)}", name, _path_opener(path), size, path)


def _path_opener(path: Path) -> Callable[[], BinaryIO]:
    return lambda: path.open("rb")


def tar_files(archive: Packed) -> Iterator[tuple[str, int, BinaryIO]]:
    """Yields path, size and content of the files in a tar archive, as it streams by; links and the like are left out.

    Raises:
        InputError: It is damaged or cut off.
    """
    count = 0
    with archive.open() as stream:
        try:
            with tarfile.open(fileobj=stream, mode="r|", tarinfo=_Member) as tar:
                while (member := tar.next()) is not None:
                    tar.members.clear()  # type: ignore[attr-defined]  # it would remember them all
                    name = PurePosixPath(member.name).as_posix()  # without "./"
                    if member.isfile() and not member.issparse() and is_safe(name):
                        content = _TarContent(tar.extractfile(member), archive.name, count)
                        yield name, member.size, cast(BinaryIO, content)
                        count += 1
        except tarfile.TarError as error:
            raise damaged(archive.name, "archive", str(error), f" after {count} files") from error


class _TarContent(io.RawIOBase):
    """The content of a member; where the archive breaks off within it, that is told."""

    def __init__(self, content: Any, archive: str, before: int) -> None:
        self._content, self._archive, self._before = content, archive, before

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        try:
            data = self._content.read(len(buffer))
        except tarfile.TarError as error:
            raise damaged(self._archive, "archive", str(error), f" after {self._before} files") from error
        buffer[: len(data)] = data
        return len(data)


def is_safe(name: str) -> bool:
    """Tells whether a member's name stays within the archive and is not hidden."""
    return not name.startswith("/") and not storage.is_hidden(name)  # ".." is hidden, too


class _Member(tarfile.TarInfo):
    """A member with a whole header of bounded size: tarfile takes a damaged one for the archive's end."""

    @classmethod
    def fromtarfile(cls, archive: tarfile.TarFile) -> Self:
        try:
            return super().fromtarfile(archive)
        except tarfile.HeaderError as error:
            if isinstance(error, tarfile.EOFHeaderError):  # type: ignore[attr-defined]  # zeros: the archive's end
                raise
            raise tarfile.ReadError(str(error)) from error

    def _proc_gnulong(self, archive: tarfile.TarFile) -> Any:
        self._check_header()
        return super()._proc_gnulong(archive)  # type: ignore[misc]

    def _proc_pax(self, archive: tarfile.TarFile) -> Any:
        self._check_header()
        return super()._proc_pax(archive)  # type: ignore[misc]

    def _check_header(self) -> None:
        """A name is held in memory, however long its header says it is."""
        if self.size > _HEADER_MOST:
            raise tarfile.ReadError(f"a name of {self.size:,} bytes")
