"""Columns that are odd: one that gives the label away, an id, one that hardly varies, one that is hardly filled."""

import re
from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from components.shared.profile.columns import Column, as_text, is_missing
from components.shared.profile.table import Table
from components.shared.sources.listing import sources_of

_CONSTANT = 0.99  # of the rows
_WORDS = re.compile(r"\w+")
_SPLITS = {"train", "training", "validation", "valid", "val", "dev", "test", "testing", "eval"}


def odd_columns(table: Table, inputs: Sequence[str], label: str) -> list[dict[str, Any]]:
    """Returns what is odd about the columns of a table: name, kind of oddity, a sentence."""
    found, labels = [], sources_of(label)
    for column in table.columns:
        for kind, what in _oddities(table, column, labels):
            found.append({"column": column.name, "kind": kind, "what": what, "input": column.name in inputs})
    return found


def label_in_text(examples: Sequence[tuple[tuple[str, ...], str]], labels: Sequence[str]) -> float:
    """Returns in which part of the texts their own label stands, beyond how often those of others do.

    Args:
        examples: A sample: texts and label.
        labels: All labels.
    """
    words = {label: _words(label) for label in labels[:200]}
    words = {label: found for label, found in words.items() if len("".join(found)) > 2}
    if len(words) < 2 or not examples:
        return 0.0
    own = other = 0
    for number, (texts, label) in enumerate(examples):
        held = f" {' '.join(_words(' '.join(texts)))} "
        foreign = list(words)[number % len(words)]
        own += label in words and f" {' '.join(words[label])} " in held
        other += foreign != label and f" {' '.join(words[foreign])} " in held
    return max(0.0, (own - other) / len(examples))


def tells(values: Sequence[Any], labels: Sequence[str], share: float = 0.98) -> bool:
    """Tells whether knowing a value tells the class: in nearly all rows, by values that many rows share."""
    classes: defaultdict[Any, Counter[str]] = defaultdict(Counter)
    for value, label in zip(values, labels, strict=True):
        classes[value][label] += 1
    if len(classes) < 2 or len(classes) > len(values) / 5 or len(set(labels)) < 2:
        return False
    right = sum(counter.most_common(1)[0][1] for counter in classes.values())
    largest = Counter(labels).most_common(1)[0][1]
    return right >= share * len(values) and largest < 0.9 * right


def _words(text: str) -> list[str]:
    return _WORDS.findall(text.casefold().replace("_", " "))


def _oddities(table: Table, column: Column, labels: Sequence[str]) -> Iterator[tuple[str, str]]:
    if column.missing > 0.5 * column.rows:
        yield "sparse", f"{column.missing / column.rows:.0%} of its values are missing"
    label = labels[0]
    if column.name in labels or column.kind in ("picture", "list", "mapping", "empty"):
        return
    filled = [row for row in table.rows if not (is_missing(row.get(column.name)) or is_missing(row.get(label)))]
    values = [as_text(row[column.name]) for row in filled]
    top = Counter(values).most_common(1)
    if {value.strip().lower() for value in values} <= _SPLITS:
        yield "split", "it names splits; graft takes splits from the names of files or folders"
    elif column.is_id:
        yield "id", f"{column.distinct:,} different values in {column.filled:,} rows: an id"
    elif top and top[0][1] >= _CONSTANT * len(values):
        yield "constant", f"{top[0][1] / len(values):.0%} of its values are the same"
    elif len(labels) == 1 and tells(values, [_label(row, label) for row in filled]):
        yield "leak", f"whoever knows it knows {label!r}: {column.distinct:,} values, each of one class"


def _label(row: Mapping[str, Any], label: str) -> str:
    return as_text(row.get(label))
