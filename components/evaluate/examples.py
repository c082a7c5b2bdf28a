"""Single examples of a snapshot, found by their place in a split: the mistakes, and a few of each class."""

from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pyarrow as pa
import pyarrow.parquet as pq

from components.shared import tasks
from components.shared.artifacts.artifact import Artifact
from components.shared.tasks import Task

if TYPE_CHECKING:
    from hashlib import _Hash

_AT_ONCE = 64  # rows with their inputs, which may be photographs
_BUFFER = 1 << 20  # bytes of a column read at once, instead of the whole row group


def task_of(snapshot: Artifact) -> Task:
    """Returns what a snapshot is for, with its options."""
    told = snapshot.read_json("snapshot.json")
    return tasks.get(told["task"], told.get("task_args"))


def has_pictures(snapshot: Artifact) -> bool:
    """Tells whether the inputs are files' bytes, and not text."""
    return bool(pa.types.is_binary(task_of(snapshot).input_type))


def add_examples(digest: "_Hash", ids: Iterable[str], labels: Iterable[str]) -> None:
    """Adds examples, their answers as canonical text, to the sha256 that tells which ones a model was scored on."""
    told = (f"{id_} {len(label)} {label}\n" for id_, label in zip(ids, labels, strict=True))
    digest.update("".join(told).encode())


Splits = str | Sequence[str]
"""One split, or several one after the other."""


def _files(snapshot: Artifact, splits: Splits) -> list[Path]:
    names = (splits,) if isinstance(splits, str) else splits
    return [path for name in names for path in sorted(snapshot.path.glob(f"{name}-*.parquet"))]


def read_columns(snapshot: Artifact, splits: Splits, names: list[str] | None, rows: int) -> Iterator[pa.RecordBatch]:
    """Yields some columns of splits (None: all) in the snapshot's order; the others are not read from the disk."""
    for path in _files(snapshot, splits):
        with pq.ParquetFile(path, buffer_size=_BUFFER) as file:
            yield from file.iter_batches(batch_size=rows, columns=names)


def read_rows(snapshot: Artifact, splits: Splits, places: Iterable[int]) -> dict[int, dict[str, Any]]:
    """Returns the rows at some places of splits; of the files only the row groups that hold one are read."""
    wanted, found, start = sorted(set(places)), dict[int, dict[str, Any]](), 0
    for path in _files(snapshot, splits):
        with pq.ParquetFile(path, buffer_size=_BUFFER) as file:
            for group in range(file.num_row_groups):
                stop = start + file.metadata.row_group(group).num_rows
                inside = [place - start for place in wanted if start <= place < stop]
                found |= {start + offset: row for offset, row in _read_group(file, group, inside)}
                start = stop
    return found


def first_of_each(snapshot: Artifact, split: str, wanted: dict[str, int]) -> dict[str, list[int]]:
    """Returns the places of the first examples of some classes; `wanted` says how many of which."""
    places = defaultdict[str, list[int]](list)
    missing, place = sum(wanted.values()), 0
    for batch in read_columns(snapshot, split, ["label"], 8192):
        for label in batch.column("label").to_pylist():
            if len(places[label]) < wanted.get(label, 0):
                places[label].append(place)
                missing -= 1
            place += 1
        if not missing:
            break
    return {label: places[label] for label in wanted}


def _read_group(file: pq.ParquetFile, group: int, offsets: list[int]) -> Iterator[tuple[int, dict[str, Any]]]:
    if not offsets:
        return
    first = 0
    for batch in file.iter_batches(batch_size=_AT_ONCE, row_groups=[group]):
        for offset in offsets:
            if first <= offset < first + batch.num_rows:
                yield offset, batch.slice(offset - first, 1).to_pylist()[0]
        first += batch.num_rows
