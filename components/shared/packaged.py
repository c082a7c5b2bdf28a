"""A model that is there to be used: a version as `register` packed it, or a model artifact."""

import fnmatch
import shutil
import tempfile
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

from components.shared import backbones, tasks
from components.shared.artifact import open_artifact
from components.shared.backbones.pixels import ImageError
from components.shared.errors import InputError


@dataclass(frozen=True)
class Loaded:
    """A model that predicts from raw input: one of the registry, or a model artifact.

    Attributes:
        labels: The classes, in the order of the probabilities.
        inputs: The names of its inputs.
        input_type: What an input is, as its task says: `pa.string()`, or `pa.binary()` (an image).
        probabilities: Takes rows that hold one value for each input (a text; the bytes or path of an image file);
            returns probabilities [rows, classes]. Raises `InputError` where a row is no image.
    """

    labels: list[str]
    inputs: list[str]
    input_type: pa.DataType
    probabilities: Callable[[Sequence[Sequence[str | bytes]]], np.ndarray]

    def predict(self, rows: Sequence[Sequence[str | bytes]]) -> list[dict[str, Any]]:
        """Returns `label`, `confidence` and `probabilities` (by label) of rows that hold one value for each input."""
        return [self._told(row.tolist()) for row in self.probabilities(rows)]

    def _told(self, row: list[float]) -> dict[str, Any]:
        best = max(range(len(row)), key=row.__getitem__)
        probabilities = dict(zip(self.labels, row, strict=True))
        return {"label": self.labels[best], "confidence": row[best], "probabilities": probabilities}


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
    predictor = module.Predictor(folder)

    def probabilities(rows: Sequence[Sequence[str | bytes]]) -> np.ndarray:
        try:
            found: np.ndarray = predictor.probabilities(rows)
        except (ImageError, OSError) as error:
            raise InputError(f"A row is no image that can be read: {error}.") from error
        return found

    return Loaded(predictor.labels, predictor.inputs, tasks.get(told["task"]).input_type, probabilities)


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
    if not labels or schema is None:
        raise _foreign(uri)
    inputs = [str(name) for name in schema.input_names()]

    def probabilities(rows: Sequence[Sequence[str | bytes]]) -> np.ndarray:
        import pandas as pd  # type: ignore[import-untyped]

        try:
            found = model.predict(pd.DataFrame([list(row) for row in rows], columns=inputs, dtype=object))
        except MlflowException as error:
            raise InputError(error.message) from error
        return np.array(found["probabilities"].tolist(), float).reshape(len(rows), len(labels))

    return Loaded(list(labels), inputs, tasks.get(told["task"]).input_type, probabilities)


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
