"""What several tasks answer, of the outputs of their common layer. It goes with a registered model, also without torch.

An output belongs to one task: those of the first come first, and so on, in the order of the spec.
"""

import importlib
from collections.abc import Mapping
from typing import Any

import numpy as np

Part = tuple[str, Mapping[str, Any], slice]
"""A task: its name, its spec, and which outputs it has."""


def module_of(told: Mapping[str, Any], room: str) -> Any:
    """Returns a room of a task's folder ("head", "answers"), by its spec."""
    return importlib.import_module(f"..{told['head']}.{room}", __package__)


def sorted_tasks(spec: Mapping[str, Any]) -> list[tuple[str, Mapping[str, Any]]]:
    """Returns the tasks of a spec, whatever order a file has them in."""
    return sorted(spec.get("tasks", {}).items())


def parts_of(spec: Mapping[str, Any]) -> list[Part]:
    """Returns the tasks of a spec: of named outputs each has one a name, of a number one."""
    found, start = [], 0
    for name, told in sorted_tasks(spec):
        stop = start + max(1, len(told.get("labels", ())))
        found.append((name, told, slice(start, stop)))
        start = stop
    return found


def decode(logits: np.ndarray, spec: Mapping[str, Any], kept: Mapping[str, np.ndarray]) -> dict[str, list[Any]]:
    """Returns a column for each task, of what that task answers: a mapping for each row.

    Args:
        logits: [rows, outputs].
        spec: What data tell: `tasks`.
        kept: Of the head: `temperatures`, and of each task what its own head keeps, as `members.0.thresholds`.
    """
    columns = {}
    for number, (name, told, outputs) in enumerate(parts_of(spec)):
        start = f"members.{number}."
        own = {key.removeprefix(start): value for key, value in kept.items() if key.startswith(start)}
        part = logits[:, outputs] / np.float32(kept["temperatures"][number])
        answers = module_of(told, "answers").decode(part, told, own)
        columns[name] = [dict(zip(answers, row, strict=True)) for row in zip(*answers.values(), strict=True)]
    return columns
