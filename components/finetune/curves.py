"""Curves and settings to MLflow, while training runs: it neither waits for them, nor is it lost with them."""

import os
import threading
import time
from collections.abc import Mapping
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any, Self

from components.shared.redaction import in_short
from components.shared.registry import runs, tracking
from components.shared.storage import network

if TYPE_CHECKING:
    from mlflow import MlflowClient

_INTERVAL = 2.0  # seconds between two writes
_PAUSE = 60.0  # seconds until the next, after one that failed: a server that is away costs the training little
_MOST_AT_ONCE = 1000  # points that one call takes
_MOST = 20_000  # points that wait


class Curves:
    """An MLflow run that is open for the length of a block; without `MLFLOW_TRACKING_URI`, nothing but a line.

    Attributes:
        run_id: Of the MLflow run, or "" where nothing is tracked.
    """

    def __init__(self, experiment: str, parameters: Mapping[str, Any], output: Path | None = None) -> None:
        self.run_id = ""
        self._waiting: list[tuple[str, float, int, int]] = []  # the thread takes from its front, the step adds
        self._thread: threading.Thread | None = None
        self._next = time.monotonic() + _INTERVAL
        if os.environ.get("MLFLOW_TRACKING_URI"):
            self._open(experiment, parameters, output)
        else:
            print("MLFLOW_TRACKING_URI is not set: curves go to notes/history.json only", flush=True)

    def log(self, values: Mapping[str, float], step: int, prefix: str = "") -> None:
        """Adds values to the curves; a thread writes them every few seconds."""
        if not self.run_id:
            return
        now = int(time.time() * 1000)
        self._waiting += [(prefix + name, value, now, step) for name, value in values.items()]
        if time.monotonic() > self._next and not (self._thread and self._thread.is_alive()):
            self._thread = threading.Thread(target=self._write, args=(tracking.client(patient=False),), daemon=True)
            self._thread.start()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if not self.run_id:
            return
        if self._thread is not None:
            self._thread.join()
        client = tracking.client(patient=kind is None)  # a pod that is told to end has seconds
        self._write(client)
        status = "FINISHED" if kind is None else "KILLED" if issubclass(kind, KeyboardInterrupt) else "FAILED"
        try:
            client.set_terminated(self.run_id, status)
        except Exception as failure:
            told = network.reason(failure) or in_short(str(failure))
            print(f"graft: MLflow did not take the end of run {self.run_id}: {told}", flush=True)

    def _open(self, experiment: str, parameters: Mapping[str, Any], output: Path | None) -> None:
        from mlflow.entities import Param

        client = tracking.client()
        with tracking.explained("opening a run"):
            self.run_id = runs.open_run(client, experiment, output)
            try:
                client.log_batch(self.run_id, params=[Param(name, str(value)) for name, value in parameters.items()])
            except BaseException as error:
                self.__exit__(type(error), error, None)
                raise

    def _write(self, client: "MlflowClient") -> None:
        """Writes what waits; what is not taken waits on."""
        self._next = time.monotonic() + _INTERVAL
        from mlflow.entities import Metric

        try:
            while self._waiting:
                part = self._waiting[:_MOST_AT_ONCE]
                client.log_batch(self.run_id, metrics=[Metric(*point) for point in part])
                del self._waiting[: len(part)]
        except Exception as error:  # whatever a tracking server does, training goes on
            self._next = time.monotonic() + _PAUSE
            del self._waiting[:-_MOST]
            told = network.reason(error) or in_short(str(error))
            print(f"graft: MLflow did not take {len(self._waiting)} points of the curves: {told}", flush=True)
