"""Examples on disk, parted by the first bits of their identity: what is the same input is in the same bucket.

So duplicates, contradictions and leaks between splits are found in one bucket at a time, in bounded memory, and the
examples come out sorted by identity: the same content gives the same order, however it was spread over files.
"""

import dataclasses
import hashlib
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol, Self, TypeVar

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

_TOLD = ("id", "split", "label", "place", "file", "group", "time")
_BUFFER = 32_768  # rows, or
_BUFFER_BYTES = 32 << 20
_IDENTITY = hashlib.blake2b(digest_size=16)


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

    def labelled(self, label: str) -> Self:
        """Returns the same example with another label."""
        return dataclasses.replace(self, label=label)


class Merging(Protocol):
    """What is made of several labels of one input: what of a task's target is needed here."""

    @property
    def contradiction(self) -> str:
        """Why rows are set aside that nothing is made of."""

    def merge(self, answers: Sequence[str]) -> str | None:
        """Returns the label of several rows; None: they contradict."""


def identity(inputs: Sequence[str | bytes]) -> str:
    """Returns the identity of an example, 32 hex digits: blake2b over its inputs and nothing else."""
    digest = _IDENTITY.copy()  # faster than to begin anew
    for value in inputs:
        encoded = value.encode() if isinstance(value, str) else value
        digest.update(len(encoded).to_bytes(8, "little"))
        digest.update(encoded)
    return digest.hexdigest()


class Buckets:
    """Collects examples in 2^bits files and gives them back bucket by bucket, sorted by identity."""

    def __init__(
        self, folder: Path, input_types: Sequence[pa.DataType], slices: int, bits: int, merging: Merging
    ) -> None:
        self._merging = merging
        told = [(name, pa.string()) for name in told_columns(slices)]
        self._schema = pa.schema([*told, *((f"input_{n}", kind) for n, kind in enumerate(input_types, 1))])
        self._told = len(told)
        self._bits = bits
        self._paths = [folder / f"bucket-{number:03d}.arrow" for number in range(1 << bits)]
        self._writers = [pa.ipc.new_stream(str(path), self._schema) for path in self._paths]
        self._waiting: list[pa.RecordBatch] = []
        self._count = self._bytes = 0
        self._closed = False

    def add(self, columns: Sequence[Sequence[Any] | pa.Array]) -> None:
        """Adds examples to their buckets.

        Args:
            columns: Of each column, `told_columns` and then the inputs, the values of all these examples.
        """
        typed = zip(columns, self._schema.types, strict=True)
        arrays = [one if isinstance(one, pa.Array) else pa.array(one, kind) for one, kind in typed]
        batch = pa.record_batch(arrays, schema=self._schema)
        self._waiting.append(batch)
        self._count += batch.num_rows
        self._bytes += batch.nbytes
        if self._count >= _BUFFER or self._bytes >= _BUFFER_BYTES:
            self._flush()

    def groups(self) -> Iterator[list[Example]]:
        """Yields the examples of one input together, the inputs sorted by identity. Nothing can be added any more."""
        for bucket in self.taken():
            yield from bucket.groups()

    def taken(self) -> Iterator["Bucket"]:
        """Yields bucket by bucket; each is gone after that."""
        for path in self._closed_paths():
            with pa.memory_map(str(path)) as file, pa.ipc.open_stream(file) as reader:
                yield Bucket(reader.read_all(), self._told, self._merging)
            path.unlink()

    def look(self) -> Iterator["Bucket"]:
        """Yields bucket by bucket: they can be asked for again after that."""
        for path in self._closed_paths():
            with pa.memory_map(str(path)) as file, pa.ipc.open_stream(file) as reader:
                yield Bucket(reader.read_all(), self._told, self._merging)

    def _closed_paths(self) -> list[Path]:
        if not self._closed:
            self._flush()
            for writer in self._writers:
                writer.close()
        self._closed = True
        return self._paths

    def _flush(self) -> None:
        if not self._waiting:
            return
        batch = pa.concat_batches(self._waiting)
        self._waiting, self._count, self._bytes = [], 0, 0
        if self._bits == 0:
            self._writers[0].write_batch(batch)
            return
        numbers = (_halves(batch.column(0))[:, 0] >> np.uint64(64 - self._bits)).astype(np.int64)
        counts = np.bincount(numbers, minlength=len(self._paths))
        batch = batch.take(pa.array(np.argsort(numbers, kind="stable")))
        for number, (end, count) in enumerate(zip(np.cumsum(counts), counts, strict=True)):
            if count:
                self._writers[number].write_batch(batch.slice(end - count, count))


class Bucket:
    """What a bucket holds, sorted by identity; equal inputs, a group, in the order in which they were read.

    Attributes:
        starts: int64 [groups], the first row of each.
        sizes: int64 [groups], its rows.
        odd: The groups whose rows differ in label or split.
        kept: int64 [groups], the row of the example that is kept of it, see `settle`; -1 where none is.
        merged: Of groups whose rows differ in label, by their number, what is made of these.
    """

    def __init__(self, table: pa.Table, told: int, merging: Merging) -> None:
        halves = _halves(table.column(0))
        order = np.lexsort((halves[:, 1], halves[:, 0]))  # equal ones stay in turn
        halves = halves[order]
        begins = np.flatnonzero((halves[1:] != halves[:-1]).any(1)) + 1
        self.starts = np.concatenate([np.zeros(min(1, len(order)), np.int64), begins])
        self.sizes = np.diff(self.starts, append=len(order))
        self._order, self._names = order, table.column_names[:told]
        self._table = table.combine_chunks()  # `take` would, at each call
        self._sorted: dict[str, pa.ChunkedArray] = {}
        self.odd = np.flatnonzero(self._differs("label") | self._differs("split"))
        self.kept = self.starts.copy()
        self.merged: dict[int, str] = {}
        for number in self.odd.tolist():
            found = kept_of(self._examples(number, ()), merging)
            self.kept[number] = self.starts[number] + found[0] if found else -1
            if found:
                self.merged[number] = found[1]

    def column(self, name: str) -> pa.ChunkedArray:
        """Returns what is told of each row, one of `told_columns`."""
        if name not in self._sorted:
            self._sorted[name] = self._table[name].take(pa.array(self._order))
        return self._sorted[name]

    def labels(self) -> tuple[np.ndarray, list[str]]:
        """Returns the label of what is kept of each group, int32 [groups], as numbers of the different ones, and these.

        That of a group of which nothing is kept is one of its rows'.
        """
        codes, names = codes_of(self.column("label").take(pa.array(np.where(self.kept < 0, self.starts, self.kept))))
        if not self.merged:
            return codes, names
        places = {name: place for place, name in enumerate(names)}
        codes = codes.copy()
        for number, label in self.merged.items():
            codes[number] = places.setdefault(label, len(places))
        return codes, list(places)

    def groups(self) -> Iterator[list[Example]]:
        """Yields the examples of each group; their inputs are read then, and once."""
        told = [self.column(name).to_pylist() for name in self._names]
        for start, size in zip(self.starts.tolist(), self.sizes.tolist(), strict=True):
            inputs = tuple(column[self._order[start]].as_py() for column in self._inputs)
            yield [_example([column[row] for column in told], inputs) for row in range(start, start + size)]

    def examples(self, number: int) -> list[Example]:
        """Returns the examples of a group."""
        inputs = tuple(column[0].as_py() for column in self.inputs(self.starts[[number]]))
        return self._examples(number, inputs)

    def inputs(self, rows: np.ndarray) -> list[pa.Array]:
        """Returns the inputs of some rows, an array for each column."""
        where = pa.array(self._order[rows])
        return [column.take(where).combine_chunks() for column in self._inputs]

    def room(self) -> np.ndarray:
        """Returns how much room the inputs of each row take, in characters or bytes: int64 [rows]."""
        sizes = np.zeros(len(self._order), np.int64)
        for column in self._inputs:
            length = pc.binary_length if column.type == pa.binary() else pc.utf8_length
            sizes += length(column).to_numpy()
        return sizes[self._order]

    @property
    def _inputs(self) -> list[pa.ChunkedArray]:
        return list(self._table.columns[len(self._names) :])

    def _examples(self, number: int, inputs: tuple[str | bytes, ...]) -> list[Example]:
        rows = self._table.select(self._names).take(pa.array(self._order[self.starts[number] :][: self.sizes[number]]))
        return [_example(told, inputs) for told in zip(*(column.to_pylist() for column in rows.columns), strict=True)]

    def _differs(self, column: str) -> np.ndarray:
        if not len(self.starts):
            return np.zeros(0, bool)
        codes = codes_of(self.column(column))[0]
        differs: np.ndarray = np.minimum.reduceat(codes, self.starts) != np.maximum.reduceat(codes, self.starts)
        return differs


def codes_of(column: pa.ChunkedArray) -> tuple[np.ndarray, list[Any]]:
    """Returns a column as numbers, int32 [rows], of its different values, and these."""
    found = column.combine_chunks().dictionary_encode("encode")
    return found.indices.to_numpy(), found.dictionary.to_pylist()


def told_columns(slices: int) -> list[str]:
    """Returns the names of what is told of an example beside its inputs, in order."""
    return [*_TOLD, *(f"slice_{number}" for number in range(1, slices + 1))]


def columns_of(examples: Sequence[Example]) -> list[Sequence[Any]]:
    """Returns examples as the columns that `Buckets.add` takes."""
    rows = (
        (one.id, one.split, one.label, one.place, one.file, one.group, one.time, *one.slices, *one.inputs)
        for one in examples
    )
    return list(zip(*rows, strict=True))


def _halves(ids: pa.Array | pa.ChunkedArray) -> np.ndarray:
    """Returns identities as numbers, in the same order: uint64 [examples, 2]."""
    digits = ids.cast(pa.binary()).cast(pa.binary(32))
    chunks = digits.chunks if isinstance(digits, pa.ChunkedArray) else [digits]
    parts = (chunk.buffers()[1][32 * chunk.offset : 32 * (chunk.offset + len(chunk))] for chunk in chunks if len(chunk))
    packed = bytes.fromhex(b"".join(part.to_pybytes() for part in parts).decode())
    return np.frombuffer(packed, ">u8").astype(np.uint64).reshape(-1, 2)


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

    def labelled(self, label: str) -> Self:
        """Returns the same with another label."""


_Kept = TypeVar("_Kept", bound=Known)
_PRECEDENCE = {"test": 0, "validation": 1, "train": 2, "": 3}


def settle(
    group: Sequence[_Kept], merging: Merging, set_aside: Callable[[_Kept, str], None], drop: Callable[[_Kept], None]
) -> _Kept | None:
    """Settles all examples of one input: keeps one in the split that has precedence, or none if labels contradict.

    Args:
        group: The examples.
        merging: What is made of their labels.
        set_aside: Called with each that contradicts another, or leaks into another split, and why.
        drop: Called with each exact duplicate.
    """
    if len(group) == 1:
        return group[0]
    found = kept_of(group, merging)
    if found is None:
        for example in group:
            set_aside(example, merging.contradiction)
        return None
    kept = group[found[0]]
    for example in group:
        if example.split != kept.split:
            set_aside(example, f"input stands in the {kept.split} split too")
        elif example is not kept:
            drop(example)
    return kept if kept.label == found[1] else kept.labelled(found[1])


def kept_of(group: Sequence[_Kept], merging: Merging) -> tuple[int, str] | None:
    """Returns which example of one input is kept, and the label of all those in its split; None if labels contradict.

    Args:
        group: The examples.
        merging: What is made of their labels.
    """
    labels = [example.label for example in group]
    if len(set(labels)) > 1 and merging.merge(labels) is None:
        return None
    kept = min(range(len(group)), key=lambda place: _PRECEDENCE[group[place].split])
    own = [example.label for example in group if example.split == group[kept].split]
    return kept, (own[0] if len(set(own)) == 1 else merging.merge(own)) or labels[kept]
