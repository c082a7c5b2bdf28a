"""The registry of tasks. A task is one folder in here, which registers itself: adding a task is adding a folder.

One of somebody else's is found by an entry point of the group "graft.tasks", a module that registers it.
No file here imports torch at its top, but a task's `head.py`: light steps read the registry too.
"""

import dataclasses
import functools
import importlib
import importlib.metadata
import pkgutil
import sys
from collections.abc import Mapping
from typing import Any

from components.shared.errors import InputError, did_you_mean, quote_all
from components.shared.tasks.target import Target
from components.shared.tasks.task import NoOptions, Task, metric_of

__all__ = ["NoOptions", "Target", "Task", "get", "metric_of", "names", "register"]

PLUGINS = "graft.tasks"

_TASKS: dict[str, Task] = {}


def register(task: Task) -> Task:
    """Adds a task to the registry; called by the task's own folder."""
    _TASKS[task.name] = task
    return task


def names() -> list[str]:
    """Returns the names of all tasks, sorted."""
    _load_all()
    return sorted(_TASKS)


def get(name: str, args: Mapping[str, Any] | None = None) -> Task:
    """Returns a task by its name.

    Args:
        name: Of the task.
        args: Those of its options that are not at their defaults.

    Raises:
        InputError: There is no such task, or it has no such option.
    """
    _load_all()
    if name not in _TASKS:
        known = quote_all(sorted(_TASKS))
        raise InputError(f"There is no task {name!r}; there are {known}.{did_you_mean(name, _TASKS)}")
    task = _TASKS[name]
    return task.configured(_options(task, args)) if args else task


def _options(task: Task, args: Mapping[str, Any]) -> Any:
    """Returns a task's options with some of them changed; each is of the kind that its default is of."""
    known = {field.name: getattr(task.options, field.name) for field in dataclasses.fields(task.options)}
    for name, value in args.items():
        if name not in known:
            has = f"it has {quote_all(known)}" if known else "it has none"
            raise InputError(f"{task.name} has no option {name!r} (task_args); {has}.{did_you_mean(name, known)}")
        if not _fits(value, known[name]):
            kind = type(known[name]).__name__
            raise InputError(f"task_args.{name} of {task.name} is {value!r}; {kind} was expected.")
    return dataclasses.replace(task.options, **args)


def _fits(value: object, default: object) -> bool:
    if isinstance(default, float):
        return isinstance(value, int | float) and not isinstance(value, bool)
    return type(value) is type(default)


def _load_all() -> None:
    _load_from((*sys.path, *__path__))


@functools.lru_cache(maxsize=1)
def _load_from(path: tuple[str, ...]) -> None:
    """Looks for tasks once for each search path: what is installed there is read file by file, hundreds of them."""
    for module in pkgutil.iter_modules(__path__):
        if module.ispkg:
            importlib.import_module(f"{__name__}.{module.name}")
    for plugin in importlib.metadata.entry_points(group=PLUGINS):
        plugin.load()
