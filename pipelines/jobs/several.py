"""A job of several tasks: what it says under `tasks` becomes the task, its options, and the columns of answers."""

from collections.abc import Mapping
from typing import Any

from components.shared import tasks
from components.shared.errors import InputError, quote_all
from components.shared.sources.listing import sources_of
from components.shared.tasks.task import Composite


def filled(content: Mapping[str, Any]) -> dict[str, Any]:
    """Returns what a job file holds, with `task`, `task_args` and `data.label` as `tasks` has them.

    What is wrong in `tasks` is left to the job's schema; so is what the file says of those fields itself.
    """
    told, found = content.get("tasks"), dict(content)
    if not isinstance(told, Mapping) or not told:
        return found
    found["task"] = found.get("task") or composite_for(told)
    found["task_args"] = {**_mapping(found.get("task_args")), "tasks": plain(told)}
    if not _mapping(found.get("data")).get("label") and isinstance(found.get("data"), Mapping):
        found["data"] = {**found["data"], "label": label_of(told)}
    return found


def reason_to_refuse(content: Any) -> str:
    """Returns why the tasks of a job cannot be learned together; "" where they can.

    Args:
        content: Of the job file, `filled`.
    """
    name, data = content["task"], _mapping(content.get("data"))
    if name in tasks.names() and not isinstance(tasks.get(name), Composite):
        return f"task is {name!r}, and several are named here: leave task out"
    told, given = label_of(content["tasks"]), data.get("label")
    if set(given if isinstance(given, list) else sources_of(str(given or ""))) - {""} != set(told):
        return f"they name the columns of their answers, {quote_all(told)}: leave data.label out"
    if data.get("labels"):
        return "data.labels are those of one task: name them here, under tasks.NAME.labels"
    try:
        tasks.get(name, content["task_args"])
    except InputError as error:
        return str(error)
    return ""


def composite_for(told: Mapping[str, Any]) -> str:
    """Returns the name of the task that is made of others, for inputs of their kind; of texts where none is known."""
    named = [str(one.get("task")) for one in told.values() if isinstance(one, Mapping)]
    kinds = [tasks.get(name).input_type for name in named if name in tasks.names()]
    found = {task.input_type: name for name in tasks.names() if isinstance(task := tasks.get(name), Composite)}
    return next((found[kind] for kind in kinds if kind in found), next(iter(found.values())))


def plain(told: Mapping[str, Any]) -> dict[str, Any]:
    """Returns the tasks as they travel to a cluster, which keeps no order of a mapping, and numbers as doubles."""
    return {
        name: {**one, "weight": float(one["weight"])}
        if isinstance(one, Mapping) and _is_number(one.get("weight"))
        else one
        for name, one in sorted(told.items(), key=lambda item: str(item[0]))
    }


def label_of(told: Mapping[str, Any]) -> list[str]:
    """Returns the columns that the tasks name, each once."""
    named = [
        one.get("label") for _, one in sorted(told.items(), key=lambda item: str(item[0])) if isinstance(one, Mapping)
    ]
    listed = [column for one in named for column in (one if isinstance(one, list) else [one])]
    return list(dict.fromkeys(column for column in listed if isinstance(column, str) and column))


def _mapping(value: Any) -> Mapping[str, Any]:
    return value if isinstance(value, Mapping) else {}


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)
