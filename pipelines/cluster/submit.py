"""Submits a job: its pipeline as a version named by content, and a run of it."""

import hashlib
import secrets
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

import yaml

from pipelines.cluster.compilation import compile_pipeline
from pipelines.cluster.deployment import Deployment
from pipelines.cluster.kubeflow import create, ensure, experiment_id, first_named
from pipelines.jobs.job import Job

LOADER: Any = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
"""Reads a package, two thousand lines, six times faster where libyaml is there."""

_NAME = 100  # characters of a model's name in a run's: older servers keep 191 in all


@dataclass(frozen=True)
class Version:
    """A pipeline as Kubeflow has it.

    Attributes:
        name: Holds the digest of the package: the same content has the same name.
        steps: Names of its steps, in the order of the alphabet.
        uploaded: Whether it was not there before.
    """

    pipeline_id: str
    version_id: str
    name: str
    steps: tuple[str, ...]
    uploaded: bool


@dataclass(frozen=True)
class Run:
    """A run that was started.

    Attributes:
        url: Its page.
    """

    id: str
    name: str
    url: str
    version: Version


def upload(client: Any, deployment: Deployment, job: Job, pipeline: str = "finetune") -> Version:
    """Makes sure that Kubeflow has a job's pipeline as a version that is named by the package's content.

    Raises:
        GraftError: Kubeflow does not answer, or does not take the pipeline.
    """
    with tempfile.TemporaryDirectory() as folder:
        package = Path(folder) / "pipeline.yaml"
        compile_pipeline(job, package, deployment, pipeline)
        return _upload(client, deployment.kubeflow.namespace, f"graft-{pipeline}", package)


def _upload(client: Any, namespace: str | None, name: str, package: Path) -> Version:
    content = package.read_bytes()
    version_name = f"{name}-{hashlib.sha256(content).hexdigest()[:32]}"
    pipeline = ensure(
        lambda: client.pipelines.pipeline_service_create_pipeline(
            client.api_models.V2beta1Pipeline(display_name=name, namespace=namespace)
        ),
        lambda: first_named(name, client.list_pipelines, "pipelines", namespace=namespace),
    )
    there = {"pipeline_id": pipeline.pipeline_id}

    def find() -> Any:
        return first_named(version_name, client.list_pipeline_versions, "pipeline_versions", **there)

    found = find()
    version = found or create(lambda: client.upload_pipeline_version(str(package), version_name, **there), find)
    steps = tuple(sorted(steps_of(next(yaml.load_all(content, LOADER)))))
    return Version(pipeline.pipeline_id, version.pipeline_version_id, version_name, steps, not found)


def steps_of(spec: dict[str, Any]) -> Iterator[str]:
    """Yields the names of the tasks that run something, within conditions and exit handlers too."""
    components = spec["components"]
    for component in (spec["root"], *components.values()):
        for name, task in component.get("dag", {}).get("tasks", {}).items():
            if "executorLabel" in components[task["componentRef"]["name"]]:
                yield name


def submit(client: Any, deployment: Deployment, job: Job, pipeline: str = "finetune") -> Run:
    """Starts a run of a job, with the job's values as its arguments.

    Raises:
        GraftError: Kubeflow does not answer, or does not take it.
    """
    version = upload(client, deployment, job, pipeline)
    experiment = experiment_id(client, deployment)
    # A name of its own: by it the run is found again should the server's answer be lost.
    name = f"{job.model[:_NAME]} {datetime.now():%Y-%m-%d %H:%M:%S} {secrets.token_hex(3)}"
    run = create(
        lambda: client.run_pipeline(
            experiment,
            name,
            params=job.arguments(pipeline),
            pipeline_id=version.pipeline_id,
            version_id=version.version_id,
            pipeline_root=deployment.pipeline_root,
            service_account=deployment.kubeflow.service_account,
        ),
        lambda: first_named(name, client.list_runs, "runs", experiment_id=experiment),
    )
    return Run(run.run_id, name, deployment.kubeflow.page(run.run_id), version)
