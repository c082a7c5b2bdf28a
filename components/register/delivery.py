"""A packed model to where its MLflow run keeps artifacts; on this disk, as further names of files that are there."""

import os
import shutil
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING

from components.register.versions import first_of
from components.shared.artifacts.artifact import Artifact
from components.shared.registry import relocation

if TYPE_CHECKING:
    from mlflow import MlflowClient
    from mlflow.entities import Run

PLACE = "model"  # in the run's artifacts
LOGGED = "graft.logged_model"  # tag of the run: digest of the model that was logged to it as a whole
_MODEL = "artifacts/model"  # in an MLflow model: where MLflow puts the artifact "model"


def deliver(client: "MlflowClient", run: "Run", package: Path, model: Artifact) -> None:
    """Brings a packed model into the artifacts of a run.

    Where those lie on a disk of this machine, the model's own files get a second name and take no more space (a copy
    where the disk is another), and the folder is seen as a whole or not at all.

    Args:
        client: Of MLflow.
        run: The run.
        package: From `write_package`.
        model: What was packed.
    """
    place = relocation.path_of(run.info.artifact_uri)
    if place is None:
        client.log_artifacts(run.info.run_id, str(package), PLACE)
        return
    partial = place / f"{PLACE}.partial"
    shutil.rmtree(partial, ignore_errors=True)
    for file in sorted(path for path in package.rglob("*") if path.is_file()):
        name = PurePosixPath(file.relative_to(package).as_posix())
        target = partial / name
        target.parent.mkdir(parents=True, exist_ok=True)
        own = model.path / name.relative_to(_MODEL) if name.is_relative_to(_MODEL) else file
        _bring(own if _is_same(own, file) else file, target)
    shutil.rmtree(place / PLACE, ignore_errors=True)
    partial.rename(place / PLACE)


def is_registered(client: "MlflowClient", name: str, digest: str) -> bool:
    """Tells whether a version has the same model already, and its run holds it: a second copy would be of no use."""
    from mlflow.exceptions import MlflowException

    try:
        number = first_of(client, name, digest)
        run_id = client.get_model_version(name, number).run_id if number else None
        if not run_id:
            return False
        run = client.get_run(run_id)
        is_whole = run.info.lifecycle_stage == "active" and run.data.tags.get(LOGGED) == digest
        return is_whole and bool(client.list_artifacts(run_id, PLACE))
    except MlflowException as error:
        if error.error_code != "RESOURCE_DOES_NOT_EXIST":
            raise
        return False


def _is_same(own: Path, file: Path) -> bool:
    return own.is_file() and own.stat().st_size == file.stat().st_size


def _bring(file: Path, target: Path) -> None:
    try:
        os.link(file, target)
    except OSError:
        shutil.copyfile(file, target)
