"""Who is champion: a version becomes it, if the one that it was compared with still is. And the way back.

A change is written into the model's log first (`log`), where exactly one of several promoters gets the next number, and
then made (`champion`). Whoever comes next finishes what a killed process left, before anything else.
"""

import getpass
import os
import time
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime

from components.shared.errors import InputError, ServiceError
from components.shared.registry import tracking
from components.shared.registry.promotions.champion import champion_of, finish, holder, settled
from components.shared.registry.promotions.log import DONE, UNDONE, Entry, find_log, open_log
from components.shared.registry.registry import PREVIOUS, find_model, find_version

PROMOTION, APPROVAL, ROLLBACK, BY_HAND = "promotion", "approval", "rollback", "by hand"
PROMOTED, REFUSED, ALREADY, AWAITS = "promoted", "refused", "already champion", "awaits approval"
_TRIES = 20


@dataclass(frozen=True)
class Change:
    """A change of champion that is asked for.

    Attributes:
        name: The registered model.
        version: The version to become champion.
        compared: The version that must be champion still, "" for none.
        why: The reason.
        who: Who asks for it.
        kind: "promotion", "approval" (a person's promotion) or "rollback".
    """

    name: str
    version: str
    compared: str
    why: str
    who: str
    kind: str = PROMOTION


@dataclass(frozen=True)
class Outcome:
    """What became of it: "promoted", "refused" or "already champion", and why, in sentences."""

    verdict: str
    reasons: tuple[str, ...]


def make(change: Change) -> Outcome:
    """Makes a version champion, if the one that it was compared with still is; that one becomes `previous`.

    A version that a person took back is promoted again by a person only.

    Raises:
        InputError: There is no such version, or the log of the promotions was deleted.
        ServiceError: MLflow did not answer.
    """
    client = tracking.client()
    with tracking.explained(f"promoting version {change.version} of {change.name!r}"):
        find_version(client, change.name, change.version)
        for _ in range(_TRIES):
            log = find_log(client, change.name)
            entries = settled(log) if log else []
            if outcome := _unchanged(change, champion_of(client, change.name), entries):
                return outcome
            if log is None:
                open_log(client, change.name)
                continue  # another process may have opened it, and gone on
            if written := log.append(_entry(change, len(entries) + 1)):
                return _ended(change, finish(log, written))
    raise ServiceError(f"Others promoted versions of {change.name!r} at the same time, {_TRIES} times. Call again.")


def way_back(name: str, to: str, why: str, who: str) -> Change:
    """Returns the change that makes an earlier version champion again; the one that is becomes `previous`.

    Args:
        name: The registered model.
        to: The version; "" for the one with the alias `previous`.
        why: The reason.
        who: Who asks for it.

    Raises:
        InputError: There is no champion, no `previous`, or no such version.
        ServiceError: MLflow did not answer.
    """
    champion = settle(name)
    client = tracking.client()
    with tracking.explained(f"reading the aliases of {name!r}"):
        previous = holder(client, name, PREVIOUS)
    if not champion:
        raise InputError(
            f"{name!r} has no champion to roll back from. graft models show {name} lists its versions; "
            f"graft models promote {name}/VERSION --force makes one champion."
        )
    if previous is None and not to:
        raise InputError(
            f"{name!r} has no version with the alias {PREVIOUS!r} to roll back to: none was champion before "
            f"{champion}, or it was deleted. Name one: graft models rollback {name} --to VERSION"
        )
    return Change(name, to or str(previous and previous.version), champion, why, who, ROLLBACK)


def settle(name: str) -> str:
    """Finishes what a killed process left of its change; returns the version that is champion, "" for none.

    Raises:
        InputError: There is no such model.
        ServiceError: MLflow did not answer.
    """
    client = tracking.client()
    with tracking.explained(f"reading the promotions of {name!r}"):
        find_model(client, name)
        if log := find_log(client, name):
            settled(log)
        return champion_of(client, name)


def history(name: str) -> list[Entry]:
    """Returns the changes of champion, the newest first; those that people made in MLflow's own pages have number 0.

    Raises:
        InputError: There is no such model, or the log of its promotions was deleted.
        ServiceError: MLflow did not answer.
    """
    client = tracking.client()
    with tracking.explained(f"reading the promotions of {name!r}"):
        find_model(client, name)
        log, champion = find_log(client, name), champion_of(client, name)
        return list(_with_those_by_hand(log.entries() if log else [], champion))[::-1]


def actor(pipeline_run: str = "") -> str:
    """Returns who acts: `GRAFT_ACTOR`, else the run of the pipeline, else the name of the user."""
    try:
        return os.environ.get("GRAFT_ACTOR") or pipeline_run or getpass.getuser()
    except (KeyError, OSError):  # the user of a container may have no name
        return "unknown"


def _unchanged(change: Change, champion: str, entries: Sequence[Entry]) -> Outcome | None:
    """Returns the outcome where nothing is to be changed, else None."""
    by_hand = f"graft models promote {change.name}/{change.version}"
    if champion == change.version:
        return Outcome(ALREADY, (f"Version {champion} is champion already.",))
    if champion != change.compared:
        then = f"version {change.compared}" if change.compared else "no champion, since there was none"
        now = f"version {champion} is champion now" if champion else "that one is champion no more, nor is any other"
        told = f"Version {change.version} was compared with {then}, but {now}."
        return Outcome(REFUSED, (told, f"graft retrain compares anew; {by_hand} --force promotes it all the same."))
    taken_back = _taken_back(change.version, _with_those_by_hand(entries, champion))
    if taken_back and change.kind == PROMOTION:
        return Outcome(REFUSED, (_sentence(taken_back), f"Only a person can promote it again: {by_hand}"))
    return None


def _taken_back(version: str, entries: Iterable[Entry]) -> Entry | None:
    """Returns the change by which a person took a version back, if that is the last that happened to it."""
    last = None
    for entry in entries:
        if entry.state == DONE and version in (entry.before, entry.after):
            last = entry
    return last if last and last.kind in (ROLLBACK, BY_HAND) and last.before == version and last.after else None


def _sentence(entry: Entry) -> str:
    if entry.kind == BY_HAND:
        return f"Somebody went from version {entry.before} to {entry.after} in MLflow."
    return f"{entry.who} rolled back from version {entry.before} to {entry.after} on {entry.when}: {entry.why}"


def _entry(change: Change, number: int) -> Entry:
    now = datetime.fromtimestamp(time.time(), UTC).isoformat(timespec="seconds").replace("+00:00", "Z")
    return Entry(number, change.compared, change.version, change.kind, change.who, now, change.why)


def _ended(change: Change, entry: Entry) -> Outcome:
    if entry.state == DONE:
        return Outcome(PROMOTED, (change.why,))
    if entry.champion == entry.before:
        return Outcome(REFUSED, (f"Version {entry.after} was deleted meanwhile.",))
    now = f"made version {entry.champion} champion" if entry.champion else "took the champion away"
    return Outcome(REFUSED, (f"Somebody {now} in MLflow meanwhile; version {entry.after} was not compared with that.",))


def _with_those_by_hand(entries: Sequence[Entry], champion: str) -> Iterator[Entry]:
    """Yields the entries, the oldest first, and between them what nobody wrote down."""
    known: str | None = ""
    for entry in entries:
        if known is not None and known != entry.before:
            yield _by_hand(known, entry.before)
        yield entry
        if entry.state == UNDONE and entry.champion != entry.before:
            yield _by_hand(entry.before, entry.champion)
        known = entry.champion if entry.state else None
    if known is not None and known != champion:
        yield _by_hand(known, champion)


def _by_hand(before: str, after: str) -> Entry:
    return Entry(0, before, after, BY_HAND, who="", when="", why="", state=DONE, champion=after)
