"""MLflow: does it answer, which version is it, and may these credentials read its registry? Nothing is written."""

import contextlib
import importlib.metadata
import os
import re
import sqlite3
import threading
from collections.abc import Iterator
from pathlib import Path

from components.shared.errors import InputError
from components.shared.redaction import redact
from components.shared.registry import embedded, tracking
from pipelines.checks.address import TIMEOUT, inside, is_hidden, reach
from pipelines.checks.finding import Finding, passed, warning
from pipelines.checks.modules import load

ADDRESS = "MLFLOW_TRACKING_URI"
FAST = {"MLFLOW_HTTP_REQUEST_MAX_RETRIES": "1", "MLFLOW_HTTP_REQUEST_TIMEOUT": str(TIMEOUT[1])}
"""What makes MLflow's own client give up in seconds."""
_LIBRARY = ("mlflow", "mlflow.utils.credentials", "mlflow.utils.rest_utils", "components.shared.registry.registry")
_ONE_AT_A_TIME = threading.Lock()  # while it is used, MLflow imports more of itself
_SQLITE = "sqlite:///"
_OLDEST = 3  # the first major version with which graft was tried


def check_mlflow(model: str | None) -> Iterator[Finding]:
    """Asks the MLflow that `MLFLOW_TRACKING_URI` leads to.

    Args:
        model: The name that a job would register, if there is one.

    Raises:
        InputError: The credentials were refused, or the file cannot be used.
        ServiceError: It did not answer.
    """
    address = os.environ[ADDRESS]
    if hidden := hidden_server("mlflow"):
        yield hidden
    elif address.startswith(_SQLITE):
        yield _look_at_file(_file(address).absolute(), model)
    else:
        told = redact(address)
        with reached_registry():
            version, outlook = _version(address), _look_up(model)
        if version and int(version.split(".")[0]) < _OLDEST:
            yield warning("mlflow", f"{told} is MLflow {version}. Graft is tried with {_OLDEST} and later: update it.")
        yield passed("mlflow", f"{told}, version {version or 'not told'}; {outlook}")


def hidden_server(subject: str) -> Finding | None:
    """Returns a warning where MLflow's address is one inside the cluster; None where it is not."""
    address = os.environ[ADDRESS]
    return inside(subject, address) if is_hidden(address) else None


@contextlib.contextmanager
def reached_registry() -> Iterator[None]:
    """Gives the registry to one check at a time, once it is sure that to ask it is fast and makes no file.

    Raises:
        InputError: It is a file that is not there yet.
        ServiceError: It is a server that does not answer.
    """
    address = os.environ[ADDRESS]
    if address.startswith("http"):
        reach("MLflow", address, f"{ADDRESS} (with a deployment: its field mlflow)")
    elif address.startswith(_SQLITE) and not _file(address).exists():
        raise InputError("The registry has no model yet. Make one with graft run JOB.")
    load(*_LIBRARY)
    with _ONE_AT_A_TIME:
        yield


def _file(address: str) -> Path:
    return Path(address.removeprefix(_SQLITE).partition("?")[0])


def _look_at_file(path: Path, model: str | None) -> Finding:
    """Reads the file itself, all that MLflow looks at: to import that takes seconds, and it makes what is not there."""
    version = importlib.metadata.version("mlflow")
    there = next(place for place in (path, *path.parents) if place.exists())
    if not os.access(there, os.W_OK) or (there != path and not there.is_dir()):
        raise InputError(f"{path} cannot be written: {there} does not allow it. Set {ADDRESS} to another file.")
    if there != path:
        return passed("mlflow", f"{path} will be made, version {version}")
    embedded.check(path)
    try:
        with contextlib.closing(sqlite3.connect(f"{path.as_uri()}?mode=ro", uri=True, timeout=1)) as database:
            names = {name for (name,) in database.execute("select name from registered_models")}
    except sqlite3.DatabaseError as error:
        raise InputError(
            f"{path} is no MLflow store: {error}. Set {ADDRESS} to another file, or wait for who is writing to it."
        ) from error
    return passed("mlflow", f"{path}, version {version}; {_outlook(model, model in names)}")


def _version(address: str) -> str:
    """Returns the server's version, "" where it does not tell."""
    if not address.startswith("http"):
        return ""
    from mlflow.utils.credentials import get_default_host_creds
    from mlflow.utils.rest_utils import http_request

    tracking.prepare()
    with tracking.explained("asking for its version"):
        creds = get_default_host_creds(address.rstrip("/"))  # type: ignore[no-untyped-call]
        answer = http_request(creds, "/version", "GET", max_retries=0, timeout=TIMEOUT[1], raise_on_status=False)  # type: ignore[no-untyped-call]
    found = re.match(r"\d+\.\d+[\w.]*", answer.text) if answer.status_code == 200 else None
    return found.group() if found else ""


def _look_up(model: str | None) -> str:
    """Reads the registry, and the entry of a model where it has one; returns what to tell."""
    from mlflow.exceptions import MlflowException

    client = tracking.client()
    with tracking.explained("reading the registry"):
        client.search_registered_models(max_results=1)
        if model is None:
            return _outlook(model, False)
        try:
            client.get_registered_model(model)
        except MlflowException as error:
            if error.error_code != "RESOURCE_DOES_NOT_EXIST":
                raise
            return _outlook(model, False)
    return _outlook(model, True)


def _outlook(model: str | None, is_known: bool) -> str:
    if model is None:
        return "its registry is readable"
    return f"its registry is readable, {model!r} will " + ("get one more version" if is_known else "be new there")
