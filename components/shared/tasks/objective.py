"""What training must know of a task: how answers are scored on validation examples, and what is chosen by.

A task's `objective.py` offers it, under the name `Objective`; only heavy steps import that file.
"""

import importlib
from collections.abc import Mapping, Sequence
from typing import Any, Protocol, cast, runtime_checkable

import numpy as np

from components.shared import tasks

Outputs = Mapping[str, np.ndarray]
"""What a head makes of all rows, one after the other: float32 [rows, …]; at the level of tokens [tokens of all, …]."""
Targets = Mapping[str, Sequence[Any]]
"""The target columns of the features: one value, or one array, a row."""


class Objective(Protocol):
    """How well a network of a task does."""

    metrics: tuple[str, ...]
    """Names of what `scores` gives beside `validation_loss`, the most telling first."""
    bounded: tuple[str, ...]
    """Those of them that are 1 where nothing is left to gain."""

    def __init__(self, spec: Mapping[str, Any]) -> None:
        """Takes what data tell, as the head does."""

    def selection(self, targets: Targets) -> str:
        """Returns the metric that ranks epochs, strategies and candidates; one with "-" before it is best low.

        Args:
            targets: Of the training examples.
        """

    def scores(self, outputs: Outputs, targets: Targets) -> dict[str, float]:
        """Returns `validation_loss`, then the metrics; NaN without examples."""

    def calibrate(self, head: Any, outputs: Outputs, targets: Targets) -> dict[str, Any]:
        """Fits what turns outputs into answers (thresholds, say) to validation examples, and gives it to the head.

        Returns:
            What is told of it, in JSON; {} where there is nothing to fit.
        """


@runtime_checkable
class Dealing(Protocol):
    """An objective that reads outputs once, where answers are dealt out blindly: reading them is what takes time."""

    def dealt(self, outputs: Outputs, targets: Targets, times: int) -> tuple[int, list[float]]:
        """Returns how many answers there are, and the metric that is chosen by, so often of answers of others."""


@runtime_checkable
class Picking(Protocol):
    """An objective of which not every row of features is worth learning from."""

    def picked(self, targets: Targets, seed: int) -> np.ndarray:
        """Returns which rows of the training split are, bool [rows]."""


@runtime_checkable
class Grouping(Protocol):
    """An objective of which some examples are to be learned from at once."""

    def groups(self, targets: Targets) -> np.ndarray:
        """Returns which belong together, int [examples]."""


@runtime_checkable
class Parted(Protocol):
    """An objective of several tasks, which can be fitted apart: see `components.shared.backbones.head.Head.parted`."""

    def parted(self) -> Sequence[Objective]:
        """Returns the objective of each task alone."""

    def joined(self, scores: Sequence[Mapping[str, float]]) -> dict[str, float]:
        """Returns the scores of all tasks, out of those of each alone."""


def head_class(task: str) -> Any:
    """Returns the class of a task's head. Imports torch."""
    return importlib.import_module(f"{tasks.get(task).package}.head").Head


def objective_of(task: str, spec: Mapping[str, Any]) -> Objective:
    """Returns the objective of a task."""
    return cast(Objective, importlib.import_module(f"{tasks.get(task).package}.objective").Objective(spec))
