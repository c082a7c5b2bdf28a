"""An artifact brought here from elsewhere: each file is verified as it comes; a damaged one is asked for again."""

import fnmatch
import shutil
import tempfile
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from components.shared.artifacts.artifact import (
    MANIFEST,
    PARTIAL,
    Artifact,
    claim,
    content_digest,
    open_artifact,
    parse_manifest,
    verify_all,
)
from components.shared.artifacts.durable import publish
from components.shared.errors import InputError

Bring = Callable[[Sequence[tuple[str, Path]]], None]
"""Brings files of an artifact, each by its name to a path."""

_ATTEMPTS = 3  # at a file that comes damaged: on its way, or out of a store that keeps several copies


def copy_artifact(bring: Bring, path: Path, kind: str, digest: str) -> Artifact:
    """Copies an artifact from elsewhere and verifies all of it, its digest too; whole, or not at all.

    Args:
        bring: Where it comes from.
        path: The folder to write: absent, empty, or left over from a step that was killed.
        kind: What it is expected to be.
        digest: Likewise.

    Raises:
        InputError: It is another one, or damaged; or the folder holds something else.
    """
    claim(path)
    try:
        (path / PARTIAL).unlink()
        _bring_whole(bring, path, _manifest(bring, path / PARTIAL, kind, digest))
        publish(path / PARTIAL, path / MANIFEST)
        return open_artifact(path, kind, verify=False)
    except BaseException:
        shutil.rmtree(path, ignore_errors=True)
        raise


def copy_files(bring: Bring, folder: Path, kind: str, digest: str, patterns: Sequence[str]) -> None:
    """Copies the files of an artifact whose names fit a pattern (`fnmatch`); each is the one that its manifest lists.

    Args:
        bring: Where it comes from.
        folder: Where to; it may hold other files.
        kind: What it is expected to be.
        digest: Likewise, as somebody tells it who keeps it elsewhere than the files.
        patterns: Of the names that are wanted; of the manifest's, too.

    Raises:
        InputError: It is another one, or damaged.
    """
    with tempfile.TemporaryDirectory(prefix="graft-manifest-") as scratch:
        manifest = Path(scratch) / MANIFEST
        files = _manifest(bring, manifest, kind, digest)
        chosen = {name: entry for name, entry in files.items() if any(fnmatch.fnmatch(name, told) for told in patterns)}
        _bring_whole(bring, folder, chosen)
        if any(fnmatch.fnmatch(MANIFEST, pattern) for pattern in patterns):
            shutil.copyfile(manifest, folder / MANIFEST)


def _manifest(bring: Bring, file: Path, kind: str, digest: str) -> Mapping[str, Any]:
    """Brings the manifest to a file; returns the artifact's files, by name."""
    found = ""
    for _ in range(_ATTEMPTS):
        file.unlink(missing_ok=True)
        bring([(MANIFEST, file)])
        files: Mapping[str, Any] = parse_manifest(file, kind)["files"]
        found = content_digest(kind, files)
        if found == digest:
            return files
    raise InputError(f"Another {kind} was found ({found[:12]}) than expected ({digest[:12]}).")


def _bring_whole(bring: Bring, folder: Path, files: Mapping[str, Any]) -> None:
    """Brings files; damaged ones are taken away, and asked for again."""
    pending = dict(files)
    for attempt in range(_ATTEMPTS):
        for name in pending:
            (folder / name).unlink(missing_ok=True)
        bring([(name, folder / name) for name in pending])
        faults = verify_all(folder, pending)
        if not faults:
            return
        pending = {name: pending[name] for name in faults}
        if attempt + 1 == _ATTEMPTS:
            for name in pending:
                (folder / name).unlink(missing_ok=True)
            raise next(iter(faults.values()))
