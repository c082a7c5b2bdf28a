"""A trained model packed as MLflow wants it: a folder that loads and predicts without graft."""

import io
import shutil
import tempfile
from importlib.metadata import version
from pathlib import Path

import pyarrow as pa

from components.shared import backbones, tasks
from components.shared.artifact import Artifact
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
    from mlflow.models import Model, ModelSignature
    from mlflow.types import ColSpec, DataType, Schema, TensorSpec
    from mlflow.types.schema import Array

    told = model.read_json("model.json")
    outputs: list[ColSpec | TensorSpec] = [
        ColSpec(DataType.string, "label"),
        ColSpec(DataType.double, "confidence"),
        ColSpec(Array(DataType.double), "probabilities"),
    ]
    input_type = tasks.get(told["task"]).input_type
    inputs = Schema([ColSpec(DataType[str(input_type)], name) for name in told["inputs"]])  # "string" or "binary"
    with tempfile.TemporaryDirectory(prefix="graft-package-") as scratch:
        mlflow.pyfunc.save_model(
            path=folder,
            mlflow_model=Model(artifact_path=folder.name, run_id=run_id),
            python_model=_CODE,
            artifacts={
                "model": str(model.path.resolve()),
                "predictor": str(_copy_predictor(told["family"], Path(scratch) / "predictor")),
            },
            signature=ModelSignature(inputs, Schema(outputs)),
            input_example=pd.DataFrame({name: [_example(name, input_type)] for name in told["inputs"]}),
            pip_requirements=requirements(model),
            metadata={"task": told["task"], "labels": told["labels"], "model_digest": model.digest},
        )


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


def _copy_predictor(family: str, folder: Path) -> Path:
    """Copies the files that a family predicts with, as they are now: the version goes on with them."""
    for name in backbones.FAMILIES[family].files:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(Path(str(backbones.__file__)).parents[1] / name, folder / name)
    return folder


def _example(name: str, input_type: pa.DataType) -> str | bytes:
    """Made up: a row of the data may be private, and whoever sees the registry sees the example."""
    if input_type != pa.binary():
        return f"An example of the column {name}."
    from PIL import Image

    file = io.BytesIO()
    Image.linear_gradient("L").resize((32, 32)).convert("RGB").save(file, "PNG")
    return file.getvalue()
