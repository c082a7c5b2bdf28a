"""Classes as answers: one text an example."""

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from components.shared.errors import InputError, quote_all
from components.shared.sources.labels import LabelReader, check_classes
from components.shared.tasks.target import AnswerReader, Asked, Target, refuse_untrained

_MOST = 10_000  # classes
_MOST_LABELS = 1_000_000  # different ones: what cannot be classes is told what it is, in bounded memory


class Classes(Target):
    """One of two or more classes; its own canonical text."""

    type = pa.string()
    features = pa.schema([("label", pa.int32())])
    exclusive = True
    kinds = ("class", "classes")
    answers = "belongs to one of {count} classes"

    def reader(self, asked: Asked) -> AnswerReader:
        """See `Target`."""
        return label_reader(asked)

    def census(self, asked: Asked) -> "ClassCensus":
        """See `Target`."""
        return ClassCensus(label_reader(asked))

    def check_learnable(self, counts: Mapping[str, Mapping[str, int]], column: str) -> None:
        """Two classes at least, each with an example to learn from."""
        labels = sorted(set().union(*counts.values()))
        if len(labels) < 2:
            raise InputError(
                f"The label column {column!r} has {len(labels)} class ({quote_all(labels)}); at least two are needed."
            )
        refuse_untrained(counts, labels, "classes")

    def encode(self, answers: pa.Array, spec: Mapping[str, Any]) -> list[pa.Array]:
        """`label` int32: the place of the class in the spec's labels."""
        return [pc.index_in(answers, pa.array(spec["labels"], pa.string())).cast(pa.int32())]


def label_reader(asked: Asked) -> LabelReader:
    """Returns what makes one name of a value."""
    return LabelReader(asked.columns[0], asked.task, asked.allowed, asked.codes, asked.normalize)


class ClassCensus:
    """Counts classes.

    Args:
        reader: How they are read.
    """

    def __init__(self, reader: LabelReader) -> None:
        self._reader, self._counts = reader, Counter[str]()
        self._rows = 0

    def add(self, answers: Mapping[str, int]) -> None:
        """See `Census`."""
        self._counts.update(answers)
        if len(self._counts) > _MOST_LABELS:
            self.check(self._counts.total())

    def check(self, rows: int) -> None:
        """Refuses numbers, dates, identifiers, spellings of one class, and more classes than can be."""
        check_classes(self._counts, rows, self._reader)
        refuse_many(self._counts, self._reader.column)


def refuse_many(names: Sequence[str] | Mapping[str, int], column: str) -> None:
    """Raises `InputError` where there are more different names than there are classes in any data."""
    if len(names) > _MOST:
        raise InputError(
            f"The label column {column!r} has over {_MOST:,} different values, such as {next(iter(names))[:80]!r}. A "
            "column of classes was expected: set data.label."
        )
