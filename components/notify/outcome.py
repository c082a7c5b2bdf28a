"""What a run came to: how it ended, what its steps wrote down, and what the registry says of the version it made."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from components.shared.errors import GraftError
from components.shared.gate import AWAIT_APPROVAL, PROMOTE
from components.shared.registry import records, registry, tracking
from components.shared.registry.promotions import ALREADY, AWAITS, PROMOTED, REFUSED
from components.shared.registry.records import PipelineRun
from components.shared.registry.registry import CHAMPION

PROMOTION, REFUSAL, FAILURE, UNKNOWN = "promotion", "refusal", "failure", "unknown"
EVENTS = [PROMOTION, REFUSAL, FAILURE]
STOPPED = "stopped"

_SUCCEEDED = {"SUCCEEDED", "COMPLETE", "CACHED"}
_OPEN = {"", "NEW", "RUNNING", "UNKNOWN"}
"""As Kubeflow leaves a run whose last step was not needed, since nothing has changed; and one whose pod was killed."""
_RUN = "pipeline_run"  # tag of a version: what made it
_OVERTAKEN = "It is better than what it was compared with, but that was champion no more, or a person took it back."
_SOME_STEP = "One of its steps failed."
_KILLED = "One of its steps did not end: its pod may have been killed, for its memory or its time."


@dataclass(frozen=True)
class Outcome:
    """What a run came to.

    Attributes:
        event: One of `EVENTS`; "" where nothing changed; "unknown" where the registry did not answer.
        verdict: In words, as in "awaits approval".
        version: The version that the run registered, if it did.
        champion: The version that it was compared with, if there was one.
        reasons: Why it was promoted or not, in sentences.
        error: What went wrong, as a sentence.
        step: The step that failed, where it is known.
    """

    event: str = ""
    verdict: str = ""
    version: str = ""
    champion: str = ""
    reasons: str = ""
    error: str = ""
    step: str = ""


def find_outcome(name: str, pipeline_run: str, state: str, cancelled: bool = False) -> Outcome:
    """Returns what a run came to.

    Args:
        name: The model's name in the registry.
        pipeline_run: Id of the run: what its steps wrote down is found by it.
        state: In which its steps ended, as Kubeflow or kfp.local tells it.
        cancelled: Whether somebody cancelled it, as Kubeflow's history of the run tells.
    """
    failed = state not in _SUCCEEDED | _OPEN
    try:
        entries = entries_of(name, pipeline_run)
        told, ended = _look_up(name, pipeline_run, entries)
    except GraftError as error:
        print(f"graft: warning: {error}", flush=True)
        if failed or cancelled:
            return _failure({}, cancelled)
        return Outcome(UNKNOWN, "unknown", error="What it came to is not known: the registry did not answer.")
    if not failed and (state in _SUCCEEDED or ended):
        return told
    return _failure(entries, cancelled, told.version, _SOME_STEP if failed else _KILLED)


def entries_of(name: str, pipeline_run: str) -> dict[str, dict[str, Any]]:
    """Returns what a run's steps wrote down: of the run as the pipeline names it, and as the environment does."""
    runs = [PipelineRun(name, pipeline_run)]
    if (own := records.current()) and own not in runs:
        runs.insert(0, own)
    return {step: entry for run in runs if run.id for step, entry in records.read(run).items()}


def _failure(
    entries: Mapping[str, Mapping[str, Any]], cancelled: bool, version: str = "", otherwise: str = _SOME_STEP
) -> Outcome:
    """Returns the outcome of a run that failed or was stopped; the newest failure that was written down tells why."""
    failures = [entry for entry in entries.values() if {"failure", "stopped"} & entry.keys()]
    told: Mapping[str, Any] = failures[-1] if failures else {}
    step, sentence = str(told.get("step", "")), str(told.get("failure", ""))
    if cancelled:
        where = f" while {step} was at work" if told.get("stopped") else ""
        return Outcome(FAILURE, STOPPED, version, error=f"Somebody cancelled it{where}.", step=step)
    if told.get("stopped"):
        error = f"{step} was told to end: somebody cancelled the run, its node was needed, or its time was over."
        return Outcome(FAILURE, STOPPED, version, error=error, step=step)
    return Outcome(FAILURE, "failed", version, error=f"{step}: {sentence}" if sentence else otherwise, step=step)


def _look_up(name: str, pipeline_run: str, entries: Mapping[str, Mapping[str, Any]]) -> tuple[Outcome, bool]:
    """Returns what is known of a run that did not fail, and whether it came to its end."""
    client = tracking.client()
    with tracking.explained(f"looking for what the run made of {name!r}"):
        versions = registry.versions_of(client, name)
    registered, promoted = entries.get("register", {}), entries.get("promote", {})
    number = str(registered.get("version", ""))
    made = next((entry for entry in versions if str(entry.version) == number), None)
    made = made or next((entry for entry in versions if entry.tags.get(_RUN) == pipeline_run), None)
    decided = {key: str(registered[key]) for key in ("decision", "reasons", "compared_with") if key in registered}
    tags = {**made.tags, **decided} if made else {}
    if promoted:
        return _decided(promoted, tags, pipeline_run), True
    if made is None:
        return Outcome(), entries.get("detect", {}).get("changed") is False
    champion = registry.holder(name, CHAMPION)
    told = _verdict(str(made.version), tags, champion.version if champion else "", pipeline_run)
    return told, bool(told.event) and not registered  # else `promote` was to write down more


def _decided(promoted: Mapping[str, Any], tags: Mapping[str, str], pipeline_run: str) -> Outcome:
    """Returns the outcome that `promote` wrote down."""
    verdict, version, before = (str(promoted.get(name, "")) for name in ("verdict", "version", "before"))
    reasons = str(promoted.get("reasons", ""))
    if verdict == PROMOTED:
        return Outcome(PROMOTION, PROMOTED, version, before, reasons)
    if verdict == ALREADY:  # another run made it champion, or it was before; or this one did, in a try that was killed
        if tags.get("promoted_by") != pipeline_run:
            return Outcome(version=version)
        return Outcome(PROMOTION, PROMOTED, version, before, tags.get("promotion_reason", reasons))
    champion = before if verdict == AWAITS else str(promoted.get("champion", ""))
    return Outcome(REFUSAL, verdict, version, champion, reasons)


def _verdict(version: str, tags: Mapping[str, str], champion: str, pipeline_run: str) -> Outcome:
    """Returns the outcome that the version's tags tell, where `promote` wrote nothing down."""
    before, reasons, decision = (tags.get(name, "") for name in ("compared_with", "reasons", "decision"))
    if champion == version == before:
        return Outcome()  # the same model again
    if tags.get("promoted_by") == pipeline_run:  # another may have come since
        return Outcome(PROMOTION, PROMOTED, version, before, reasons)
    if champion == version:
        mine = tags.get(_RUN) == pipeline_run
        return Outcome(PROMOTION, PROMOTED, version, before, reasons) if mine else Outcome(version=version)
    if decision == AWAIT_APPROVAL:
        return Outcome(REFUSAL, AWAITS, version, before, reasons)
    if decision == PROMOTE:
        before, reasons = champion, _OVERTAKEN
    return Outcome(REFUSAL, REFUSED, version, before, reasons)
