"""The test metrics to the model's MLflow run. Losing them never loses the evaluation."""

import os
import re
import time
from collections.abc import Mapping

from components.shared import tracking


def log_metrics(run_id: str, model: Mapping[str, float | None], baselines: Mapping[str, float | None]) -> None:
    """Logs metrics as `test/<metric>` and baselines' accuracies as `baseline/<name>/accuracy`.

    Without a run or `MLFLOW_TRACKING_URI` nothing is logged; a failure is told in a line.
    """
    if not run_id or not os.environ.get("MLFLOW_TRACKING_URI"):
        return
    from mlflow.entities import Metric

    named = {f"test/{name}": value for name, value in model.items()}
    named |= {f"baseline/{slug(name)}/accuracy": value for name, value in baselines.items()}
    now = int(time.time() * 1000)
    entries = [Metric(name, value, now, 0) for name, value in named.items() if value is not None]
    try:
        tracking.client().log_batch(run_id, metrics=entries)
    except Exception as error:  # the evaluation is done and written: whatever a tracking server does, it stays
        print(f"MLflow did not take the test metrics of run {run_id}: {tracking.redact(str(error))}", flush=True)


def slug(name: str) -> str:
    """Returns a name in lower case, with hyphens between its words."""
    return re.sub(r"[^a-z0-9]+", "-", name.lower()).strip("-")
