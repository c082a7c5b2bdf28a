"""A deployment that leads to the tests' Kubeflow server, and runs there."""

import itertools
from collections.abc import Callable
from pathlib import Path
from typing import Any

from pipelines.cluster.deployment import Deployment
from pipelines.cluster.kubeflow import connect
from pipelines.cluster.submit import Run, submit
from pipelines.jobs.job import Job
from tests.kubeflow_state import Kubeflow

JOB = Path(__file__).parent / "golden" / "job.yaml"
DIGEST = "@sha256:" + 64 * "a"


def deployment(url: str, **changes: Any) -> Deployment:
    return Deployment.model_validate(
        {
            "kubeflow": {"endpoint": url, "namespace": "team-a", "service_account": "runner", **changes},
            "images": {"light": f"registry/light{DIGEST}", "trainer": f"registry/trainer{DIGEST}"},
            "pipeline_root": "s3://bucket/graft",
            "mlflow": "https://mlflow.example.com",
        }
    )


def start(server: Kubeflow, job: Job, pipeline: str = "finetune") -> Run:
    cluster = deployment(server.url)
    return submit(connect(cluster), cluster, job, pipeline)


def script(server: Kubeflow, run: Run, *states: dict[str, str]) -> Callable[[Kubeflow], None]:
    """Lets a run's state go on with each look at it; each begins with the run's own."""
    left = itertools.chain(states)

    def act(_: Kubeflow) -> None:
        if server.calls[-1].endswith(run.id) and (state := next(left, None)):
            run_state, *_ = state.values()
            server.progress(run.id, run_state, **dict(list(state.items())[1:]))

    return act
