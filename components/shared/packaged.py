"""A model that is there to be used: a version as `register` packed it, or a model artifact."""

import fnmatch
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

from components.shared import backbones, tasks
from components.shared.artifact import open_artifact
from components.shared.backbones.pixels import ImageError
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
    """

    labels: list[str]
    inputs: list[str]
    input_type: pa.DataType
    probabilities: Callable[[Rows], np.ndarray]
    answers: Callable[[Rows], dict[str, list[Any]]]

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
        with _images_named():
            found: np.ndarray = predictor.probabilities(rows)
        return found

    def answers(rows: Rows) -> dict[str, list[Any]]:
        with _images_named():
            found: dict[str, list[Any]] = predictor.predict(rows)
        return found

    return Loaded(predictor.labels, predictor.inputs, tasks.get(told["task"]).input_type, probabilities, answers)


def _predictor(module: Any, told: dict[str, Any], folder: Path) -> Any:
    if told["family"] in backbones.WITHOUT_BACKBONE:
        return module.Predictor(folder)
    from components.shared.backbones.network import spec_of
    from components.shared.tasks.objective import head_class

    return module.Predictor(folder, head=partial(head_class(told["task"]), spec=spec_of(told)))


@contextmanager
def _images_named() -> Iterator[None]:
    try:
        yield
    except (ImageError, OSError) as error:
        raise InputError(f"A row is no image that can be read: {error}.") from error


def load_version(uri: str) -> Loaded:
    """Loads a version ("models:/NAME/3") of the registry.

    Raises:
        InputError: It was not registered by graft, or torch is not installed.
    """
    import mlflow.pyfunc
    from mlflow.exceptions import MlflowException

    try:
        with tempfile.TemporaryDirectory(prefix="graft-model-") as scratch:  # MLflow would leave its download behind
            model = mlflow.pyfunc.load_model(uri, dst_path=scratch)
    except ModuleNotFoundError as error:
        raise _missing(error) from error
    told, schema = model.metadata.metadata or {}, model.metadata.get_input_schema()
    labels = told.get("labels")
    if labels is None or "task" not in told or schema is None:
        raise _foreign(uri)
    inputs = [str(name) for name in schema.input_names()]

    def answers(rows: Rows) -> dict[str, list[Any]]:
        import pandas as pd  # type: ignore[import-untyped]

        try:
            found = model.predict(pd.DataFrame([list(row) for row in rows], columns=inputs, dtype=object))
        except MlflowException as error:
            raise InputError(error.message) from error
        return {str(name): found[name].tolist() for name in found.columns}

    def probabilities(rows: Rows) -> np.ndarray:
        return np.array(answers(rows)["probabilities"], float).reshape(len(rows), len(labels))

    return Loaded(list(labels), inputs, tasks.get(told["task"]).input_type, probabilities, answers)


def download_version(uri: str, folder: Path, patterns: Sequence[str]) -> None:
    """Copies the files of a version's model artifact that fit a pattern (`fnmatch`) into a folder.

    Raises:
        InputError: It was not registered by graft.
    """
    from mlflow.artifacts import download_artifacts
    from mlflow.models import Model

    with tempfile.TemporaryDirectory(prefix="graft-model-") as scratch:
        # The MLmodel file tells where among the version's files the artifact lies: that is MLflow's choice.
        flavors = Model.load(download_artifacts(f"{uri}/MLmodel", dst_path=scratch)).flavors
        told = flavors.get("python_function", {}).get("artifacts", {}).get("model")
        if told is None:
            raise _foreign(uri)
        for name in _files(uri, told["path"]):
            if any(fnmatch.fnmatch(name, pattern) for pattern in patterns):
                found = Path(download_artifacts(f"{uri}/{told['path']}/{name}", dst_path=scratch))
                (folder / name).parent.mkdir(parents=True, exist_ok=True)
                shutil.move(found, folder / name)


def _files(uri: str, path: str) -> Iterator[str]:
    """Yields the files of a folder in an MLflow model, named from that folder on."""
    from mlflow.artifacts import list_artifacts

    waiting = [path]
    while waiting:
        for entry in list_artifacts(f"{uri}/{waiting.pop()}"):
            if entry.is_dir:
                waiting.append(entry.path)
            else:
                yield entry.path.removeprefix(f"{path}/")


def _foreign(uri: str) -> InputError:
    return InputError(f"{uri} was not registered by graft: its metadata does not tell its labels, or its files.")


def _missing(error: ModuleNotFoundError) -> InputError:
    return InputError(f"Prediction needs {error.name}, which is not installed here: pip install 'graft[train]'.")
