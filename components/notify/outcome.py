"""What a run came to: how it ended, and what the registry says of the version that it made."""

from collections.abc import Mapping
from dataclasses import dataclass

from components.shared import registry, tracking
from components.shared.errors import GraftError
from components.shared.gate import AWAIT_APPROVAL, PROMOTE
from components.shared.registry import CHAMPION
from components.shared.unchanged import is_marked

PROMOTION, REFUSAL, FAILURE, UNKNOWN = "promotion", "refusal", "failure", "unknown"
EVENTS = [PROMOTION, REFUSAL, FAILURE]

_SUCCEEDED = {"SUCCEEDED", "COMPLETE", "CACHED"}
_OPEN = {"", "NEW", "RUNNING", "UNKNOWN"}
"""As Kubeflow leaves a run whose last step was not needed, since nothing has changed; and one whose pod was killed."""
_RUN = "pipeline_run"  # tag of a version: what made it
_OVERTAKEN = "It is better than what it was compared with, but that was champion no more, or a person took it back."


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
    """

    event: str = ""
    verdict: str = ""
    version: str = ""
    champion: str = ""
    reasons: str = ""
    error: str = ""


def find_outcome(name: str, pipeline_run: str, state: str) -> Outcome:
    """Returns what a run came to.

    Args:
        name: The model's name in the registry.
        pipeline_run: Id of the run: it is a tag of what the run made.
        state: In which its steps ended, as Kubeflow or kfp.local tells it.
    """
    failed = state not in _SUCCEEDED | _OPEN
    try:
        told, unchanged = _look_up(name, pipeline_run)
    except GraftError as error:
        print(f"graft: warning: {error}", flush=True)
        if failed:
            return _failure("One of its steps failed.")
        return Outcome(UNKNOWN, "unknown", error="What it came to is not known: the registry did not answer.")
    if failed:
        return _failure("One of its steps failed.", told.version)
    if state in _SUCCEEDED or unchanged or told.event:
        return told
    return _failure("One of its steps did not end: its pod may have been killed, for its memory or its time.")


def _failure(error: str, version: str = "") -> Outcome:
    return Outcome(FAILURE, "failed", version, error=error)


def _look_up(name: str, pipeline_run: str) -> tuple[Outcome, bool]:
    """Returns what the registry tells of a run, and whether the run found that nothing had changed."""
    client = tracking.client()
    with tracking.explained(f"looking for what the run made of {name!r}"):
        versions = registry.versions_of(client, name)
    champion = registry.holder(name, CHAMPION)
    made = next((entry for entry in versions if entry.tags.get(_RUN) == pipeline_run), None)
    unchanged = any(is_marked(entry.tags, pipeline_run) for entry in versions)
    if made is None:
        return Outcome(), unchanged
    return _verdict(str(made.version), made.tags, champion.version if champion else "", pipeline_run), unchanged


def _verdict(version: str, tags: Mapping[str, str], champion: str, pipeline_run: str) -> Outcome:
    before, reasons, decision = (tags.get(name, "") for name in ("compared_with", "reasons", "decision"))
    if champion == version == before:
        return Outcome()  # the same model again
    if champion == version or tags.get("promoted_by") == pipeline_run:  # another may have come since
        return Outcome(PROMOTION, "promoted", version, before, reasons)
    if decision == AWAIT_APPROVAL:
        return Outcome(REFUSAL, "awaits approval", version, before, reasons)
    if decision == PROMOTE:
        before, reasons = champion, _OVERTAKEN
    return Outcome(REFUSAL, "refused", version, before, reasons)
