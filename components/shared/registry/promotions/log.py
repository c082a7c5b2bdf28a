"""The log of a model's promotions: a list in MLflow to which exactly one of several writers adds the next entry.

An alias and a tag belong to whoever writes last. A run's parameter does not: it is written once, because (run, key) is
the primary key of the database's table, and whoever comes second with another value is told so. So the log is a run, an
entry is its parameter `promotion-0007`, and how the entry ended another one. That holds for a direct SQLite, PostgreSQL
or MySQL store, and for an MLflow server over one of them (SqlAlchemyStore.log_param); for no read replica, which may
answer with what was. Other services that speak MLflow's protocol must keep its promise that a parameter never changes.

The number of an entry is a fencing token: what belongs to a lower one gives way to a higher one. No clock decides.
"""

import dataclasses
import hashlib
import json
import re
import uuid
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

from components.shared.errors import InputError
from components.shared.registry.registry import versions_of

if TYPE_CHECKING:
    from mlflow import MlflowClient
    from mlflow.entities import Run

TAG = "graft.promotions"  # of a registered model, of a run that trained one, of the log: which log is the model's
DONE, UNDONE = "done", "undone"
_ENTRY = re.compile(r"promotion-(\d+)")
_WHY, _WHO = 2500, 200  # characters: with all of them escaped, an entry still fits into MLflow's 6,000


@dataclass(frozen=True)
class Entry:
    """A change of champion.

    Attributes:
        number: Its place in the log, from 1 on.
        before: The version that was champion, "" for none.
        after: The version to become champion.
        kind: "promotion", "approval" (a person's promotion) or "rollback".
        who: Who asked for it.
        when: By the clock of whoever wrote it, ISO 8601, UTC.
        why: The reasons.
        token: Tells apart two that are otherwise alike.
        state: "done", "undone" (somebody moved the alias first), or "": nobody has finished it yet.
        champion: The champion that it left, once it has a state.
    """

    number: int
    before: str
    after: str
    kind: str
    who: str
    when: str
    why: str
    token: str = dataclasses.field(default_factory=lambda: uuid.uuid4().hex)
    state: str = ""
    champion: str = ""


@dataclass(frozen=True)
class Log:
    """The log of one model: a run in MLflow."""

    client: "MlflowClient"
    name: str
    run_id: str

    def entries(self) -> list[Entry]:
        """Returns all entries, the oldest first.

        Raises:
            InputError: The run was deleted.
        """
        written = _log_run(self.client, self.name, self.run_id).data.params
        found = [_entry(int(match[1]), written) for match in map(_ENTRY.fullmatch, written) if match]
        return sorted(found, key=lambda entry: entry.number)

    def append(self, entry: Entry) -> Entry | None:
        """Writes an entry behind the newest; returns it as it was written, None where another process was faster."""
        entry = dataclasses.replace(entry, who=_cut(entry.who, _WHO), why=_cut(entry.why, _WHY))
        told = {"from": entry.before, "to": entry.after, "kind": entry.kind, "who": entry.who}
        told |= {"when": entry.when, "why": entry.why, "token": entry.token}
        text = json.dumps(told, ensure_ascii=False)
        return entry if write_once(self.client, self.run_id, _key(entry.number), text) == text else None

    def settle(self, entry: Entry, champion: str) -> Entry:
        """Writes how an entry ended, given who is champion now, unless somebody did; returns it as it ended."""
        state = DONE if champion == entry.after else UNDONE
        text = json.dumps({"state": state, "champion": champion})
        key = _state(entry.number)
        return dataclasses.replace(entry, **json.loads(write_once(self.client, self.run_id, key, text)))


def find_log(client: "MlflowClient", name: str) -> Log | None:
    """Returns the log that the registered model names; None where nobody has promoted it yet."""
    run_id = client.get_registered_model(name).tags.get(TAG)
    return Log(client, name, run_id) if run_id else None


def open_log(client: "MlflowClient", name: str) -> Log:
    """Returns the log of a model; of several processes that look for one that is not there, all get the same.

    Each brings a run of its own, and the run that trained the oldest version takes the id of one of them, once. The
    model's own tag only remembers it: it outlives that version.

    Raises:
        InputError: No version of the model has a run, or the log was deleted.
    """
    model = client.get_registered_model(name)
    if run_id := model.tags.get(TAG):
        return Log(client, name, run_id)
    # One run may have trained versions of several models, and a model may have been deleted and made again.
    identity = hashlib.sha256(f"{name} {model.creation_timestamp}".encode()).hexdigest()[:16]
    trained, key = _oldest_run(client, name), f"{TAG}.{identity}"
    run_id = trained.data.params.get(key) or _agree(client, name, trained, key)
    _log_run(client, name, run_id)
    client.set_terminated(run_id)
    again(lambda: client.set_registered_model_tag(name, TAG, run_id))
    return Log(client, name, run_id)


def write_once(client: "MlflowClient", run_id: str, key: str, value: str) -> str:
    """Writes a parameter of a run, unless it has a value; returns the value that stands."""
    from mlflow.exceptions import MlflowException

    try:
        client.log_param(run_id, key, value, synchronous=True)
    except MlflowException as error:
        if error.error_code != "INVALID_PARAMETER_VALUE":
            raise
        standing = client.get_run(run_id).data.params.get(key)
        if standing is None:
            raise
        return standing
    return value


def again(write: Callable[[], object], tries: int = 3) -> None:
    """Does what can be done again: two processes that make the same alias or tag at once get an error from MLflow."""
    from mlflow.exceptions import MlflowException

    for left in reversed(range(tries)):
        try:
            write()
            return
        except MlflowException as error:
            if not left or error.error_code not in ("BAD_REQUEST", "TEMPORARILY_UNAVAILABLE"):
                raise


def _agree(client: "MlflowClient", name: str, trained: "Run", key: str) -> str:
    """Returns the run that is the log from now on: one that a killed process left, or one made for it."""
    experiment, trainer = trained.info.experiment_id, trained.info.run_id
    left = client.search_runs([experiment], f"tags.`{TAG}` = '{key}'", max_results=1)
    if left:
        return write_once(client, trainer, key, left[0].info.run_id)
    note = f"How versions of {name} became champion. graft reads it and adds to it; please do not delete it."
    tags = {TAG: key, "mlflow.note.content": note}
    made = client.create_run(experiment, run_name=f"promotions of {name}", tags=tags).info.run_id
    agreed = write_once(client, trainer, key, made)
    if agreed != made:
        client.delete_run(made)
    return agreed


def _oldest_run(client: "MlflowClient", name: str) -> "Run":
    from mlflow.exceptions import MlflowException

    for version in reversed(versions_of(client, name)):
        try:
            run = client.get_run(version.run_id) if version.run_id else None
        except MlflowException as error:
            if error.error_code != "RESOURCE_DOES_NOT_EXIST":
                raise
            continue
        if run and run.info.lifecycle_stage == "active":
            return run
    raise InputError(
        f"No version of {name!r} has a run in MLflow any more, so there is no place for the log of its promotions. "
        "Register a version (graft run JOB), or restore a run (mlflow runs restore)."
    )


def _log_run(client: "MlflowClient", name: str, run_id: str) -> "Run":
    from mlflow.exceptions import MlflowException

    told = f"The log of the promotions of {name!r} (MLflow run {run_id}) was deleted"
    try:
        run = client.get_run(run_id)
    except MlflowException as error:
        if error.error_code != "RESOURCE_DOES_NOT_EXIST":
            raise
        raise InputError(
            f"{told} for good. To begin a new one, make a run (mlflow runs create --experiment-name {name}) and write "
            f"its id into the tag {TAG} of the registered model."
        ) from error
    if run.info.lifecycle_stage != "active":
        raise InputError(f"{told}. Restore it: mlflow runs restore --run-id {run_id}")
    return run


def _entry(number: int, written: dict[str, str]) -> Entry:
    told = json.loads(written[_key(number)])
    ended = json.loads(written.get(_state(number), "{}"))
    return Entry(number, told.pop("from"), told.pop("to"), **told, **ended)


def _key(number: int) -> str:
    return f"promotion-{number:04}"


def _state(number: int) -> str:
    return f"{_key(number)}-state"


def _cut(text: str, length: int) -> str:
    """Returns a text on one line and not too long; what cannot be printed could not be stored everywhere."""
    line = " ".join("".join(letter if letter.isprintable() else " " for letter in text).split())
    return line if len(line) <= length else line[: length - 1] + "…"
