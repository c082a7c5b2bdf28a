"""Who is told what a run came to. Nothing is sent: whoever reads there would take it for news."""

from collections.abc import Iterator
from typing import TYPE_CHECKING

from components.notify import webhook
from components.notify.outcome import EVENTS
from pipelines.checks.finding import Finding, passed

if TYPE_CHECKING:
    from pipelines.cluster.deployment import Deployment


def check_notify(deployment: "Deployment | None") -> Iterator[Finding]:
    """Looks at the webhook's address, or at what a deployment says of it; finds nothing where nobody is to be told.

    Raises:
        InputError: The address in the environment is none.
    """
    if deployment is None:
        if address := webhook.address():
            yield passed("notify", f"{webhook.host(address)} is told of each {_listed(EVENTS)}")
    elif deployment.notify:
        source = f"secret {deployment.notify.url.secret!r}, key {deployment.notify.url.key!r}"
        told = f"the address in the {source} is told of each {_listed(deployment.notify.events)}"
        yield passed("notify", f"{told}; whether it is there cannot be seen from here")


def _listed(events: list[str]) -> str:
    *first, last = events
    return f"{', '.join(first)} and {last}" if first else last
