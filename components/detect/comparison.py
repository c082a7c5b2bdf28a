"""Two contents of a source, of then and of now, example by example: what is new, relabelled, gone."""

import heapq
import itertools
import operator
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from components.shared.artifacts.inventory import SAMPLE, Content, Entry
from components.shared.drift import input_features
from components.shared.sources.buckets import Example
from components.shared.sources.merging import settle
from components.shared.tasks import Task

MOST_CLASSES = 50  # that are told one by one

Row = Entry | Example
_Group = tuple[list[Row], list[Row]]


@dataclass
class Comparison:
    """What the examples of then and now have in common, and what not.

    Attributes:
        content: Of now.
        task: What the data is for.
        answers: What the inventory of then tells of all labels.
        before: Examples of then, by stratum: by class, mostly.
        after: Examples of now, by stratum.
        examples: How many there were then, and are now.
        new: Inputs that are there now alone.
        changed: Inputs with another label, or another given split.
        vanished: Inputs that were there then alone.
        sample: Features of new inputs: of the first by identity, as far as they were read now.
    """

    task: Task
    answers: Mapping[str, Any] = field(default_factory=dict)
    content: Content = field(default_factory=Content)
    before: Counter[str] = field(default_factory=Counter)
    after: Counter[str] = field(default_factory=Counter)
    examples: list[int] = field(default_factory=lambda: [0, 0])
    new: int = 0
    changed: int = 0
    vanished: int = 0
    sample: list[np.ndarray] = field(default_factory=list)

    @property
    def differs(self) -> bool:
        """Whether anything is not as it was."""
        return bool(self.new or self.changed or self.vanished)

    def add(self, before: Row | None, after: Row | None) -> None:
        """Adds an input: what was kept of it then, and what would be now."""
        for place, row, counts in ((0, before, self.before), (1, after, self.after)):
            if row is not None:
                self.examples[place] += 1
                counts.update(self.task.target.strata(row.label, self.answers))
        if after is not None:
            self.content.add(after.id, after.split, after.label)
        if before is None and after is not None:
            self.new += 1
            if isinstance(after, Example) and len(self.sample) < SAMPLE:
                self.sample.append(input_features(after.inputs, self.task.input_type))
        elif before is not None and after is None:
            self.vanished += 1
        elif before is not None and after is not None:
            self.changed += (before.label, before.split) != (after.label, after.split)

    def told(self) -> dict[str, Any]:
        """Returns counts of examples and classes, and how far apart the distributions of classes are."""
        labels = sorted(self.before | self.after, key=lambda label: (-self.after[label], -self.before[label], label))
        totals = [max(counts.total(), 1) for counts in (self.before, self.after)]
        gaps = (abs(self.before[label] / totals[0] - self.after[label] / totals[1]) for label in labels)
        return {
            "examples": {
                "before": self.examples[0],
                "after": self.examples[1],
                "new": self.new,
                "changed": self.changed,
                "vanished": self.vanished,
            },
            "labels": {
                "new": sorted(set(self.after) - set(self.before)) if self.before else [],
                "vanished": sorted(set(self.before) - set(self.after)),
            },
            "classes": [
                {"label": label, "before": self.before[label], "after": self.after[label]}
                for label in labels[:MOST_CLASSES]
            ],
            "balance": sum(gaps) / 2 if self.before else 0.0,  # total variation distance
        }


def compare(
    before: Iterable[Entry], now: Iterable[Iterable[Row]], task: Task, answers: Mapping[str, Any]
) -> Comparison:
    """Compares two contents in one pass: nothing but counts and a sample stays in memory.

    Args:
        before: The rows of then, sorted by identity.
        now: Those of now, in several parts, each sorted by identity.
        task: What the data is for.
        answers: What is known of all labels of then.
    """
    found = Comparison(task, answers)
    for then, today in _groups(before, now):
        found.add(_settled(then, task), _settled(today, task))
    return found


def _groups(before: Iterable[Entry], now: Iterable[Iterable[Row]]) -> Iterator[_Group]:
    """Yields the rows of one input together: those of then, and those of now."""
    parts = [((row.id, 0, row) for row in before), *(((row.id, 1, row) for row in part) for part in now)]
    merged: Iterator[tuple[str, int, Row]] = heapq.merge(*parts, key=operator.itemgetter(0))
    for _, rows in itertools.groupby(merged, key=operator.itemgetter(0)):
        group: _Group = ([], [])
        for _, side, row in rows:
            group[side].append(row)
        yield group


def _settled(rows: list[Row], task: Task) -> Row | None:
    target = task.target
    told = [
        row.labelled(target.told(row.label)) if isinstance(row, Example) and target.private else row for row in rows
    ]
    return settle(told, target, lambda *_: None, lambda _: None) if told else None
