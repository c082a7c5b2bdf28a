"""What was written is on the disk before its name is: a power cut leaves the old content or the new one, never half."""

import os
from collections.abc import Iterable
from pathlib import Path


def sync(paths: Iterable[Path]) -> None:
    """Waits until the content of files, or the names in folders, are on the disk."""
    for path in paths:
        number = os.open(path, os.O_RDONLY)
        try:
            os.fsync(number)
        finally:
            os.close(number)


def publish(written: Path, target: Path) -> None:
    """Gives a whole file its name, in place of what had it before."""
    sync([written])
    written.replace(target)
    sync([target.parent])
