"""Submits a job: its pipeline as a version named by content, a run of it, and how that run fares."""

import hashlib
import re
import secrets
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

import yaml

from components.shared.errors import GraftError, ServiceError
from components.shared.step import FAILURE, INTERRUPTED
from pipelines.cluster import compile_pipeline
from pipelines.deployment import Deployment
from pipelines.job import Job
from pipelines.kubeflow import NoAnswerError, RefusalError, create, ensure, experiment_id, first_named

FINAL = {"SUCCEEDED", "FAILED", "CANCELED", "SKIPPED"}
_NAME = 100  # characters of a model's name in a run's: older servers keep 191 in all
_LAST_LINES = 15
_PODS = 6  # whose logs are looked at


class StillRunningError(GraftError):
    """Nobody waits for the run any more; it goes on."""

    exit_code = INTERRUPTED


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
    steps = tuple(sorted(_steps(next(yaml.safe_load_all(content)))))
    return Version(pipeline.pipeline_id, version.pipeline_version_id, version_name, steps, not found)


def _steps(spec: dict[str, Any]) -> Iterator[str]:
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


def wait(client: Any, run: Run, tell: Callable[[str, str], None], interval: float = 5.0) -> None:
    """Follows a run to its end.

    Args:
        client: From `connect`.
        run: What `submit` started.
        tell: Called with a step and its state, whenever that is new.
        interval: Seconds between two looks.

    Raises:
        ServiceError: The run failed, or was cancelled: which step, why, and the end of its log.
        StillRunningError: Ctrl-C, or Kubeflow does not answer any more.
    """
    told: dict[str, str] = {}
    try:
        while True:
            seen = client.get_run(run.id)
            for step, state in _states(seen, run.version.steps):
                if told.get(step) != state:
                    told[step] = state
                    tell(step, state)
            if seen.state in FINAL:
                break
            time.sleep(interval)
    except KeyboardInterrupt:
        raise StillRunningError(f"nobody waits any more; the run goes on: {run.url}") from None
    except (NoAnswerError, RefusalError) as error:
        raise StillRunningError(f"{error}\nThe run itself goes on: {run.url}") from error
    if seen.state != "SUCCEEDED":
        raise ServiceError(f"{_failure(client, seen, run.version.steps)}\nThe run: {run.url}")
    for step in run.version.steps:  # those of a condition that does not hold are no tasks of the run
        if step not in told:
            tell(step, "SKIPPED")


def _tasks(run: Any) -> list[Any]:
    return (run.run_details and run.run_details.task_details) or []


def _states(run: Any, steps: Sequence[str]) -> Iterator[tuple[str, str]]:
    """Yields the state of each step that has one, in the order in which they began."""
    known = [task for task in _tasks(run) if task.display_name in steps and task.state]
    for task in sorted(known, key=_began):
        # Its pod was not needed.
        yield task.display_name, "CACHED" if task.state == "SKIPPED" else task.state


def _began(task: Any) -> str:
    return str(task.start_time or task.create_time)


def _failure(client: Any, run: Any, steps: Sequence[str]) -> str:
    """Tells why a run did not succeed: the step, its error, what its log ends with."""
    if run.state != "FAILED":
        return f"The run was {run.state.lower()}."
    failed = sorted((task for task in _tasks(run) if task.state == "FAILED"), key=_began)
    names = {task.display_name.removesuffix("-driver"): task for task in failed}
    step = next((name for name in names if name in steps), None)
    errors = [item.error for item in (run, *failed, names.get(step or "")) if item is not None and item.error]
    error = f": {errors[-1].message}" if errors else "."
    return f"{step or 'The run'} failed{error}{_told(client, run.run_id, failed, step)}"


def _told(client: Any, run_id: str, failed: Sequence[Any], step: str | None) -> str:
    """Returns what a step said of its failure, or else its last lines; "" where there is no log (any more)."""
    for pod in list(_pods(failed, step))[:_PODS]:
        lines = _log(client, run_id, pod)
        said = [found["line"] for line in lines if (found := FAILURE.match(line))]
        if said:
            return "\n" + "\n".join(said)
        if lines:
            return "\nIts last lines:\n" + "\n".join(f"  {line}" for line in lines[-_LAST_LINES:])
    return ""


def _pods(failed: Sequence[Any], step: str | None) -> Iterator[str]:
    """Yields what may be the names of the pods of a failed step, the last try first.

    The API tells of Argo's nodes, `WORKFLOW-HASH`; the pod that runs a step's code is called
    `WORKFLOW-system-container-impl-HASH`.
    """
    own = [task for task in failed if task.display_name == step or task.display_name.startswith("executor")]
    yield from (task.pod_name for task in own if task.pod_name)
    nodes = [child.pod_name for task in own for child in task.child_tasks or [] if child.pod_name]
    for node in reversed(nodes):
        workflow, _, suffix = node.rpartition("-")
        yield f"{workflow}-system-container-impl-{suffix}"
        yield node


_ERROR = re.compile(r'\{"error_message":.*', re.DOTALL)


def _log(client: Any, run_id: str, pod: str) -> list[str]:
    """Returns the lines of a pod's log; none where Kubeflow has none."""
    try:
        answer = client._run_api.api_client.call_api(
            "/apis/v1alpha1/runs/{run_id}/nodes/{node_id}/log",
            "GET",
            path_params={"run_id": run_id, "node_id": pod},
            auth_settings=["Bearer"],
            _preload_content=False,  # else a line of JSON is no text any more
        )
    except (NoAnswerError, RefusalError):
        return []
    text = _ERROR.sub(
        "", answer.data.decode(errors="replace")
    )  # the server begins with 200 and learns of the error later
    return [line.rstrip() for line in text.splitlines() if line.strip()]
