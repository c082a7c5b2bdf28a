"""Tasks that are there in a test alone: text classification with another target."""

import dataclasses
from typing import Any, Self

import pytest

from components.shared import tasks
from components.shared.modalities import TEXT
from components.shared.tasks import Target
from components.shared.tasks.classification import Classification
from components.shared.tasks.classification.samples import sentences


@dataclasses.dataclass(frozen=True)
class Trial(Classification):
    """A task whose options are its target's."""

    def configured(self, options: Any) -> Self:
        return dataclasses.replace(self, options=options, target=dataclasses.replace(self.target, options=options))


def try_task(monkeypatch: pytest.MonkeyPatch, name: str, target: Target | Any) -> None:
    """Registers a task of texts for the length of a test."""
    task: Any = Trial(name, TEXT, (1, 2), sentences, target=target, options=target.options)
    tasks.names()
    monkeypatch.setitem(tasks._TASKS, name, task)
