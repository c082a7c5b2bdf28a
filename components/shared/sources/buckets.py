"""Examples on disk, parted by the first bits of their identity: what is the same input is in the same bucket.

So duplicates, contradictions and leaks between splits are found in one bucket at a time, in bounded memory, and the
examples come out sorted by identity: the same content gives the same order, however it was spread over files.
"""

import dataclasses
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from components.shared.sources.identity import ID, halves_of, hex_of
from components.shared.sources.merging import Merging, kept_of
from components.shared.storage.prefetch import Behind

_TOLD = {
    "id": ID, "split": pa.int32(), "label": pa.int32(), "place": pa.string(), "line": pa.int64(), "file": pa.int32(),
    "group": pa.string(), "time": pa.string(),
}  # fmt: skip
_NAMED = ("split", "label", "file")  # of few different values: numbers stand for them
AHEAD = 32 << 20
"""Bytes that buckets may take that are opened ahead of their turn: see `held`."""

_BUFFER = 32_768  # rows, or
_BUFFER_BYTES = 8 << 20
_NO_LINE = -1


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


class Names:
    """Numbers for names, in the order in which they came."""

    def __init__(self) -> None:
        self._numbers: dict[str, int] = {}

    def numbers_of(self, column: Sequence[Any] | pa.Array) -> np.ndarray:
        """Returns the number of each name in a column: int32."""
        column = column if isinstance(column, pa.Array) else pa.array(column, pa.string())
        codes, names = codes_of(column)
        numbers = [self._numbers.setdefault(name, len(self._numbers)) for name in names]
        found: np.ndarray = np.array(numbers, np.int32)[codes]
        return found

    @property
    def names(self) -> list[str]:
        """The names, each at its number."""
        return list(self._numbers)


class Buckets:
    """Collects examples in 2^bits files and gives them back bucket by bucket, sorted by identity."""

    def __init__(
        self, folder: Path, input_types: Sequence[pa.DataType], slices: int, bits: int, merging: Merging
    ) -> None:
        self._merging = merging
        told = {**_TOLD, **{name: pa.string() for name in told_columns(slices)[len(_TOLD) :]}}
        named = [name for name in _NAMED if name != "label" or merging.exclusive]  # else there may be as many as rows
        told["label"] = _TOLD["label"] if merging.exclusive else pa.string()
        self._schema = pa.schema([*told.items(), *((f"input_{n}", kind) for n, kind in enumerate(input_types, 1))])
        self._names = {name: Names() for name in named}
        self._bits = bits
        self._paths = [folder / f"bucket-{number:03d}.arrow" for number in range(1 << bits)]
        self._writers = [pa.ipc.new_stream(str(path), self._schema) for path in self._paths]
        self._waiting: list[pa.RecordBatch] = []
        self._count = self._bytes = 0
        self._known: dict[str, list[str]] = {}
        self._behind = Behind()
        self._closed = False

    def add(self, columns: Sequence[Sequence[Any] | pa.Array]) -> None:
        """Adds examples to their buckets.

        Args:
            columns: Of each column, `told_columns` and then the inputs, the values of all these examples.
        """
        arrays = []
        for column, field in zip(columns, self._schema, strict=True):
            if field.name in self._names:
                column = pa.array(self._names[field.name].numbers_of(column))
            arrays.append(column if isinstance(column, pa.Array) else pa.array(column, field.type))
        batch = pa.record_batch(arrays, schema=self._schema)
        self._waiting.append(batch)
        self._count += batch.num_rows
        self._bytes += batch.nbytes
        if self._count >= _BUFFER or self._bytes >= _BUFFER_BYTES:
            self._flush()

    def groups(self) -> Iterator[list[Example]]:
        """Yields the examples of one input together, the inputs sorted by identity. Nothing can be added any more."""
        for path in self.paths():
            yield from self.open(path).groups()
            path.unlink()

    def paths(self) -> list[Path]:
        """Returns where the buckets lie, in turn. Nothing can be added any more."""
        if not self._closed:
            with self._behind:
                self._flush()
            for writer in self._writers:
                writer.close()
            self._known = {name: names.names for name, names in self._names.items()}
        self._closed = True
        return self._paths

    def open(self, path: Path) -> "Bucket":
        """Returns a bucket; its file may be deleted then."""
        with pa.memory_map(str(path)) as file, pa.ipc.open_stream(file) as reader:
            return Bucket(reader.read_all(), self._known, self._merging)

    def _flush(self) -> None:
        if not self._waiting:
            return
        self._behind.do(self._part, self._waiting)
        self._waiting, self._count, self._bytes = [], 0, 0

    def _part(self, waiting: Sequence[pa.RecordBatch]) -> None:
        batch = pa.concat_batches(waiting)
        if self._bits == 0:
            self._writers[0].write_batch(batch)
            return
        numbers = (halves_of(batch.column(0))[:, 0] >> np.uint64(64 - self._bits)).astype(np.uint8)
        counts = np.bincount(numbers, minlength=len(self._paths))
        batch = batch.take(pa.array(np.argsort(numbers, kind="stable")))
        for number, (end, count) in enumerate(zip(np.cumsum(counts), counts, strict=True)):
            if count:
                self._writers[number].write_batch(batch.slice(end - count, count))


def held(bucket: Path) -> int:
    """Returns how much memory a bucket and what is made of it take, about."""
    return 4 * bucket.stat().st_size


class Bucket:
    """What a bucket holds, sorted by identity; equal inputs, a group, in the order in which they were read.

    Attributes:
        starts: int64 [groups], the first row of each.
        sizes: int64 [groups], its rows.
        odd: The groups whose rows differ in label or split.
        kept: int64 [groups], the row of the example that is kept of it, see `settle`; -1 where none is.
        merged: Of groups whose rows differ in label, by their number, what is made of these.
    """

    def __init__(self, table: pa.Table, names: dict[str, list[str]], merging: Merging) -> None:
        self._table = table.combine_chunks()  # `take` would, at each call
        self._names = names
        halves = halves_of(self._column("id"))
        order = _order(halves)
        halves = halves[order]
        begins = np.flatnonzero((halves[1:] != halves[:-1]).any(1)) + 1
        self.starts = np.concatenate([np.zeros(min(1, len(order)), np.int64), begins])
        self.sizes = np.diff(self.starts, append=len(order))
        self._order = order
        self._sorted: dict[str, pa.Array] = {}
        several = np.flatnonzero(self.sizes > 1)
        self.odd = several[self._differs("label", several) | self._differs("split", several)]
        self.kept = self.starts.copy()
        self.merged: dict[int, str] = {}
        for number in self.odd.tolist():
            found = kept_of(self._examples(number, ()), merging)
            self.kept[number] = self.starts[number] + found[0] if found else -1
            if found:
                self.merged[number] = found[1]

    def column(self, name: str) -> pa.Array:
        """Returns what is told of each row, one of `told_columns`."""
        if name not in self._sorted:
            self._sorted[name] = _whole(self._table.column(name)).take(pa.array(self._order))
        return self._sorted[name]

    def labels(self) -> tuple[np.ndarray, list[str]]:
        """Returns the label of what is kept of each group, int32 [groups], as numbers of the different ones, and these.

        That of a group of which nothing is kept is one of its rows'.
        """
        numbers, names = self.coded("label")
        codes: np.ndarray = numbers[np.where(self.kept < 0, self.starts, self.kept)]
        if not self.merged:
            return codes, names
        places = {name: place for place, name in enumerate(names)}
        for number, label in self.merged.items():
            codes[number] = places.setdefault(label, len(places))
        return codes, list(places)

    def coded(self, name: str) -> tuple[np.ndarray, list[str]]:
        """Returns a column as numbers, int32 [rows], of its different values, and these; there may be more of them."""
        if name in self._names:
            return self.numbers(name), self._names[name]
        return codes_of(self.column(name))

    def numbers(self, name: str) -> np.ndarray:
        """Returns split or file of each row as a number, int32 [rows], into `names`."""
        numbers: np.ndarray = self.column(name).to_numpy()
        return numbers

    def names(self, name: str) -> list[str]:
        """Returns the splits or files that there were up to now."""
        return self._names[name]

    def ids(self, rows: np.ndarray) -> pa.Array:
        """Returns the identities of some rows as 32 hex digits."""
        return hex_of(self.column("id").take(pa.array(rows)))

    def is_null(self, name: str) -> bool:
        """Tells whether nothing is told of any row."""
        column = self._column(name)
        return bool(column.null_count == len(column))

    def groups(self) -> Iterator[list[Example]]:
        """Yields the examples of each group; their inputs are read then, and once."""
        for start in range(0, len(self.starts), 1024):
            some = slice(start, start + 1024)
            inputs = [column.to_pylist() for column in self.inputs(self.starts[some])]
            rows = slice(int(self.starts[start]), int(self.starts[some][-1] + self.sizes[some][-1]))
            told = self._told(self._order[rows])
            at = 0
            for number, size in enumerate(self.sizes[some].tolist()):
                one = tuple(column[number] for column in inputs)
                yield [_example(row, one) for row in told[at : at + size]]
                at += size

    def examples(self, number: int) -> list[Example]:
        """Returns the examples of a group."""
        inputs = tuple(column[0].as_py() for column in self.inputs(self.starts[[number]]))
        return self._examples(number, inputs)

    def inputs(self, rows: np.ndarray) -> list[pa.Array]:
        """Returns the inputs of some rows, an array for each column."""
        where = pa.array(self._order[rows])
        return [_whole(column.take(where)) for column in self._inputs]

    def lengths(self, rows: np.ndarray) -> np.ndarray:
        """Returns how much room the inputs of some rows take, in characters or bytes: int64 [rows]."""
        sizes = np.zeros(len(self._order), np.int64)
        for column in self._inputs:
            length = pc.binary_length if column.type == pa.binary() else pc.utf8_length
            sizes += length(column).to_numpy()
        room: np.ndarray = sizes[self._order[rows]]
        return room

    @property
    def _inputs(self) -> list[pa.Array]:
        return [self._column(name) for name in self._table.column_names if name.startswith("input_")]

    def _column(self, name: str) -> Any:
        return _whole(self._table.column(name)) if name in _TOLD else self._table.column(name)

    def _examples(self, number: int, inputs: tuple[str | bytes, ...]) -> list[Example]:
        rows = self._order[self.starts[number] :][: self.sizes[number]]
        return [_example(told, inputs) for told in self._told(rows)]

    def _told(self, rows: np.ndarray) -> list[dict[str, Any]]:
        """Returns what is told of some rows, by their places in the table."""
        columns = [name for name in self._table.column_names if not name.startswith("input_")]
        told: list[dict[str, Any]] = self._table.select(columns).take(pa.array(rows)).to_pylist()
        for row in told:
            row.update({name: names[row[name]] for name, names in self._names.items()})
        return told

    def _differs(self, name: str, groups: np.ndarray) -> np.ndarray:
        """Tells which of some groups have rows that differ."""
        if not len(groups):
            return np.zeros(0, bool)
        numbers, _ = self.coded(name)
        low, high = (of.reduceat(numbers, self.starts)[groups] for of in (np.minimum, np.maximum))
        differs: np.ndarray = low != high
        return differs


def codes_of(column: pa.Array) -> tuple[np.ndarray, list[Any]]:
    """Returns a column as numbers, int32 [rows], of its different values, and these."""
    found = column if isinstance(column, pa.DictionaryArray) else column.dictionary_encode("encode")
    return found.indices.to_numpy(), found.dictionary.to_pylist()


def told_columns(slices: int) -> list[str]:
    """Returns the names of what is told of an example beside its inputs, in order."""
    return [*_TOLD, *(f"slice_{number}" for number in range(1, slices + 1))]


def columns_of(examples: Sequence[Example]) -> list[Sequence[Any]]:
    """Returns examples as the columns that `Buckets.add` takes."""
    rows = (
        (
            *(bytes.fromhex(one.id), one.split, one.label, *_parted(one.place), one.file, one.group, one.time),
            *(*one.slices, *one.inputs),
        )
        for one in examples
    )
    return list(zip(*rows, strict=True))


def _order(halves: np.ndarray) -> np.ndarray:
    """Returns the order of identities; equal ones stay in turn."""
    order = np.argsort(halves[:, 0])
    first = halves[order, 0]
    if not (first[1:] == first[:-1]).any():
        return order
    return np.lexsort((halves[:, 1], halves[:, 0]))


def _whole(column: pa.ChunkedArray) -> pa.Array:
    return column.chunk(0) if column.num_chunks == 1 else column.combine_chunks()


def _parted(place: str) -> tuple[str, int]:
    """Returns a place as what stands in front of the line's number, and that number."""
    file, colon, line = place.rpartition(":")
    is_number = colon and line.isascii() and line.isdecimal() and len(line) < 19 and str(int(line)) == line
    return (file, int(line)) if is_number else (place, _NO_LINE)


def _example(told: dict[str, Any], inputs: tuple[str | bytes, ...]) -> Example:
    place = told["place"] if told["line"] == _NO_LINE else f"{told['place']}:{told['line']}"
    slices = tuple(value for name, value in told.items() if name.startswith("slice_"))
    named = (told["split"], told["label"], place, told["file"])
    return Example(told["id"].hex(), *named, inputs, slices, told["group"], told["time"])
