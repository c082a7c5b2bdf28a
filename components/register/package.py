"""A trained model packed as MLflow wants it: a folder that loads and predicts without graft."""

from importlib.metadata import version
from pathlib import Path

from components.shared import backbones
from components.shared.artifact import Artifact
from components.shared.errors import InputError

_CODE = Path(__file__).with_name("pyfunc.py")


def write_package(model: Artifact, folder: Path, run_id: str) -> None:
    """Writes the MLflow model of a model artifact: signature, input example, requirements; no pickle.

    Needs no torch: the signature is built from the model's own description, not by trying it.

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
    inputs = Schema([ColSpec(DataType.string, name) for name in told["inputs"]])
    mlflow.pyfunc.save_model(
        path=folder,
        mlflow_model=Model(artifact_path=folder.name, run_id=run_id),
        python_model=_CODE,
        artifacts={"model": str(model.path.resolve()), "predictor": str(_family_file(told["family"]))},
        signature=ModelSignature(inputs, Schema(outputs)),
        # Made up: a row of the data may be private, and whoever sees the registry sees the example.
        input_example=pd.DataFrame({name: [f"An example of the column {name}."] for name in told["inputs"]}),
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


def _family_file(family: str) -> Path:
    return Path(str(backbones.__file__)).with_name(f"{family}.py")
