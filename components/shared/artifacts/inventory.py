"""The inventory of a snapshot: which file of the source held which example, so that later only new files are read.

`ingest` writes it among the snapshot's notes, `register` keeps it beside the version that was trained on it, `detect`
compares today's source with it. It holds identities and labels (hashes, where a label holds text of the input), and of
a sample of the inputs features that words and pixels were hashed or shrunk to: no text and no image.
"""

import hashlib
import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from components.shared.artifacts.snapshot import SPLITS, draw_of
from components.shared.drift import input_features
from components.shared.errors import InputError
from components.shared.sources.buckets import Bucket
from components.shared.storage.prefetch import Behind
from components.shared.storage.storage import File, printable
from components.shared.tasks import Task

FOLDER = "notes/inventory"
SAMPLE = 2_000
"""Examples whose features are kept: the first by identity, a hash, so that they are a fair sample."""

_Named = tuple[np.ndarray, Sequence[str]]

_GROUP = 65_536  # rows written or read at once
_NAMES = pa.dictionary(pa.int32(), pa.string())
_ROWS = pa.schema(
    [
        ("id", pa.string()),
        ("file", pa.int32()),
        ("split", _NAMES),
        ("label", _NAMES),
        ("dealt", _NAMES),
        ("fold", pa.int8()),
    ]
)

_FEW = [name for name in _ROWS.names if name != "id"]  # different values


class Entry(NamedTuple):
    """A row of the source that held an example; `file` is the file's name, `label` what `Target.told` says of it."""

    id: str
    split: str
    label: str
    file: str

    def labelled(self, label: str) -> "Entry":
        """Returns the same row with another label."""
        return self._replace(label=label)


class Dealt(NamedTuple):
    """Where an example was: the split that a model saw it in, "" where it was set aside; its fold, or -1."""

    id: str
    split: str
    fold: int


class InventoryWriter:
    """Writes an inventory: every row, sorted by identity, and which of them were kept.

    Args:
        folder: To write it into.
        files: Of the source.
        reading: How they were read.
        task: What the data is for.
        answers: What is known of all labels, see `Stratification.told`.
    """

    def __init__(
        self, folder: Path, files: Sequence[File], reading: Mapping[str, Any], task: Task, answers: Mapping[str, Any]
    ) -> None:
        folder.mkdir(parents=True)
        self._folder, self._reading, self._answers = folder, reading, answers
        self._input_type, self._target = task.input_type, task.target
        self._numbers = {printable(file.name): number for number, file in enumerate(files)}
        _write_files(folder, files)
        self._writer = pq.ParquetWriter(
            folder / "rows.parquet",
            _ROWS,
            compression="zstd",
            use_dictionary=_FEW,
            write_statistics=False,
            store_schema=False,  # names are texts to whoever reads them
        )
        self._behind = Behind()
        self._waiting: list[pa.Table] = []
        self._content = Content()
        self._sample: list[np.ndarray] = []

    def add(self, bucket: Bucket, dealt: np.ndarray, folds: np.ndarray) -> None:
        """Adds the rows of a bucket.

        Args:
            bucket: It comes in turn, sorted by identity.
            dealt: int8 [groups], the split that each went to, into `SPLITS`; -1 where none of it was kept.
            folds: int8 [groups], the fold that each went to, or -1.
        """
        group = np.repeat(np.arange(len(dealt)), bucket.sizes)
        files = np.array([self._numbers[name] for name in bucket.names("file")], np.int32)
        ids = bucket.ids(np.arange(len(group)))
        given = (bucket.numbers("split"), bucket.names("split"))
        named = (given, self._told(*bucket.coded("label")), ((dealt[group] + 1).astype(np.int32), ["", *SPLITS]))
        told = [pa.DictionaryArray.from_arrays(numbers, pa.array(names, pa.string())) for numbers, names in named]
        columns = [ids, files[bucket.numbers("file")], *told, folds[group].astype(np.int8)]
        self._waiting.append(pa.table(columns, schema=_ROWS))
        there = bucket.kept >= 0
        kept = bucket.kept[there]
        some = ids if len(kept) == len(ids) else ids.take(pa.array(kept))
        codes, labels = self._told(*bucket.labels())
        self._content.extend(some, (given[0][kept], given[1]), (codes[there], labels))
        if first := SAMPLE - len(self._sample):
            inputs = (column.to_pylist() for column in bucket.inputs(kept[:first]))
            self._sample += [input_features(values, self._input_type) for values in zip(*inputs, strict=True)]
        if sum(table.num_rows for table in self._waiting) >= _GROUP:
            self._flush()

    def close(self) -> str:
        """Completes the inventory; returns the digest of the content."""
        with self._behind:
            self._flush()
        self._writer.close()
        sample = pa.array(self._sample, pa.list_(pa.float32()))
        pq.write_table(pa.table({"features": sample}), self._folder / "sample.parquet", compression="zstd")
        told = {"data_digest": self._content.digest, "examples": self._content.examples, "reading": self._reading}
        if self._answers:
            told["answers"] = self._answers
        (self._folder / "inventory.json").write_text(json.dumps(told, indent=1, sort_keys=True) + "\n", "utf-8")
        return self._content.digest

    def _told(self, codes: np.ndarray, answers: Sequence[str]) -> _Named:
        """Returns what is kept of labels, given as numbers of the different ones."""
        return codes, [self._target.told(answer) for answer in answers] if self._target.private else list(answers)

    def _flush(self) -> None:
        if self._waiting:
            self._behind.do(self._write, self._waiting)
        self._waiting = []

    def _write(self, waiting: Sequence[pa.Table]) -> None:
        self._writer.write_table(pa.concat_tables(waiting).unify_dictionaries())


class Content:
    """What a source holds, whatever its files are called: a digest over its examples, which come sorted by identity."""

    def __init__(self) -> None:
        self._digest = hashlib.sha256()
        self.examples = 0

    def add(self, id_: str, split: str, label: str) -> None:
        """Adds an example that is kept."""
        self._digest.update(json.dumps([id_, split, label]).encode())
        self.examples += 1

    def extend(self, ids: pa.Array, splits: _Named, labels: _Named) -> None:
        """Adds many, as `add` does each: their ids, splits and labels, each as numbers into names."""
        (split, split_names), (label, label_names) = splits, labels
        pairs = pa.array(split.astype(np.int64) * len(label_names) + label).dictionary_encode()
        named = (
            (split_names[pair // len(label_names)], label_names[pair % len(label_names)])
            for pair in pairs.dictionary.to_pylist()
        )
        rests = pa.array([json.dumps(names)[1:] for names in named], pa.string()).take(pairs.indices)
        told = pc.binary_join_element_wise('["', ids, '", ', rests, "")
        begin, end = (np.frombuffer(told.buffers()[1], np.int32)[place] for place in (told.offset, len(told)))
        self._digest.update(told.buffers()[2][begin:end] if len(ids) else b"")
        self.examples += len(ids)

    @property
    def digest(self) -> str:
        """Returns the sha256 of what was added."""
        return self._digest.hexdigest()


@dataclass(frozen=True)
class Inventory:
    """An inventory that was opened.

    Attributes:
        folder: Where it lies.
        files: Size and stamp of each file of the source, by name.
        reading: How they were read: see `SourceSettings.reading`.
        data_digest: Of the content, see `Content`.
        examples: How many were kept.
        trained_on: The splits that the model of this version learned from: "train", or all where it was measured by
            cross-validation.
        answers: What was known of all labels: by it `Target.strata` tells ranges of numbers.
    """

    folder: Path
    files: dict[str, tuple[int, str]]
    reading: Mapping[str, Any]
    data_digest: str
    examples: int
    trained_on: tuple[str, ...] = ("train",)
    answers: Mapping[str, Any] = field(default_factory=dict)

    def knows(self, file: File) -> bool:
        """Tells whether a file is one that was read, and the same."""
        return bool(file.stamp) and self.files.get(printable(file.name)) == (file.size, file.stamp)

    def rows(self) -> Iterator[Entry]:
        """Yields all rows, sorted by identity."""
        names = list(self.files)
        with pq.ParquetFile(self.folder / "rows.parquet") as file:
            for batch in file.iter_batches(_GROUP):
                columns = (batch.column(name).to_pylist() for name in ("id", "split", "label", "file"))
                for id_, split, label, number in zip(*columns, strict=True):
                    yield Entry(id_, split, label, names[number])

    def ids(self) -> np.ndarray:
        """Returns the identities of all rows, sorted, as bytes: [rows] of 32 hex digits."""
        column = pq.read_table(self.folder / "rows.parquet", columns=["id"])["id"]
        return np.array(column.to_numpy(), dtype="S32")

    def dealt(self, validation: float, test: float) -> Iterator[Dealt]:
        """Yields where each input was, sorted by identity; what a model learned from was in training.

        The first inventories tell only which split was given. What was not given was dealt by `draw_of` alone.

        Args:
            validation: The part for validation, where an inventory does not tell.
            test: The part for the test.
        """
        before = ""
        with pq.ParquetFile(self.folder / "rows.parquet") as file:
            tells = "dealt" in file.schema_arrow.names
            rule = None if tells else _FirstRule(file, validation, test)
            for batch in file.iter_batches(_GROUP):
                names = ("id", "dealt", "fold") if tells else ("id", "split")
                for id_, split, *fold in zip(*(batch.column(name).to_pylist() for name in names), strict=True):
                    if id_ != before:
                        dealt = rule.split(id_, split) if rule else split
                        yield Dealt(id_, "train" if dealt in self.trained_on else dealt, *(fold or [-1]))
                    before = id_

    def sample(self) -> np.ndarray:
        """Returns the features of a sample of the inputs, float32 [examples, features]."""
        column = pq.read_table(self.folder / "sample.parquet")["features"].combine_chunks()
        values: np.ndarray = column.flatten().to_numpy().reshape(len(column), -1) if len(column) else np.zeros((0, 0))
        return values


class _FirstRule:
    """How splits were dealt before inventories told it."""

    def __init__(self, file: pq.ParquetFile, validation: float, test: float) -> None:
        column = file.read(["split"])["split"]
        given = set(pc.unique(column).to_pylist())
        self._parts = (("test", test, "test" in given), ("validation", test + validation, "validation" in given))

    def split(self, id_: str, given: str) -> str:
        """Returns the split of an example that was given for one, or for none."""
        if given not in ("", "train"):
            return given
        drawn = draw_of(id_)
        dealt = next(((split, is_given) for split, end, is_given in self._parts if drawn < end), ("train", False))
        return "train" if dealt[1] else dealt[0]


def open_inventory(folder: Path) -> Inventory:
    """Opens an inventory.

    Raises:
        InputError: The folder holds none.
    """
    try:
        told = json.loads((folder / "inventory.json").read_text("utf-8"))
        files = pq.read_table(folder / "files.parquet").to_pydict()
    except (OSError, ValueError) as error:
        raise InputError(f"{folder} holds no inventory of a snapshot that can be read: {error}") from error
    by_name = dict(zip(files["name"], zip(files["size"], files["stamp"], strict=True), strict=True))
    content = (told["reading"], told["data_digest"], told["examples"])
    return Inventory(folder, by_name, *content, trained_on(folder), told.get("answers", {}))


def trained_on(folder: Path) -> tuple[str, ...]:
    """Returns the splits that the model of an inventory's version learned from: see `Inventory`."""
    path = folder / "inventory.json"
    told = json.loads(path.read_text("utf-8")) if path.exists() else {}
    return tuple(told.get("trained_on", ["train"]))


def _write_files(folder: Path, files: Sequence[File]) -> None:
    columns = {
        "name": pa.array([printable(file.name) for file in files], pa.string()),
        "size": pa.array([file.size for file in files], pa.int64()),
        "stamp": pa.array([file.stamp for file in files], pa.string()),
    }
    pq.write_table(pa.table(columns), folder / "files.parquet", compression="zstd")
