"""What came of a run on a cluster: Kubeflow tells how it ended, the registry what was made of it."""

import dataclasses
import json
import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from components.notify.outcome import FAILURE, PROMOTION, UNKNOWN, Outcome, entries_of, find_outcome
from components.shared.errors import GraftError, InputError
from components.shared.redaction import redact
from components.shared.registry import registry, tracking
from pipelines.checks.address import is_hidden
from pipelines.checks.mlflow import ADDRESS, FAST
from pipelines.cluster.deployment import Deployment
from pipelines.cluster.failures import tasks_of, was_cancelled
from pipelines.cluster.kubeflow import RefusalError, experiment_id, first_named
from pipelines.cluster.waiting import FINAL

NOTHING_NEW, SAME_MODEL, RUNNING, NOT_KNOWN = "nothing new", "the same model again", "running", "unknown"
_LAST = 10  # runs that are listed
_PAGE = "notes/report.html"  # of an evaluation


@dataclass(frozen=True)
class Status:
    """What came of a run; `--json` writes it, with the fields that `graft run` has, and some more.

    Attributes:
        run: Id of the run.
        name: Its name.
        state: As Kubeflow tells it.
        outcome: "promoted", "refused", "awaits approval", "nothing new", "the same model again", "failed", "stopped",
            "running", or "unknown" where the registry cannot be asked.
        changed: Whether there was something to train for.
        changes: What had changed in the data, as a sentence; "" where that was not looked at.
        reason: Why it was promoted or not, or why nothing was done.
        error: What went wrong, as a sentence.
        report: Address of the page in the store.
        seconds: Of each step that has ended, and "total" of the whole run.
        artifacts: Address of the model and its evaluation, by kind.
        page: Address of the run's page in Kubeflow.
        mlflow: Address of the version, or of the MLflow run, in MLflow's pages.
        created: When it was started, ISO 8601.
        task: What was learned.
    """

    run: str
    name: str
    state: str
    outcome: str
    model: str
    page: str
    created: str
    version: str = ""
    aliases: list[str] = dataclasses.field(default_factory=list)
    metrics: dict[str, float] = dataclasses.field(default_factory=dict)
    baselines: dict[str, dict[str, float]] = dataclasses.field(default_factory=dict)
    verdict: str = ""
    changed: bool = True
    changes: str = ""
    promoted: bool = False
    reason: str = ""
    error: str = ""
    report: str = ""
    seconds: dict[str, float] = dataclasses.field(default_factory=dict)
    artifacts: dict[str, str] = dataclasses.field(default_factory=dict)
    mlflow: str = ""
    task: str = ""

    def write(self, path: Path) -> None:
        """Writes it as JSON."""
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(json.dumps(dataclasses.asdict(self), indent=1, ensure_ascii=False) + "\n", "utf-8")


def find_run(client: Any, deployment: Deployment, wanted: str) -> Any:
    """Returns a run as Kubeflow shows it.

    Args:
        client: From `connect`.
        deployment: Where the run is.
        wanted: Its id, the address of its page, or its name.

    Raises:
        InputError: There is no such run.
        ServiceError: Kubeflow does not answer.
    """
    number = wanted.rstrip("/").rpartition("/")[2]
    try:
        return client.get_run(number)
    except RefusalError as error:
        if error.status not in (400, 404):
            raise
    experiment = experiment_id(client, deployment)
    found = first_named(wanted, client.list_runs, "runs", experiment_id=experiment)
    if found is None:
        raise InputError(
            f"Kubeflow has no run {wanted!r}: its id, its name or the address of its page was expected. Without one, "
            "graft status lists the last runs."
        )
    return client.get_run(found.run_id)


def last_runs(client: Any, deployment: Deployment) -> list[Any]:
    """Returns the last runs of the deployment's experiment, the newest first."""
    listed = client.list_runs(
        experiment_id=experiment_id(client, deployment), page_size=_LAST, sort_by="created_at desc"
    )
    return list(listed.runs or [])


def ask_registry(deployment: Deployment) -> str:
    """Leads MLflow to the deployment's server, unless the environment leads somewhere; returns why it cannot be asked.

    Returns:
        A sentence, "" where it can be asked.
    """
    os.environ.setdefault(ADDRESS, deployment.mlflow)
    for name, value in FAST.items():
        os.environ.setdefault(name, value)
    address = os.environ[ADDRESS]
    if is_hidden(address):
        return (
            f"{redact(address)} is an address inside the cluster: what came of a run cannot be asked for from here. "
            f"Set {ADDRESS} to one that leads there, such as a port-forward."
        )
    return ""


def status_of(run: Any, deployment: Deployment, hidden: bool = False) -> Status:
    """Returns what came of a run.

    Args:
        run: As Kubeflow shows it.
        deployment: Where it is.
        hidden: Whether the registry cannot be asked.
    """
    parameters: Mapping[str, Any] = (run.runtime_config and run.runtime_config.parameters) or {}
    model = str(parameters.get("model", ""))
    known = Status(
        run=run.run_id,
        name=run.display_name,
        state=run.state or "",
        outcome=NOT_KNOWN if run.state in FINAL else RUNNING,
        model=model,
        page=deployment.kubeflow.page(run.run_id),
        created=str(run.created_at or ""),
        seconds=_seconds(run),
        task=str(parameters.get("task", "")),
    )
    if hidden or not model:
        return known
    told = find_outcome(model, run.run_id, known.state, was_cancelled(run))
    if told.event == UNKNOWN:
        return dataclasses.replace(known, error=told.error)
    try:
        entries = entries_of(model, run.run_id)
        found = _with_version(known, told, entries)
    except GraftError as error:
        print(f"graft: warning: {redact(str(error))}", flush=True)
        return known
    if run.state not in FINAL:
        return dataclasses.replace(found, outcome=RUNNING, error="")
    return dataclasses.replace(found, outcome=_outcome(told, entries), error=told.error)


def _outcome(told: Outcome, entries: Mapping[str, Mapping[str, Any]]) -> str:
    if told.verdict:
        return told.verdict
    if entries.get("detect", {}).get("changed") is False:
        return NOTHING_NEW
    return SAME_MODEL if told.version else NOT_KNOWN


def _with_version(known: Status, told: Outcome, entries: Mapping[str, Mapping[str, Any]]) -> Status:
    """Adds what the steps wrote down, and what the registry has of the version."""
    detected, registered = entries.get("detect", {}), entries.get("register", {})
    changes, places = str(detected.get("sentence", "")), dict(registered.get("places") or {})
    changed = detected.get("changed") is not False
    number = told.version or str(registered.get("version") or "") or ("" if changed else detected.get("version", ""))
    versions = registry.show_model(known.model) if number else []
    version = next((entry for entry in versions if entry.version == number), None)
    evaluation = places.get("evaluation", "")
    return dataclasses.replace(
        known,
        version=number,
        aliases=version.aliases if version else [],
        metrics=version.metrics if version else {},
        verdict=version.verdict if version else "",
        baselines=_baselines(version.run_id) if version and changed else {},
        changed=changed,
        changes=changes,
        promoted=told.event == PROMOTION,
        reason=told.reasons or ("" if told.event == FAILURE else changes),
        report=f"{evaluation.rstrip('/')}/{_PAGE}" if evaluation else "",
        artifacts=places,
        mlflow=_address(known.model, number),
    )


def _baselines(run_id: str) -> dict[str, dict[str, float]]:
    """Returns the score of each baseline, as the MLflow run of a version has it; {} where that is gone."""
    from mlflow.exceptions import MlflowException

    client = tracking.client()
    with tracking.explained("reading the run of the version"):
        try:
            metrics = client.get_run(run_id).data.metrics if run_id else {}
        except MlflowException as error:
            if error.error_code != "RESOURCE_DOES_NOT_EXIST":
                raise
            return {}
    parts = [(name.split("/"), value) for name, value in metrics.items() if name.startswith("baseline/")]
    return {name[1]: {name[2]: value} for name, value in parts if len(name) == 3}


def _address(model: str, version: str) -> str:
    server = os.environ.get(ADDRESS, "")
    if not version or not server.startswith("http"):
        return ""
    return redact(f"{server.rstrip('/')}/#/models/{model}/versions/{version}")


def _seconds(run: Any) -> dict[str, float]:
    """Returns how long each step took, and the whole run."""
    found = {
        task.display_name: round((task.end_time - task.start_time).total_seconds(), 1)
        for task in tasks_of(run)
        if task.start_time and task.end_time and task.end_time.year > 1970 and _is_step(task.display_name)
    }
    if run.created_at and run.finished_at and run.finished_at.year > 1970:
        found["total"] = round((run.finished_at - run.created_at).total_seconds(), 1)
    return found


def _is_step(name: str) -> bool:
    return not name.startswith(("root", "condition-", "exit-handler-", "executor", "for-loop-")) and not name.endswith(
        "-driver"
    )
