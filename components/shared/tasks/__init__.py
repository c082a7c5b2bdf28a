"""The registry of tasks. A task is one folder in here, which registers itself: adding a task is adding a folder.

One of somebody else's is found by an entry point of the group "graft.tasks", a module that registers it.
No file here imports torch at its top, but a task's `head.py`: light steps read the registry too.
"""

import importlib
import importlib.metadata
import pkgutil

from components.shared.errors import InputError, did_you_mean, quote_all
from components.shared.tasks.task import Task

__all__ = ["Task", "get", "names", "register"]

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


def get(name: str) -> Task:
    """Returns a task by its name.

    Raises:
        InputError: There is no such task.
    """
    _load_all()
    if name not in _TASKS:
        known = quote_all(sorted(_TASKS))
        raise InputError(f"There is no task {name!r}; there are {known}.{did_you_mean(name, _TASKS)}")
    return _TASKS[name]


def _load_all() -> None:
    for module in pkgutil.iter_modules(__path__):
        if module.ispkg:
            importlib.import_module(f"{__name__}.{module.name}")
    for plugin in importlib.metadata.entry_points(group=PLUGINS):
        plugin.load()
