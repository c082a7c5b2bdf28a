"""Why a run did not succeed: the step, its error, what it said of it."""

import re
from collections.abc import Iterator, Sequence
from typing import Any

from components.shared.process.step import FAILURE
from components.shared.redaction import redact
from pipelines.cluster.kubeflow import NoAnswerError, RefusalError

_LAST_LINES = 15
_PODS = 6  # whose logs are looked at
_CANCELLED = {"CANCELING", "CANCELED"}
_OTHERS = re.compile(
    r"^\s*([IWEF]\d{4} \d\d:"  # the launcher and the driver
    r"|\[KFP Executor [^\]]*(INFO|DEBUG)\]"
    r"|time=\"[^\"]*\" level=(info|debug)|time=\S+ level=(INFO|DEBUG)"  # Argo's executor
    r"|(INFO|DEBUG):|\{\"(level|time|ts)\":"
    r"|(WARNING: )?Running pip as|\[notice\])"
)


def tasks_of(run: Any) -> list[Any]:
    """Returns the tasks of a run, as Kubeflow tells them."""
    return (run.run_details and run.run_details.task_details) or []


def was_cancelled(run: Any) -> bool:
    """Tells whether somebody cancelled a run: Kubeflow calls it failed in the end, but its history keeps that."""
    return run.state in _CANCELLED or any(entry.state in _CANCELLED for entry in run.state_history or [])


def failure_of(client: Any, run: Any, steps: Sequence[str]) -> str:
    """Tells why a run did not succeed.

    Args:
        client: From `connect`; asked for logs.
        run: As Kubeflow shows it.
        steps: Names of the steps that run something.
    """
    failed = sorted((task for task in tasks_of(run) if task.state == "FAILED"), key=_began)
    names = {task.display_name.removesuffix("-driver"): task for task in failed}
    step = next((name for name in names if name in steps), None)
    if was_cancelled(run):
        return "Somebody cancelled the run" + (f" while {step} was at work." if step else ".")
    if run.state != "FAILED":
        return f"The run was {run.state.lower()}."
    errors = [item.error for item in (run, *failed, names.get(step or "")) if item is not None and item.error]
    error = f": {redact(errors[-1].message)}" if errors else "."
    return f"{step or 'The run'} failed{error}{_told(client, run.run_id, failed, step)}"


def _began(task: Any) -> str:
    return str(task.start_time or task.create_time)


def _told(client: Any, run_id: str, failed: Sequence[Any], step: str | None) -> str:
    """Returns what a step said of its failure, or else its last lines; "" where there is no log (any more)."""
    for pod in list(_pods(failed, step))[:_PODS]:
        lines = _log(client, run_id, pod)
        said = [found["line"] for line in lines if (found := FAILURE.match(line))]
        if said:
            return "\n" + redact("\n".join(said))
        if own := [line for line in lines if not _OTHERS.match(line)]:
            return redact("\nIts last lines:\n" + "\n".join(f"  {line}" for line in own[-_LAST_LINES:]))
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
