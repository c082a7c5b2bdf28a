"""Reading features: one split's Arrow file, mapped into memory, its examples by number."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import pyarrow as pa

from components.shared.artifact import Artifact


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

    Attributes:
        labels: int32 [examples].
        lengths: int32 [examples], what each example costs (tokens; 1 for a picture).
    """

    def __init__(self, features: Artifact, *splits: str) -> None:
        files = [features.file(f"{split}.arrow") for split in splits]
        table = pa.concat_tables([pa.ipc.open_file(pa.memory_map(str(file))).read_all() for file in files])
        self.labels: np.ndarray = table["label"].to_numpy()
        self.lengths: np.ndarray = table["length"].to_numpy()
        self._ids: pa.ChunkedArray = table["id"]
        names = features.read_json("features.json")["columns"]
        self._columns: dict[str, _Ragged] = {name: _ragged(table[name]) for name in names}
        self._ends: np.ndarray = np.cumsum([len(chunk) for chunk in table["label"].chunks])

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
        """Returns the features of some examples: for each column a list of arrays, one an example.

        They are views of the mapped file, of one dimension; `encoded` is uint8, too.
        """
        chunks = np.searchsorted(self._ends, indices, side="right")
        positions = indices - np.concatenate(([0], self._ends))[chunks]
        places = list(zip(chunks.tolist(), positions.tolist(), strict=True))
        return {name: [column.row(*place) for place in places] for name, column in self._columns.items()}


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
