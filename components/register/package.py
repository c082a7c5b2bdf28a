"""A trained model packed as MLflow wants it: a folder that loads and predicts without graft."""

import io
import tempfile
from collections.abc import Mapping
from importlib.metadata import version
from pathlib import Path
from typing import Any

import pyarrow as pa

from components.register.copies import copy_predictor
from components.register.signature import signature_of
from components.shared import tasks
from components.shared.artifacts.artifact import Artifact
from components.shared.errors import InputError

_CODE = Path(__file__).with_name("pyfunc.py")


def write_package(model: Artifact, folder: Path, run_id: str) -> None:
    """Writes the MLflow model of a model artifact: signature, input example, requirements; no pickle.

    Needs no torch: the signature is built from the model's own description, not by trying it. Columns are strings or,
    for a task on files (images), binary: bytes in Python, base64 in the JSON that `mlflow models serve` takes.

    Args:
        model: The model artifact.
        folder: The folder to write; must not exist.
        run_id: The MLflow run that it will be logged to.
    """
    import mlflow.pyfunc
    import pandas as pd  # type: ignore[import-untyped]
    from mlflow.models import Model

    told = model.read_json("model.json")
    task = tasks.get(told["task"], told.get("task_args"))
    with tempfile.TemporaryDirectory(prefix="graft-package-") as scratch:
        mlflow.pyfunc.save_model(
            path=folder,
            mlflow_model=Model(artifact_path=folder.name, run_id=run_id),
            python_model=_CODE,
            artifacts={
                "model": str(model.path.resolve()),
                "predictor": str(_predictor(told, Path(scratch))),
            },
            signature=signature_of(told["inputs"], task.input_type, task.prediction),
            input_example=pd.DataFrame({name: [_example(name, task.input_type)] for name in told["inputs"]}),
            pip_requirements=requirements(model),
            metadata={"task": told["task"], "labels": told.get("labels", []), "model_digest": model.digest},
        )


def _predictor(told: Mapping[str, Any], scratch: Path) -> Path:
    return copy_predictor(told["family"], told["task"], scratch / "predictor", told.get("task_args"))


def requirements(model: Artifact) -> list[str]:
    """Returns the pinned requirements: what trained the model, and the MLflow that packs it.

    Raises:
        InputError: The model does not tell them.
    """
    told = model.producer.get("requirements")
    if not told:
        raise InputError(
            f"{model.path / 'manifest.json'} does not tell the versions that trained the model (requirements): an "
            "older graft made it. Run finetune again."
        )
    pinned = {**told, "mlflow": version("mlflow")}
    return [f"{name}=={pinned[name]}" for name in sorted(pinned)]


def _example(name: str, input_type: pa.DataType) -> str | bytes:
    """Made up: a row of the data may be private, and whoever sees the registry sees the example."""
    if input_type != pa.binary():
        return f"An example of the column {name}."
    from PIL import Image

    file = io.BytesIO()
    Image.linear_gradient("L").resize((32, 32)).convert("RGB").save(file, "PNG")
    return file.getvalue()
