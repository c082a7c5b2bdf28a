"""Whether anything answers at an address: told in seconds, before a client with retries of its own is asked."""

import socket
from urllib.parse import urlsplit

import requests  # type: ignore[import-untyped]

from components.shared.errors import InputError, ServiceError
from components.shared.redaction import redact
from components.shared.storage import network
from pipelines.checks.finding import Finding, warning

TIMEOUT = (3, 4)  # seconds to connect, and to wait for an answer
_INSIDE = (".svc", ".cluster.local")


def reach(service: str, address: str, variable: str) -> None:
    """Returns where an HTTP server answers at an address, whatever it answers.

    Args:
        service: Who should answer, as in "MLflow".
        address: http:// or https://.
        variable: What to look at where none does, as in "MLFLOW_TRACKING_URI".

    Raises:
        InputError: It is no such address.
        ServiceError: Nobody answers.
    """
    try:
        requests.head(address, timeout=TIMEOUT, allow_redirects=False)
    except requests.exceptions.SSLError:
        return  # the service's own client may know other certificates: it will tell
    except (requests.ConnectionError, requests.Timeout) as error:
        told = redact(address)
        raise ServiceError(
            f"{service} does not answer at {told}: {_reason(error)}. Check {variable}, whether the server runs, and "
            "the network."
        ) from error
    except requests.RequestException as error:
        raise InputError(
            f"{redact(address)} is no address of {service}. Set {variable} to one such as https://service.example.com."
        ) from error


def is_hidden(address: str) -> bool:
    """Tells whether an address is one inside a cluster, which has no meaning here."""
    host = urlsplit(address).hostname or ""
    if not host.endswith(_INSIDE):
        return False
    try:
        socket.getaddrinfo(host, None)
    except OSError:
        return True
    return False


def inside(subject: str, address: str) -> Finding:
    """Returns the warning that a service's address is one inside the cluster."""
    return warning(
        subject,
        f"{address} is an address inside the cluster: this cannot be told from here. Run `graft doctor` in a pod of "
        "it, such as a notebook.",
    )


def _reason(error: Exception) -> str:
    if isinstance(error, requests.Timeout):
        return f"nothing came within {TIMEOUT[isinstance(error, requests.ReadTimeout)]} s"
    return network.reason(error) or "the connection broke"
