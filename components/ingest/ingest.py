"""Labelled data from anywhere into a snapshot: checked, split, immutable, with a digest."""

import contextlib
import dataclasses
import tempfile
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from components.ingest.data_warnings import warnings_of
from components.ingest.near import NearDuplicates
from components.ingest.plan import Plan, Remembered, Terms, make_plan
from components.ingest.rare import RARE, RareClasses
from components.ingest.rejects import LeftOut, Rejects
from components.ingest.settling import Settling
from components.ingest.shards import ShardWriter
from components.ingest.splits import Fractions
from components.shared.artifacts.artifact import Draft, write_artifact
from components.shared.artifacts.inventory import FOLDER, Dealt, InventoryWriter, open_inventory
from components.shared.artifacts.snapshot import COUNTS, CROSS_VALIDATION, FOLDS, HOLDOUT, SPLITS
from components.shared.cores import cores
from components.shared.errors import InputError, did_you_mean, quote_all
from components.shared.process.step import Progress, option
from components.shared.profile.profile import NOTE, profile_snapshot
from components.shared.profile.reading import explained, resolve
from components.shared.sources.buckets import AHEAD, Buckets, held
from components.shared.sources.rows import Row
from components.shared.sources.source import Source, SourceSettings
from components.shared.storage.prefetch import map_ahead, taking_turns
from components.shared.storage.storage import File
from components.shared.tasks.strata import NONE, Memberships

UNLABELLED = ("reject", "hold")
_MISSING = "missing label"


@dataclass(frozen=True)
class IngestSettings(SourceSettings):
    """Settings of `ingest`; the fields of `data` in a job.

    Raises:
        InputError: `rare_classes` or `unlabelled` is none that there is.
    """

    validation_fraction: float = option(0.1, "part of the examples for validation, where none are given")
    test_fraction: float = option(0.1, "part of the examples for the test, where none are given")
    max_rejects: float = option(0.01, "the fraction of rows that may be rejected")
    unlabelled: str = option("reject", "rows without a label: " + " or ".join(UNLABELLED) + " (they are no faults)")
    min_per_class: int = option(5, "training examples of a class; one with fewer is named, dropped or merged")
    rare_classes: str = option("keep", "what becomes of classes with fewer: " + ", ".join(RARE))
    near_duplicates: float = option(0.75, "how alike inputs are that are kept in one split; 1: none are looked for")
    max_overlap: float = option(0.2, "the part of a given test split that may have near-duplicates in training")
    known: str = option("", 'a version, "models:/NAME/3", whose examples stay in the splits that it had them in')

    def __post_init__(self) -> None:
        for name, allowed in (("unlabelled", UNLABELLED), ("rare_classes", RARE)):
            if (value := getattr(self, name)) not in allowed:
                near = did_you_mean(value, allowed)
                raise InputError(f"data.{name} is {value!r}; allowed: {quote_all(allowed)}.{near}")


@dataclass(frozen=True)
class IngestReport:
    """What `ingest` did: the snapshot's digest, rows by split, and what was left out.

    Attributes:
        read: Rows: those of the splits, duplicates, unlabelled and rejected ones together.
        evaluation: How a model of it is to be measured, see `components.shared.artifacts.snapshot`.
        warnings: What somebody should look at, in sentences.
    """

    digest: str
    read: int
    rows: dict[str, int]
    labels: int
    duplicates: int
    unlabelled: int
    rejected: dict[str, int]
    evaluation: str
    warnings: list[str]


def ingest(snapshot: Path, settings: IngestSettings) -> IngestReport:
    """Writes a snapshot of labelled data.

    The artifact holds `<split>-*.parquet` (columns `id`, `input_1`, …, `slice_1`, …, `label`), `snapshot.json`,
    `folds.parquet` where it is small, and as notes `counts.json`, `profile.json`, `rejects.csv`, `unlabelled.csv` and
    the `inventory`. Memory is bounded: examples wait on disk, parted by identity; 100 bytes of each are held to split
    them.

    Args:
        snapshot: The folder to write.
        settings: Where the data is and how it is read.

    Raises:
        InputError: The data cannot be read, is refused, or has too many rows that cannot be used.
        ServiceError: The store, the hub or the registry failed, or the disk is full.
    """
    settings = resolve(settings)
    source = Source(settings)
    with explained(settings), write_artifact(snapshot, "snapshot", dataclasses.asdict(settings)) as draft:
        counts = _Ingestion(draft, settings, source).run()
    return IngestReport(digest=draft.digest, **counts)


class _Ingestion:
    """One run of the step: rows → checked examples → buckets → plan → shards."""

    def __init__(self, draft: Draft, settings: IngestSettings, source: Source) -> None:
        self.draft, self.settings, self.source = draft, settings, source
        self.target = source.task.target
        if settings.rare_classes != "keep" and not self.target.named:
            raise InputError(
                f"data.rare_classes: {settings.rare_classes} is about the classes of one task, and those of "
                f"{settings.task} have no rare ones. Leave it out."
            )
        columns = [*settings.inputs, *settings.label_columns()]
        self.rejects = Rejects(draft.path / "notes" / "rejects.csv", columns)
        self.held = LeftOut(draft.path / "notes" / "unlabelled.csv", columns)
        self.census = self.target.census(settings.asked())
        self.folds: list[tuple[str, int]] = []
        self.read = self.duplicates = self.unlabelled = 0
        self.progress = Progress("ingest", 3.0)

    def run(self) -> dict[str, Any]:
        with contextlib.ExitStack() as stack:
            stack.enter_context(taking_turns())
            for file in (self.rejects, self.held):
                stack.enter_context(contextlib.closing(file))
            scratch = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="graft-ingest-")))
            files = self.source.files()
            buckets = self._collect(files, scratch)
            self.rejects.check(self.read, self.settings.max_rejects)
            plan = self._plan(buckets, scratch)
            rare = self._rare(plan)
            strata = plan.strata.renamed(rare.label_of, whole=not self.target.exclusive)
            self._refuse_unlearnable(strata, plan)
            self._write(files, buckets, plan, rare)
            self.rejects.check(self.read, self.settings.max_rejects)
        return self._finish(plan, rare, strata)

    def _collect(self, files: Sequence[File], scratch: Path) -> Buckets:
        buckets = self.source.buckets(files, scratch)
        progress, told, due = self.progress, 0, 0
        for checked in self.source.checked(files):
            self.read += checked.read
            if checked.examples:
                self.census.add(Counter(checked.labels))
                buckets.add(checked.examples)
            for row, reason in checked.refused:
                self._refuse(row, reason)
            while told < len(self.source.told):
                progress.line(f"ingest: {self.source.told[told]}")
                told += 1
            if self.read >= due:
                progress.update(self.read / (self.read + 1e6), self._told_rows())
                due = self.read + 10_000
        self.census.check(self.read)
        progress.update(1.0, self._told_rows())
        return buckets

    def _told_rows(self) -> str:
        rate = self.progress.rate(self.read)
        return f"{self.read:,} rows read ({rate:,.0f} a second), {self.rejects.total:,} rejected"

    def _refuse(self, row: Row, reason: str) -> None:
        if reason == _MISSING and self.settings.unlabelled == "hold":
            self.unlabelled += 1
            self.held.add(row.place, reason, self.source.inputs(row), [None] * len(self.settings.label_columns()))
        else:
            self.rejects.add(row.place, reason, self.source.inputs(row), self.source.labels(row))

    def _rare(self, plan: Plan) -> RareClasses:
        """Returns what becomes of rare classes; where strata are ranges of numbers, none is."""
        counts = (
            plan.strata.of_splits(plan.splits) if self.target.named else {split: Counter[str]() for split in SPLITS}
        )
        return RareClasses(counts, self.settings.min_per_class, self.settings.rare_classes)

    def _refuse_unlearnable(self, strata: Memberships, plan: Plan) -> None:
        counts = strata.of_splits(plan.splits)
        self.target.check_learnable(counts, " and ".join(self.settings.label_columns()))
        rows = strata.rows(plan.splits)
        if empty := [split for split in SPLITS if not rows[split]]:
            _refuse_empty(empty, counts, sum(rows.values()))

    def _plan(self, buckets: Buckets, scratch: Path) -> Plan:
        settings = self.settings
        fractions = Fractions(validation=settings.validation_fraction, test=settings.test_fraction)
        terms = Terms(fractions, bool(settings.time), settings.max_overlap)
        remembered = Remembered(_known(settings, scratch / "known") if settings.known else iter(()))
        with contextlib.ExitStack() as stack:
            near = None
            if settings.near_duplicates < 1:
                found = NearDuplicates(scratch / "near", self.source.task.input_type, settings.near_duplicates)
                near = stack.enter_context(found)
            return make_plan(buckets, near, remembered, terms, self.target, self._looked)

    def _looked(self, count: int) -> None:
        self.progress.update(1 + min(1.0, count / max(self.read, 1)), f"{count:,} examples compared")

    def _write(self, files: Sequence[File], buckets: Buckets, plan: Plan, rare: RareClasses) -> None:
        types, slices = self.source.input_types, len(self.settings.slices)
        number = 0
        with contextlib.ExitStack() as stack:
            reading, told = self.settings.reading(), plan.told
            inventory = InventoryWriter(self.draft.path / FOLDER, files, reading, self.source.task, told)
            stack.enter_context(contextlib.closing(inventory))
            shards = (ShardWriter(self.draft.path, split, types, slices, self.target.type) for split in SPLITS)
            writers = [stack.enter_context(writer) for writer in shards]
            settling, paths = Settling(rare, self.rejects, self.target, self.source.answers), buckets.paths()
            for path, bucket in zip(paths, map_ahead(buckets.open, paths, cores(), held, AHEAD), strict=True):
                kept = bucket.kept >= 0
                here = slice(number, number + int(kept.sum()))
                number = here.stop
                dealt, folds = np.full((2, len(kept)), -1, np.int8)
                dealt[kept] = plan.splits[here]
                if plan.folds is not None:
                    folds[kept] = plan.folds[here]
                inventory.add(bucket, dealt, folds)
                settled = settling.settle(bucket, slices)
                for split, writer in enumerate(writers):
                    groups = np.flatnonzero(settled.written & (dealt == split))
                    writer.add(groups, settled.room(groups), settled.read)
                path.unlink()
                self.progress.update(2 + number / max(plan.splits.size, 1), f"{number:,} examples written")
                if plan.folds is not None:
                    self.folds += zip(settled.ids(settled.written), folds[settled.written].tolist(), strict=True)
            self.duplicates = settling.duplicates

    def _finish(self, plan: Plan, rare: RareClasses, strata: Memberships) -> dict[str, Any]:
        classes, rows = strata.of_splits(plan.splits), strata.rows(plan.splits)
        labels = sorted(set().union(*classes.values()) - {NONE}) if self.target.named else []
        accounting = {
            "read": self.read,
            "kept": sum(rows.values()),
            "duplicates": self.duplicates,
            "unlabelled": self.unlabelled,
            "rejected": dict(sorted(self.rejects.reasons.items())),
        }
        content = {
            "task": self.settings.task,
            "inputs": self.settings.inputs,
            "label": self.settings.label,
            "slices": self.settings.slices,
            "labels": labels,
            "rows": rows,
            "classes": {split: dict(classes[split]) for split in SPLITS},
            "evaluation": HOLDOUT if plan.folds is None else CROSS_VALIDATION,
            "near_duplicates": plan.near,
            "rare_classes": rare.told(),
        }
        # What other tasks alone have: snapshots of classes are as they were.
        later = {"target": self.target.spec(classes, plan.told), "task_args": self.settings.task_args}
        content |= {name: told for name, told in later.items() if told}
        warnings = warnings_of(content, self.unlabelled)
        if plan.folds is not None:
            columns = pa.table({"id": [id_ for id_, _ in self.folds], "fold": [fold for _, fold in self.folds]})
            pq.write_table(columns, self.draft.path / FOLDS)
        self.draft.write_json("snapshot.json", content)
        self.draft.write_json(NOTE, profile_snapshot(self.draft, content, self.settings))
        # How rows came to be left out is no part of the digest: what is kept is the same.
        notes = {**accounting, "remembered": plan.remembered, "warnings": warnings}
        if self.source.told:
            self.draft.write_json("notes/reading.json", self.source.told)
        self.draft.write_json(COUNTS, notes)
        for warning in warnings:
            print(f"graft: {warning}", flush=True)
        told = {name: notes[name] for name in ("read", "duplicates", "unlabelled", "rejected", "warnings")}
        return {**told, "rows": rows, "evaluation": content["evaluation"], "labels": len(labels)}


def _known(settings: IngestSettings, scratch: Path) -> Iterator[Dealt]:
    """Yields where a version had its examples; nothing where it does not tell."""
    from components.shared.registry import registry  # and with it MLflow, which is slow to import

    name, _, number = settings.known.removeprefix("models:/").rpartition("/")
    version = next((found for found in registry.show_model(name) if found.version == number), None)
    folder = registry.download_inventory(version, scratch) if version else None
    if folder is None:
        print(f"graft: {settings.known} does not tell what it was trained on: splits follow from hashes", flush=True)
        return iter(())
    return open_inventory(folder).dealt(settings.validation_fraction, settings.test_fraction)


def _refuse_empty(empty: Sequence[str], counts: Mapping[str, Counter[str]], total: int) -> None:
    sizes: Counter[str] = sum(counts.values(), Counter())
    least = ", ".join(f"{label!r} {count}" for label, count in sizes.most_common()[::-1][:5])
    raise InputError(
        f"No example is left for {quote_all(empty)} ({total} examples in all; the smallest classes: "
        f"{least}). A class needs 3 examples or groups to be in all splits. Label more, give that split in a file "
        "of its own, or set data.validation_fraction and data.test_fraction."
    )
