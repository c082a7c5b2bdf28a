"""MLflow runs: what they are called, what they belong to, and the end of those that a killed step has left open."""

import os
import re
import socket
from collections.abc import Mapping
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING

from components.shared.errors import GraftError
from components.shared.process import process
from components.shared.redaction import in_short, redact
from components.shared.registry import records, tracking
from components.shared.storage.patience import patience

if TYPE_CHECKING:
    from mlflow import MlflowClient
    from mlflow.entities import Run

_PARENT, _NOTE = "mlflow.parentRunId", "mlflow.note.content"
_PIPELINE_RUN, _OUTPUT, _CHILD = "graft.pipeline_run", "graft.output", "graft.run_id"
PROCESS = "graft.process"
"""Tag of a run: the process that opened it."""
_UUID = re.compile(r"[0-9a-f]{8}-[0-9a-f]{4}-")
_SHOWN = 8  # characters of such an id in a name
_LONGEST = 40


def open_run(
    client: "MlflowClient", experiment: str, output: Path | None = None, tags: Mapping[str, str] | None = None
) -> str:
    """Opens an MLflow run in an experiment, and returns its id.

    It is named after the model and the run of the pipeline, and tells the page of that. Where Kubeflow's own MLflow
    plugin has made a run for this task on the same server, it lies below that. A run that an earlier attempt at the
    same output has left open is ended.

    Args:
        client: From `tracking.client`.
        experiment: Name of the experiment, which is the model's; it is made where there is none.
        output: What the step writes: the same for each attempt at it.
        tags: Further ones.
    """
    number = tracking.experiment_id(client, experiment)
    given = {**_origin(), **_parent(client), PROCESS: process.identity(), **(tags or {})}
    if output is not None:
        given[_OUTPUT] = _place(output)
        _end(client, number, f"tags.`{_OUTPUT}` = '{given[_OUTPUT]}'")
    made = client.create_run(number, run_name=_name(experiment), tags=given).info.run_id
    if output is not None and patience():  # an answer may have been lost: what was asked for twice may be there twice
        _end(client, number, f"tags.`{_OUTPUT}` = '{given[_OUTPUT]}'", but=made)
    _link(client, given.get(_PARENT, ""), made)
    return str(made)


def end_left_open(experiment: str, pipeline_run: str) -> None:
    """Ends, as killed, the MLflow runs of a pipeline's run that are still open: their step was killed.

    Nothing of it raises: a failure is told, and that is all.
    """
    run = records.current()
    names = {pipeline_run, run.id if run else ""} - {""}
    if not names or not os.environ.get("MLFLOW_TRACKING_URI"):
        return
    try:
        client = tracking.client()
        with tracking.explained("ending what was left open"):
            found = client.get_experiment_by_name(experiment)
            if found is None:
                return
            for name in sorted(names):
                _end(client, str(found.experiment_id), f"tags.`{_PIPELINE_RUN}` = '{name}'")
    except GraftError as error:
        print(f"graft: warning: {in_short(str(error))}", flush=True)


def output_of(run: "Run") -> Path | None:
    """Returns the path on this host that a run's step writes to; None where that is elsewhere, or not told."""
    host, _, path = run.data.tags.get(_OUTPUT, "").partition(":")
    return Path(path) if host == socket.gethostname() and path.startswith("/") else None


def _name(experiment: str) -> str:
    """Returns the name of a run: the model's, and the run of the pipeline or, where there is none, the time."""
    run = records.current()
    if run is None:
        return f"{experiment} {datetime.now():%Y-%m-%d %H:%M:%S}"
    return f"{experiment} {run.id[:_SHOWN] if _UUID.match(run.id) else run.id[:_LONGEST]}"


def _end(client: "MlflowClient", experiment: str, criterion: str, but: str = "") -> None:
    for left in _running(client, experiment, criterion):
        if left.info.run_id == but:
            continue
        client.set_terminated(left.info.run_id, "KILLED")
        print(f"graft: the MLflow run {left.info.run_id} was left open by a step that was killed: ended", flush=True)


def _running(client: "MlflowClient", experiment: str, criterion: str) -> "list[Run]":
    return list(client.search_runs([experiment], f"attributes.status = 'RUNNING' and {criterion}", max_results=100))


def _origin() -> dict[str, str]:
    """Returns tags that lead from an MLflow run to the run of the pipeline."""
    run = records.current()
    if not run:
        return {}
    address = records.page(run.id)
    note = {_NOTE: f"Trained by [a run of the pipeline]({address})."} if address else {}
    return {_PIPELINE_RUN: run.id, **note}


def _parent(client: "MlflowClient") -> dict[str, str]:
    """Returns the tag that puts a run below the one that Kubeflow's MLflow plugin has made for this task."""
    from mlflow.exceptions import MlflowException

    given = os.environ.get("MLFLOW_RUN_ID", "").strip()
    if not given:
        return {}
    try:
        client.get_run(given)
    except MlflowException as error:
        if error.error_code != "RESOURCE_DOES_NOT_EXIST":
            raise
        where = redact(os.environ.get("MLFLOW_TRACKING_URI", ""))
        print(
            f"graft: warning: MLFLOW_RUN_ID names a run that MLflow at {where} does not have: Kubeflow's MLflow plugin "
            "uses another server than this deployment. Name that one in the deployment's field mlflow to see both.",
            flush=True,
        )
        return {}
    return {_PARENT: given}


def _link(client: "MlflowClient", parent: str, made: str) -> None:
    """Leads from Kubeflow's MLflow run to ours: MLflow's page lists those below only within one experiment."""
    if not parent:
        return
    with tracking.explained("linking the runs"):
        client.set_tag(parent, _CHILD, made)
        client.set_tag(parent, _NOTE, f"Curves, model and evaluation: the run {made}.")


def _place(output: Path) -> str:
    """Returns what names an output; a path in a pod is derived from its address in the store, any other is a host's."""
    path = str(output.absolute()).replace("'", "")
    return path if os.environ.get("KFP_POD_NAME") else f"{socket.gethostname()}:{path}"
