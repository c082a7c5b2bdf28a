"""What MLflow loads: a registered model that predicts from raw input.

`register` copies this file into the registered model. It needs nothing of graft, only the model's requirements and two
artifacts: `model` (the model's folder) and `predictor` (the files of its family of backbones, as they were registered).

An image is the bytes of its file or, inside a Python process, the path of the file. A server takes bytes alone (base64
in JSON): whoever sends a request must not name files that the server may read. Not every kind of request is decoded
by MLflow (CSV, Parquet and KServe's protocol bring strings as they are), so the strings themselves are refused
wherever MLflow, Databricks or MLServer serves. Who builds a server of another kind on this model must pass bytes.
"""

import importlib
import json
import os
import sys
import uuid
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pandas as pd  # type: ignore[import-untyped]
from mlflow.environment_variables import _MLFLOW_IS_IN_SERVING_ENVIRONMENT
from mlflow.exceptions import MlflowException
from mlflow.models import set_model
from mlflow.pyfunc.model import PythonModel, PythonModelContext

# Imported, not spelled: where MLflow renames it, the model must not load, rather than read files for strangers.
_SERVING = (_MLFLOW_IS_IN_SERVING_ENVIRONMENT.name, "IS_IN_DB_MODEL_SERVING_ENV")
_Value = str | bytes


class RegisteredModel(PythonModel):
    """Rows of texts, or images, into labels with probabilities, one row each."""

    def load_context(self, context: PythonModelContext) -> None:
        """Loads the weights; called once."""
        folder = Path(context.artifacts["model"])
        package = _package(Path(context.artifacts["predictor"]))
        family = json.loads((folder / "model.json").read_text("utf-8"))["family"]
        self.predictor = importlib.import_module(f"{package}.backbones.{family}").Predictor(folder)
        has_pictures = any((folder / name).exists() for name in ("preprocessing.json", "gradients.json"))
        self.pixels = importlib.import_module(f"{package}.backbones.pixels") if has_pictures else None

    def predict(
        self, context: PythonModelContext, model_input: pd.DataFrame, params: dict[str, Any] | None = None
    ) -> pd.DataFrame:
        """Predicts a label for each row.

        Args:
            context: Not used.
            model_input: The model's input columns: of strings, or for images of bytes or paths (`str`, `pathlib.Path`).
            params: Not used.

        Returns:
            Columns `label` (string), `confidence` (the label's probability) and `probabilities` (a list in the order of
            the metadata's `labels`).

        Raises:
            MlflowException: A column is missing, or a value is no text, or no image that can be read.
        """
        check = _text if self.pixels is None else _image
        rows = list(zip(*(_column(model_input, name, check) for name in self.predictor.inputs), strict=True))
        probabilities = self._probabilities(rows).astype(float)
        labels = [self.predictor.labels[number] for number in probabilities.argmax(1)]
        found = {"label": labels, "confidence": probabilities.max(1), "probabilities": probabilities.tolist()}
        return pd.DataFrame(found, index=model_input.index)

    def _probabilities(self, rows: list[tuple[_Value, ...]]) -> np.ndarray:
        try:
            probabilities: np.ndarray = self.predictor.probabilities(rows)
        except ValueError:
            if self.pixels is not None:
                _blame(rows, self.predictor.inputs, self.pixels)
            raise
        return probabilities


def _column(frame: pd.DataFrame, name: str, check: Callable[[Any], _Value]) -> list[_Value]:
    if name not in frame.columns:
        found = [str(column) for column in frame.columns]
        raise MlflowException.invalid_parameter_value(f"The input has no column {name!r}; it has {found}.")
    values = []
    for number, value in enumerate(frame[name].tolist()):
        try:
            values.append(check(value))
        except ValueError as error:
            raise MlflowException.invalid_parameter_value(f"Row {number} of the column {name!r} {error}") from error
    return values


def _text(value: Any) -> str:
    if not isinstance(value, str):
        raise ValueError(f"is no text but {value!r}. Leave out rows without text.")
    return value


def _image(value: Any) -> _Value:
    if isinstance(value, bytes | bytearray | memoryview):
        return bytes(value)
    if not isinstance(value, str | os.PathLike):
        raise ValueError(f"is no image but {value!r}. Give the bytes of an image file.")
    if _is_server():
        raise ValueError("is a string. A server takes the bytes of an image file: in JSON as base64, not as CSV.")
    if not Path(value).is_file():  # a device or a pipe might never end
        raise ValueError(f"names no file: {os.fspath(value)!r}. Give the path of an image file, or its bytes.")
    return os.fspath(value)


def _is_server() -> bool:
    """Tells whether this process answers requests: then strings come from strangers."""
    return "mlserver" in sys.modules or any(os.environ.get(name) for name in _SERVING)


def _blame(rows: list[tuple[_Value, ...]], names: list[str], pixels: ModuleType) -> None:
    """Raises an exception that names the first row that is no image, and why."""
    for number, row in enumerate(rows):
        for name, value in zip(names, row, strict=True):
            try:
                pixels.open_image(value if isinstance(value, bytes) else Path(value).read_bytes())
            except pixels.ImageError as error:
                raise MlflowException.invalid_parameter_value(
                    f"Row {number} of the column {name!r} is no image that can be read: {error}."
                ) from error


def _package(folder: Path) -> str:
    """Makes a folder a package under a name of its own: two models may bring two versions of it."""
    package = ModuleType(f"_graft_predictor_{uuid.uuid4().hex}")
    package.__path__ = [str(folder)]
    sys.modules[package.__name__] = package
    return package.__name__


set_model(RegisteredModel())
