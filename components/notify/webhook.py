"""A webhook: an address that takes JSON. Who knows it may post there, so no more of it is told than the host."""

import os
import re
import time
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit

import requests  # type: ignore[import-untyped]

from components.shared.errors import InputError, ServiceError
from components.shared.storage import network

ADDRESS = "GRAFT_NOTIFY_URL"
PAUSES = (1.0, 2.0, 4.0)  # seconds between the tries
TIMEOUT = (5, 15)  # seconds to connect, and to wait for an answer
_LONGEST_PAUSE = 30.0  # whatever the server asks for


def address() -> str:
    """Returns the webhook's address from the environment; "" where none is set.

    Raises:
        InputError: It is no address.
    """
    given = os.environ.get(ADDRESS, "").strip()  # a secret that was made of a file ends with a new line
    if given and not re.fullmatch(r"https?://[^\s/@]+(/\S*)?", given):
        raise InputError(
            f"{ADDRESS} is no address of a webhook: https://HOST/… was expected, without a user or password. (It is "
            "not shown: it may be a secret.)"
        )
    return given


def host(webhook: str) -> str:
    """Returns what may be told of an address."""
    return urlsplit(webhook).hostname or "nowhere"


def post(webhook: str, body: Any) -> None:
    """Posts JSON, a few times if need be.

    Raises:
        ServiceError: It was not taken: refused, or not even after the last try.
    """
    for pause in (*PAUSES, None):
        fault = _try(webhook, body)
        if fault is None:
            return
        if pause is None or not fault.passes:
            raise ServiceError(f"{host(webhook)} did not take the notice: {fault.told}.")
        time.sleep(max(pause, min(fault.wait, _LONGEST_PAUSE)))


@dataclass(frozen=True)
class _Fault:
    """Why a try went wrong; whether another may go well, and after how many seconds the server says so."""

    told: str
    passes: bool
    wait: float = 0.0


def _try(webhook: str, body: Any) -> _Fault | None:
    try:
        answer = requests.post(webhook, json=body, timeout=TIMEOUT, stream=True)  # what it says is not read
        answer.close()
    except requests.exceptions.SSLError:
        return _Fault("its certificate is not valid here", passes=False)
    except (requests.ConnectionError, requests.Timeout) as error:
        return _Fault(_reason(error), passes=True)
    except requests.RequestException as error:
        return _Fault(f"the request could not be made ({type(error).__name__})", passes=False)
    if answer.ok:
        return None
    wait = answer.headers.get("Retry-After", "")
    passes = answer.status_code in (408, 429) or answer.status_code >= 500
    return _Fault(f"it answered {answer.status_code}", passes, float(wait) if wait.isdigit() else 0.0)


def _reason(error: Exception) -> str:
    """Tells a failure in the system's words; the library's hold the address."""
    if isinstance(error, requests.Timeout):
        return "it did not answer in time"
    return network.reason(error) or "the connection broke"
