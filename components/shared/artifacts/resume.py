"""Going on from a run that failed: each step leaves what it made and of what, and the next run takes it from there.

A run here leaves an entry a step in its own folder (`steps/finetune.json`), as the cache does for all runs. Who goes on
from a run takes what that one made, if it was made of the same: the same artifacts, settings, data and champion. What
is not the same is told, and made again. Other code or packages are no reason: perhaps they are the mending.
"""

import dataclasses
import json
import os
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from components.shared.storage import storage

STEPS, RESUME = "GRAFT_STEPS", "GRAFT_RESUME"
"""Variables: the folder in which a run's steps leave their entries, and the one of the run that is gone on from."""

SCHEMA_VERSION = 1
_UNKNOWN = "unknown"


@dataclass(frozen=True)
class Entry:
    """What is known of an artifact that was made.

    Attributes:
        key: Names what it was made of.
        of: All that it depends on.
        digest: Its own.
        address: Where it lies; without a beginning, from the place on that runs and cache lie in.
        run: The run that made it.
        report: What the step returned.
    """

    key: str
    of: Mapping[str, Any]
    digest: str
    address: str
    run: str
    report: Mapping[str, Any]
    schema_version: int = SCHEMA_VERSION


def home() -> str:
    """Returns the place that the runs lie in, as the environment tells; "" where it tells none."""
    steps = os.environ.get(STEPS, "")
    return str(Path(steps).parents[2]) if steps else ""


def read(place: str, key: str = "") -> Entry | None:
    """Reads an entry; None where there is none.

    Args:
        place: Where it is.
        key: That it must have; "": any.

    Raises:
        ValueError, TypeError, KeyError, OSError, GraftError: It cannot be used.
    """
    content = storage.read_if_there(place)
    if content is None:
        return None
    entry = Entry(**json.loads(content))
    if entry.schema_version != SCHEMA_VERSION or (key and entry.key != key):
        raise ValueError("it is the entry of something else")
    return entry


def write(place: str, entry: Entry) -> None:
    """Writes an entry, as a whole."""
    storage.write_whole(place, json.dumps(dataclasses.asdict(entry), indent=1, default=str).encode())


def place_of(step: str, of: str = STEPS) -> str:
    """Returns where a step of this run, or of the one that is gone on from, has its entry; "" where there is no run."""
    folder = os.environ.get(of, "")
    return f"{folder}/{step}.json" if folder else ""


def differences(before: Mapping[str, Any], now: Mapping[str, Any]) -> list[str]:
    """Returns what an artifact was made of otherwise, in words; [] where it was the same."""
    return [
        words
        for key in sorted({*before, *now} - {"step", "producer"})
        for words in _differences(key, before.get(key), now.get(key))
    ]


def is_untold(of: Mapping[str, Any]) -> bool:
    """Tells whether nobody can say if the data has changed, as of a query."""
    return of.get("data") == _UNKNOWN


def told_data(stamps: str) -> str:
    """Returns what stands for the state of the data in an entry."""
    return stamps or _UNKNOWN


def _differences(key: str, before: Any, now: Any) -> Iterator[str]:
    if before == now:
        return
    if key == "settings" and isinstance(before, dict) and isinstance(now, dict):
        for name in sorted({*before, *now}):
            if before.get(name) != now.get(name):
                yield f"{name} is {json.dumps(now.get(name))} (it was {json.dumps(before.get(name))})"
    elif key == "leads_to":
        yield "what the backbone's name leads to has changed"
    else:
        yield f"the {key} has changed"
