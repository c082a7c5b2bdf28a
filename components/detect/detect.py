"""Today's source against what the champion was trained on: what has changed, and is there anything to learn?"""

import dataclasses
import itertools
import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from components.detect.comparison import Comparison, compare
from components.shared.artifacts.artifact import write_artifact
from components.shared.artifacts.inventory import Inventory, open_inventory
from components.shared.backbones import REGISTRY, pinned
from components.shared.drift import two_sample_test
from components.shared.errors import InputError, did_you_mean, quote_all
from components.shared.process.step import Progress, option, required
from components.shared.profile.reading import explained, resolve
from components.shared.registry import records, registry
from components.shared.registry.records import PipelineRun
from components.shared.registry.registry import CHALLENGER, CHAMPION, Version
from components.shared.sources.buckets import Buckets
from components.shared.sources.source import Source, SourceSettings
from components.shared.storage.storage import File, printable

STARTS = ("champion", "backbone", "better")
MOST_LABELS = 50  # that the summary names, which travels as a parameter; the artifact holds them all


@dataclass(frozen=True, kw_only=True)
class DetectSettings(SourceSettings):
    """Settings of `detect`; the fields of `data` and `retrain` in a job, its model and backbone.

    Raises:
        InputError: `start_from` is none that there is.
    """

    model: str = required("name in the registry, whose champion the data is compared with")
    backbone: str = required("what training starts from where it does not start from the champion")
    start_from: str = option("champion", "what training starts from: " + ", ".join(STARTS) + " (on validation)")
    force: bool = option(False, "train, whether the data has changed or not")
    pipeline_run: str = option("", "the run of the pipeline, for which it is written down whether anything has changed")

    def __post_init__(self) -> None:
        if self.start_from not in STARTS:
            near = did_you_mean(self.start_from, STARTS)
            raise InputError(f"start_from is {self.start_from!r}; allowed: {quote_all(STARTS)}.{near}")


@dataclass(frozen=True)
class DetectReport:
    """What `detect` found.

    Attributes:
        digest: Of the artifact that tells it.
        changed: Whether there is something to train for.
        backbone: What training starts from; a version of the registry is pinned.
        alternative: What it starts from as well, the better on validation being kept; or "".
        known: The champion, "models:/NAME/3", whose data is old data now; or "".
        summary: A sentence, counts of examples, labels, classes before and after, drift: of `changes.json` what fits
            into a parameter.
    """

    digest: str
    changed: bool
    backbone: str
    alternative: str
    known: str
    summary: dict[str, Any]


def detect(changes: Path, settings: DetectSettings) -> DetectReport:
    """Compares the content of a source with what the champion was trained on.

    Only files are read that are new or other than when the newest version was trained (by ETag, or by size and times);
    what the others hold is told by the inventory that was kept with that version. Nothing but content counts: the
    same examples in other files, another order or with newer timestamps are no change. Data that a version was trained
    on already, promoted or not, is not worth another training. The artifact holds `changes.json`.

    Args:
        changes: The folder to write.
        settings: Where the data is, and whose champion it is compared with.

    Raises:
        InputError: The data or the backbone cannot be read, or a setting is wrong.
        ServiceError: The store, the hub or the registry failed.
    """
    settings = resolve(settings)
    source = Source(settings)
    with explained(settings), write_artifact(changes, "changes", dataclasses.asdict(settings)) as draft:
        with tempfile.TemporaryDirectory(prefix="graft-detect-") as scratch:
            past = _Past(settings.model, Path(scratch))
            found = _look(source, past, Path(scratch))
        changed = settings.force or found.to_learn
        start = _start(settings, past.champion)
        summary = {"sentence": found.sentence(settings.force), "champion": _number(past.champion), **found.told}
        draft.write_json("changes.json", {"changed": changed, **start, **summary, "version": _told(past.champion)})
    told = {"changed": changed, "sentence": summary["sentence"], "version": _number(past.champion)}
    records.leave(PipelineRun(settings.model, settings.pipeline_run), "detect", told)
    print(f"graft: {summary['sentence']}", flush=True)
    labels = {name: told[:MOST_LABELS] for name, told in summary["labels"].items()}
    return DetectReport(digest=draft.digest, changed=changed, summary={**summary, "labels": labels}, **start)


class _Past:
    """The champion and the newest version, with what they were trained on, as far as that is known."""

    def __init__(self, name: str, scratch: Path) -> None:
        self.champion = registry.holder(name, CHAMPION)
        self.newest = registry.holder(name, CHALLENGER) or self.champion
        self.before = _inventory(self.champion, scratch / "champion")
        same = self.champion and self.newest and self.champion.version == self.newest.version
        self.latest = self.before if same else _inventory(self.newest, scratch / "newest")


@dataclass
class _Found:
    """What looking at the source brought, and how it is told."""

    past: _Past
    comparison: Comparison | None
    tried: bool
    told: dict[str, Any]

    @property
    def to_learn(self) -> bool:
        """Whether there is content that no version was trained on."""
        same = self.comparison is not None and self.past.before is not None and not self.comparison.differs
        return not self.tried and not same

    def sentence(self, force: bool) -> str:
        """Returns what was found, in plain words."""
        words = self._against_champion()
        newest = self.past.newest
        if self.tried and newest is not None and not _is_same(newest, self.past.champion):
            decision = {"refuse": "refused", "await approval": "awaits approval"}.get(newest.tags.get("decision", ""))
            words += f" Version {newest.version} was trained on just this data already" + (
                f" ({decision})." if decision else "."
            )
        return words + (" Training is forced." if force and not self.to_learn else "")

    def _against_champion(self) -> str:
        champion = self.past.champion
        if champion is None:
            return "There is no champion yet."
        if self.past.before is None:
            return f"Version {champion.version}, the champion, does not tell what it was trained on: all data is new."
        examples, labels = self.told["examples"], self.told["labels"]
        since = f"since version {champion.version}, the champion, was trained"
        names = {"new": "new", "changed": "relabelled", "vanished": "gone"}
        counts = [f"{examples[name]:,} {word}" for name, word in names.items() if examples[name]]
        if not counts:
            return f"Nothing has changed {since}: {examples['after']:,} examples."
        words = f"{', '.join(counts)} of {examples['after']:,} examples {since}."
        for name, word in (("new", "New"), ("vanished", "Vanished")):
            if labels[name]:
                words += f" {word} labels: {quote_all(labels[name], 5)}."
        return words


def _look(source: Source, past: _Past, scratch: Path) -> _Found:
    """Reads what is new, and compares."""
    files, progress = source.files(), Progress("detect", 1.0)
    latest = past.latest if past.latest and past.latest.reading == source.settings.reading() else None
    known = {printable(file.name) for file in files if latest and latest.knows(file)}
    fresh = [file for file in files if printable(file.name) not in known]
    progress.update(0.0, f"{len(files):,} files, {len(fresh):,} of them new or changed")
    if latest is not None and not fresh and len(known) == len(latest.files) and past.before is latest:
        return _unchanged(past, latest)
    buckets, rejected = _read(source, fresh, scratch, progress)
    now = [_rows_in(latest, known), itertools.chain.from_iterable(buckets.groups())]
    before = past.before.rows() if past.before else iter(())
    comparison = compare(before, now, source.task, past.before.answers if past.before else {})
    tried = past.latest is not None and comparison.content.digest == past.latest.data_digest
    told = {**comparison.told(), "drift": _drift(past.before, comparison), "rejected": rejected}
    progress.update(1.0, "compared")
    return _Found(past, comparison, tried, told)


def _unchanged(past: _Past, latest: Inventory) -> _Found:
    """Returns what is found where every file is as it was: nothing needs to be compared."""
    counts = {"before": latest.examples, "after": latest.examples, "new": 0, "changed": 0, "vanished": 0}
    told = {"examples": counts, "labels": {"new": [], "vanished": []}, "classes": [], "balance": 0.0, "drift": {}}
    return _Found(past, None, True, {**told, "rejected": 0})


def _read(source: Source, files: Sequence[File], scratch: Path, progress: Progress) -> tuple[Buckets, int]:
    """Reads files into buckets; returns how many rows could not be used, too."""
    (scratch / "buckets").mkdir()
    buckets, rejected = source.buckets(files, scratch / "buckets"), 0
    read = told = 0
    for checked in source.checked(files):
        if checked.examples:
            buckets.add(checked.examples)
        read, rejected = read + checked.read, rejected + len(checked.refused)
        if read - told >= 10_000:
            progress.update(min(0.9, read / 1e6), f"{read:,} rows of new files read")
            told = read
    return buckets, rejected


def _rows_in(inventory: Inventory | None, names: set[str]) -> Iterator[Any]:
    """Yields the rows of those files that are as they were."""
    if inventory is None or not names:
        return iter(())
    return (row for row in inventory.rows() if row.file in names)


def _drift(before: Inventory | None, comparison: Comparison) -> dict[str, Any]:
    """Returns the two-sample test of new inputs against those that the champion knows; {} where there are too few."""
    if before is None or not comparison.sample:
        return {}
    return two_sample_test(before.sample(), np.stack(comparison.sample))


def _inventory(version: Version | None, folder: Path) -> Inventory | None:
    found = registry.download_inventory(version, folder) if version else None
    return open_inventory(found) if found else None


def _start(settings: DetectSettings, champion: Version | None) -> dict[str, str]:
    """Returns what training starts from, and whose data is old data."""
    given = pinned(settings.backbone)
    if champion is None:
        return {"backbone": given, "alternative": "", "known": ""}
    known = f"{REGISTRY}{champion.model}/{champion.version}"
    fits = champion.tags.get("task", settings.task) == settings.task
    start = settings.start_from if fits else "backbone"  # its head is for something else
    return {
        "backbone": given if start == "backbone" else known,
        "alternative": given if start == "better" else "",
        "known": known,
    }


def _told(version: Version | None) -> dict[str, Any] | None:
    """Returns what people want to know of the champion where nothing else happens."""
    names = ("version", "aliases", "metrics", "verdict")
    return {name: getattr(version, name) for name in names} if version else None


def _number(version: Version | None) -> str:
    return version.version if version else ""


def _is_same(one: Version, other: Version | None) -> bool:
    return other is not None and one.version == other.version
