"""A model and its evaluation into a version in the MLflow registry."""

import dataclasses
import re
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from components.register.delivery import LOGGED, PLACE, deliver, is_registered
from components.register.package import requirements, write_package
from components.register.tags import promotion_tags
from components.register.versions import ensure_version
from components.shared import tasks
from components.shared.artifacts.artifact import Artifact, open_artifact, write_artifact
from components.shared.artifacts.inventory import FOLDER
from components.shared.errors import InputError
from components.shared.process.step import Progress, option, required
from components.shared.registry import records, runs, tracking
from components.shared.registry.records import PipelineRun
from components.shared.registry.registry import CHALLENGER, INVENTORY, check_name

if TYPE_CHECKING:
    from mlflow import MlflowClient
    from mlflow.entities import Run

_NO_NAME = re.compile(r"[^\w\-. :]", re.ASCII)  # what MLflow does not take in the name of a metric


@dataclass(frozen=True)
class RegisterSettings:
    """Settings of `register`."""

    name: str = required("the model's name in the registry")
    experiment: str = option("", "MLflow experiment of the run, where finetune opened none; empty: the model's name")
    pipeline_run: str = option("", "the run of the pipeline, which the version tells")
    places: dict[str, str] = option({}, "addresses of the model and its evaluation, for who looks for them later")


@dataclass(frozen=True)
class RegisterReport:
    """What `register` did: the version, whether it is new, and the digest of the artifact that tells it."""

    digest: str
    model: str
    version: str
    aliases: list[str]
    run_id: str
    created: bool
    uri: str


def register(model: Path, evaluation: Path, version: Path, settings: RegisterSettings) -> RegisterReport:
    """Logs a model to the MLflow run that trained it, and makes a version of it with the alias `challenger`.

    The same model registered twice gives one version. A try that was killed leaves no version without tags; the next
    one goes on where it ended. The artifact holds `version.json`.

    Args:
        model: The folder of the model to read.
        evaluation: The folder of its evaluation to read.
        version: The folder to write.
        settings: Its name in the registry.

    Raises:
        InputError: The name cannot be one, the evaluation is of another model, MLflow's address is not set, or it
            refused the credentials.
        ServiceError: MLflow or its artifact store failed, or the disk is full.
    """
    check_name(settings.name)
    source, scores = open_artifact(model, "model"), open_artifact(evaluation, "evaluation")
    _check(source, scores)
    lineage = {**scores.inputs, **source.lineage(), "evaluation": scores.digest}
    with write_artifact(version, "version", dataclasses.asdict(settings), lineage) as draft:
        decided = promotion_tags(scores)
        told = _publish(source, scores, settings)
        draft.producer["mlflow_run_id"] = told["run_id"]
        draft.write_json("version.json", told)
    entry = {
        **told,
        "places": settings.places,
        **{key: decided[key] for key in ("decision", "reasons", "compared_with")},
    }
    records.leave(PipelineRun(settings.name, settings.pipeline_run), "register", entry)
    return RegisterReport(digest=draft.digest, **told)


def _publish(model: Artifact, evaluation: Artifact, settings: RegisterSettings) -> dict[str, Any]:
    """Does what others see; every part of it can be done again."""
    client, name, progress = tracking.client(), settings.name, Progress("register", 3)
    with tracking.explained("logging the model"):
        run = _run(client, model, settings)
        if is_there := is_registered(client, name, model.digest):
            progress.update(1, "the same model is registered already")
        else:
            _log_model(client, run, model)
            progress.update(1, "model logged")
    with tracking.explained("logging the evaluation"):
        _log_evaluation(client, run, evaluation, model)
        progress.update(2, "evaluation logged")
    with tracking.explained("making a version"):
        tags = {**_tags(model, evaluation, run), **promotion_tags(evaluation), "pipeline_run": settings.pipeline_run}
        sentence = evaluation.read_json("evaluation.json")["sentence"]
        number, created = ensure_version(client, name, f"{run.info.artifact_uri}/{PLACE}", tags, sentence)
        if created and is_there:  # the version that had it was deleted meanwhile
            _log_model(client, run, model)
        client.set_registered_model_alias(name, CHALLENGER, number)
        aliases = sorted(client.get_model_version(name, number).aliases)
    progress.update(3, f"{name} version {number}" + ("" if created else " was there already"))
    return {
        "model": name,
        "version": number,
        "aliases": aliases,
        "run_id": run.info.run_id,
        "created": created,
        "uri": f"models:/{name}/{number}",
    }


def _check(model: Artifact, evaluation: Artifact) -> None:
    found = evaluation.inputs.get("model", "none")
    if found != model.digest:
        raise InputError(
            f"The evaluation at {evaluation.path} is of another model (digest {found[:12]}) than the one at "
            f"{model.path} ({model.digest[:12]}). Evaluate this model."
        )
    requirements(model)


def _run(client: "MlflowClient", model: Artifact, settings: RegisterSettings) -> "Run":
    """Returns the run in which the model was trained; where this server knows none, a run for this model."""
    from mlflow.exceptions import MlflowException

    if told := model.producer.get("mlflow_run_id"):
        try:
            run = client.get_run(told)
            if run.info.lifecycle_stage == "active":
                return run
        except MlflowException as error:
            if error.error_code != "RESOURCE_DOES_NOT_EXIST":
                raise
    experiment = tracking.experiment_id(client, settings.experiment or settings.name)
    found = client.search_runs([experiment], f"tags.model_digest = '{model.digest}'", max_results=1)
    if found:
        return found[0]
    made = runs.open_run(client, settings.experiment or settings.name, tags={"model_digest": model.digest})
    client.set_terminated(made)
    return client.get_run(made)


def _log_model(client: "MlflowClient", run: "Run", model: Artifact) -> None:
    """Logs the model, unless it was: the tag is written after the last file."""
    if run.data.tags.get(LOGGED) == model.digest:
        return
    with tempfile.TemporaryDirectory(prefix="graft-register-") as scratch:
        folder = Path(scratch) / PLACE
        write_package(model, folder, run.info.run_id)
        deliver(client, run, folder, model)
    client.set_tag(run.info.run_id, LOGGED, model.digest)


def _log_evaluation(client: "MlflowClient", run: "Run", evaluation: Artifact, model: Artifact) -> None:
    for name in ("evaluation.json", "notes/report.html"):
        client.log_artifact(run.info.run_id, str(evaluation.file(name)))
    for name in evaluation.files:
        if name.startswith(f"{FOLDER}/"):
            client.log_artifact(run.info.run_id, str(evaluation.file(name)), INVENTORY)
    values = {f"test/{name}": value for name, value in _metrics(evaluation).items()}
    told = model.read_json("model.json")
    primary = tasks.get(told["task"], told.get("task_args")).metrics[0].name
    for name, metrics in evaluation.read_json("evaluation.json")["baselines"].items():
        if metrics[primary] is not None:
            values[f"baseline/{_NO_NAME.sub('', name)}/{primary}"] = metrics[primary]
    now = int(time.time() * 1000)
    for name, value in values.items():
        if name not in run.data.metrics:  # where the same model was registered before
            client.log_metric(run.info.run_id, name, value, timestamp=now, step=0)  # sent twice, it is there once


def _metrics(evaluation: Artifact) -> dict[str, float]:
    metrics: dict[str, Any] = evaluation.read_json("evaluation.json")["metrics"]
    return {name: value for name, value in metrics.items() if isinstance(value, int | float)}


def _tags(model: Artifact, evaluation: Artifact, run: "Run") -> dict[str, str]:
    tags = {f"test_{name}": f"{value:.6g}" for name, value in _metrics(evaluation).items()}
    told = evaluation.read_json("evaluation.json")
    for name, ends in told.get("intervals", {}).items():
        tags |= {f"test_{name}_{end}": f"{value:.6g}" for end, value in zip(("low", "high"), ends, strict=True)}
    tags |= {f"{kind}_digest": digest for kind, digest in model.lineage().items()}
    return tags | {
        "evaluation_digest": evaluation.digest,
        "verdict": str(told["verdict"]),
        "task": model.read_json("model.json")["task"],
        "git_commit": model.producer["git_commit"],
        "graft_version": model.producer["graft"],
        "run_id": run.info.run_id,
    }
