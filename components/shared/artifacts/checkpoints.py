"""What a run that was killed goes on from: checkpoints in a folder, or below a prefix in S3; without pickle.

A checkpoint is a manifest (JSON, written last) that tells of files (safetensors) by size and sha256, and holds a digest
of itself. Files have names of their own, so nothing that a checkpoint tells of is ever written over; what has not
changed since the one before is not written again. Two checkpoints are kept: where the newest is damaged, the one before
is taken. A store that refuses, or does not answer, is never taken for one that holds nothing.
"""

import contextlib
import dataclasses
import hashlib
import json
import os
import re
import shutil
import uuid
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from components.shared.artifacts.artifact import sha256
from components.shared.artifacts.durable import publish
from components.shared.errors import InputError, ServiceError
from components.shared.process import locks
from components.shared.storage import objects, s3, storage

CHECKPOINTS = "GRAFT_CHECKPOINTS"
"""The variable that names where checkpoints go, a folder or `s3://bucket/prefix`, if no setting does."""
LOCK, RUN = "lock", "run.json"
"""In the folder of a training's checkpoints: held while it is at work; which run it belongs to."""
SCHEMA_VERSION = 1
KEPT = 2
_MANIFEST = re.compile(r"(\d{8})-[0-9a-f]{8}\.json")
_DIGITS = 8
_DIGEST = 32  # characters of a digest in a name
SEPARATOR = "-by-"
"""In a folder's name: before it what is trained, behind it who trains."""


class DamagedError(Exception):
    """A checkpoint is not what was written."""


@dataclass(frozen=True)
class File:
    """A file of a checkpoint, under its own name in the store."""

    name: str
    size: int
    sha256: str


@dataclass(frozen=True)
class Checkpoint:
    """A checkpoint.

    Attributes:
        number: The newest has the highest.
        name: Of its manifest.
        told: What it holds, JSON values.
        files: By what they are for.
    """

    number: int
    name: str
    told: Mapping[str, Any]
    files: Mapping[str, File]


class Checkpoints:
    """The checkpoints of one training, known by the key of what is trained and of who trains it."""

    def __init__(self, place: str, scratch: Path, producer: Mapping[str, str] | None = None) -> None:
        """Prepares them.

        Args:
            place: A folder, or a prefix in S3; of this training alone.
            scratch: A folder on this machine.
            producer: The code and the packages that train, which each checkpoint tells of.
        """
        self.place, self.scratch, self.producer = place.rstrip("/"), scratch, dict(producer or {})
        self._next, self._known, self._damaged = 1, list[Checkpoint](), list[str]()

    @property
    def is_local(self) -> bool:
        """Whether they are in a folder."""
        return not storage.is_s3(self.place)

    @contextlib.contextmanager
    def held(self, run: str = "") -> Iterator[None]:
        """Holds a folder for the length of a block, so that nothing in it is cleared, and no other training uses it.

        Args:
            run: Whose training it is, for those who clear.

        Raises:
            InputError: There can be no such folder.
            HeldError: Another process holds it.
            ServiceError: The disk is full.
        """
        if not self.is_local:
            yield
            return
        folder = Path(self.place)
        try:
            folder.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise InputError(
                f"Checkpoints cannot be written to {folder.parent}: {error.strerror}. Name a folder, or s3://…, that "
                "can be written to: checkpoint.uri."
            ) from error
        with locks.held(folder / LOCK, doing="training the same"):
            try:
                storage.write_whole(str(folder / RUN), json.dumps({"run": run}).encode())
            except OSError as error:
                raise self.not_written(error) from error
            yield

    def newest(self, folder: Path) -> Checkpoint | None:
        """Brings the newest whole checkpoint into a folder; None where there is none.

        Raises:
            InputError: It may not be read: wrong or expired credentials.
            ServiceError: The store did not answer.
        """
        there = self._listed()
        found = sorted((name for name in there if _MANIFEST.fullmatch(name)), reverse=True)
        self._next = 1 + max((int(name[:_DIGITS]) for name in found), default=0)
        newest: Checkpoint | None = None
        for name in found:
            try:
                checkpoint = self._read(name)
                if newest is None:
                    self._bring(checkpoint, there, folder)
            except DamagedError as error:
                print(f"graft: note: the checkpoint {self.place}/{name} is damaged ({error}): not used", flush=True)
                self._damaged.append(name)
                continue
            newest = newest or checkpoint
            self._known.insert(0, checkpoint)  # the older ones, too: they go once there are newer ones
        if not found and (reason := self._left_by_others()):
            print(f"graft: note: {reason}", flush=True)
        return newest

    def target(self) -> Path:
        """Returns where a new file is to be written, under a name that no other has."""
        name = uuid.uuid4().hex
        folder = Path(self.place) if self.is_local else self.scratch
        folder.mkdir(parents=True, exist_ok=True)
        return folder / f".{name}.safetensors"

    def add(self, told: Mapping[str, Any], written: Mapping[str, Path], kept: Mapping[str, File]) -> Mapping[str, File]:
        """Writes a checkpoint; whoever looks finds it whole, or the one before. Older ones than that are removed.

        Args:
            told: JSON values.
            written: Files that are new, at places from `target`; they are gone from there afterwards.
            kept: Files of the checkpoint before.

        Returns:
            All its files.

        Raises:
            InputError: It may not be written there.
            ServiceError: The store did not answer, or the disk is full.
        """
        try:
            files = {part: self._send(path) for part, path in written.items()}
            number, everything = self._next, {**kept, **files}
            name = f"{number:0{_DIGITS}d}-{uuid.uuid4().hex[:8]}.json"
            body = {"schema_version": SCHEMA_VERSION, "number": number, "told": told}
            body["files"] = {part: dataclasses.asdict(file) for part, file in everything.items()}
            body["producer"] = self.producer
            manifest = json.dumps({**body, "digest": _digest(body)})
            storage.write_whole(f"{self.place}/{name}", manifest.encode())
        except OSError as error:
            raise self.not_written(error) from error
        finally:
            for path in written.values():
                path.unlink(missing_ok=True)
        self._next += 1
        self._known.append(Checkpoint(number, name, told, everything))
        self._prune()
        return everything

    def not_written(self, error: OSError) -> ServiceError:
        """Returns what a full disk, or another fault of it, comes to."""
        return ServiceError(
            f"The checkpoint could not be written to {self.place}: {error.strerror or error}. Those before it are "
            "whole: with room there (or checkpoint.uri elsewhere), the same run again goes on from them."
        )

    def remove(self) -> None:
        """Removes them all, as they are no longer needed; what cannot be removed is told, and no failure."""
        try:
            if self.is_local:
                shutil.rmtree(self.place)
            else:
                names = sorted(self._listed(), key=lambda name: not _MANIFEST.fullmatch(name))
                objects.delete([f"{self.place}/{name}" for name in names])
        except (OSError, InputError, ServiceError) as error:
            print(f"graft: note: the checkpoints at {self.place} could not be removed: {error}", flush=True)

    def _listed(self) -> dict[str, int]:
        """Returns the size of each file, by name."""
        if not self.is_local:
            return {file.name: file.size for file in storage.list_files(self.place)}
        try:
            return {path.name: path.stat().st_size for path in Path(self.place).iterdir()}
        except FileNotFoundError:
            return {}
        except OSError as error:
            raise InputError(
                f"The checkpoints at {self.place} cannot be read ({error.strerror}). Check its rights; without them "
                "training would begin anew."
            ) from error

    def _left_by_others(self) -> str:
        """Returns why checkpoints of the same work are not gone on from: other code would end elsewhere; "": no such.

        What cannot be read tells nothing: it is not needed.
        """
        beginning, is_two, _ = self.place.rpartition(SEPARATOR)
        if not is_two:
            return ""
        with contextlib.suppress(OSError, InputError, ServiceError, ValueError, AttributeError):
            there = sorted(uri for uri in _below(beginning + SEPARATOR) if _MANIFEST.fullmatch(uri.rpartition("/")[2]))
            if there:
                other = json.loads(storage.read_if_there(there[-1]) or b"{}").get("producer", {})
                names = sorted(
                    name for name in {**other, **self.producer} if other.get(name) != self.producer.get(name)
                )
                told = [f"{name} {_shown(other.get(name))}, here {_shown(self.producer.get(name))}" for name in names]
                return (
                    f"training begins anew: there is a checkpoint of the same work at {there[-1].rpartition('/')[0]}, "
                    f"but other code or packages wrote it ({'; '.join(told)}), and both together would learn what "
                    "neither does alone"
                )
        return ""

    def _read(self, name: str) -> Checkpoint:
        content = storage.read_if_there(f"{self.place}/{name}")
        try:
            body = json.loads(content or b"")
            told = body.pop("digest")
            if body["schema_version"] != SCHEMA_VERSION or told != _digest(body):
                raise DamagedError("its manifest is not what was written")
            files = {part: File(**file) for part, file in body["files"].items()}
            return Checkpoint(body["number"], name, body["told"], files)
        except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
            raise DamagedError("its manifest cannot be read") from error

    def _bring(self, checkpoint: Checkpoint, there: Mapping[str, int], folder: Path) -> None:
        for file in checkpoint.files.values():
            if there.get(file.name) != file.size:
                raise DamagedError(f"{file.name} is missing" if file.name not in there else f"{file.name} is cut off")
        for file in checkpoint.files.values():
            path = folder / file.name
            for _ in range(1 if self.is_local else 2):  # what was damaged on its way is fetched once more
                path.unlink(missing_ok=True)
                storage.bring_all([(f"{self.place}/{file.name}", path)], verified=True)
                if sha256(path) == file.sha256:
                    break
            else:
                raise DamagedError(f"{file.name} holds other bytes than were written")

    def _send(self, path: Path) -> File:
        file = File(path.name.removeprefix("."), path.stat().st_size, sha256(path))
        if self.is_local:
            publish(path, Path(self.place) / file.name)
        else:
            storage.send_all([(path, f"{self.place}/{file.name}")])
        return file

    def _prune(self) -> None:
        """Removes what this training has written, or found, but for the two newest; manifests before their files."""
        kept, old = self._known[-KEPT:], self._known[:-KEPT]
        needed = {file.name for checkpoint in kept for file in checkpoint.files.values()}
        names = [checkpoint.name for checkpoint in old] + self._damaged
        files = {file.name for checkpoint in old for file in checkpoint.files.values()} - needed
        with contextlib.suppress(OSError, InputError, ServiceError):  # what stays is removed in the end
            for name in [*names, *sorted(files)]:
                if self.is_local:
                    (Path(self.place) / name).unlink(missing_ok=True)
                else:
                    objects.delete([f"{self.place}/{name}"])
        self._known, self._damaged = kept, []


def place_of(uri: str, work: str, producer: str) -> str:
    """Returns where the checkpoints of a training are: below what a setting or else the environment names; or "".

    Args:
        uri: The setting.
        work: A digest of what is trained, on what, how.
        producer: A digest of the code and the packages that do it.
    """
    base = uri or os.environ.get(CHECKPOINTS, "")
    base = base.replace("minio://", "s3://", 1).partition("?")[0]  # as Kubeflow calls a bucket of its own store
    return f"{base.rstrip('/')}/{work[:_DIGEST]}{SEPARATOR}{producer[:_DIGEST]}" if base else ""


def _below(beginning: str) -> list[str]:
    """Returns the addresses of the files in all folders whose path begins so."""
    if storage.is_s3(beginning):
        bucket = s3.split(beginning)[0]
        return [f"s3://{bucket}/{item['Key']}" for item in objects.listed(beginning)]
    parent, name = Path(beginning).parent, Path(beginning).name
    return [str(file) for folder in parent.glob(f"{name}*") if folder.is_dir() for file in folder.iterdir()]


def _shown(value: str | None) -> str:
    return (value[:12] if re.fullmatch("[0-9a-f]{64}", value) else value) if value else "none"


def _digest(body: Mapping[str, Any]) -> str:
    return hashlib.sha256(json.dumps(body, sort_keys=True).encode()).hexdigest()
