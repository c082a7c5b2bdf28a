"""An artifact: a folder of few, large files with a manifest that is written last.

Files under `notes/` (rejects, timings) are verified like all others, but are no part of the digest: the digest tells
the content, not how it came to be.

Whoever finds a `manifest.json` finds a whole artifact. While one is being written its folder holds
`manifest.json.partial` instead, so that what a killed step left behind is recognised, and cleared by the next try.
"""

import contextlib
import errno
import hashlib
import importlib.metadata
import json
import os
import shutil
import subprocess
from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath
from typing import Any

from components.shared.artifacts.durable import publish, sync
from components.shared.cores import cores
from components.shared.errors import GraftError, InputError, ServiceError
from components.shared.storage.prefetch import map_ahead

SCHEMA_VERSION = 1
MANIFEST = "manifest.json"
PARTIAL = "manifest.json.partial"
NOTES = "notes/"
_DISK_FULL = {errno.ENOSPC, errno.EDQUOT, errno.EFBIG}


@dataclass(frozen=True)
class Artifact:
    """An artifact that was opened and verified.

    Attributes:
        path: The folder.
        kind: What it is: "snapshot", "features", "model", "evaluation", "version", "promotion" or "changes".
        digest: Identifies the content: sha256 over the kind and the names and sha256 of all files but notes.
        files: The names of its files, manifest excepted.
        inputs: Digest of each artifact that it was made from, by kind.
        settings: The settings of the step that made it.
        producer: Who made it (graft's version, git commit, MLflow run). Not part of the digest.
    """

    path: Path
    kind: str
    digest: str
    files: tuple[str, ...]
    inputs: Mapping[str, str]
    settings: Mapping[str, Any]
    producer: Mapping[str, Any]

    def file(self, name: str) -> Path:
        """Returns the path of one of its files."""
        return self.path / name

    def lineage(self) -> dict[str, str]:
        """Returns the digests of this artifact and of all it was made from, by kind."""
        return {**self.inputs, self.kind: self.digest}

    def read_json(self, name: str) -> Any:
        """Returns the content of one of its JSON files."""
        return json.loads(self.file(name).read_text("utf-8"))


@dataclass
class Draft:
    """An artifact that is being written: put files under `path`, and what was learned on the way into `producer`.

    Attributes:
        path: The folder.
        producer: See `Artifact`.
        digest: See `Artifact`; known once the block is left.
    """

    path: Path
    producer: dict[str, Any] = field(default_factory=dict)
    digest: str = ""

    def write_json(self, name: str, value: Any) -> None:
        """Writes a JSON file, with sorted keys so that equal values give equal bytes."""
        (self.path / name).parent.mkdir(parents=True, exist_ok=True)
        text = json.dumps(value, indent=1, sort_keys=True, ensure_ascii=False, allow_nan=False)
        (self.path / name).write_text(text + "\n", "utf-8")


@contextlib.contextmanager
def write_artifact(
    path: Path, kind: str, settings: Mapping[str, Any], inputs: Mapping[str, str] | None = None
) -> Iterator[Draft]:
    """Opens a draft at `path`; leaving the block without an error completes it, any error removes it.

    Args:
        path: The folder to write: absent, empty, or left over from a step that was killed.
        kind: What the artifact is.
        settings: The settings it is made with (JSON values).
        inputs: Digests of the artifacts that it is made from, by kind (`Artifact.lineage`).

    Raises:
        InputError: The folder holds something else.
        ServiceError: The disk is full.
    """
    claim(path)
    draft = Draft(path, {"graft": _version(), "git_commit": git_commit()})
    try:
        yield draft
        _complete(draft, kind, settings, inputs or {})
    except BaseException as error:
        shutil.rmtree(path, ignore_errors=True)
        if _is_disk_full(error):
            raise ServiceError(
                f"The disk is full: writing the {kind} to {path} failed ({error}). "
                "Nothing half-written was left. Free some space, or choose another disk (graft run --root DIR)."
            ) from error
        raise


def open_artifact(path: Path, kind: str, verify: bool = True) -> Artifact:
    """Opens an artifact and verifies every file of it, several at a time.

    Args:
        path: The folder.
        kind: What it is expected to be.
        verify: Not where that was done a moment ago.

    Raises:
        InputError: It is no artifact of that kind, or a file is missing, changed or of another size (named).
    """
    manifest = _read_manifest(path, kind)
    for fault in (verify_all(path, manifest["files"]) if verify else {}).values():
        raise fault
    told = (manifest[name] for name in ("inputs", "settings", "producer"))
    return Artifact(path, kind, manifest["digest"], tuple(manifest["files"]), *told)


def digest_of(path: Path, kind: str) -> str:
    """Returns the digest that an artifact's manifest tells; its files are not looked at.

    Raises:
        InputError: There is no artifact of that kind.
    """
    return str(_read_manifest(path, kind)["digest"])


def git_commit() -> str:
    """Returns the commit of graft's own code: from the image (`GRAFT_GIT_COMMIT`), else from git, else ""."""
    if commit := os.environ.get("GRAFT_GIT_COMMIT"):
        return commit
    command = ["git", "-C", str(Path(__file__).parent), "rev-parse", "HEAD"]
    try:
        return subprocess.run(command, capture_output=True, text=True, timeout=5, check=True).stdout.strip()
    except (OSError, subprocess.SubprocessError):
        return ""


def sha256(path: Path) -> str:
    """Returns the sha256 of a file, in hex."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _is_disk_full(error: BaseException) -> bool:
    """Tells by the operating system's words, too: tokenizers and safetensors raise errors without a number."""
    if isinstance(error, OSError) and error.errno in _DISK_FULL:
        return True
    is_told = isinstance(error, GraftError)  # in words of our own, which say more
    return isinstance(error, Exception) and not is_told and any(os.strerror(n) in str(error) for n in _DISK_FULL)


def claim(path: Path) -> None:
    """Makes a folder for an artifact, marked as not complete.

    Raises:
        InputError: It holds something else already.
    """
    if path.is_file() or (path.is_dir() and any(path.iterdir()) and not (path / PARTIAL).exists()):
        raise InputError(f"{path} exists and holds something already. Name a new folder, or delete that one.")
    if path.exists():
        shutil.rmtree(path)
    path.mkdir(parents=True)
    (path / PARTIAL).touch()


def _complete(draft: Draft, kind: str, settings: Mapping[str, Any], inputs: Mapping[str, str]) -> None:
    paths = sorted(p for p in draft.path.rglob("*") if p.is_file() and p.name != PARTIAL)
    with ThreadPoolExecutor(cores()) as pool:
        digests = pool.map(sha256, paths)
        entries = zip(paths, digests, strict=True)
        files = {p.relative_to(draft.path).as_posix(): {"sha256": d, "size": p.stat().st_size} for p, d in entries}
    draft.digest = content_digest(kind, files)
    manifest = {
        "schema_version": SCHEMA_VERSION,
        "kind": kind,
        "digest": draft.digest,
        "files": files,
        "inputs": dict(inputs),
        "settings": settings,
        "producer": draft.producer,
    }
    draft.write_json(PARTIAL, manifest)
    sync([*paths, *{path.parent for path in paths}])
    publish(draft.path / PARTIAL, draft.path / MANIFEST)


def content_digest(kind: str, files: Mapping[str, Mapping[str, Any]]) -> str:
    """Returns the digest of an artifact with these files (`Artifact.digest`)."""
    told = {name: entry["sha256"] for name, entry in files.items() if not name.startswith(NOTES)}
    return hashlib.sha256(json.dumps([kind, told], sort_keys=True).encode()).hexdigest()


def _read_manifest(path: Path, kind: str) -> dict[str, Any]:
    file = path / MANIFEST
    if not file.exists():
        state = "was never completed" if (path / PARTIAL).exists() else f"has no {MANIFEST}"
        raise InputError(f"A {kind} was expected at {path}, but that folder {state}. Run the step that makes it again.")
    return parse_manifest(file, kind)


def parse_manifest(file: Path, kind: str) -> dict[str, Any]:
    """Reads a manifest; nothing in it is trusted: it may come from elsewhere.

    Raises:
        InputError: It is none, of another kind or schema, its digest is not that of what it lists, or a name in it
            leads out of the artifact's folder.
    """
    manifest = _read_json(file)
    if manifest.get("schema_version") != SCHEMA_VERSION:
        raise InputError(
            f"{file} has schema version {manifest.get('schema_version')}; this graft reads {SCHEMA_VERSION}. "
            "Make the artifact again with this version."
        )
    if manifest.get("kind") != kind:
        raise InputError(f"{file.parent} holds a {manifest.get('kind')}; a {kind} was expected here.")
    try:
        _check_names(kind, manifest["files"])
        told, found = str(manifest["digest"]), content_digest(kind, manifest["files"])
    except (KeyError, TypeError, AttributeError) as error:
        raise _damaged(file, f"what it says of its files cannot be read ({error!r})") from error
    if told != found:
        raise _damaged(file, f"its digest is {told[:12]}, and that of the files it lists {found[:12]}")
    return manifest


def _read_json(file: Path) -> dict[str, Any]:
    try:
        manifest = json.loads(file.read_text("utf-8"))
    except (ValueError, RecursionError) as error:
        raise _damaged(file, "it is no JSON") from error
    if not isinstance(manifest, dict):
        raise _damaged(file, "it is no JSON object")
    return manifest


def _damaged(file: Path, reason: str) -> InputError:
    return InputError(f"{file} is damaged: {reason}. Run the step that makes it again.")


def _check_names(kind: str, files: Mapping[str, Any]) -> None:
    for name in files:
        if PurePosixPath(name).is_absolute() or ".." in PurePosixPath(name).parts or "\0" in name:
            raise InputError(f"A file of the {kind} is called {name!r}, which leads out of its folder.")


def verify_all(path: Path, files: Mapping[str, Mapping[str, Any]]) -> dict[str, InputError]:
    """Returns which files in an artifact's folder are not those that its manifest lists, in their order, and why."""
    faults = map_ahead(lambda item: _fault(path, *item), files.items(), cores(), lambda _: 0)
    return {name: fault for name, fault in zip(files, faults, strict=True) if fault}


def _fault(path: Path, name: str, entry: Mapping[str, Any]) -> InputError | None:
    file = path / name
    if not file.is_file():
        return InputError(f"{file} is missing; {path / MANIFEST} lists it. Run the step that makes it again.")
    size = file.stat().st_size
    if size == entry["size"] and sha256(file) == entry["sha256"]:
        return None
    return InputError(
        f"{file} is not the file that was written ({size} bytes found, {entry['size']} bytes written, or other "
        "content). Run the step that makes it again."
    )


def _version() -> str:
    try:
        return importlib.metadata.version("graft")
    except importlib.metadata.PackageNotFoundError:
        return "0"
