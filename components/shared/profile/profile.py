"""The profile of labelled data: what it is made of, in counts, and what is to be mended before it is trained on."""

import dataclasses
from collections.abc import Iterator, Mapping
from typing import Any

import pyarrow as pa

from components.shared import tasks
from components.shared.artifacts.artifact import Draft
from components.shared.artifacts.snapshot import SPLITS, read_batches
from components.shared.profile import pictures, texts
from components.shared.profile.advice import warnings_of
from components.shared.profile.odd import label_in_text, odd_columns
from components.shared.profile.reading import read
from components.shared.profile.seen import Seen
from components.shared.profile.table import Table, look
from components.shared.profile.texts import Ruler
from components.shared.profile.walk import walk
from components.shared.sources.source import Source, SourceSettings
from components.shared.tasks import Task

NOTE = "notes/profile.json"
ROWS, TEXT_FILES, PICTURES = 300_000, 20_000, 2_000  # that are looked at
_CLASSES = 1_000  # that are told
_SHOWN_CLASSES = 40
_SNAPSHOT_ROWS, _SNAPSHOT_PICTURES = 8_000, 500  # of a split


def profile(settings: SourceSettings, ruler: Ruler | None = None, rows: int = 0) -> dict[str, Any]:
    """Looks at a source of labelled data as `ingest` would read it.

    Of much data a part is looked at, of each file by its size, and `whole` is false then.

    Args:
        settings: Where the data is; columns that are left out are taken as `read` takes them.
        ruler: What counts the length of texts.
        rows: The most rows that are looked at; 0: 300,000, or 2,000 pictures.

    Returns:
        JSON values: `source`, `task`, `inputs`, `label`, `files`, `bytes`, `read`, `whole`, `sample`, `splits`,
        `classes` (label and examples by split, the largest first), `class_count`, `examples`, `lengths`, `scripts` and
        `label_in_text`, or `pictures`, `duplicates`, `faults`, `columns`, `odd` and `warnings`.

    Raises:
        InputError: The data cannot be read, or its columns cannot be told.
        ServiceError: The store or the hub did not answer.
    """
    reading_table = None if _is_pictures(settings) else look(settings)
    reading = read(settings, reading_table)
    chosen = dataclasses.replace(settings, inputs=reading.inputs, label=reading.label)
    source = Source(chosen)
    files, seen = source.files(), _seen(source.task)
    most = PICTURES if source.binary else TEXT_FILES if source.is_tree else ROWS
    whole = walk(source, files, seen, rows or most)
    told = {
        "source": settings.source,
        "files": len(files),
        "bytes": sum(file.size for file in files) if not source.is_hub else 0,
        "read": seen.read,
        "whole": whole,
    }
    return _told(chosen, seen, ruler or Ruler(), {**told, **_columns(reading_table, chosen)})


def profile_snapshot(draft: Draft, content: Mapping[str, Any], settings: SourceSettings) -> dict[str, Any]:
    """Looks at a snapshot: its order is that of a hash, so that the first examples are a fair sample.

    Args:
        draft: Whose shards are written.
        content: Of `snapshot.json`.
        settings: It was made with.

    Returns:
        As `profile`, with the counts of the whole snapshot.
    """
    task = tasks.get(settings.task, settings.task_args)
    seen, rows = _seen(task), content["rows"]
    most = _SNAPSHOT_PICTURES if _is_pictures(settings) else _SNAPSHOT_ROWS
    for split in SPLITS:
        for id_, label, inputs in _first(draft, split, most):
            seen.add(split, task.target.text(label), inputs, f"{split}: {id_}", id_)
    for split in SPLITS:
        seen.classes[split].clear()
        seen.classes[split].update(content["classes"][split] if task.target.named else {})
        seen.splits[split] = rows[split]
    looked = {"read": seen.read, "whole": seen.read == sum(rows.values())}
    told = {"source": settings.source, "files": 0, "bytes": 0, **looked, "columns": [], "odd": []}
    return _told(settings, seen, Ruler(), told)


def _told(settings: SourceSettings, seen: Seen, ruler: Ruler, told: Mapping[str, Any]) -> dict[str, Any]:
    sample, target = seen.sample, tasks.get(settings.task, settings.task_args).target
    counts = {split: dict(counter) for split, counter in seen.classes.items()}
    names = sorted(set().union(*counts.values()), key=lambda label: (-sum(_of(counts, label).values()), label))
    found: dict[str, Any] = {
        **told,
        "task": settings.task,
        "task_args": dict(settings.task_args),
        "inputs": settings.inputs,
        "label": settings.label,
        "sample": len(sample),
        "named": target.named,
        "exclusive": target.exclusive,
        "splits": {split: sum(counter.values()) for split, counter in counts.items()}
        if target.exclusive  # of a tree of pictures all are counted, and not only those that were looked at
        else dict(seen.splits),
        "classes": [[label, _of(counts, label)] for label in names[:_CLASSES]],
        "class_count": len(names),
        "examples": {label: seen.shown(label) for label in names[:_SHOWN_CLASSES]},
        "duplicates": seen.again(),
        "faults": {kind: [count, seen.first_fault[kind]] for kind, count in seen.faults.most_common()},
    }
    if _is_pictures(settings):
        looked = [(example.picture, example.label) for example in sample if example.picture]
        labels = [label if target.exclusive else "" for _, label in looked]
        found["pictures"] = pictures.summary([one for one, _ in looked], labels)
    else:
        found["lengths"] = texts.lengths([example.texts for example in sample], ruler)
        found["scripts"] = texts.scripts([example.texts[0] for example in sample])
        told_apart = [(example.texts, example.label) for example in sample[:2000] if target.exclusive]
        found["label_in_text"] = label_in_text(told_apart, names) if told_apart else 0.0
    found |= target.describe([example.label for example in sample])
    return {**found, "warnings": warnings_of(found)}


def _seen(task: Task) -> Seen:
    """Returns what counts examples by class, or label; what has no names is told by its sample."""
    target = task.target
    if target.exclusive:
        return Seen()
    return Seen((lambda answer: target.strata(answer, {})) if target.named else lambda _: ())


def _of(counts: Mapping[str, Mapping[str, int]], label: str) -> dict[str, int]:
    """Returns the examples of a class by split."""
    return {split: counter[label] for split, counter in counts.items() if label in counter}


def _columns(table: Table | None, settings: SourceSettings) -> dict[str, Any]:
    if table is None:
        return {"columns": [], "odd": []}
    odd = odd_columns(table, settings.inputs, settings.label)
    return {"columns": [column.to_json() for column in table.columns], "odd": odd}


def _is_pictures(settings: SourceSettings) -> bool:
    return bool(tasks.get(settings.task).input_type == pa.binary())


def _first(draft: Draft, split: str, most: int) -> Iterator[tuple[str, str, list[Any]]]:
    for batch in read_batches(draft, split):
        columns = [batch.column(name).to_pylist() for name in batch.schema.names if name.startswith("input_")]
        told = [batch.column(name).to_pylist() for name in ("id", "label")]
        for id_, label, *inputs in zip(*told, *columns, strict=True):
            if most == 0:
                return
            most -= 1
            yield id_, label, inputs
