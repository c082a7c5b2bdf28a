"""Who makes an artifact, as exactly as can be told: code, packages, image. Another one may make another thing."""

import functools
import hashlib
import importlib.metadata
import os
import platform
import re
from pathlib import Path

IMAGE = "GRAFT_IMAGE"
"""The variable that tells a step its image, by digest: the deployment and the docker runner set it."""

_COMPONENTS = Path(__file__).parents[1]
_NAME = re.compile(r"[\w.-]+")


def producer_of(step: str) -> dict[str, str]:
    """Returns what identifies the code of a step and the packages that it runs on, and the image where it knows one.

    Args:
        step: Its folder in `components`.
    """
    return {
        "image": os.environ.get(IMAGE, ""),
        "code": _code(step),
        "python": platform.python_version(),
        **{f"package {name}": version for name, version in _packages().items()},
    }


@functools.cache
def _code(step: str) -> str:
    """Returns the sha256 of the step's files and of those that steps share: a change that is not committed counts."""
    told = hashlib.sha256()
    for folder in (_COMPONENTS / "shared", _COMPONENTS / step):
        for path in sorted(path for path in folder.rglob("*") if path.is_file() and "__pycache__" not in path.parts):
            told.update(f"{path.relative_to(_COMPONENTS).as_posix()}\n".encode())
            told.update(hashlib.sha256(path.read_bytes()).digest())
    return told.hexdigest()


@functools.cache
def _packages() -> dict[str, str]:
    """Returns the versions of the packages that graft requires, as far as they are installed."""
    try:
        required = importlib.metadata.requires("graft") or []
    except importlib.metadata.PackageNotFoundError:
        return {}
    found = {}
    for line in required:
        name = _NAME.match(line)
        if name and 'extra == "dev"' not in line:
            try:
                found[name[0]] = importlib.metadata.version(name[0])
            except importlib.metadata.PackageNotFoundError:
                continue
    return dict(sorted(found.items()))
