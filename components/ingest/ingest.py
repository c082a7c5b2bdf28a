"""Labelled data from anywhere into a snapshot: checked, split, immutable, with a digest."""

import contextlib
import dataclasses
import hashlib
import tempfile
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from components.ingest.rejects import Rejects
from components.ingest.shards import ShardWriter
from components.shared.artifact import Draft, write_artifact
from components.shared.errors import InputError, quote_all
from components.shared.inventory import FOLDER, InventoryWriter
from components.shared.profile.profile import NOTE, profile_snapshot
from components.shared.profile.reading import explained, resolve
from components.shared.snapshot import SPLITS
from components.shared.sources.buckets import Buckets, Example, settle
from components.shared.sources.source import Source, SourceSettings
from components.shared.step import Progress, option
from components.shared.storage import File

_MAX_CLASSES = 10_000
_MAX_FLOAT_CLASSES = 10  # ratings of 0.5, 1.0, … 5.0 are classes; more are measurements


@dataclass(frozen=True)
class IngestSettings(SourceSettings):
    """Settings of `ingest`; the fields of `data` in a job."""

    validation_fraction: float = option(0.1, "part of the examples for validation, where none are given")
    test_fraction: float = option(0.1, "part of the examples for the test, where none are given")
    max_rejects: float = option(0.01, "the fraction of rows that may be rejected")


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

    The artifact holds `<split>-*.parquet` (columns `id`, `input_1`, …, `slice_1`, …, `label`), `snapshot.json`, and as
    notes `counts.json`, `rejects.jsonl`, `profile.json` and the `inventory`. Memory is bounded: examples wait on disk,
    parted by identity.

    Args:
        snapshot: The folder to write.
        settings: Where the data is and how it is read.

    Raises:
        InputError: The data cannot be read, is refused, or has too many rows that cannot be used.
        ServiceError: The store or the hub failed, or the disk is full.
    """
    settings = resolve(settings)
    source = Source(settings)
    with explained(settings), write_artifact(snapshot, "snapshot", dataclasses.asdict(settings)) as draft:
        counts = _Ingestion(draft, settings, source).run()
    return IngestReport(digest=draft.digest, **counts)


class _Ingestion:
    """One run of the step: rows → checked examples → buckets → shards."""

    def __init__(self, draft: Draft, settings: IngestSettings, source: Source) -> None:
        self.draft, self.settings, self.source = draft, settings, source
        self.rejects = Rejects(draft.path / "notes" / "rejects.jsonl")
        self.labels: set[str] = set(settings.labels)
        self.given: set[str] = set()
        self.read = self.duplicates = 0

    def run(self) -> dict[str, Any]:
        with contextlib.closing(self.rejects), tempfile.TemporaryDirectory(prefix="graft-ingest-") as scratch:
            files = self.source.files()
            buckets = self._collect(files, Path(scratch))
            classes = self._write(files, buckets)
            self.rejects.check(self.read, self.settings.max_rejects)
        return self._finish(classes)

    def _collect(self, files: Sequence[File], scratch: Path) -> Buckets:
        buckets = self.source.buckets(files, scratch)
        progress = Progress("ingest", 2.0)
        for row, found in self.source.examples(files):
            self.read += 1
            if isinstance(found, Example):
                self._know(found)
                buckets.add(found)
            else:
                self.rejects.add(row.place, found, self.source.inputs(row), row.values.get(self.settings.label))
            if self.read % 10_000 == 0:
                progress.update(min(1.0, self.read / 1e6), f"{self.read:,} rows read, {self.rejects.total:,} rejected")
        self._check_labels()
        progress.update(2.0, f"{self.read:,} rows read, {self.rejects.total:,} rejected")
        return buckets

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

    def _write(self, files: Sequence[File], buckets: Buckets) -> dict[str, Counter[str]]:
        classes: dict[str, Counter[str]] = {split: Counter() for split in SPLITS}
        types, slices = self.source.input_types, len(self.settings.slices)
        reading, input_type = self.settings.reading(), self.source.task.input_type
        with contextlib.ExitStack() as stack:
            inventory = InventoryWriter(self.draft.path / FOLDER, files, reading, input_type)
            stack.enter_context(contextlib.closing(inventory))
            writers = {
                split: stack.enter_context(ShardWriter(self.draft.path, split, types, slices)) for split in SPLITS
            }
            for group in buckets.groups():
                kept = settle(group, self._set_aside, self._drop)
                inventory.add(group, kept)
                if kept is not None:
                    split = self._split(kept)
                    writers[split].add(dataclasses.replace(kept, slices=_slices(group)))
                    classes[split][kept.label] += 1
        return classes

    def _set_aside(self, example: Example, reason: str) -> None:
        self.rejects.add(example.place, reason, example.inputs, example.label)

    def _drop(self, _: Example) -> None:
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
            "slices": self.settings.slices,
            "labels": labels,
            "rows": rows,
            "classes": {split: dict(classes[split]) for split in SPLITS},
        }
        self.draft.write_json("snapshot.json", content)
        self.draft.write_json(NOTE, profile_snapshot(self.draft, content, self.settings))
        rejected = dict(self.rejects.reasons)
        notes = {"read": self.read, "duplicates": self.duplicates, "rejected": rejected}
        self.draft.write_json("notes/counts.json", notes)
        return {**notes, "rows": rows, "labels": len(labels)}


def _slices(group: Sequence[Example]) -> tuple[str | None, ...]:
    """Returns the slices of an input: where its rows differ, the first in the alphabet, whatever their order was."""
    columns = zip(*(example.slices for example in group), strict=True)
    return tuple(min((value for value in column if value is not None), default=None) for column in columns)


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
