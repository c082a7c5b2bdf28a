"""Curves and settings to MLflow, while training runs. Losing them never loses the training."""

import os
import time
from collections.abc import Mapping
from types import TracebackType
from typing import Any, Self

from components.shared import tracking
from components.shared.redaction import redact

_INTERVAL = 2.0  # seconds between two writes


class Curves:
    """An MLflow run that is open for the length of a block; without `MLFLOW_TRACKING_URI`, nothing but a line.

    Attributes:
        run_id: Of the MLflow run, or "" where nothing is tracked.
    """

    def __init__(self, experiment: str, parameters: Mapping[str, Any]) -> None:
        self.run_id = ""
        self._waiting: list[tuple[str, float, int]] = []
        self._last = time.monotonic()
        if os.environ.get("MLFLOW_TRACKING_URI"):
            self._open(experiment, parameters)
        else:
            print("MLFLOW_TRACKING_URI is not set: curves go to notes/history.json only", flush=True)

    def log(self, values: Mapping[str, float], step: int, prefix: str = "") -> None:
        """Adds values to the curves; writes them every few seconds."""
        self._waiting += [(prefix + name, value, step) for name, value in values.items()]
        if time.monotonic() - self._last > _INTERVAL:
            self._write()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._write()
        if self.run_id:
            status = "FINISHED" if kind is None else "KILLED" if kind is KeyboardInterrupt else "FAILED"
            try:
                self._client.set_terminated(self.run_id, status)
            except Exception as failure:
                print(f"MLflow did not take the end of run {self.run_id}: {redact(str(failure))}", flush=True)

    def _open(self, experiment: str, parameters: Mapping[str, Any]) -> None:
        self._client = tracking.client()
        with tracking.explained("opening a run"):
            experiment_id = tracking.experiment_id(self._client, experiment)
            self.run_id = self._client.create_run(experiment_id).info.run_id
            for name, value in parameters.items():
                self._client.log_param(self.run_id, name, value)

    def _write(self) -> None:
        self._last = time.monotonic()
        entries, self._waiting = self._waiting, []
        if not self.run_id or not entries:
            return
        from mlflow.entities import Metric

        now = int(time.time() * 1000)
        batch = [Metric(name, value, now, step) for name, value, step in entries]
        try:
            for start in range(0, len(batch), 1000):  # the most that one call takes
                self._client.log_batch(self.run_id, metrics=batch[start : start + 1000])
        except Exception as error:  # whatever a tracking server does, training goes on
            print(f"MLflow did not take {len(batch)} points of the curves: {redact(str(error))}", flush=True)
