"""Examples on disk, parted by the first bits of their identity: what is the same input is in the same bucket.

So duplicates, contradictions and leaks between splits are found in one bucket at a time, in bounded memory, and the
examples come out sorted by identity: the same content gives the same order, however it was spread over files.
"""

import hashlib
import itertools
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol, TypeVar

import pyarrow as pa

_TOLD = ("id", "split", "label", "place", "file", "group", "time")
_BUFFER = 8192  # rows, or
_BUFFER_BYTES = 32 << 20


@dataclass(frozen=True, slots=True)
class Example:
    """A checked example.

    Attributes:
        id: Its identity, a hash of the inputs.
        split: The split that it is given for, or "".
        label: Its label.
        place: Where in the source it stands, for people.
        file: Name of the file that it was read from.
        inputs: A text or the bytes of a file for each input column.
        slices: Its values of the columns that evaluation looks at apart; None where it has none.
        group: Whose it is, for those that are never parted; None where it is nobody's.
        time: When it was made, a number that grows, as text; None where that does not matter.
    """

    id: str
    split: str
    label: str
    place: str
    file: str
    inputs: tuple[str | bytes, ...]
    slices: tuple[str | None, ...] = ()
    group: str | None = None
    time: str | None = None

    @property
    def size(self) -> int:
        """How much room its inputs take, in characters or bytes."""
        return sum(map(len, self.inputs))


def identity(inputs: Sequence[str | bytes]) -> str:
    """Returns the identity of an example, 32 hex digits: blake2b over its inputs and nothing else."""
    digest = hashlib.blake2b(digest_size=16)
    for value in inputs:
        encoded = value.encode() if isinstance(value, str) else value
        digest.update(len(encoded).to_bytes(8, "little"))
        digest.update(encoded)
    return digest.hexdigest()


class Buckets:
    """Collects examples in 2^bits files and gives them back bucket by bucket, sorted by identity."""

    def __init__(self, folder: Path, input_types: Sequence[pa.DataType], slices: int, bits: int) -> None:
        told = [(name, pa.string()) for name in (*_TOLD, *(f"slice_{n}" for n in range(1, slices + 1)))]
        self._schema = pa.schema([*told, *((f"input_{n}", kind) for n, kind in enumerate(input_types, 1))])
        self._told = len(told)
        self._bits = bits
        self._paths = [folder / f"bucket-{number:03d}.arrow" for number in range(1 << bits)]
        self._writers = [pa.ipc.new_stream(str(path), self._schema) for path in self._paths]
        self._waiting: list[list[tuple[str | bytes | None, ...]]] = [[] for _ in self._paths]
        self._count = self._bytes = 0
        self._closed = False

    def add(self, example: Example) -> None:
        """Adds an example to its bucket."""
        number = int(example.id[:4], 16) >> (16 - self._bits)
        given = (example.id, example.split, example.label, example.place, example.file)
        told = (*given, example.group, example.time)
        self._waiting[number].append((*told, *example.slices, *example.inputs))
        self._count += 1
        self._bytes += example.size
        if self._count == _BUFFER or self._bytes >= _BUFFER_BYTES:
            self._flush()

    def groups(self) -> Iterator[list[Example]]:
        """Yields the examples of one input together, the inputs sorted by identity. Nothing can be added any more."""
        self._close()
        for path in self._paths:
            yield from self._read(path)
            path.unlink()

    def look(self) -> Iterator["Look"]:
        """Yields what a bucket holds without its inputs, bucket by bucket: `groups` can be asked for after that."""
        self._close()
        for path in self._paths:
            with pa.memory_map(str(path)) as file, pa.ipc.open_stream(file) as reader:
                yield self._look(reader.read_all())

    def _close(self) -> None:
        if not self._closed:
            self._flush()
            for writer in self._writers:
                writer.close()
        self._closed = True

    def _look(self, table: pa.Table) -> "Look":
        told = [table.column(number).to_pylist() for number in range(self._told)]
        groups, first = [], []
        for rows in _by_identity(told[0]):
            groups.append([_example([column[row] for column in told], ()) for row in rows])
            first.append(rows[0])
        return Look(groups, first, table.columns[self._told :])

    def _flush(self) -> None:
        self._count = self._bytes = 0
        for number, rows in enumerate(self._waiting):
            if rows:
                columns = zip(self._schema.types, zip(*rows, strict=True), strict=True)
                arrays = [pa.array(column, kind) for kind, column in columns]
                self._writers[number].write_batch(pa.record_batch(arrays, schema=self._schema))
                rows.clear()

    def _read(self, path: Path) -> Iterator[list[Example]]:
        """Yields the examples of a bucket, those of one identity together; their inputs are read then, and once."""
        with pa.memory_map(str(path)) as file, pa.ipc.open_stream(file) as reader:
            table = reader.read_all()
            told = [table.column(number).to_pylist() for number in range(self._told)]
            for group in _by_identity(told[0]):
                inputs = tuple(column[group[0]].as_py() for column in table.columns[self._told :])
                yield [_example([column[row] for column in told], inputs) for row in group]


@dataclass(frozen=True)
class Look:
    """What a bucket holds.

    Attributes:
        groups: The examples of each input, without it, sorted by identity.
    """

    groups: list[list[Example]]
    _first: list[int]
    _columns: list[pa.ChunkedArray]

    def inputs(self, numbers: Sequence[int]) -> list[pa.Array]:
        """Returns the inputs of some groups, an array for each column."""
        rows = pa.array([self._first[number] for number in numbers], pa.int64())
        return [column.take(rows).combine_chunks() for column in self._columns]


def _by_identity(ids: Sequence[str]) -> Iterator[list[int]]:
    """Yields the rows of each identity.

    The place decides between exact duplicates, and only there: it is no part of what is kept.
    """
    order = sorted(range(len(ids)), key=ids.__getitem__)
    for _, rows in itertools.groupby(order, key=ids.__getitem__):
        yield list(rows)


def _example(told: Sequence[Any], inputs: tuple[str | bytes, ...]) -> Example:
    id_, split, label, place, file, group, time, *slices = told
    return Example(id_, split, label, place, file, inputs, tuple(slices), group, time)


class Known(Protocol):
    """What of an example decides which one of a group is kept."""

    @property
    def split(self) -> str:
        """The split that it is given for, or ""."""

    @property
    def label(self) -> str:
        """Its label."""


_Kept = TypeVar("_Kept", bound=Known)
_PRECEDENCE = {"test": 0, "validation": 1, "train": 2, "": 3}


def settle(
    group: Sequence[_Kept], set_aside: Callable[[_Kept, str], None], drop: Callable[[_Kept], None]
) -> _Kept | None:
    """Settles all examples of one input: keeps one in the split that has precedence, or none if labels differ.

    Args:
        group: The examples.
        set_aside: Called with each that contradicts another, or leaks into another split, and why.
        drop: Called with each exact duplicate.
    """
    if len(group) == 1:
        return group[0]
    if len({example.label for example in group}) > 1:
        for example in group:
            set_aside(example, "same input with different labels")
        return None
    kept = min(group, key=lambda example: _PRECEDENCE[example.split])
    for example in group:
        if example.split != kept.split:
            set_aside(example, f"input stands in the {kept.split} split too")
        elif example is not kept:
            drop(example)
    return kept
