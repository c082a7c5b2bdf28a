"""Reading features: one split's Arrow file, mapped into memory, its examples by number.

Columns have roles, which `features.json` tells: those that a network is fed with (`columns`), those that it learns from
(`targets`; of classes `label`), and those that its outputs are made answers by (`decoding`).
"""

import functools
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import pyarrow as pa

from components.shared.artifacts.artifact import Artifact


@dataclass(frozen=True)
class _Ragged:
    """One column of lists or of bytes: for each chunk its values, a view of the mapped file, and where each begins."""

    values: list[np.ndarray]
    offsets: list[np.ndarray]

    def row(self, chunk: int, position: int) -> np.ndarray:
        offsets = self.offsets[chunk]
        return self.values[chunk][offsets[position] : offsets[position + 1]]


class FeatureSplit(Sequence[str]):
    """The examples of one split, or of several one after the other; as a sequence, their ids.

    Where windows of long inputs are rows of their own, all that is told of examples here is told of rows.

    Attributes:
        labels: int32 [examples], the class of each; all -1 where answers are no classes.
        targets: What is learned from: of columns of numbers arrays [examples]; those of lists are in `take` alone.
        lengths: int32 [examples], what each example costs (tokens; 1 for a picture).
        examples: int64 [rows], which example a row is of: their places, but for windows.
    """

    def __init__(self, features: Artifact, *splits: str) -> None:
        files = [features.file(f"{split}.arrow") for split in splits]
        tables = [pa.ipc.open_file(pa.memory_map(str(file))).read_all() for file in files]
        table, told = pa.concat_tables(tables), features.read_json("features.json")
        self.examples = _examples(tables)
        flat = [name for name in told.get("targets", ["label"]) if not _is_ragged(table.schema.field(name).type)]
        self.targets: dict[str, np.ndarray] = {name: table[name].to_numpy() for name in flat}
        self.labels: np.ndarray = self.targets.get("label", np.full(len(table), -1, np.int32))
        self.lengths: np.ndarray = table["length"].to_numpy()
        self._ids: pa.ChunkedArray = table["id"]
        self._columns: dict[str, _Ragged] = {name: _ragged(table[name]) for name in told["columns"]}
        others = [*told.get("targets", []), *told.get("decoding", [])]
        self._others = {name: _ragged(table[name]) for name in others if _is_ragged(table.schema.field(name).type)}
        self._ends: np.ndarray = np.cumsum([len(chunk) for chunk in table["id"].chunks])

    def __len__(self) -> int:
        return len(self.labels)

    def __getitem__(self, index: int) -> str:  # type: ignore[override]
        if not 0 <= index < len(self):
            raise IndexError(index)
        return str(self._ids[index])

    @property
    def ids(self) -> list[str]:
        """The ids of all examples."""
        ids: list[str] = self._ids.to_pylist()
        return ids

    def take(self, indices: np.ndarray) -> Mapping[str, list[np.ndarray]]:
        """Returns what a network is fed with of some examples: for each column a list of arrays, one an example.

        They are views of the mapped file, of one dimension; `encoded` is uint8, too.
        """
        return self._take(self._columns, indices)

    @functools.cached_property
    def tokens(self) -> np.ndarray:
        """The ids of tokens that are there, each once, in order; none where the features are no tokens."""
        chunks = self._columns["input_ids"].values if "input_ids" in self._columns else []
        return functools.reduce(np.union1d, map(np.unique, chunks), np.zeros(0, np.int64)).astype(np.int64)

    def take_lists(self, indices: np.ndarray) -> Mapping[str, list[np.ndarray]]:
        """Returns targets and what outputs are made answers by, those that are lists: as `take` does."""
        return self._take(self._others, indices)

    def _take(self, columns: Mapping[str, _Ragged], indices: np.ndarray) -> dict[str, list[np.ndarray]]:
        chunks = np.searchsorted(self._ends, indices, side="right")
        positions = indices - np.concatenate(([0], self._ends))[chunks]
        places = list(zip(chunks.tolist(), positions.tolist(), strict=True))
        return {name: [column.row(*place) for place in places] for name, column in columns.items()}


def _examples(tables: Sequence[pa.Table]) -> np.ndarray:
    """Returns which example each row of splits is of; those of the next split are counted on."""
    parts: list[np.ndarray] = []
    for table in tables:
        own = table["example"].to_numpy() if "example" in table.column_names else np.arange(len(table))
        parts.append(own.astype(np.int64) + (parts[-1][-1] + 1 if parts and len(parts[-1]) else 0))
    return np.concatenate(parts)


def _is_ragged(kind: pa.DataType) -> bool:
    return bool(pa.types.is_list(kind) or pa.types.is_fixed_size_list(kind) or pa.types.is_binary(kind))


def _ragged(column: pa.ChunkedArray) -> _Ragged:
    parts = [_values_and_offsets(chunk) for chunk in column.chunks]
    return _Ragged([values for values, _ in parts], [offsets for _, offsets in parts])


def _values_and_offsets(chunk: pa.Array) -> tuple[np.ndarray, np.ndarray]:
    if pa.types.is_fixed_size_list(chunk.type):
        return chunk.values.to_numpy(), np.arange(len(chunk) + 1) * chunk.type.list_size
    if pa.types.is_binary(chunk.type):
        _, offsets, values = chunk.buffers()
        return np.frombuffer(values, np.uint8), np.frombuffer(offsets, np.int32)
    return chunk.values.to_numpy(), chunk.offsets.to_numpy()
