"""What MLflow loads: a registered model that predicts from raw input.

`register` copies this file into the registered model. It needs nothing of graft, only the model's requirements and two
artifacts: `model` (the model's folder) and `predictor` (the file of its family of backbones, as it was registered).
"""

import importlib.util
import sys
import uuid
from pathlib import Path
from types import ModuleType
from typing import Any

import pandas as pd  # type: ignore[import-untyped]
from mlflow.exceptions import MlflowException
from mlflow.models import set_model
from mlflow.pyfunc.model import PythonModel, PythonModelContext


class RegisteredModel(PythonModel):
    """Rows of text into labels with probabilities, one row each."""

    def load_context(self, context: PythonModelContext) -> None:
        """Loads the weights; called once."""
        module = _load(Path(context.artifacts["predictor"]))
        self.predictor = module.Predictor(Path(context.artifacts["model"]))

    def predict(
        self, context: PythonModelContext, model_input: pd.DataFrame, params: dict[str, Any] | None = None
    ) -> pd.DataFrame:
        """Predicts a label for each row.

        Args:
            context: Not used.
            model_input: The model's input columns, of strings.
            params: Not used.

        Returns:
            Columns `label` (string), `confidence` (the label's probability) and `probabilities` (a list in the order of
            the metadata's `labels`).

        Raises:
            MlflowException: A column is missing, or a value is no string.
        """
        rows = list(zip(*(_texts(model_input, name) for name in self.predictor.inputs), strict=True))
        probabilities = self.predictor.probabilities(rows).astype(float)
        labels = [self.predictor.labels[number] for number in probabilities.argmax(1)]
        found = {"label": labels, "confidence": probabilities.max(1), "probabilities": probabilities.tolist()}
        return pd.DataFrame(found, index=model_input.index)


def _texts(frame: pd.DataFrame, name: str) -> list[str]:
    if name not in frame.columns:
        found = [str(column) for column in frame.columns]
        raise MlflowException.invalid_parameter_value(f"The input has no column {name!r}; it has {found}.")
    texts: list[str] = frame[name].tolist()
    for number, text in enumerate(texts):
        if not isinstance(text, str):
            raise MlflowException.invalid_parameter_value(
                f"Row {number} of the column {name!r} is no text but {text!r}. Leave out rows without text."
            )
    return texts


def _load(file: Path) -> ModuleType:
    """Loads a file as a module under a name of its own: two models may bring two versions of it."""
    name = f"_graft_predictor_{uuid.uuid4().hex}"
    spec = importlib.util.spec_from_file_location(name, file)
    if spec is None or spec.loader is None:
        raise MlflowException(f"{file} is no Python file.")
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module
    spec.loader.exec_module(module)
    return module


set_model(RegisteredModel())
