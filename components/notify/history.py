"""Whether somebody cancelled a run: that stands in the history of its states, which Kubeflow's API tells."""

import contextlib
import os
from pathlib import Path
from typing import Any

import requests  # type: ignore[import-untyped]

_API = "http://ml-pipeline.kubeflow:8888"  # as each installation calls it inside of the cluster
_TOKEN = Path("/var/run/secrets/kubeflow/pipelines/token")  # where an installation for several users puts it
_TIMEOUT = (2, 5)  # seconds to connect, and to wait for an answer
_CANCELLED = {"CANCELING", "CANCELED"}


def was_cancelled(run: str, page: str) -> bool:
    """Tells whether Kubeflow's history of a run says that it was cancelled; False where Kubeflow cannot be asked.

    Args:
        run: Id of the run.
        page: What is put before the id for the run's page: its host has the API, too. "" where runs have no pages.
    """
    if not run or not page:
        return False
    addresses = [page.partition("/#/")[0]]
    if "KUBERNETES_SERVICE_HOST" in os.environ:
        addresses.insert(0, _API)
    return next(
        (_CANCELLED & set(states) != set() for address in addresses if (states := _states(address, run))), False
    )


def _states(address: str, run: str) -> list[str]:
    """Returns the states that a run was in; [] where nobody tells them."""
    headers = {}
    with contextlib.suppress(OSError):
        headers = {"Authorization": f"Bearer {_TOKEN.read_text('utf-8').strip()}"}
    if not address.startswith(("https://", _API)):
        headers = {}
    try:
        answer = requests.get(f"{address}/apis/v2beta1/runs/{run}", headers=headers, timeout=_TIMEOUT)
        told: dict[str, Any] = answer.json() if answer.ok else {}
        return [str(entry.get("state")) for entry in told.get("state_history") or []]
    except (requests.RequestException, ValueError, AttributeError):
        return []
