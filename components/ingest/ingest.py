"""Labelled data from anywhere into a snapshot: checked, split, immutable, with a digest."""

import contextlib
import dataclasses
import hashlib
import os
import tempfile
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pyarrow as pa

from components.ingest.buckets import Buckets, Example, identity
from components.ingest.rejects import Rejects
from components.ingest.shards import ShardWriter
from components.shared import tasks
from components.shared.ahead import map_ahead
from components.shared.artifact import Draft, write_artifact
from components.shared.errors import InputError, quote_all
from components.shared.snapshot import SPLITS
from components.shared.sources.hub import PREFIX, read_hub
from components.shared.sources.images import image_files, read_images
from components.shared.sources.rows import Row, data_files, read_rows
from components.shared.step import Progress, option, required

_MAX_CLASSES = 10_000
_MAX_FLOAT_CLASSES = 10  # ratings of 0.5, 1.0, … 5.0 are classes; more are measurements
_BUCKET_BYTES = 32 << 20
_HUB_BYTES = 4 << 30  # assumed where the size is not known


@dataclass(frozen=True)
class IngestSettings:
    """Settings of `ingest`; the fields of `data` in a job."""

    source: str = required("where the data is: a path, s3://bucket/prefix, or hf://owner/name[/config]")
    inputs: list[str] = required("the columns that hold the input")
    label: str = required("the column that holds the label")
    task: str = option("text-classification", "what is to be learned")
    labels: list[str] = option([], "the labels there may be; empty: all that are found")
    splits: dict[str, str] = option(
        {}, 'which given split is to be which, e.g. {"train": "train", "validation": "test"}'
    )
    validation_fraction: float = option(0.1, "part of the examples for validation, where none are given")
    test_fraction: float = option(0.1, "part of the examples for the test, where none are given")
    max_rejects: float = option(0.01, "the fraction of rows that may be rejected")
    max_characters: int = option(100_000, "the longest text that is taken for one")
    max_pixels: int = option(100_000_000, "the largest image, width x height, that is decoded")


@dataclass(frozen=True)
class IngestReport:
    """What `ingest` did: the snapshot's digest, rows by split, and what was left out."""

    digest: str
    read: int
    rows: dict[str, int]
    labels: int
    duplicates: int
    rejected: dict[str, int]


def ingest(snapshot: Path, settings: IngestSettings) -> IngestReport:
    """Writes a snapshot of labelled data.

    The artifact holds `<split>-*.parquet` (columns `id`, `input_1`, …, `label`), `snapshot.json`, and as notes
    `counts.json` and `rejects.jsonl`. Memory is bounded: examples wait on disk, parted by identity.

    Args:
        snapshot: The folder to write.
        settings: Where the data is and how it is read.

    Raises:
        InputError: The data cannot be read, is refused, or has too many rows that cannot be used.
        ServiceError: The store or the hub failed, or the disk is full.
    """
    if len(settings.inputs) not in tasks.get(settings.task).input_counts:
        allowed = " or ".join(str(count) for count in tasks.get(settings.task).input_counts)
        raise InputError(f"{settings.task} takes {allowed} input columns; data.inputs names {len(settings.inputs)}.")
    if wrong := set(settings.splits.values()) - set(SPLITS):
        raise InputError(f"data.splits leads to {quote_all(wrong)}; only {quote_all(SPLITS)} are splits.")
    with write_artifact(snapshot, "snapshot", dataclasses.asdict(settings)) as draft:
        counts = _Ingestion(draft, settings).run()
    return IngestReport(digest=draft.digest, **counts)


class _Ingestion:
    """One run of the step: rows → checked examples → buckets → shards."""

    def __init__(self, draft: Draft, settings: IngestSettings) -> None:
        self.draft, self.settings = draft, settings
        self.task = tasks.get(settings.task)
        self.limits = tasks.Limits(settings.max_characters, settings.max_pixels)
        self.binary = self.task.input_type == pa.binary()
        self.input_types = [self.task.input_type] * len(settings.inputs)
        self.columns = [*settings.inputs, settings.label]
        self.rejects = Rejects(draft.path / "notes" / "rejects.jsonl")
        self.labels: set[str] = set(settings.labels)
        self.given: set[str] = set()
        self.read = self.duplicates = 0

    def run(self) -> dict[str, Any]:
        with contextlib.closing(self.rejects), tempfile.TemporaryDirectory(prefix="graft-ingest-") as scratch:
            buckets = self._collect(Path(scratch))
            classes = self._write(buckets)
            self.rejects.check(self.read, self.settings.max_rejects)
        return self._finish(classes)

    def _collect(self, scratch: Path) -> Buckets:
        rows, size = self._rows()
        bits = min(8, max(0, (size // _BUCKET_BYTES).bit_length()))
        buckets = Buckets(scratch, self.input_types, bits)
        progress = Progress("ingest", 2.0)
        for row, found in self._checked(rows):
            self.read += 1
            if isinstance(found, Example):
                self._know(found)
                buckets.add(found)
            else:
                self.rejects.add(row.place, found, self._inputs(row), row.values.get(self.settings.label))
            if self.read % 10_000 == 0:
                progress.update(min(1.0, self.read / 1e6), f"{self.read:,} rows read, {self.rejects.total:,} rejected")
        self._check_labels()
        progress.update(2.0, f"{self.read:,} rows read, {self.rejects.total:,} rejected")
        return buckets

    def _rows(self) -> tuple[Iterator[Row], int]:
        settings = self.settings
        if settings.source.startswith(PREFIX):
            return read_hub(settings.source, self.columns, settings.label, settings.splits), _HUB_BYTES
        if self.binary:
            files = image_files(settings.source)
            return read_images(files, self.columns, settings.splits), sum(file.size for file in files)
        files = data_files(settings.source)
        size = sum(file.size * (4 if file.name.endswith((".gz", ".parquet")) else 1) for file in files)
        return read_rows(files, self.columns, settings.splits), size

    def _checked(self, rows: Iterator[Row]) -> Iterator[tuple[Row, Example | str]]:
        """Checks rows, in order; files are decoded for that, on all cores."""
        if self.binary:
            return map_ahead(self._check, rows, os.cpu_count() or 1, self._size)
        return map(self._check, rows)

    def _check(self, row: Row) -> tuple[Row, Example | str]:
        """Returns the row with its example, or why it is none."""
        inputs = self._inputs(row)
        label = _label(row.values.get(self.settings.label))
        reason = row.fault or self.task.reason_to_reject(inputs, self.limits) or self._fault_of(label)
        if reason or label is None:
            return row, reason or "missing label"
        return row, Example(identity(inputs), row.split or "", label, row.place, inputs)

    def _fault_of(self, label: str | None) -> str | None:
        if label is None:
            return "missing label"
        if self.settings.labels and label not in self.labels:
            return "unknown label"
        is_utf8 = label.encode("utf-8", "replace").decode() == label
        return None if is_utf8 else "invalid UTF-8 in the label"

    def _inputs(self, row: Row) -> tuple[Any, ...]:
        return tuple(row.values.get(column) for column in self.settings.inputs)

    def _size(self, row: Row) -> int:
        return sum(len(value) for value in self._inputs(row) if isinstance(value, bytes))

    def _know(self, example: Example) -> None:
        self.labels.add(example.label)
        if len(self.labels) > _MAX_CLASSES:
            raise InputError(
                f"The label column {self.settings.label!r} has over {_MAX_CLASSES:,} different values, such as "
                f"{example.label[:80]!r}. A column of classes was expected: set data.label."
            )
        if example.split:
            self.given.add(example.split)

    def _check_labels(self) -> None:
        fractional = [label for label in self.labels if _is_fraction(label)]
        many = len(self.labels) > _MAX_FLOAT_CLASSES or 2 * len(self.labels) > self.read
        if not self.settings.labels and many and 2 * len(fractional) > len(self.labels):
            raise InputError(
                f"The label column {self.settings.label!r} holds numbers such as {fractional[0]} "
                f"({len(self.labels)} different ones); {self.settings.task} needs classes. Set data.label to a column "
                "of classes, or name the classes in data.labels."
            )

    def _write(self, buckets: Buckets) -> dict[str, Counter[str]]:
        classes: dict[str, Counter[str]] = {split: Counter() for split in SPLITS}
        examples = buckets.settle(
            lambda example, reason: self.rejects.add(example.place, reason, example.inputs, example.label), self._drop
        )
        with contextlib.ExitStack() as stack:
            writers = {s: stack.enter_context(ShardWriter(self.draft.path, s, self.input_types)) for s in SPLITS}
            for example in examples:
                split = self._split(example)
                writers[split].add(example)
                classes[split][example.label] += 1
        return classes

    def _drop(self) -> None:
        self.duplicates += 1

    def _split(self, example: Example) -> str:
        """Decides by the example's own identity, so that it stays where it is as data is added.

        Given splits are kept; those that are missing are taken out of the training examples.
        """
        if example.split not in ("", "train"):
            return example.split
        drawn = int.from_bytes(hashlib.blake2b(example.id.encode(), digest_size=8, person=b"split").digest()) / 2**64
        test, validation = self.settings.test_fraction, self.settings.validation_fraction
        if drawn < test:
            return "test" if "test" not in self.given else "train"
        if drawn < test + validation:
            return "validation" if "validation" not in self.given else "train"
        return "train"

    def _finish(self, classes: dict[str, Counter[str]]) -> dict[str, Any]:
        _refuse_unlearnable(classes, self.settings.label)
        labels = sorted(set().union(*classes.values()))
        rows = {split: classes[split].total() for split in SPLITS}
        content = {
            "task": self.settings.task,
            "inputs": self.settings.inputs,
            "label": self.settings.label,
            "labels": labels,
            "rows": rows,
            "classes": {split: dict(classes[split]) for split in SPLITS},
        }
        self.draft.write_json("snapshot.json", content)
        rejected = dict(self.rejects.reasons)
        notes = {"read": self.read, "duplicates": self.duplicates, "rejected": rejected}
        self.draft.write_json("notes/counts.json", notes)
        return {**notes, "rows": rows, "labels": len(labels)}


def _label(value: object) -> str | None:
    """Returns a label as text: 1.0 and 1 are "1"; None, NaN and blanks are no label."""
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, float):
        if value != value:
            return None
        return str(int(value)) if value.is_integer() else str(value)
    text = "" if value is None else str(value).strip()
    return text or None


def _is_fraction(label: str) -> bool:
    try:
        return not float(label).is_integer()
    except (ValueError, OverflowError):
        return False


def _refuse_unlearnable(classes: dict[str, Counter[str]], column: str) -> None:
    labels = sorted(set().union(*classes.values()))
    if len(labels) < 2:
        raise InputError(
            f"The label column {column!r} has {len(labels)} class ({quote_all(labels)}); at least two are needed."
        )
    missing = [label for label in labels if not classes["train"][label]]
    if missing:
        raise InputError(
            f"{len(missing)} of {len(labels)} classes have no training example: {quote_all(missing)}. Label more of "
            "them, or leave them out of the data."
        )
    empty = [split for split in SPLITS if not classes[split].total()]
    if empty:
        rows = sum(counter.total() for counter in classes.values())
        raise InputError(
            f"No example is left for {quote_all(empty)} ({rows} examples in all). Label more, give that split in a "
            "file of its own, or set data.validation_fraction and data.test_fraction."
        )
