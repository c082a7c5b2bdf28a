"""What a run came to, told to a webhook. Nothing of it fails a run: what went wrong is told, and that is all."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from components.notify import history, webhook
from components.notify.outcome import EVENTS, FAILURE, PROMOTION, STOPPED, UNKNOWN, Outcome, find_outcome
from components.notify.template import DEFAULT, fill
from components.shared.errors import GraftError
from components.shared.process.step import option, required
from components.shared.registry import runs
from components.shared.registry.promotions import AWAITS


@dataclass(frozen=True)
class NotifySettings:
    """Settings of `notify`. The webhook's address is none of them: it is a secret, and comes from the environment."""

    name: str = required("the model's name in the registry")
    state: str = required("how the run's steps ended, as Kubeflow tells it: SUCCEEDED, FAILED, …")
    pipeline_run: str = option("", "the run of the pipeline: a tag of the version that it made")
    events: list[str] = option(EVENTS, "what is told: promotion, refusal, failure")
    template: dict[str, Any] = option(DEFAULT, "the JSON that is posted; its texts hold placeholders such as $sentence")
    page: str = option("", "address of the runs' pages: what is put before the run's id")


@dataclass(frozen=True)
class NotifyReport:
    """What `notify` did: the event ("" for none), whether it was told, and what there is to say of that."""

    event: str
    sent: bool
    told: str


def notify(settings: NotifySettings) -> NotifyReport:
    """Posts a notice to the webhook in `GRAFT_NOTIFY_URL`, if the run came to something that is to be told.

    It is the run's last step: MLflow runs that a killed step has left open are ended, too.

    Args:
        settings: Which run, and what is told of it.
    """
    try:
        report = _notify(settings)
    except GraftError as error:
        report = NotifyReport("", False, f"no notice was sent: {error}")
    except Exception as error:  # only its type: its text might hold the address
        report = NotifyReport("", False, f"no notice was sent: {type(error).__name__}")
    print(f"graft: notify 100% · {report.told}", flush=True)
    runs.end_left_open(settings.name, settings.pipeline_run)
    return report


def _notify(settings: NotifySettings) -> NotifyReport:
    address = webhook.address()
    if not address:
        return NotifyReport("", False, f"{webhook.ADDRESS} is not set: nobody is told")
    cancelled = history.was_cancelled(settings.pipeline_run, settings.page)
    outcome = find_outcome(settings.name, settings.pipeline_run, settings.state, cancelled)
    if not outcome.event:
        return NotifyReport("", False, "nothing has changed: there is nothing to tell")
    if outcome.event not in [*settings.events, UNKNOWN]:
        return NotifyReport(outcome.event, False, f"not told: events has no {outcome.event}")
    webhook.post(address, fill(settings.template, values(settings, outcome)))
    return NotifyReport(outcome.event, True, f"{webhook.host(address)} was told: {outcome.verdict}")


def values(settings: NotifySettings, outcome: Outcome) -> Mapping[str, str]:
    """Returns what stands for each placeholder of a template."""
    page = f"{settings.page}{settings.pipeline_run}" if settings.page else ""
    told = {**vars(outcome), "model": settings.name, "run": settings.pipeline_run, "page": page}
    parts = [f"{settings.name}: {_headline(settings.name, outcome)}.", outcome.reasons, outcome.error]
    return {**told, "sentence": " ".join(part for part in [*parts, page] if part)}


def _headline(name: str, outcome: Outcome) -> str:
    version, champion = f"version {outcome.version}", outcome.champion
    if outcome.event == FAILURE:
        how = "was stopped" if outcome.verdict == STOPPED else "failed"
        return f"the run {how}" + (f" after it had registered {version}" if outcome.version else "")
    if outcome.event == UNKNOWN:
        return "the run ended"
    if outcome.event == PROMOTION:
        return f"{version} is the champion" + (f", in place of version {champion}" if champion else "")
    if outcome.verdict == AWAITS:
        return f"{version} awaits approval (graft models promote {name}/{outcome.version})"
    return f"{version} was not promoted" + (f"; version {champion} stays champion" if champion else "")
