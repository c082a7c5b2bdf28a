"""Runs on a cluster as the command tells them: one that is followed, one that is looked at, the last ones."""

from pathlib import Path
from typing import Any

from rich.console import Console

from components.shared.errors import GraftError, ServiceError
from pipelines.cluster.deployment import Deployment
from pipelines.cluster.status import Status, ask_registry, find_run, last_runs, status_of
from pipelines.cluster.submit import Run
from pipelines.cluster.waiting import wait
from pipelines.command.scores import score_column


def follow(client: Any, deployment: Deployment, started: Run, patience: float, json: Path | None) -> None:
    """Follows a run to its end, and tells what came of it.

    Raises:
        ServiceError: It failed, or was cancelled.
        StillRunningError: It goes on, and nobody waits any more.
    """
    try:
        seen = wait(client, started, _tell_step, patience=patience, say=_say)
    except ServiceError as error:
        try:
            told = _status(find_run(client, deployment, started.id), deployment, json)
        except GraftError:
            raise error from None
        if told.error and told.error.rpartition(": ")[2] not in str(error):  # the log is gone, what was written is not
            raise ServiceError(f"{error}\n{told.error}") from error
        raise
    tell(_status(seen, deployment, json), Console())


def show(client: Any, deployment: Deployment, wanted: str, json: Path | None) -> None:
    """Tells what came of a run."""
    tell(_status(find_run(client, deployment, wanted), deployment, json), Console())


def list_last(client: Any, deployment: Deployment) -> None:
    """Tells of the last runs, one a line."""
    hidden = _warn(deployment)
    found = [status_of(run, deployment, hidden) for run in last_runs(client, deployment)]
    heading, scores = score_column([(told.task, told.metrics) for told in found])
    rows = [("run", "started", "outcome", "model", "version", heading)]
    for told, score in zip(found, scores, strict=True):
        rows.append((told.run, told.created[:16], _outcome(told), told.model, told.version, score))
    if len(rows) == 1:
        print("There are no runs here yet; graft submit starts one.")
        return
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    for row in rows:  # whole lines, however narrow the terminal: an id is there to be copied
        print("  ".join(text.ljust(width) for text, width in zip(row, widths, strict=True)).rstrip())


def tell(status: Status, console: Console) -> None:
    """Tells what came of a run."""
    aliases = " ".join(f"@{alias}" for alias in status.aliases)
    metrics = "  ".join(f"{name} {value:.4f}" for name, value in status.metrics.items())
    steps = "  ".join(f"{name} {seconds:.0f} s" for name, seconds in status.seconds.items())
    reasons = f"{status.changes} {status.reason}" if status.changes != status.reason else status.reason
    lines = {
        "outcome": _outcome(status),
        "": (status.error or reasons).strip(),
        "version": f"{status.model} {status.version} {aliases}".strip() if status.version else "",
        "metrics": metrics,
        "page": status.report,
        "mlflow": status.mlflow,
        "run": status.page,
        "time": steps,
    }
    for name, text in lines.items():
        if text:
            console.print(f"{name:<8} {text}", highlight=False, markup=False, soft_wrap=True)


def _outcome(status: Status) -> str:
    return f"{status.state.lower()}, and the registry was not asked" if status.outcome == "unknown" else status.outcome


def _status(run: Any, deployment: Deployment, json: Path | None) -> Status:
    told = status_of(run, deployment, _warn(deployment))
    if json:
        told.write(json)
    return told


def _warn(deployment: Deployment) -> bool:
    """Tells where the registry cannot be asked; returns whether that is so."""
    hidden = ask_registry(deployment)
    if hidden:
        print(f"graft: warning: {hidden}", flush=True)
    return bool(hidden)


def _say(text: str) -> None:
    print(f"graft: {text}", flush=True)


def _tell_step(step: str, state: str) -> None:
    print(f"{step:<10} {state.lower()}", flush=True)
