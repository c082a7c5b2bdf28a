"""Locks between the processes of a machine: a file that is locked while its process lives, however it ends."""

import contextlib
import errno
import fcntl
import os
import time
from collections.abc import Iterator
from pathlib import Path

from components.shared.errors import ServiceError

_PAUSE = 0.1  # seconds
_NONE = {errno.ENOLCK, errno.EOPNOTSUPP, errno.ENOSYS}
"""A file system that knows no locks (some network drives): there, nobody can be kept from anything."""


class HeldError(ServiceError):
    """Another process is at it."""


@contextlib.contextmanager
def held(path: Path, shared: bool = False, patience: float = 0.0, doing: str = "") -> Iterator[None]:
    """Holds a lock for the length of a block.

    Args:
        path: The file; it is made where it is not there, and stays.
        shared: Whether others may hold it at the same time, if they share it, too.
        patience: Seconds that it is waited for.
        doing: What its holder does, for the message.

    Raises:
        HeldError: Another process holds it still.
        OSError: The file cannot be made.
    """
    file = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o666)
    try:
        end = time.monotonic() + patience
        while not _taken(file, fcntl.LOCK_SH if shared else fcntl.LOCK_EX):
            if time.monotonic() >= end:
                raise HeldError(
                    f"Another process is {doing or 'at work'} ({path} is locked). Try again once it is done."
                )
            time.sleep(_PAUSE)
        yield
    finally:
        os.close(file)


def is_held(path: Path) -> bool:
    """Tells whether a process that lives holds a lock."""
    try:
        file = os.open(path, os.O_RDWR | os.O_CLOEXEC)
    except FileNotFoundError:
        return False
    try:
        return not _taken(file, fcntl.LOCK_EX)
    finally:
        os.close(file)


def _taken(file: int, kind: int) -> bool:
    try:
        fcntl.flock(file, kind | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    except OSError as error:
        if error.errno not in _NONE:
            raise
    return True
