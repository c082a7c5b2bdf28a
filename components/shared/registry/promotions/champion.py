"""What an entry of the log does to the registry: the alias `champion`, `previous`, the tags. It can be done again.

The order: the alias, the mark in the log that it is done, `previous`, the tags. `champion` goes from one version to
another in one write, so that there always is one; before it, nothing was touched. A process that is killed on the way
leaves the rest to the next one: while the alias is still what the entry says it was, the change is made; where somebody
has moved it in MLflow's own pages, the entry is marked undone, and the alias is left alone.

What MLflow cannot do is refuse a late write. A process that is stopped between its last look at the alias and its write
to it (some milliseconds), while others finish its entry and go on to the next, sets the alias back to its own version
when it wakes up. It looks at the log afterwards, finds a higher number there, and puts the alias right; a change that
a person made in that moment is lost. If it is killed before that look, the older version stays champion: to all others,
as to whoever looks in between, it is as if a person had gone back to it. `graft models show` tells that, and the next
promotion goes on from it. It takes a version that was compared with a champion of that very moment: only a person who
rolls back or forces a promotion is as quick.
"""

from collections.abc import Callable
from functools import partial
from typing import TYPE_CHECKING

from components.shared.registry.promotions.log import DONE, Entry, Log, again
from components.shared.registry.registry import CHAMPION, PREVIOUS

if TYPE_CHECKING:
    from mlflow import MlflowClient
    from mlflow.entities.model_registry import ModelVersion

_NUMBER = "promotion"  # tag of a version: the entry that made it champion; the last that is written


def holder(client: "MlflowClient", name: str, alias: str = CHAMPION) -> "ModelVersion | None":
    """Returns the version that an alias names; None without the alias, or where it points to what is gone."""
    from mlflow.exceptions import MlflowException

    try:
        return client.get_model_version_by_alias(name, alias)
    except MlflowException as error:
        if error.error_code not in ("RESOURCE_DOES_NOT_EXIST", "INVALID_PARAMETER_VALUE"):  # the version, the alias
            raise
        return None


def champion_of(client: "MlflowClient", name: str) -> str:
    """Returns the version that is champion, "" for none."""
    found = holder(client, name)
    return str(found.version) if found else ""


def settled(log: Log) -> list[Entry]:
    """Finishes what a killed process left of the newest entry; returns all entries, the oldest first."""
    entries = log.entries()
    if not entries:
        return entries
    *older, newest = entries
    if not newest.state:
        return [*older, finish(log, newest)]
    if newest.state == DONE and _unfollowed(log, newest):
        _follow(log, newest)
        _give_way(log, newest)
    return entries


def finish(log: Log, entry: Entry) -> Entry:
    """Does what an entry says, or marks it undone; returns it as it ended. Several processes may do so at once."""
    champion = champion_of(log.client, log.name)
    if champion == entry.before:
        moved = _point(log, CHAMPION, entry.after)
        champion = entry.after if moved else champion_of(log.client, log.name)
    ended = log.settle(entry, champion)
    if ended.state == DONE:
        _follow(log, ended)
    _give_way(log, ended)
    return ended


def _unfollowed(log: Log, entry: Entry) -> bool:
    """Tells whether the process that made a change was killed before it had written what follows from it."""
    champion = holder(log.client, log.name)
    if champion is None or str(champion.version) != entry.after:
        return False
    return bool(champion.tags.get(_NUMBER) != str(entry.number))


def _follow(log: Log, entry: Entry) -> None:
    """Writes what follows from a change of champion: `previous`, and the tags of the version."""
    if entry.before:
        _point(log, PREVIOUS, entry.before)
    tags = {
        "promoted_at": entry.when,
        "promoted_by": entry.who,
        "promoted_from": entry.before or "none",
        "promotion_reason": entry.why,
        _NUMBER: str(entry.number),
    }
    for key, value in tags.items():
        _unless_gone(partial(log.client.set_model_version_tag, log.name, entry.after, key, value))


def _give_way(log: Log, entry: Entry) -> None:
    """Puts right what this process overwrote while others went on: of the entries, the highest number stands."""
    newest = next(found for found in reversed(log.entries()) if found.state)
    aliases = {alias: str(version) for alias, version in log.client.get_registered_model(log.name).aliases.items()}
    if aliases.get(CHAMPION) == entry.after and newest.champion not in ("", entry.after):
        _point(log, CHAMPION, newest.champion)
    later = newest.number > entry.number and newest.state == DONE
    if later and newest.before and aliases.get(PREVIOUS) == entry.before:
        _point(log, PREVIOUS, newest.before)


def _point(log: Log, alias: str, version: str) -> bool:
    """Sets an alias; returns False where the version is gone."""
    return _unless_gone(partial(log.client.set_registered_model_alias, log.name, alias, version))


def _unless_gone(write: Callable[[], object]) -> bool:
    """Writes to a version; returns False where somebody has deleted it."""
    from mlflow.exceptions import MlflowException

    try:
        again(write)
    except MlflowException as error:
        if error.error_code != "RESOURCE_DOES_NOT_EXIST":
            raise
        return False
    return True
