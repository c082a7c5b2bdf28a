"""The registry of tasks. A task is one file in this folder, which registers itself: adding a task is adding a file.

No file here imports torch at its top: light steps read the registry too.
"""

import importlib
import pkgutil
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import pyarrow as pa

from components.shared.backbones import Backbone
from components.shared.baselines import Baseline, Labelled, Terms
from components.shared.errors import InputError, did_you_mean, quote_all


@dataclass(frozen=True)
class Limits:
    """What an input must not exceed: characters of a text, pixels of an image."""

    max_characters: int = 100_000
    max_pixels: int = 100_000_000


@dataclass(frozen=True)
class Encoding:
    """What an encoder must know of the data and the settings.

    Attributes:
        inputs: How many input columns there are.
        examples: How many examples, in all splits.
        max_length: The most tokens of an example; 0: what the backbone takes.
        max_gib: The most disk that uncompressed pixels may take.
    """

    inputs: int = 1
    examples: int = 0
    max_length: int = 0
    max_gib: float = 64.0


class Encoder(Protocol):
    """Turns raw inputs into features, a batch at a time."""

    max_length: int
    """The most that `length` can be; longer examples were cut to it."""
    row_bytes: int
    """The most that the features of one example take."""
    threads: int
    """How many batches are encoded at a time."""
    schema: pa.Schema
    """Columns of the features; always among them `length` (int32): what an example costs, to sort batches by."""

    def encode(self, inputs: Sequence[Sequence[Any]]) -> list[pa.Array]:
        """Encodes a batch: one sequence of values for each input column; returns one array a column of `schema`."""

    def save(self, folder: Path) -> None:
        """Writes what is needed to encode the same way again (a tokenizer, say)."""


class Task(Protocol):
    """What is learned. Everything that differs between tasks is behind these few members."""

    @property
    def name(self) -> str:
        """What a job calls it."""

    @property
    def input_counts(self) -> tuple[int, ...]:
        """How many input columns it takes."""

    @property
    def input_type(self) -> pa.DataType:
        """What an input is: `pa.string()`, or `pa.binary()` (an encoded file)."""

    @property
    def columns(self) -> Mapping[str, Any]:
        """The fields of `data` in a job that have a default with this task (`inputs`, `label`)."""

    def reason_to_reject(self, inputs: Sequence[object], limits: Limits) -> str | None:
        """Returns why a row's inputs cannot be used, or None where they can."""

    def encoder(self, backbone: Backbone, encoding: Encoding) -> Encoder:
        """Returns the encoder that goes with a backbone.

        Raises:
            InputError: The backbone cannot eat such inputs.
        """

    def baselines(
        self, train: Labelled, validation: Labelled, test: Sequence[Sequence[Any]], terms: Terms
    ) -> Iterator[Baseline]:
        """Fits classical models on raw inputs; what there is to choose is chosen on validation examples.

        Args:
            train: What they learn from.
            validation: What is chosen and calibrated on; there may be none.
            test: Raw inputs (a sequence for each column) of the examples that are predicted.
            terms: By what they are fitted.

        Yields:
            One after the other, so that one that fails does not lose those before it.
        """

    def sample(self, count: int, seed: int) -> list[dict[str, Any]]:
        """Returns made-up rows that can be learned (columns `input_1`, … and `label`), to try the chain on."""


_TASKS: dict[str, Task] = {}


def register(task: Task) -> Task:
    """Adds a task to the registry; called by the task's own file."""
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
        importlib.import_module(f"{__name__}.{module.name}")
