"""What a backbone's name leads to today: the same name may lead to other weights tomorrow."""

import fnmatch
import hashlib
import json
import tempfile
from pathlib import Path

from components.shared.artifacts.artifact import MANIFEST, digest_of, sha256
from components.shared.backbones import RANDOM, REGISTRY, fetch, wanted
from components.shared.storage import storage


def identity(backbone: str, weights: bool = True) -> str:
    """Returns what changes whenever the content that a backbone's name leads to does; its weights stay where they are.

    Of the registry the model's digest, of the hub the commit, of S3 names, sizes and ETags, of a folder the files'
    sha256.

    Args:
        backbone: As `backbones.fetch` takes it.
        weights: Whether its weights matter.

    Raises:
        InputError: There is no such backbone.
        ServiceError: The hub, the store or the registry did not answer.
    """
    name, weights = backbone.removeprefix(RANDOM), weights and not backbone.startswith(RANDOM)
    if name.startswith(REGISTRY):
        return _registered(name)
    if storage.is_s3(name):
        files = [file for file in storage.list_files(name) if _is_wanted(file.name, weights)]
        return _hash([(file.name, file.size, file.stamp) for file in files])
    with tempfile.TemporaryDirectory(prefix="graft-identity-") as scratch:
        folder = fetch(backbone, Path(scratch), weights=False).folder
        if folder.parent.name == "snapshots" and folder.parents[1].name.startswith("models--"):
            return f"commit {folder.name}"  # the hub's cache names a folder by its commit
        if (folder / MANIFEST).exists():
            return f"model {digest_of(folder, 'model')}"
        found = sorted(path for path in folder.rglob("*") if path.is_file())
        told = {path.relative_to(folder).as_posix(): path for path in found}
        return _hash([(name, sha256(path)) for name, path in told.items() if _is_wanted(name, weights)])


def _registered(name: str) -> str:
    """A number alone would not do: a model that was deleted and made anew counts from 1 again."""
    from components.shared.registry import registry

    model, _, number = registry.resolve(name).removeprefix(REGISTRY).rpartition("/")
    version = next(found for found in registry.show_model(model) if found.version == number)
    digest = version.tags.get("model_digest")
    return f"model {digest}" if digest else f"version of {version.created}, run {version.run_id}"


def _is_wanted(name: str, weights: bool) -> bool:
    return any(fnmatch.fnmatch(name, pattern) for pattern in wanted(weights))


def _hash(told: list[tuple[str | int, ...]]) -> str:
    return f"files {hashlib.sha256(json.dumps(told).encode()).hexdigest()}"
