"""A model that is there to be used: a version as `register` packed it, or a model artifact."""

import shutil
import tempfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
from yaml import YAMLError

from components.shared import backbones, tasks
from components.shared.artifact import open_artifact
from components.shared.backbones.panic import TokenizerError
from components.shared.backbones.pixels import ImageError
from components.shared.copies import copy_files
from components.shared.errors import InputError

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
    """

    labels: list[str]
    inputs: list[str]
    input_type: pa.DataType
    probabilities: Callable[[Rows], np.ndarray]
    answers: Callable[[Rows], dict[str, list[Any]]]
    read_inputs: Callable[[Sequence[Any]], Sequence[Any]] = tuple

    def predict(self, rows: Rows) -> list[dict[str, Any]]:
        """Returns the task's prediction of each row, as a mapping; of a list of probabilities each by its label."""
        columns = self.answers(rows)
        told = [dict(zip(columns, row, strict=True)) for row in zip(*columns.values(), strict=True)]
        for row in told:
            if "probabilities" in row:
                row["probabilities"] = dict(zip(self.labels, row["probabilities"], strict=True))
        return told


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
    return Loaded(predictor.labels, predictor.inputs, task.input_type, probabilities, answers, task.read_inputs)


def _predictor(module: Any, told: dict[str, Any], folder: Path) -> Any:
    if told["family"] in backbones.WITHOUT_BACKBONE:
        return module.Predictor(folder)
    from components.shared.backbones.network import spec_of
    from components.shared.tasks.objective import head_class

    return module.Predictor(folder, head=partial(head_class(told["task"]), spec=spec_of(told)))


@contextmanager
def _told_of_rows() -> Iterator[None]:
    """Tells of rows that cannot be predicted as of wrong input."""
    try:
        yield
    except (ImageError, OSError) as error:
        raise InputError(f"A row is no image that can be read: {error}.") from error
    except TokenizerError as error:
        raise InputError(f"A row cannot be read: {error}.") from error


def load_version(uri: str, digest: str) -> Loaded:
    """Loads a version ("models:/NAME/3") of the registry with graft's own code; nothing that the registry holds is run.

    Args:
        uri: The version.
        digest: Of its model, as the registry's database tells it (the tag `model_digest`).

    Raises:
        InputError: It was not registered by graft, its files are not those that were registered, or torch is not
            installed.
    """
    with tempfile.TemporaryDirectory(prefix="graft-model-") as scratch:
        download_version(uri, digest, Path(scratch), ["*"])
        return load_artifact(Path(scratch))


def download_version(uri: str, digest: str, folder: Path, patterns: Sequence[str]) -> None:
    """Copies the files of a version's model artifact that fit a pattern (`fnmatch`) into a folder.

    Whoever can write to the artifact store can change a model's files, and its manifest with them, but not what the
    registry's database tells: so the manifest must have the digest that is told there, and each file must be its.

    Args:
        uri: The version ("models:/NAME/3").
        digest: Of its model, as the registry's database tells it (the tag `model_digest`).
        folder: Where to.
        patterns: Of the names that are wanted.

    Raises:
        InputError: It was not registered by graft, or its files are not those that were registered.
    """
    from mlflow.artifacts import download_artifacts
    from mlflow.models import Model

    with tempfile.TemporaryDirectory(prefix="graft-model-") as scratch:
        # The MLmodel file tells where among the version's files the artifact lies: that is MLflow's choice.
        try:
            flavors = Model.load(download_artifacts(f"{uri}/MLmodel", dst_path=scratch)).flavors
            place = flavors["python_function"]["artifacts"]["model"]["path"]
        except (KeyError, TypeError, AttributeError, YAMLError):
            raise _foreign(uri) from None

        def bring(wanted: Sequence[tuple[str, Path]]) -> None:
            for name, path in wanted:
                found = Path(download_artifacts(f"{uri}/{place}/{name}", dst_path=scratch))
                path.parent.mkdir(parents=True, exist_ok=True)
                shutil.move(found, path)

        try:
            copy_files(bring, folder, "model", digest, patterns)
        except InputError as error:
            raise InputError(
                f"{uri} is not what was registered: its files in the artifact store were changed or damaged since. "
                f"{error} Do not use it; train and register it again, or go back to another version "
                "(graft models rollback)."
            ) from None


def _foreign(uri: str) -> InputError:
    return InputError(f"{uri} was not registered by graft: its files are not laid out as graft does it.")


def _missing(error: ModuleNotFoundError) -> InputError:
    return InputError(f"Prediction needs {error.name}, which is not installed here: pip install 'graft[train]'.")
