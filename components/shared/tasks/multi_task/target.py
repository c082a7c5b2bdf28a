"""Answers of several tasks at once: of each its own, or none where nobody has given it."""

import json
import math
from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from components.shared.errors import InputError, quote_all
from components.shared.tasks.multi_task.members import Member, columns_of
from components.shared.tasks.multi_task.strata import Together
from components.shared.tasks.strata import NONE
from components.shared.tasks.target import AnswerReader, Asked, Found, Target

MISSING = "missing label"
LABELLED = "labelled"


class Answers(Target):
    """An answer for each task, as a struct; the canonical text is JSON of those that are there.

    Args:
        members: The tasks, in order.
    """

    several = True
    named = False
    kinds = ("", "answers")
    contradiction = "same input with different labels in one of the tasks"

    def __init__(self, members: Sequence[Member]) -> None:
        self.members = tuple(members)
        self.type = pa.struct([pa.field(member.name, member.task.target.type) for member in members])
        self.features = pa.schema([field for member in members for field in _features(member)])
        self.private = any(member.task.target.private for member in members)
        self.answers = " and ".join(f"has its {member.name}" for member in members) or Target.answers

    def reader(self, asked: Asked) -> "AnswersReader":
        """See `Target`."""
        return AnswersReader(self.members, asked)

    def census(self, asked: Asked) -> "AnswersCensus":
        """See `Target`."""
        return AnswersCensus(self.members, asked)

    def value(self, answer: str) -> dict[str, Any]:
        """See `Target`: None for what is not there."""
        told = json.loads(answer)
        return {
            member.name: member.task.target.value(told[member.name]) if member.name in told else None
            for member in self.members
        }

    def text(self, value: Any) -> str:
        """See `Target`."""
        there = (member for member in self.members if value.get(member.name) is not None)
        return text_of({member.name: member.task.target.text(value[member.name]) for member in there})

    def merge(self, answers: Sequence[str]) -> str | None:
        """See `Target`: each task's own, of the rows that have one; none where those of one task contradict."""
        rows, merged = [json.loads(answer) for answer in answers], dict[str, str]()
        for member in self.members:
            own = [row[member.name] for row in rows if member.name in row]
            found = member.task.target.merge(own) if own else None
            if own and found is None:
                return None
            merged |= {} if found is None else {member.name: found}
        return text_of(merged)

    def told(self, answer: str) -> str:
        """See `Target`."""
        given = json.loads(answer)
        return text_of({one.name: one.task.target.told(given[one.name]) for one in self.members if one.name in given})

    def strata(self, answer: str, spec: Mapping[str, Any]) -> tuple[str, ...]:
        """Those of each task that has an answer, after the task's name."""
        told, known = json.loads(answer), spec.get("tasks", {})
        return tuple(
            member.prefix + stratum
            for member in self.members
            if member.name in told
            for stratum in member.task.target.strata(told[member.name], known.get(member.name, {}))
        )

    def stratification(self) -> Together:
        """See `Target`."""
        return Together(self.members)

    def spec(self, counts: Mapping[str, Mapping[str, int]], told: Mapping[str, Any]) -> dict[str, Any]:
        """`tasks`: of each what its own target tells, and what the common head must know of it, see `head.Head`."""
        return {"tasks": {member.name: _spec(member, counts, told["tasks"][member.name]) for member in self.members}}

    def check_learnable(self, counts: Mapping[str, Mapping[str, int]], column: str) -> None:
        """Each task has answers in each split, of which something can be learned."""
        for member in self.members:
            own, columns = own_counts(member, counts), quote_all(member.columns)
            if empty := [split for split, strata in own.items() if not sum(strata.values())]:
                raise InputError(
                    f"No example of the {' and '.join(empty)} split has an answer for {member.name!r} ({columns}): "
                    "label more rows, or leave the task out."
                )
            member.task.target.check_learnable(own, " and ".join(member.columns))

    def why_unlearnable(self, profile: Mapping[str, Any]) -> str:
        """See `Target`: each task is looked at when all rows are read."""
        return ""

    def describe(self, answers: Sequence[str]) -> dict[str, Any]:
        """`tasks`: of each how many of the sample are `labelled`, and what its own target tells of these."""
        rows = [json.loads(answer) for answer in answers]
        found = {}
        for member in self.members:
            own = [row[member.name] for row in rows if member.name in row]
            found[member.name] = {"labelled": len(own), **member.task.target.describe(own)}
        return {"tasks": found}

    def encode(self, answers: pa.Array, spec: Mapping[str, Any]) -> list[pa.Array]:
        """The columns of each task, after its name and a dot; and in `NAME.labelled` whether it has an answer."""
        arrays = []
        for member in self.members:
            column = answers.field(member.name)
            there = column.is_valid()
            encoded = member.task.target.encode(column.filter(there), spec["tasks"][member.name])
            arrays += [*(_spread(array, there) for array in encoded), there.cast(pa.int8())]
        return arrays


class AnswersReader:
    """Makes answers of rows: of each task by its own reader.

    Args:
        members: The tasks.
        asked: What a job says of all of them.

    Raises:
        InputError: It says what only one task can be told, or names other columns than the tasks do.
    """

    def __init__(self, members: Sequence[Member], asked: Asked) -> None:
        if not members:
            raise InputError(f"{asked.task} learns several tasks together, and none is named: set tasks in the job.")
        if asked.allowed or asked.codes:
            raise InputError("data.labels are those of one task; of several name them under tasks.NAME.labels.")
        if missing := [column for column in columns_of(tuple(members)) if column not in asked.columns]:
            raise InputError(
                f"data.label names {quote_all(asked.columns)}, and the tasks want {quote_all(missing)}, too. Leave "
                "data.label out: it follows from the tasks."
            )
        self._members, self._columns = tuple(members), tuple(asked.columns)
        self._readers = [own_reader(member, asked) for member in members]

    def read(self, value: Any, place: str, inputs: Sequence[Any] = ()) -> Found:
        """See `AnswerReader`: what some tasks have no answer for is learned by the others."""
        values = dict(zip(self._columns, value if len(self._columns) > 1 else [value], strict=True))
        found = {}
        for member, reader in zip(self._members, self._readers, strict=True):
            own = [values[column] for column in member.columns]
            answer, reason = reader.read(own[0] if len(own) == 1 else own, place, inputs)
            if reason and reason != MISSING:
                return None, f"{member.name}: {reason}"
            if answer is not None:
                found[member.name] = answer
        return (text_of(found), None) if found else (None, MISSING)

    def cells(self, answer: str) -> Sequence[object]:
        """See `AnswerReader`."""
        told, cells = json.loads(answer), dict[str, object]()
        for member, reader in zip(self._members, self._readers, strict=True):
            if member.name in told:
                cells |= dict(zip(member.columns, reader.cells(told[member.name]), strict=True))
        return [cells.get(column) for column in self._columns]


class AnswersCensus:
    """Counts the answers of each task by its own census.

    Args:
        members: The tasks.
        asked: What a job says of all of them.
    """

    def __init__(self, members: Sequence[Member], asked: Asked) -> None:
        self._members = members
        self._own = [member.task.target.census(own_asked(member, asked)) for member in members]
        self._rows = [0] * len(members)

    def add(self, answers: Mapping[str, int]) -> None:
        """See `Census`."""
        told = [(json.loads(answer), count) for answer, count in answers.items()]
        for place, (member, census) in enumerate(zip(self._members, self._own, strict=True)):
            own = Counter[str]()
            for row, count in told:
                if member.name in row:
                    own[row[member.name]] += count
            self._rows[place] += own.total()
            if own:
                census.add(own)

    def check(self, rows: int) -> None:
        """See `Census`: of each task by the rows that have an answer."""
        for census, own in zip(self._own, self._rows, strict=True):
            if own:
                census.check(own)


def own_asked(member: Member, asked: Asked) -> Asked:
    """Returns what a job says of the answers of one task."""
    return Asked(member.columns, member.task.name, member.labels, {}, asked.normalize)


def own_reader(member: Member, asked: Asked) -> AnswerReader:
    """Returns what makes answers for one task."""
    return member.task.target.reader(own_asked(member, asked))


def own_counts(member: Member, counts: Mapping[str, Mapping[str, int]]) -> dict[str, dict[str, int]]:
    """Returns the strata of one task, of those of all, by split."""
    start = member.prefix
    return {
        split: {name.removeprefix(start): count for name, count in strata.items() if name.startswith(start)}
        for split, strata in counts.items()
    }


def text_of(answers: Mapping[str, str]) -> str:
    """Returns answers as canonical text."""
    return json.dumps(answers, ensure_ascii=False, sort_keys=True)


def _features(member: Member) -> list[pa.Field]:
    columns = [pa.field(f"{member.name}.{field.name}", field.type) for field in member.task.target.features]
    return [*columns, pa.field(f"{member.name}.{LABELLED}", pa.int8())]


def _spread(array: pa.Array, there: pa.Array) -> pa.Array:
    """Returns the values of examples that have one, at their places; between them 0, or a list of nothing."""
    mask = there.to_numpy(zero_copy_only=False)
    if pa.types.is_list(array.type):
        sizes = np.zeros(len(mask), np.int32)
        sizes[mask] = pc.list_value_length(array).to_numpy(zero_copy_only=False)
        ends = np.concatenate([[0], np.cumsum(sizes)]).astype(np.int32)
        return pa.ListArray.from_arrays(pa.array(ends), array.flatten(), type=array.type)
    places = pa.array(np.where(mask, np.cumsum(mask) - 1, 0), mask=~mask)
    return pc.fill_null(array.take(places), 0)


def _spec(member: Member, counts: Mapping[str, Mapping[str, int]], told: Mapping[str, Any]) -> dict[str, Any]:
    target, own = member.task.target, own_counts(member, counts)
    names = sorted(set().union(*own.values()) - {NONE}) if target.named else []
    known = {name: value for name, value in told.items() if name not in ("share", "examples")}
    return {
        "labels": names,
        **target.spec(own, known),
        "head": member.task.package.rpartition(".")[2],
        "metric": member.metric.name,
        "direction": member.metric.direction,
        "weight": member.weight,
        "share": told["share"],
        "chance": _chance(target, names, own["train"], told["examples"]),
    }


def _chance(target: Target, names: Sequence[str], counts: Mapping[str, int], examples: int) -> float:
    """Returns the loss of what says the same for all training examples: the entropy of what people named.

    Of numbers, which are learned in their deviations, it is 1.
    """
    if not target.named:
        return 1.0
    shares = np.array([counts.get(name, 0) for name in names], float) / max(examples, 1)
    found = -(shares * np.log(np.maximum(shares, 1e-12))).sum()
    if not target.exclusive:
        found -= ((1 - shares) * np.log(np.maximum(1 - shares, 1e-12))).sum()
    return max(float(found), 1e-3) if math.isfinite(found) else 1.0
