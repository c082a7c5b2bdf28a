"""Kubeflow Pipelines: does it answer, which API and version is it, and what may this token list?"""

import os
from collections.abc import Iterator
from typing import TYPE_CHECKING

import requests  # type: ignore[import-untyped]

from pipelines.checks.address import TIMEOUT, reach
from pipelines.checks.finding import Finding, passed
from pipelines.checks.modules import load

if TYPE_CHECKING:
    from pipelines.cluster.deployment import Deployment


def check_kubeflow(deployment: "Deployment") -> Iterator[Finding]:
    """Asks Kubeflow who it is, then lists one of each thing that `graft submit` and `graft schedule` need to see.

    Raises:
        InputError: The address is another service's, or the token was refused.
        ServiceError: Kubeflow did not answer.
    """
    endpoint, namespace = deployment.kubeflow.endpoint.rstrip("/"), deployment.kubeflow.namespace
    reach("Kubeflow", endpoint, "kubeflow.endpoint in the deployment file")
    load("kfp", "kfp_server_api", "pipelines.cluster.kubeflow")
    from pipelines.cluster.kubeflow import connect, probe

    client = connect(deployment, patient=False)
    health = client._healthz_api.healthz_service_get_healthz()
    users = "several users" if health.multi_user else "one user"
    yield passed("kubeflow", f"{endpoint}, API v2beta1, version {_version(endpoint)}, for {users}")
    probe(client, deployment)
    where = f" in the namespace {namespace}" if namespace else ""
    yield passed("kubeflow", f"pipelines, experiments, runs and schedules may be listed{where}")


def _version(endpoint: str) -> str:
    """Returns the server's version, which only the old API's answer holds."""
    from pipelines.cluster.kubeflow import TOKEN

    token = os.environ.get(TOKEN, "").strip()
    headers = {"Authorization": f"Bearer {token}"} if token else {}
    try:
        answer = requests.get(f"{endpoint}/apis/v1beta1/healthz", headers=headers, timeout=TIMEOUT)
        return str(answer.json().get("tag_name") or "not told")
    except (requests.RequestException, ValueError, AttributeError):  # no JSON, or no mapping
        return "not told"
