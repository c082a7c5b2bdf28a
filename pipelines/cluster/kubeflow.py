"""Kubeflow Pipelines' API: kfp's client with time limits, bounded retries and failures in our words."""

import contextlib
import io
import json
import os
import time
import warnings
from collections.abc import Callable, Iterator
from typing import Any, TypeVar

from components.shared.errors import GraftError, InputError, ServiceError
from components.shared.redaction import redact
from components.shared.storage import network
from pipelines.cluster.deployment import Deployment

TOKEN = "GRAFT_KFP_TOKEN"
PAUSES: tuple[float, ...] = (0.5, 1, 2, 4, 8)
"""Seconds between the tries of a call."""
TIMEOUT = (5.0, 60.0)
"""Seconds until a connection stands, and between two bytes of an answer."""
_PAGE = 100
_EQUALS = 1  # of the API's filters, as kfp's own client gives it

Found = TypeVar("Found")


class NoAnswerError(ServiceError):
    """The server failed, or its answer was lost: whether it has acted cannot be told."""


class RefusalError(InputError):
    """The server said no, and why.

    Attributes:
        status: Of HTTP: 404, 409, …
    """

    def __init__(self, message: str, status: int) -> None:
        super().__init__(message)
        self.status = status


def connect(deployment: Deployment, patient: bool = True) -> Any:
    """Returns a kfp client of a cluster; makes no call yet.

    The token is taken from the environment (GRAFT_KFP_TOKEN). Calls that can be repeated without harm are, a few
    times; those that make something are not: `create` does that.

    Args:
        deployment: Says where Kubeflow is.
        patient: Whether a call is tried more than once.
    """
    from kfp import Client
    from urllib3 import Retry

    kubeflow = deployment.kubeflow
    token = os.environ.get(TOKEN, "").strip()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        # Without a namespace kfp asks the server here already, for half a minute, and tells of tracebacks.
        client = Client(host=kubeflow.endpoint, existing_token=token or None, namespace="graft")
    client._context_setting["namespace"] = kubeflow.namespace or ""
    rest = client._healthz_api.api_client.rest_client  # one for all of kfp's services
    rest.pool_manager.connection_pool_kw["retries"] = Retry(connect=0, read=0, other=0, redirect=3)
    rest.request = _Transport(rest.request, kubeflow.endpoint, token, patient)
    return client


class _Transport:
    """Sends kfp's requests: each with a time limit, and again where that does no harm."""

    def __init__(self, send: Callable[..., Any], endpoint: str, token: str, patient: bool) -> None:
        self._send, self._endpoint, self._token, self._patient = send, endpoint, token, patient

    def __call__(self, method: str, url: str, **options: Any) -> Any:
        last = url.rpartition("/")[2]
        makes_something = method == "POST" and ":" not in last  # runs/ID:terminate does not
        once = makes_something or last == "log" or not self._patient
        for pause in (None,) if once else (*PAUSES, None):
            try:
                return self._try(method, url, options)
            except NoAnswerError:
                if pause is None:
                    raise
                time.sleep(pause)
        raise AssertionError("the last try returns or raises")

    def _try(self, method: str, url: str, options: dict[str, Any]) -> Any:
        from kfp_server_api import ApiException
        from urllib3.exceptions import HTTPError

        try:
            answer = self._send(method, url, **{**options, "_request_timeout": TIMEOUT})
        except ApiException as error:
            raise self._explain(f"{method} {url}", error) from error
        except HTTPError as error:
            told = network.reason(error) or "the connection broke"
            raise NoAnswerError(
                f"Kubeflow Pipelines at {self._endpoint} did not answer: {told}. Check kubeflow.endpoint in the "
                "deployment file and the network, and try again."
            ) from error
        if "text/html" in (answer.getheader("Content-Type") or ""):
            raise RefusalError(
                f"{self._endpoint} answered with a web page, not as an API: it asks for a login, or it is another "
                f"address than that of Kubeflow Pipelines (https://HOST/pipeline). {self._advice()}",
                401,
            )
        return answer

    def _explain(self, call: str, error: Any) -> GraftError:
        server, told = f"Kubeflow Pipelines at {self._endpoint}", self._clean(_message(error))
        if error.status == 401:
            return RefusalError(f"{server} does not know who asks (401: {told}). {self._advice()}", 401)
        if error.status == 403:
            message = "may not do that (403: {}). It needs the role kubeflow-edit in the namespace of the deployment."
            return RefusalError(f"{server}: the account of the token in {TOKEN} {message.format(told)}", 403)
        if error.status and 400 <= error.status < 500 and error.status not in (408, 429):
            return RefusalError(
                f"{server} did not take {call.replace(self._endpoint, '')} ({error.status}): {told}", error.status
            )
        if not error.status:  # the client's own, of TLS
            return NoAnswerError(f"{server} did not answer: {network.reason(error) or told}. Check its certificate.")
        return NoAnswerError(f"{server} failed ({error.status}: {told}). Try again later.")

    def _advice(self) -> str:
        if self._token:
            return f"The token in {TOKEN} is wrong or has expired: renew it."
        return f"Set {TOKEN} to a token that the cluster takes."

    def _clean(self, text: str) -> str:
        text = text.replace(self._token, "***") if self._token else text
        return redact(text)[:500]


def _message(error: Any) -> str:
    with contextlib.suppress(ValueError, TypeError, AttributeError):
        body = json.loads(error.body)
        return str(body.get("message") or body.get("error_message") or body.get("error"))
    return str(error.reason)


def create(make: Callable[[], Found], find: Callable[[], Found | None]) -> Found:
    """Makes something; after a failure looks whether it is there before trying again.

    Raises:
        NoAnswerError: It is not there after the last try.
        RefusalError: The server does not take it.
    """
    for pause in (*PAUSES, None):
        try:
            with contextlib.redirect_stdout(io.StringIO()):  # kfp prints links
                return make()
        except (NoAnswerError, RefusalError) as error:
            if isinstance(error, RefusalError) and error.status != 409:
                raise
            time.sleep(pause or 0)  # what the server has begun comes to its end
            if (found := find()) is not None:
                return found
            if pause is None:
                raise
    raise AssertionError("the last try returns or raises")


def ensure(make: Callable[[], Found], find: Callable[[], Found | None]) -> Found:
    """Returns what there is already, or makes it."""
    found = find()
    return create(make, find) if found is None else found


def every(list_page: Callable[..., Any], items: str, **query: Any) -> Iterator[Any]:
    """Yields what a call lists, page after page.

    Args:
        list_page: A listing of the client.
        items: Name of the list in its answer.
        query: What else to ask for.
    """
    token = ""
    while True:
        page = list_page(page_token=token, page_size=_PAGE, **query)
        yield from getattr(page, items) or []
        token = page.next_page_token
        if not token:
            return


def first_named(name: str, list_page: Callable[..., Any], items: str, **query: Any) -> Any:
    """Returns what a call lists under a name; None where there is nothing."""
    predicate = {"operation": _EQUALS, "key": "display_name", "stringValue": name}
    listed = every(list_page, items, filter=json.dumps({"predicates": [predicate]}), **query)
    return next((item for item in listed if item.display_name == name), None)


def experiment_id(client: Any, deployment: Deployment) -> str:
    """Returns the id of the deployment's experiment, which is made if there is none."""
    name, namespace = deployment.kubeflow.experiment, deployment.kubeflow.namespace
    experiment = ensure(
        lambda: client.create_experiment(name, namespace=namespace),
        lambda: first_named(name, client.list_experiments, "experiments", namespace=namespace),
    )
    return str(experiment.experiment_id)


def probe(client: Any, deployment: Deployment) -> None:
    """Asks for what submit and schedule need to see: cheap, and it changes nothing.

    Raises:
        RefusalError: The address is not Kubeflow's, or this account may not look at pipelines, experiments or runs.
        NoAnswerError: The server does not answer.
    """
    namespace = deployment.kubeflow.namespace
    client._healthz_api.healthz_service_get_healthz()
    for listing in (client.list_pipelines, client.list_experiments, client.list_runs, client.list_recurring_runs):
        listing(page_size=1, namespace=namespace)
