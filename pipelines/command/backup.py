"""`graft backup` and `graft restore`: a root as one archive, with the digest of each file in it.

The archive is a plain tar that any tar reads. Its last member, `backup.json`, lists all files with size and sha256; a
file that has several names is in it once. MLflow's store is copied by SQLite itself, consistently, while it is used;
it goes first, so that all it tells of is in what follows.
"""

import argparse
import contextlib
import hashlib
import io
import json
import os
import re
import shutil
import sqlite3
import tarfile
import tempfile
from collections.abc import Iterator, Mapping
from pathlib import Path, PurePosixPath
from typing import IO, Any

from components.shared.artifacts.artifact import PARTIAL
from components.shared.errors import InputError, ServiceError
from components.shared.process.step import LOCK
from components.shared.registry import embedded, tracking
from pipelines.command.clean import readable
from pipelines.local.attempts import RUNS, attempts

LIST, DATABASE = "backup.json", "mlflow.db"
_SCHEMA_VERSION = 1
_BLOCK = 1 << 20  # bytes
_LEFT_OUT = re.compile(rf"{re.escape(DATABASE)}.*|{LOCK}|scratch-.*|.*\.partial")
_LONGEST_LIST = 1 << 30  # bytes of `backup.json`


def backup(arguments: argparse.Namespace) -> None:
    """Writes a root into an archive.

    Raises:
        InputError: There is no root, or the file is there already, or within the root.
        ServiceError: The disk is full, or a file changed while it was read.
    """
    root, file = arguments.root.absolute(), arguments.file.absolute()
    if not root.is_dir():
        raise InputError(f"There is no root {str(arguments.root)!r} (looked from {Path.cwd()}). Name it: --root DIR.")
    if file.exists():
        raise InputError(f"{file} exists already. Name a new file.")
    if file.resolve().is_relative_to(root.resolve()):
        raise InputError(f"{file} lies within the root {root}. Name a file elsewhere, on another disk if you can.")
    database = root / DATABASE
    held = embedded.using(database) if database.exists() else contextlib.nullcontext()
    with held, _whole(file) as partial, _private(partial) as stream:
        count, size = _write(root, stream)
        stream.flush()
        os.fsync(stream.fileno())
    print(f"wrote {arguments.file}: {count} files, {readable(size)}")


def _private(path: Path) -> IO[bytes]:
    """Makes a file that others may not read: the data are in it."""
    return os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb")


def _write(root: Path, stream: IO[bytes]) -> tuple[int, int]:
    listed: dict[str, dict[str, Any]] = {}
    with tarfile.open(fileobj=stream, mode="w|", format=tarfile.PAX_FORMAT) as archive:
        if (root / DATABASE).exists():
            with tempfile.TemporaryDirectory(prefix="graft-backup-", dir=root) as scratch:
                copied = _copy_database(root / DATABASE, Path(scratch) / DATABASE)
                listed[DATABASE] = _add(archive, copied, DATABASE)
        first: dict[tuple[int, int], str] = {}
        for path in _files(root):
            name, told = path.relative_to(root).as_posix(), path.stat()
            same = first.setdefault((told.st_dev, told.st_ino), name)
            listed[name] = _add(archive, path, name) if same == name else {**listed[same], "same_as": same}
        content = json.dumps({"schema_version": _SCHEMA_VERSION, "files": listed}, indent=1).encode()
        _add_member(archive, LIST, len(content), io.BytesIO(content))
    return len(listed), stream.tell()


def _copy_database(database: Path, target: Path) -> Path:
    try:
        with (
            contextlib.closing(embedded.open_store(database)) as source,
            contextlib.closing(sqlite3.connect(target)) as copy,
        ):
            source.backup(copy)
    except sqlite3.Error as error:
        raise embedded.explain(database, error) from error
    return target


def _files(root: Path) -> Iterator[Path]:
    """Yields the files of a root in order: no locks, nothing half-written, no run that is at work, no links."""
    live = {attempt.folder.name for attempt in attempts(root) if attempt.is_live}
    for name in sorted(live):
        print(f"{name} is left out: it is at work")
    for place, folders, files in os.walk(root):
        folder = Path(place)
        left_out = live if folder == root / RUNS else set()
        folders[:] = sorted(
            each
            for each in folders
            if not _LEFT_OUT.fullmatch(each)
            and each not in left_out
            and not each.startswith("graft-backup-")
            and not ((folder / each / PARTIAL).exists() or (folder / each).is_symlink())
        )
        for each in sorted(files):
            if not _LEFT_OUT.fullmatch(each) and (folder / each).is_file() and not (folder / each).is_symlink():
                yield folder / each


def _add(archive: tarfile.TarFile, path: Path, name: str) -> dict[str, Any]:
    with path.open("rb") as file:
        size = os.fstat(file.fileno()).st_size
        reader = _Hashed(file)
        try:
            _add_member(archive, name, size, reader, os.fstat(file.fileno()).st_mode & 0o777)
        except OSError as error:
            if "unexpected end of data" not in str(error):
                raise
            raise ServiceError(f"{path} changed while it was read. Try again once nobody writes to it.") from error
    return {"size": size, "sha256": reader.digest.hexdigest()}


def _add_member(archive: tarfile.TarFile, name: str, size: int, content: Any, mode: int = 0o644) -> None:
    member = tarfile.TarInfo(name)
    member.size, member.mode = size, mode
    archive.addfile(member, content)


class _Hashed:
    """A file whose bytes are hashed as they are read."""

    def __init__(self, file: IO[bytes]) -> None:
        self._file, self.digest = file, hashlib.sha256()

    def read(self, size: int) -> bytes:
        content = self._file.read(size)
        self.digest.update(content)
        return content


@contextlib.contextmanager
def _whole(file: Path) -> Iterator[Path]:
    """Gives a path beside a file or folder, which is put in its place if the block comes to its end."""
    partial = file.with_name(f"{file.name}.partial")
    _remove(partial)
    try:
        partial.parent.mkdir(parents=True, exist_ok=True)
        yield partial
        partial.replace(file)
    except BaseException as error:
        _remove(partial)
        if isinstance(error, OSError):
            raise ServiceError(f"{file} cannot be written: {error}. Nothing half-written was left.") from error
        raise


def _remove(path: Path) -> None:
    shutil.rmtree(path) if path.is_dir() else path.unlink(missing_ok=True)


def restore(arguments: argparse.Namespace) -> None:
    """Writes an archive into a root that is not there, or empty: all of it, or nothing.

    Raises:
        InputError: The archive is none, damaged, or leads out of the root; or there is something in the root.
        ServiceError: The disk is full.
    """
    root = arguments.root.absolute()
    if root.exists() and (not root.is_dir() or any(root.iterdir())):
        raise InputError(f"{arguments.root} holds something already. Name a new folder: --root DIR.")
    if not arguments.file.is_file():
        raise InputError(f"There is no file {str(arguments.file)!r} (looked from {Path.cwd()}).")
    try:
        listed = _listed(arguments.file)
        with _whole(root) as partial:
            partial.mkdir()
            _extract(arguments.file, partial, listed)
            if root.exists():
                root.rmdir()
    except (tarfile.TarError, EOFError) as error:
        raise InputError(f"{arguments.file} is no backup that graft wrote, or damaged: {error}.") from error
    if (database := root / DATABASE).exists():
        os.environ["MLFLOW_TRACKING_URI"] = f"{embedded.SQLITE}{database}"
        tracking.make_ready()
    print(f"wrote {arguments.root}: {len(listed)} files")


def _listed(file: Path) -> Mapping[str, Mapping[str, Any]]:
    """Returns what an archive should hold, by name; each is checked before anything is written."""
    with tarfile.open(file, "r:") as archive:
        last = None
        for member in archive:
            last = member
        content = archive.extractfile(last) if last is not None and last.name == LIST and last.isreg() else None
        if content is None or last is None or last.size > _LONGEST_LIST:
            raise InputError(f"{file} is no backup that graft wrote, or not all of it: it does not end with {LIST}.")
        try:
            told = json.load(content)
            listed = {str(name): {**entry, "size": int(entry["size"])} for name, entry in told["files"].items()}
        except (ValueError, KeyError, TypeError, AttributeError) as error:
            raise InputError(f"{LIST} in {file} cannot be read: {error!r}.") from error
    if told.get("schema_version") != _SCHEMA_VERSION:
        raise InputError(f"{file} was written by another graft (schema version {told.get('schema_version')}).")
    for name in listed:
        _check(file, name)
    return listed


def _check(file: Path, name: str) -> None:
    parts = PurePosixPath(name).parts
    if not parts or name.startswith("/") or ".." in parts or "\0" in name or name != str(PurePosixPath(name)):
        raise InputError(f"{file} names {name!r}, which leads out of the root: nothing was written.")


def _extract(file: Path, root: Path, listed: Mapping[str, Mapping[str, Any]]) -> None:
    found = set()
    with tarfile.open(file, "r:") as archive:
        for member in archive:
            if member.name == LIST:
                continue
            entry = listed.get(member.name)
            if entry is None or not member.isreg() or "same_as" in entry or member.name in found:
                raise InputError(f"{file} holds {member.name!r}, which is not listed, a link, or there twice.")
            content = archive.extractfile(member)
            assert content is not None
            _write_file(content, root / member.name, entry)
            (root / member.name).chmod(0o600 | member.mode & 0o777)
            found.add(member.name)
    for name, entry in listed.items():
        if (same := entry.get("same_as")) is not None:
            if same not in found:
                raise InputError(f"{file} holds no {same!r}, which is listed.")
            (root / name).parent.mkdir(parents=True, exist_ok=True)
            try:
                os.link(root / same, root / name)
            except OSError:
                shutil.copyfile(root / same, root / name)
        elif name not in found:
            raise InputError(f"{file} holds no {name!r}, which is listed.")


def _write_file(content: IO[bytes], target: Path, entry: Mapping[str, Any]) -> None:
    target.parent.mkdir(parents=True, exist_ok=True)
    digest, size = hashlib.sha256(), 0
    with target.open("xb") as written:
        while block := content.read(_BLOCK):
            digest.update(block)
            size += len(block)
            written.write(block)
    if (size, digest.hexdigest()) != (entry["size"], entry.get("sha256")):
        raise InputError(f"{target.name} in the backup is not what was written into it: the file is damaged.")
