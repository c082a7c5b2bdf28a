"""The connection to MLflow: one client with bounded retries, its errors told in our words.

Address and credentials come from the environment (`MLFLOW_TRACKING_URI`, `MLFLOW_TRACKING_USERNAME`, …), as MLflow
reads them. An address may hold a password: it is told only through `redaction.redact`.
"""

import contextlib
import os
import re
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

from components.shared.errors import GraftError, InputError, ServiceError
from components.shared.redaction import redact
from components.shared.registry import embedded
from components.shared.storage import network
from components.shared.storage.patience import patience, patiently

if TYPE_CHECKING:
    from mlflow import MlflowClient

_DEFAULTS = {
    "MLFLOW_HTTP_REQUEST_MAX_RETRIES": "4",  # MLflow's own 7, with its back-off, take minutes
    "MLFLOW_HTTP_REQUEST_BACKOFF_FACTOR": "1",
    "MLFLOW_HTTP_REQUEST_TIMEOUT": "60",
    "MLFLOW_DISABLE_TELEMETRY": "true",
    "MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR": "false",  # a step tells its own progress
    "MLFLOW_LOGGING_LEVEL": "WARNING",
    "MLFLOW_UV_AUTO_DETECT": "false",  # a uv.lock in the working directory is not the model's
}
DEPLOYED = "GRAFT_MLFLOW"
"""Variable: the MLflow server of a deployment, which goes before what others put into `MLFLOW_TRACKING_URI`."""
_DRIVERS = {"MySQLdb": "mysqlclient", "pymysql": "pymysql", "psycopg2": "psycopg2-binary", "pyodbc": "pyodbc"}
_LONGEST = 2000  # characters of what a server says
_REFUSED = re.compile(
    r"UNAUTHENTICATED|PERMISSION_DENIED|AccessDenied|InvalidAccessKeyId|SignatureDoesNotMatch|ExpiredToken"
    r"|InvalidToken|Unable to locate credentials|error code 40[13]\b|\b40[13] Client Error"
)


def client(patient: bool = True) -> "MlflowClient":
    """Returns a client of the MLflow that `MLFLOW_TRACKING_URI` names; it gives up after half a minute of retries.

    Where the environment says that there is more patience (`patience`), each call to a server is tried on for so long.

    Args:
        patient: Whether to have that patience: training does not wait for its curves to be taken.

    Raises:
        InputError: The variable is not set (MLflow would start a database in the working directory), or leads to a
            SQLite file that cannot be written, or is broken.
        ServiceError: The disk is full.
    """
    uri = os.environ.get("MLFLOW_TRACKING_URI", "")
    if not uri and not os.environ.get(DEPLOYED):
        raise InputError(
            "MLFLOW_TRACKING_URI is not set, so there is no registry to speak to. Set it to the MLflow server "
            "(https://mlflow.example.com) or to a file (sqlite:////home/me/.graft/mlflow.db); `graft run` sets it."
        )
    make_ready()
    from mlflow import MlflowClient

    made, uri = MlflowClient(), os.environ["MLFLOW_TRACKING_URI"]
    return cast("MlflowClient", _Patient(made)) if patient and patience() and uri.startswith("http") else made


class _Patient:
    """A client whose calls are tried again while the server is away."""

    def __init__(self, client: "MlflowClient") -> None:
        self._client = client

    def __getattr__(self, name: str) -> Any:
        call = getattr(self._client, name)
        if not callable(call):
            return call

        def call_patiently(*arguments: Any, **options: Any) -> Any:
            return patiently(lambda: call(*arguments, **options), "MLflow, or its artifact store,")

        return call_patiently


def use_embedded(root: Path) -> None:
    """Leads MLflow to a SQLite file in `root`, unless `MLFLOW_TRACKING_URI` leads somewhere."""
    os.environ.setdefault("MLFLOW_TRACKING_URI", f"{embedded.SQLITE}{root.absolute() / 'mlflow.db'}")


def make_ready() -> None:
    """Makes sure, where MLflow is a SQLite file, that it is there and whole, and leads to where its artifacts are now.

    Raises:
        InputError: It is broken, or cannot be written.
        ServiceError: The disk is full.
    """
    prepare()
    uri = os.environ.get("MLFLOW_TRACKING_URI", "")
    if uri.startswith(embedded.SQLITE):
        _check_database(uri)
        embedded.ensure(embedded.file_of(uri))


def prepare() -> None:
    """Sets what MLflow reads from the environment: bounded retries where the user set none; no pickles, no chatter."""
    _insist()
    if patience():  # then MLflow is asked again by us, and that is said
        os.environ.setdefault("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "1")
    for name, value in _DEFAULTS.items():
        os.environ.setdefault(name, value)
    os.environ["MLFLOW_ALLOW_PICKLE_DESERIALIZATION"] = "false"
    os.environ["MLFLOW_SUPPRESS_PRINTING_URL_TO_STDOUT"] = "true"  # it would print the address with its password


def _insist() -> None:
    """Leads MLflow to the server of the deployment where Kubeflow's MLflow plugin has put another address in its place.

    The plugin sets `MLFLOW_TRACKING_URI` of each task, whatever the pipeline has set.
    """
    own, given = (os.environ.get(name, "").strip() for name in (DEPLOYED, "MLFLOW_TRACKING_URI"))
    if not own or given == own:
        return
    os.environ["MLFLOW_TRACKING_URI"] = own
    if given and given.rstrip("/") != own.rstrip("/"):
        print(
            f"graft: warning: Kubeflow's MLflow plugin leads to {redact(given)}; the deployment's {redact(own)} is "
            "used. Name the same server in both places to see Kubeflow's runs and graft's side by side.",
            flush=True,
        )


def experiment_id(client: "MlflowClient", name: str) -> str:
    """Returns the id of an experiment, which is made where there is none of that name.

    Raises:
        InputError: It was deleted.
    """
    from mlflow.exceptions import MlflowException

    found = client.get_experiment_by_name(name)
    if found is None:
        try:
            return str(client.create_experiment(name, artifact_location=_artifact_location(name)))
        except MlflowException as error:
            if error.error_code != "RESOURCE_ALREADY_EXISTS":
                raise
            found = client.get_experiment_by_name(name)  # another process was faster
    if found is None or found.lifecycle_stage == "deleted":
        raise InputError(
            f"The MLflow experiment {name!r} was deleted. Restore it (mlflow experiments restore), or set experiment "
            "to another name."
        )
    return str(found.experiment_id)


@contextlib.contextmanager
def explained(doing: str) -> Iterator[None]:
    """Turns the errors of MLflow and of its artifact store into ours.

    Args:
        doing: What was being done, as in "logging the model".

    Raises:
        InputError: The credentials were refused, or a value was.
        ServiceError: MLflow or its store did not answer.
    """
    from boto3.exceptions import Boto3Error
    from botocore.exceptions import BotoCoreError, ClientError
    from mlflow.exceptions import MlflowException
    from requests import RequestException  # type: ignore[import-untyped]

    try:
        yield
    except MlflowException as error:
        raise _explain_database(error) or _explain(doing, error, str(error.error_code)) from error
    except (RequestException, BotoCoreError, ClientError, Boto3Error) as error:
        raise _explain(doing, error, "") from error
    except Exception as error:
        if (told := _explain_database(error)) is None:
            raise
        raise told from error


def _explain_database(error: Exception) -> GraftError | None:
    """Returns the error of a database, or of its driver, in our words; None of any other."""
    uri = os.environ.get("MLFLOW_TRACKING_URI", "")
    if (cause := embedded.sqlite_error(error)) is not None and uri.startswith(embedded.SQLITE):
        return embedded.explain(embedded.file_of(uri), cause)
    if isinstance(error, ImportError) and error.name in _DRIVERS:
        return InputError(
            f"MLFLOW_TRACKING_URI is {redact(uri)}, and the driver of that database, {error.name}, is not installed "
            f"here: pip install {_DRIVERS[error.name]}. Or name an MLflow server (https://…), which needs none."
        )
    if type(error).__module__.startswith("sqlalchemy."):
        return ServiceError(
            f"The database at {redact(uri)} failed: {redact(str(error).partition(chr(10))[0])[:_LONGEST]}. Check "
            "MLFLOW_TRACKING_URI, and whether it runs."
        )
    return None


def _explain(doing: str, error: Exception, code: str) -> GraftError:
    where = redact(os.environ.get("MLFLOW_TRACKING_URI", ""))
    told = redact(f"{error}")
    unreached = network.reason(error) if not code or "API request to" in told else ""
    if _REFUSED.search(f"{code} {told}"):
        return InputError(
            f"MLflow at {where}, or its artifact store, refused these credentials while {doing}: {told}. Set "
            "MLFLOW_TRACKING_USERNAME and MLFLOW_TRACKING_PASSWORD (or MLFLOW_TRACKING_TOKEN), and AWS_* for the store."
        )
    if code == "INVALID_PARAMETER_VALUE":
        return InputError(f"MLflow at {where} did not take a value while {doing}: {told}")
    if unreached:
        return ServiceError(
            f"MLflow at {where} failed while {doing}: {unreached}. Check MLFLOW_TRACKING_URI, whether the server runs, "
            "and its artifact store."
        )
    return ServiceError(
        f"MLflow at {where} failed while {doing}: {told[:_LONGEST]}. Check MLFLOW_TRACKING_URI, and whether the server "
        "runs."
    )


def _check_database(uri: str) -> None:
    """MLflow itself would try for an hour to open a SQLite file in a folder that is not there."""
    folder = embedded.file_of(uri).parent
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise InputError(f"MLFLOW_TRACKING_URI is {uri}, but {folder} cannot be made ({error.strerror}).") from error
    if not os.access(folder, os.W_OK):
        raise InputError(f"MLFLOW_TRACKING_URI is {uri}, but {folder} may not be written. Name another file.")


def _artifact_location(experiment: str) -> str | None:
    """Beside a SQLite file go its artifacts: MLflow would put them into the working directory. A server decides."""
    uri = os.environ.get("MLFLOW_TRACKING_URI", "")
    if not uri.startswith(embedded.SQLITE):
        return None
    return (embedded.file_of(uri).parent / embedded.ARTIFACTS / re.sub(r"[^\w.-]+", "-", experiment)).as_uri()
