"""Trying again, for minutes and with a word in the log, what fails because a service is away for a while.

On a cluster a container that exits with an error is not tried again, so a step has to wait itself. How long, the
environment says (`GRAFT_PATIENCE`, seconds): a deployment and `graft run` set 300; who lists models at a terminal does
not want to wait so long.
"""

import contextlib
import os
import time
from collections.abc import Callable
from typing import TypeVar

from components.shared.storage import network

PATIENCE = "GRAFT_PATIENCE"
OF_A_RUN = "300"
"""Seconds that a step of a run has; minutes pass while a server is started anew."""

_FIRST_PAUSE, _LONGEST_PAUSE = 2.0, 15.0  # seconds

Result = TypeVar("Result")


def patience() -> float:
    """Returns for how many seconds a service may be away."""
    with contextlib.suppress(ValueError):
        return max(0.0, float(os.environ.get(PATIENCE, "") or 0))
    return 0.0


def patiently(
    call: Callable[[], Result],
    service: str,
    passes: Callable[[BaseException], bool] = network.passes,
    sleep: Callable[[float], None] = time.sleep,
) -> Result:
    """Returns what a call returns; while its service is away it is tried again, as long as there is patience.

    Args:
        call: What can be done twice without harm.
        service: Who is waited for, as in "MLflow"; told once when the waiting begins, and once when it is over.
        passes: Whether a failure may be over in a while.
        sleep: Waits so many seconds.
    """
    began, pause, waited = time.monotonic(), _FIRST_PAUSE, False
    while True:
        try:
            result = call()
        except Exception as error:
            left = patience() - (time.monotonic() - began)
            if left <= 0 or not passes(error):
                raise
            if not waited:
                told = network.reason(error) or "it failed"
                print(f"graft: note: {service} does not answer ({told}): trying on for {left:.0f} s", flush=True)
            waited = True
            sleep(min(pause, left))
            pause = min(2 * pause, _LONGEST_PAUSE)
            continue
        if waited:
            print(f"graft: note: {service} answers again, after {time.monotonic() - began:.0f} s", flush=True)
        return result
