"""What a run of the pipeline leaves for its last step and `graft status`: an entry a step, which no other run writes.

Kubeflow's state of a run does not tell what it came to: one that found nothing new looks like one whose pod was killed,
and a failed step like any other. So each step that knows something writes it down: `detect` that nothing has changed,
`register` which version there is, `promote` what became of it, and any step why it failed. An entry is a tag of the
model's experiment in MLflow; its name holds the run and the step: runs at one time do not overwrite one another's.
Versions cannot hold them: two runs that train the same model share one, and one that fails early has none.

Which run a step belongs to is told by the environment: the step's parameters are part of a cache's key.
"""

import contextlib
import json
import os
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from components.shared.errors import GraftError
from components.shared.redaction import in_short
from components.shared.registry import tracking

if TYPE_CHECKING:
    from mlflow import MlflowClient

RUN, MODEL, PAGES = "GRAFT_PIPELINE_RUN", "GRAFT_MODEL", "GRAFT_RUN_PAGES"
"""Variables: the id of the pipeline's run, its model's name, and what is put before the id for the run's page."""

_PREFIX = "graft.run"
_MOST = 400  # entries of a model, of a hundred runs: the oldest go
_LONGEST = 4000  # characters of an entry; MLflow keeps 5,000
_TEXT = 1200  # characters of a text in it


@dataclass(frozen=True)
class PipelineRun:
    """A run of the pipeline, and the model that it makes."""

    model: str
    id: str


def current() -> PipelineRun | None:
    """Returns the run that this process is a step of, as the environment tells; None where it tells nothing."""
    model, run = (os.environ.get(name, "").strip() for name in (MODEL, RUN))
    return PipelineRun(model, run) if model and run else None


def page(run: str) -> str:
    """Returns the address of a run's page; "" where runs have none."""
    prefix = os.environ.get(PAGES, "").strip()
    return f"{prefix}{run}" if prefix and run else ""


def failure_of(step: str) -> str:
    """Returns the name under which a step's failure is written down."""
    return f"{step}-failed"


def leave(run: PipelineRun, step: str, entry: Mapping[str, Any]) -> None:
    """Writes down what a step of a run has to tell; where that fails, it is said, and nothing else happens.

    Args:
        run: The run. Without an id nothing is written.
        step: The step's name.
        entry: JSON values; texts are redacted and cut.
    """
    if not run.id:
        return
    told = {key: in_short(value, _TEXT) if isinstance(value, str) else value for key, value in entry.items()}
    when = datetime.now(UTC).isoformat(timespec="milliseconds")
    with _attempted(f"writing down what {step} came to"):
        client = tracking.client()
        experiment = tracking.experiment_id(client, run.model)
        text = json.dumps({**told, "when": when}, ensure_ascii=False)
        client.set_experiment_tag(experiment, _key(run.id, step), text[:_LONGEST])
        _forget(client, experiment)


def take_back(run: PipelineRun, step: str) -> None:
    """Removes what a step has written down, as after a failure that another attempt made good."""
    with _attempted(f"taking back what {step} had told"):
        client = tracking.client()
        found = client.get_experiment_by_name(run.model)
        if found and _key(run.id, step) in found.tags:
            _delete(client, str(found.experiment_id), _key(run.id, step))


def read(run: PipelineRun) -> dict[str, dict[str, Any]]:
    """Returns the entries of a run by step, the oldest first; {} where there are none.

    Raises:
        InputError: MLflow refused the credentials, or its address is not set.
        ServiceError: MLflow did not answer.
    """
    client = tracking.client()
    with tracking.explained(f"reading what the run {run.id} came to"):
        found = client.get_experiment_by_name(run.model)
    prefix = _key(run.id, "")
    tags = found.tags if found else {}
    entries = {key.removeprefix(prefix): _parse(value) for key, value in tags.items() if key.startswith(prefix)}
    return dict(sorted(entries.items(), key=lambda item: str(item[1].get("when", ""))))


def _key(run: str, step: str) -> str:
    return f"{_PREFIX}.{re.sub(r'[^0-9A-Za-z_-]', '-', run)[:150]}.{step}"


def _parse(text: str) -> dict[str, Any]:
    with contextlib.suppress(ValueError):
        if isinstance(told := json.loads(text), dict):
            return told
    return {}


def _forget(client: "MlflowClient", experiment: str) -> None:
    """Removes the oldest entries beyond the most that are kept."""
    tags = client.get_experiment(experiment).tags
    entries = {key: str(_parse(value).get("when", "")) for key, value in tags.items() if key.startswith(f"{_PREFIX}.")}
    for key in sorted(entries, key=lambda key: entries[key])[: max(0, len(entries) - _MOST)]:
        _delete(client, experiment, key)


def _delete(client: "MlflowClient", experiment: str, key: str) -> None:
    from mlflow.exceptions import MlflowException

    try:
        client.delete_experiment_tag(experiment, key)
    except MlflowException as error:
        if error.error_code != "RESOURCE_DOES_NOT_EXIST":  # another run was faster
            raise


@contextlib.contextmanager
def _attempted(doing: str) -> Iterator[None]:
    try:
        with tracking.explained(doing):
            yield
    except GraftError as error:
        print(f"graft: warning: {in_short(str(error))}", flush=True)
