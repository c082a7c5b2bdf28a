"""What makes an example of a row, or a reject: its inputs, its label, and what else is told of it."""

import functools
from collections import Counter
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import pyarrow as pa

from components.shared.errors import InputError
from components.shared.modalities import Limits
from components.shared.sources.buckets import Example
from components.shared.sources.checked import Checked
from components.shared.sources.columns import plain
from components.shared.sources.identity import identities, identity
from components.shared.sources.labels import LONGEST, text_of
from components.shared.sources.rows import Part, Row
from components.shared.sources.times import time_of
from components.shared.tasks import Task
from components.shared.tasks.target import AnswerReader

_Found = tuple[str | None, str | None]
"""A value as text, and why it cannot be used."""


class Check:
    """Checks rows, one by one or many at once.

    Args:
        task: What is to be learned.
        limits: Of inputs.
        answers: Makes labels of values.
        labels: The columns that hold the label.
        inputs: Those that hold the inputs.
        slices: Those that evaluation looks at apart.
        group: The one that says whose an example is; or "".
        time: The one that says when it was made; or "".
    """

    def __init__(
        self,
        task: Task,
        limits: Limits,
        answers: AnswerReader,
        labels: Sequence[str],
        inputs: Sequence[str],
        slices: Sequence[str],
        group: str,
        time: str,
    ) -> None:
        self._task, self._limits, self._answers, self._labels = task, limits, answers, labels
        self._inputs, self._slices, self._group, self._time = inputs, slices, group, time
        self._kind_of_time = ""

    @property
    def sees_columns(self) -> bool:
        """Whether many rows can be checked at once: their labels are few, and each stands in one column."""
        return self._task.target.exclusive and self._task.grouped_by is None and len(self._labels) == 1

    def row(self, row: Row) -> tuple[Row, Example | str]:
        """Returns a row with its example, or with why it is none."""
        values = tuple(row.values.get(column) for column in self._inputs)
        inputs: tuple[Any, ...] = tuple(self._task.read_inputs(values))
        if reason := row.fault or self._task.reason_to_reject(inputs, self._limits):
            return row, reason
        labels = [row.values.get(column) for column in self._labels]
        label, reason = self._answers.read(labels[0] if len(labels) == 1 else labels, row.place, values)
        if reason or label is None:
            return row, str(reason)
        told = list[str | None]()
        for column, read in self._told:
            text, reason = read(row.values.get(column), row.place) if column else (None, None)
            if reason:
                return row, reason
            told.append(text)
        *slices, group, time = told
        if group is None and self._task.grouped_by is not None:
            group = identity([inputs[self._task.grouped_by]])
        place = (row.split or "", label, row.place, row.file)
        return row, Example(identity(inputs), *place, inputs, tuple(slices), group, time)

    def part(self, part: Part) -> Checked:
        """Does to many rows what `row` does to one."""
        count = len(part.batch.numbers)
        found = _Rows(part)
        found.check_inputs([part.batch.columns[name] for name in self._inputs], self._task, self._limits)
        labels, codes = found.check(self._labels[0], self._answers.read)
        told = []
        for column, read in self._told:
            values, places = found.check(column, read) if column else ([None], np.zeros(count, np.int32))
            told.append(pa.array(values, pa.string()).take(pa.array(places)))
        kept = np.flatnonzero(found.fine)
        refused = [(part.row(at), found.reasons[at]) for at in sorted(found.reasons)]
        if not len(kept):
            return Checked(count, (), refused, {})
        inputs = [found.texts(part.batch.columns[name], kept) for name in self._inputs]
        columns = [column if len(kept) == count else column.take(pa.array(kept)) for column in told]
        *slices, group, time = columns
        names = ["" if label is None else label for label in labels]
        counts = np.bincount(codes[kept], minlength=len(names)).tolist()
        named = pa.DictionaryArray.from_arrays(pa.array(codes[kept]), pa.array(names, pa.string()))
        lines = np.asarray(part.batch.numbers, np.int64)[kept]
        place = (pa.repeat(part.place, len(kept)), pa.array(lines), _alike(part.file, len(kept)))
        split = _alike(part.split or "", len(kept))
        examples = [identities(inputs), split, named, *place, group, time, *slices, *inputs]
        counted = Counter[str]()
        for name, number in zip(names, counts, strict=True):
            counted[name] += number
        return Checked(count, examples, refused, +counted)

    @property
    def _told(self) -> list[tuple[str, Callable[[Any, str], _Found]]]:
        """What is told of an example beside its label: the columns, and how they are read."""
        named = [(column, functools.partial(self._named, column)) for column in (*self._slices, self._group)]
        return [*named, (self._time, self._timed)]

    def _named(self, column: str, value: Any, _: str) -> _Found:
        text = text_of(value)
        if text is not None and len(text) > LONGEST:
            return None, f"value longer than {LONGEST:,} characters in {column}"
        if text is not None and text.encode("utf-8", "replace").decode() != text:
            return None, f"invalid UTF-8 in {column}"
        return text, None

    def _timed(self, value: Any, place: str) -> _Found:
        column = self._time
        if text_of(value) is None:
            return None, f"no time in {column}"
        time = time_of(value)
        if time is None:
            return None, f"time in {column} is neither a date in ISO form nor a number ({str(value)[:40]!r})"
        self._kind_of_time = self._kind_of_time or time[1]
        if time[1] != self._kind_of_time:
            raise InputError(
                f"{place}: the column {column!r} holds both dates and numbers ({str(value)[:40]!r} is one of "
                f"{time[1]}). data.time needs one or the other: write them all alike."
            )
        return repr(time[0]), None


class _Rows:
    """Which rows of a part are examples.

    Attributes:
        fine: bool [rows], those that are, as far as is known.
        reasons: Why the others are none.
    """

    def __init__(self, part: Part) -> None:
        self._part = part
        self.reasons = dict(part.batch.faults)
        self.fine = np.ones(len(part.batch.numbers), bool)
        self.fine[list(self.reasons)] = False

    def check_inputs(self, columns: Sequence[Any], task: Task, limits: Limits) -> None:
        """Looks at those rows whose inputs are not as most are."""
        surely_fit = getattr(task, "surely_fit", None)
        arrays = all(isinstance(column, pa.Array) and column.type == task.input_type for column in columns)
        odd = ~surely_fit(columns, limits) if surely_fit and arrays else np.ones(len(self.fine), bool)
        rows = np.flatnonzero(odd & self.fine)
        values = [plain(column.take(pa.array(rows)) if isinstance(column, pa.Array) else column) for column in columns]
        places = [range(len(rows)) if isinstance(column, pa.Array) else rows.tolist() for column in columns]
        for number, at in enumerate(rows.tolist()):
            own = [value[place[number]] for value, place in zip(values, places, strict=True)]
            if reason := task.reason_to_reject(own, limits):
                self._refuse(at, reason)

    def check(self, name: str, read: Callable[[Any, str], _Found]) -> tuple[list[str | None], np.ndarray]:
        """Reads a column's different values; returns them as texts, and the number of that of each row: int32 [rows].

        Args:
            name: Of the column.
            read: Makes a text of a value, or tells why it cannot.
        """
        codes, values = _coded(self._part.batch.columns[name])
        rows = np.flatnonzero(self.fine)
        texts: list[str | None] = [None] * len(values)
        first = np.full(len(values), -1)
        first[codes[rows[::-1]]] = rows[::-1]  # the last one that is written stays
        for code, at in ((code, at) for code, at in enumerate(first.tolist()) if at >= 0):
            texts[code], reason = read(values[code], f"{self._part.place}:{self._part.batch.numbers[at]}")
            if reason:
                for row in rows[codes[rows] == code].tolist():
                    self._refuse(row, reason)
        return texts, codes

    def texts(self, column: Sequence[Any] | pa.Array, kept: np.ndarray) -> pa.Array:
        """Returns the texts of the rows that are kept, as an array."""
        if isinstance(column, pa.Array):
            return column if len(kept) == len(column) else column.take(pa.array(kept))
        return pa.array([column[at] for at in kept.tolist()], pa.string())

    def _refuse(self, at: int, reason: str) -> None:
        self.reasons[at] = reason
        self.fine[at] = False


def _coded(column: Sequence[Any] | pa.Array) -> tuple[np.ndarray, Sequence[Any]]:
    """Returns a column as numbers, int32 [rows], of its different values, and these."""
    if not isinstance(column, pa.Array):
        try:
            if not all(value is None or isinstance(value, str) for value in column):
                raise TypeError
            column = pa.array(column, pa.string())
        except (TypeError, UnicodeEncodeError):  # invalid UTF-8
            return np.arange(len(column), dtype=np.int32), column
    found = column.dictionary_encode("encode")
    return found.indices.to_numpy(), found.dictionary.to_pylist()


def _alike(value: str, count: int) -> pa.Array:
    return pa.DictionaryArray.from_arrays(pa.array(np.zeros(count, np.int32)), pa.array([value]))
