"""What a job says of the tasks that one network learns together."""

import math
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from components.shared import tasks
from components.shared.errors import InputError, did_you_mean, quote_all
from components.shared.sources.listing import sources_of
from components.shared.statistics import Metric
from components.shared.tasks.task import Task, metric_of

_NAME = re.compile(r"[A-Za-z][A-Za-z0-9_]{0,39}")
_FIELDS = ("task", "label", "weight", "task_args", "labels", "metric")


@dataclass(frozen=True)
class Options:
    """What a job says under `tasks`, or `task_args: {tasks: …}`.

    Attributes:
        tasks: By name: `task`, `label` (the column of its answers; a list of them, where it takes several), and perhaps
            `weight` (1), `task_args`, `labels` (those there may be) and `metric` (by which it is judged).
    """

    tasks: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Member:
    """One of the tasks.

    Attributes:
        name: What the job calls it.
        task: What is learned.
        columns: That hold its answers.
        weight: How much it counts in the loss, and in the mean of scores.
        labels: The names there may be; empty: all that are found.
        metric: By which it is judged.
    """

    name: str
    task: Task
    columns: tuple[str, ...]
    weight: float
    labels: tuple[str, ...]
    metric: Metric

    @property
    def prefix(self) -> str:
        """What stands before its strata."""
        return f"{self.name}: "


def members_of(options: Options, composite: str) -> tuple[Member, ...]:
    """Returns the tasks that a job names, in the order of their names: a mapping may come from a cluster in any order.

    Args:
        options: What the job says.
        composite: The name of the task that is made of them.

    Raises:
        InputError: What it says is wrong.
    """
    if len(options.tasks) == 1:
        raise InputError(f"tasks names one task, {next(iter(options.tasks))!r}; two or more were expected.")
    found = tuple(_member(name, told, composite) for name, told in sorted(options.tasks.items()))
    kinds = {(str(member.task.input_type), member.task.input_counts) for member in found}
    if len({kind for kind, _ in kinds}) > 1:
        listed = ", ".join(f"{member.name} is {member.task.name}" for member in found)
        raise InputError(f"One network reads texts or pictures, not both: {listed}.")
    return found


def columns_of(members: tuple[Member, ...]) -> tuple[str, ...]:
    """Returns the columns that hold the answers of all tasks, each once."""
    return tuple(dict.fromkeys(column for member in members for column in member.columns))


def _member(name: str, told: Any, composite: str) -> Member:
    if not _NAME.fullmatch(name):
        raise InputError(
            f"tasks: {name!r} is no name; a letter, then letters, digits and _ were expected, 40 characters at most."
        )
    if not isinstance(told, Mapping):
        raise InputError(f"tasks.{name} is {told!r}; fields were expected: {quote_all(_FIELDS)}.")
    for key in told:
        if key not in _FIELDS:
            raise InputError(f"tasks.{name}.{key}: there is no such field; allowed: {quote_all(_FIELDS)}."
                             f"{did_you_mean(str(key), _FIELDS)}")  # fmt: skip
    if not told.get("task"):
        raise InputError(f"tasks.{name}.task is missing: what is learned, such as text-classification.")
    task = _task(name, told, composite)
    columns = _columns(name, told.get("label"), task)
    labels, metric = told.get("labels", []), told.get("metric", "")
    if not isinstance(labels, list) or not all(isinstance(label, str) for label in labels):
        raise InputError(f"tasks.{name}.labels is {labels!r}; a list of texts was expected.")
    try:
        judged = metric_of(task, metric)
    except InputError as error:
        raise InputError(f"tasks.{name}: {str(error).replace('promotion.metric', 'metric')}") from error
    return Member(name, task, columns, _weight(name, told.get("weight", 1.0)), tuple(labels), judged)


def _task(name: str, told: Mapping[str, Any], composite: str) -> Task:
    """Returns the task of a member.

    Raises:
        InputError: There is none, or it cannot be learned beside others.
    """
    if told["task"] == composite:
        raise InputError(f"tasks.{name}.task is {composite!r}: one of a single answer was expected.")
    try:
        task = tasks.get(str(told["task"]), told.get("task_args"))
    except InputError as error:
        raise InputError(f"tasks.{name}: {error}") from error
    if not getattr(task, "shared", False) or not task.package.startswith(f"{tasks.__name__}."):
        allowed = [one.name for one in map(tasks.get, tasks.names()) if getattr(one, "shared", False)]
        raise InputError(
            f"tasks.{name}.task is {task.name}, which cannot share a network: it needs more of an input than one "
            f"vector, or is no task of graft's own. Allowed: {quote_all(allowed)}."
        )
    return task


def _columns(name: str, label: Any, task: Task) -> tuple[str, ...]:
    columns = label if isinstance(label, list) else sources_of(label) if isinstance(label, str) else []
    if not columns or not all(isinstance(column, str) and column for column in columns):
        raise InputError(f"tasks.{name}.label is {label!r}; the name of a column was expected.")
    if len(columns) > 1 and not task.target.several:
        raise InputError(f"tasks.{name}.label names {quote_all(columns)}; {task.name} takes one column.")
    return tuple(columns)


def _weight(name: str, weight: Any) -> float:
    if isinstance(weight, bool) or not isinstance(weight, int | float) or not 0 < weight < math.inf:
        raise InputError(f"tasks.{name}.weight is {weight!r}; a number above 0 was expected.")
    return float(weight)
