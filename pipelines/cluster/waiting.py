"""Follows a run to its end, however long Kubeflow is silent on the way."""

import time
from collections.abc import Callable, Iterator, Sequence
from typing import Any

from components.shared.errors import GraftError, ServiceError
from pipelines.cluster.failures import failure_of, tasks_of, was_cancelled
from pipelines.cluster.kubeflow import NoAnswerError, RefusalError
from pipelines.cluster.submit import Run

FINAL = {"SUCCEEDED", "FAILED", "CANCELED", "SKIPPED"}
PATIENCE = 600.0
"""Seconds of Kubeflow's silence that are borne."""
STILL_RUNNING = 3


class StillRunningError(GraftError):
    """Nobody waits for the run any more; it goes on. A code of its own: neither has it failed, nor is it done."""

    exit_code = STILL_RUNNING


def wait(
    client: Any,
    run: Run,
    tell: Callable[[str, str], None],
    interval: float = 5.0,
    patience: float = PATIENCE,
    say: Callable[[str], None] = lambda text: None,
) -> Any:
    """Follows a run to its end; returns it as Kubeflow shows it then.

    Args:
        client: From `connect`.
        run: What `submit` started.
        tell: Called with a step and its state, whenever that is new.
        interval: Seconds between two looks.
        patience: For how many seconds Kubeflow may be silent.
        say: Called with a sentence when Kubeflow falls silent, and when it answers again.

    Raises:
        ServiceError: The run failed, or was cancelled: which step, why, and the end of its log.
        StillRunningError: Ctrl-C, or Kubeflow was silent for too long, or takes the token no more.
    """
    told: dict[str, str] = {}
    looks = _Looks(client, run, patience, say)
    try:
        while True:
            seen = looks.look(interval)
            for step, state in _states(seen, run.version.steps):
                if told.get(step) != state:
                    told[step] = state
                    tell(step, state)
            if seen.state in FINAL:
                break
            time.sleep(interval)
    except KeyboardInterrupt:
        raise StillRunningError(f"nobody waits any more; the run goes on: {run.url}\n{_later(run)}") from None
    if seen.state != "SUCCEEDED":
        raise ServiceError(f"{failure_of(client, seen, run.version.steps)}\nThe run: {run.url}")
    for step in run.version.steps:  # those of a condition that does not hold are no tasks of the run
        if step not in told:
            tell(step, "SKIPPED")
    return seen


class _Looks:
    """Looks at a run, again and again; bears that nobody answers for a while."""

    def __init__(self, client: Any, run: Run, patience: float, say: Callable[[str], None]) -> None:
        self._client, self._run, self._patience, self._say = client, run, patience, say
        self._answered = time.monotonic()
        self._silent = False

    def look(self, interval: float) -> Any:
        """Returns the run as Kubeflow shows it."""
        while True:
            try:
                seen = self._client.get_run(self._run.id)
            except RefusalError as error:
                if error.status == 404:
                    raise ServiceError(
                        f"Kubeflow has no such run any more: somebody deleted {self._run.url}"
                    ) from error
                raise StillRunningError(
                    f"{error}\nThe run itself goes on: {self._run.url}\n{_later(self._run)}"
                ) from error
            except NoAnswerError as error:
                self._bear(error)
                time.sleep(interval)
                continue
            if self._silent:
                self._say("Kubeflow answers again")
            self._answered, self._silent = time.monotonic(), False
            return seen

    def _bear(self, error: NoAnswerError) -> None:
        left = self._patience - (time.monotonic() - self._answered)
        if left <= 0:
            goes_on = f"The run itself goes on, as far as is known: {self._run.url}\n{_later(self._run)}"
            raise StillRunningError(f"{error}\n{goes_on}") from error
        if not self._silent:
            told = str(error).partition(" Check ")[0].partition(" Try ")[0]
            self._say(f"{told} Waiting on, for {_duration(left)}; the run goes on.")
        self._silent = True


def _duration(seconds: float) -> str:
    return f"{seconds / 60:.0f} minutes" if seconds >= 90 else f"{seconds:.0f} seconds"


def _later(run: Run) -> str:
    return f"What comes of it: graft status {run.id} --deployment FILE"


def _states(run: Any, steps: Sequence[str]) -> Iterator[tuple[str, str]]:
    """Yields the state of each step that has one, in the order in which they began."""
    known = [task for task in tasks_of(run) if task.display_name in steps and task.state]
    cancelled = was_cancelled(run)
    for task in sorted(known, key=lambda task: str(task.start_time or task.create_time)):
        if task.state == "SKIPPED":  # its pod was not needed
            yield task.display_name, "CACHED"
        else:
            yield task.display_name, "STOPPED" if cancelled and task.state == "FAILED" else task.state
