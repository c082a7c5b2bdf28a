"""Readers: one a format, each a file here that registers itself and is found by what a file holds before its name."""

import importlib
import pkgutil
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO, Protocol

from components.shared.sources.columns import Batch

HEAD = 256 << 10
"""Bytes of a file that are looked at before it is read."""


@dataclass(frozen=True)
class Dialect:
    """How files are to be read where what they hold is not to decide.

    Attributes:
        encoding: Of text, such as "cp1252".
        delimiter: Between fields, such as ";".
        sheet: Name of the sheet of a workbook.
        class_level: Which folder of texts is their class, as in `Layout`; 0: to be found out.
    """

    encoding: str = ""
    delimiter: str = ""
    sheet: str = ""
    class_level: int = 0


class Content(Protocol):
    """A file that lies here, or in an archive: unpacked as it is read."""

    @property
    def name(self) -> str:
        """What people know it by."""

    @property
    def head(self) -> bytes:
        """Its first `HEAD` bytes."""

    def open(self) -> AbstractContextManager[BinaryIO]:
        """Opens it at its beginning, any number of times."""

    def path(self) -> AbstractContextManager[Path]:
        """Gives it as a file on the disk, for formats that are not read from beginning to end."""


class Reader(Protocol):
    """A format."""

    @property
    def name(self) -> str:
        """For people: "CSV"."""

    @property
    def suffixes(self) -> Sequence[str]:
        """Of files that hold it, lower case."""

    def matches(self, head: bytes) -> bool:
        """Tells whether a file that begins so holds it, whatever its name."""

    def read(
        self, content: Content, columns: Sequence[str], dialect: Dialect, tell: Callable[[str], None]
    ) -> Iterator[Batch]:
        """Reads a file in bounded memory.

        Args:
            content: The file.
            columns: Those that are needed; empty: all.
            dialect: What is not to be found out.
            tell: Takes a sentence on what was found out.

        Raises:
            InputError: It is damaged, or lacks a column.
        """


_READERS: dict[str, Reader] = {}


def register(reader: Reader) -> Reader:
    """Adds a reader to the registry; called by the reader's own file."""
    _READERS[reader.name] = reader
    return reader


def readers() -> list[Reader]:
    """Returns all readers: those of formats with a beginning of their own first, text as such last."""
    for module in sorted(module.name for module in pkgutil.iter_modules(__path__)):
        importlib.import_module(f"{__name__}.{module}")
    return sorted(_READERS.values(), key=lambda reader: (reader.matches(b"a text, and more\n"), reader.name))


def suffixes() -> set[str]:
    """Returns the endings of names that data files have."""
    return {suffix for reader in readers() for suffix in reader.suffixes}


def reader_of(head: bytes) -> Reader | None:
    """Returns the reader of a file that begins so; None for no format that is known."""
    return next((reader for reader in readers() if reader.matches(head)), None)
