"""Models that predict from raw input: a version of the registry, or a model artifact."""

import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

from components.shared import backbones, tasks
from components.shared.artifacts.artifact import MANIFEST, open_artifact
from components.shared.artifacts.snapshot import spec_of
from components.shared.backbones.panic import TokenizerError
from components.shared.backbones.pixels import ImageError
from components.shared.errors import InputError
from components.shared.registry import registry
from components.shared.tasks import Task

Rows = Sequence[Sequence[str | bytes]]
"""One value for each input: a text, the bytes or the path of an image file."""


@dataclass(frozen=True)
class Loaded:
    """A model that predicts from raw input: one of the registry, or a model artifact.

    Attributes:
        labels: The classes, in the order of the probabilities; [] of a task without.
        inputs: The names of its inputs.
        input_type: What an input is, as its task says: `pa.string()`, or `pa.binary()` (an image).
        probabilities: Takes rows that hold one value for each input (a text; the bytes or path of an image file);
            returns probabilities [rows, classes], of a task whose examples have one class each. Raises `InputError`
            where a row is no image.
        answers: Takes such rows, and returns the columns of the task's prediction.
        read_inputs: Takes a row as a file has it (a list of words), and returns its inputs.
        spec: What the model knows of answers.
        task: What it learned.
    """

    labels: list[str]
    inputs: list[str]
    input_type: pa.DataType
    probabilities: Callable[[Rows], np.ndarray]
    answers: Callable[[Rows], dict[str, list[Any]]]
    read_inputs: Callable[[Sequence[Any]], Sequence[Any]] = tuple
    spec: Mapping[str, Any] = field(default_factory=dict)
    task: Task | None = None

    def predict(self, rows: Rows) -> list[dict[str, Any]]:
        """Returns the task's prediction of each row, as a mapping; of a list of probabilities each by its label."""
        columns = self.answers(rows)
        spec = {"labels": self.labels, **self.spec}
        return [_named(dict(zip(columns, row, strict=True)), spec) for row in zip(*columns.values(), strict=True)]


def load(model: str) -> Loaded:
    """Loads a model with graft's own code: nothing that the registry holds is run.

    Args:
        model: One of the registry ("NAME", "NAME@alias", "NAME/3"), or a model artifact's path.

    Raises:
        InputError: There is no such model, alias, version or path; it was not registered by graft, or its files were
            changed since; or torch is not installed.
        ServiceError: The registry or its artifact store did not answer.
    """
    folder = Path(model).expanduser()
    if (folder / MANIFEST).exists() or model.startswith((".", "/", "~")):
        return load_artifact(folder)
    with tempfile.TemporaryDirectory(prefix="graft-model-") as scratch:
        return load_artifact(registry.download(model, Path(scratch), ["*"]))


def load_artifact(folder: Path) -> Loaded:
    """Loads a model artifact.

    Raises:
        InputError: It is none, or torch is not installed.
    """
    told = open_artifact(folder, "model").read_json("model.json")
    try:
        module: Any = backbones.family(told["family"])
    except ModuleNotFoundError as error:
        raise _missing(error) from error
    predictor = _predictor(module, told, folder)

    def probabilities(rows: Rows) -> np.ndarray:
        with _told_of_rows():
            found: np.ndarray = predictor.probabilities(rows)
        return found

    def answers(rows: Rows) -> dict[str, list[Any]]:
        with _told_of_rows():
            found: dict[str, list[Any]] = predictor.predict(rows)
        return found

    task = tasks.get(told["task"], told.get("task_args"))
    made = (probabilities, answers, task.read_inputs)
    return Loaded(predictor.labels, predictor.inputs, task.input_type, *made, spec_of(told), task)


def _predictor(module: Any, told: dict[str, Any], folder: Path) -> Any:
    if told["family"] in backbones.WITHOUT_BACKBONE:
        return module.Predictor(folder)
    from components.shared.tasks.objective import head_class

    return module.Predictor(folder, head=partial(head_class(told["task"]), spec=spec_of(told)))


def _named(row: dict[str, Any], spec: Mapping[str, Any]) -> dict[str, Any]:
    """Returns a prediction, its probabilities each by its label; of several tasks in one likewise."""
    if "probabilities" in row:
        row["probabilities"] = dict(zip(spec["labels"], row["probabilities"], strict=True))
    for name, told in spec.get("tasks", {}).items():
        row[name] = _named(row[name], told)
    return row


@contextmanager
def _told_of_rows() -> Iterator[None]:
    """Tells of rows that cannot be predicted as of wrong input."""
    try:
        yield
    except (ImageError, OSError) as error:
        raise InputError(f"A row is no image that can be read: {error}.") from error
    except TokenizerError as error:
        raise InputError(f"A row cannot be read: {error}.") from error


def _missing(error: ModuleNotFoundError) -> InputError:
    return InputError(f"Prediction needs {error.name}, which is not installed here: pip install 'graft[train]'.")
