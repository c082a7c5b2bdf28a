"""What a step made before from the same content, taken instead of made again.

Kubeflow's own cache goes by the numbers that it gives to artifacts, and an artifact that was made again has a new one:
it never hits after a step that must look at the world. This one goes by content. Its key holds the digests of the
artifacts that come in, the step's settings, what the backbone's name leads to, and who makes it: code, packages, image.

It keeps no second copy: an entry is a small file that tells where a run left the artifact, by address and digest. What
is no longer there, or no longer as it was made, is made again, and the entry is written anew. Nothing that goes wrong
with the cache fails a step.
"""

import dataclasses
import hashlib
import json
import os
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Generic, TypeVar

from components.shared.artifacts import resume
from components.shared.artifacts.artifact import digest_of
from components.shared.artifacts.copies import copy_artifact
from components.shared.artifacts.producer import producer_of
from components.shared.artifacts.resume import RESUME, STEPS, Entry
from components.shared.backbones import pinned
from components.shared.backbones.identity import identity
from components.shared.errors import GraftError
from components.shared.process.step import Progress, tell
from components.shared.storage import storage

CACHE = "GRAFT_CACHE"
"""The variable that names the place of the cache, a folder or `s3://bucket/prefix`; without it there is none."""

_BACKBONES = ("backbone", "alternative", "known")
"""Settings that name what lies elsewhere: their content counts."""
_RUN = re.compile(r"[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}|\d{4}-\d\d-\d\dT\d\d-\d\d-\d\d-\d+-[^/]+")
"""A run in an artifact's address: Kubeflow's id of it, or the folder of one that ran here."""
_FAULTS = (GraftError, OSError, ValueError, KeyError, TypeError)

Report = TypeVar("Report")


@dataclass(frozen=True)
class Work(Generic[Report]):
    """What a step is to do: artifacts into another.

    Attributes:
        step: Its folder in `components`.
        sources: Folders of the artifacts that it reads, by their kind.
        target: Kind and folder of the one that it is to write.
        address: Where others find that one when the run goes on: on a cluster not its folder.
        settings: Of the step.
        weights: Whether it reads the backbone's weights.
        report: The class of what the step returns; its fields are JSON values.
        besides: Tells what else it depends on: the state of the data, or who is champion.
        cached: Whether it may be taken from any run; else only from the one that is gone on from.
    """

    step: str
    sources: Mapping[str, Path]
    target: tuple[str, Path]
    address: str
    settings: Any
    weights: bool
    report: type[Report]
    besides: Callable[[], Mapping[str, str]] = dict
    cached: bool = True


def through(work: Work[Report], make: Callable[[], Report]) -> tuple[Report, dict[str, str]]:
    """Takes what was made of the same before, if it is whole; else makes it, and remembers where it is.

    Args:
        work: What is to be done.
        make: Does it.

    Returns:
        The step's report, and where the artifact was taken from; {} where it was made.
    """
    store = os.environ.get(CACHE, "") if work.cached else ""
    of = content_of(work) if store or os.environ.get(STEPS) else None
    if of is None:
        return make(), {}
    key = hashlib.sha256(json.dumps(of, sort_keys=True).encode()).hexdigest()
    place = f"{_reachable(store).rstrip('/')}/{work.step}/{key}.json" if store else ""
    before = _of_run(work, of)
    for entry in (before, _find(work, place, key)):
        if entry and (report := _take(work, entry)) is not None:
            _keep(work, resume.place_of(work.step), entry)
            return report, {"taken_from": entry.address, "made_by": entry.run}
    if before:
        tell(f"{work.step} is done again: what run {before.run} made is damaged, or gone")
    report = make()
    if content_of(work) != of:  # the name led elsewhere while the work was done: to what, nobody knows
        _tell(work, "not kept: what it was made of changed meanwhile")
    else:
        for kept in (place, resume.place_of(work.step)):
            _keep(work, kept, (key, of, report))
    return report, {}


def _of_run(work: Work[Any], of: Mapping[str, Any]) -> Entry | None:
    """Returns what the run made that is gone on from, if it was made of the same; else tells what is other now."""
    place = resume.place_of(work.step, RESUME)
    try:
        entry = resume.read(place) if place else None
    except _FAULTS as error:
        _tell(work, f"{place} cannot be used: {error}")
        return None
    if entry is None:
        return None
    if other := resume.differences(entry.of, of):
        tell(f"{work.step} is done again: {'; '.join(other)}")
        return None
    if resume.is_untold(of):
        tell(f"{work.step}: whether the data has changed cannot be told: it is taken as run {entry.run} found it")
    if entry.of.get("producer") != of.get("producer"):
        tell(f"{work.step} was done by other code or packages than there are now; what it made is taken all the same")
    return dataclasses.replace(entry, address=_absolute(entry.address))


def content_of(work: Work[Any]) -> dict[str, Any] | None:
    """Returns all that the artifact depends on; None where that cannot be told (the step will say why)."""
    fields = [field for field in dataclasses.fields(work.settings) if _is_keyed(field)]
    settings = {field.name: getattr(work.settings, field.name) for field in fields}
    try:
        named = {name: pinned(settings[name]) for name in _BACKBONES if settings.get(name)}
        told = {
            "step": work.step,
            **{kind: digest_of(folder, kind) for kind, folder in work.sources.items()},
            "settings": {**settings, **named},
            "leads_to": {name: identity(address, work.weights) for name, address in named.items()},
            "producer": producer_of(work.step),
            **work.besides(),
        }
        return dict(json.loads(json.dumps(told)))  # as it will be read again
    except _FAULTS as error:
        _tell(work, f"left out: {error}")
        return None


def _is_keyed(field: "dataclasses.Field[Any]") -> bool:
    """Tells whether what is made may depend on a setting; on who asks for it, it does not."""
    return bool(field.metadata.get("keyed", True)) and field.name != "pipeline_run"


def _find(work: Work[Any], place: str, key: str) -> Entry | None:
    try:
        entry = resume.read(place, key) if place else None
    except _FAULTS as error:
        _tell(work, f"{place} cannot be used, and is written anew: {error}")
        return None
    return entry and dataclasses.replace(entry, address=_absolute(entry.address))


def _take(work: Work[Report], entry: Entry) -> Report | None:
    """Copies the artifact of an entry to where the step is to write it."""
    kind, folder = work.target

    def bring(wanted: Sequence[tuple[str, Path]]) -> None:
        storage.bring_all(((f"{_reachable(entry.address)}/{name}", path) for name, path in wanted), verified=True)

    progress = Progress(work.step, 1)
    try:
        report = work.report(**entry.report)
        copy_artifact(bring, folder, kind, entry.digest)
    except _FAULTS as error:
        _tell(work, f"what run {entry.run} left at {entry.address} cannot be taken, and is made again: {error}")
        return None
    progress.update(1, f"taken from {entry.address}, made by run {entry.run}")
    return report


def _keep(work: Work[Any], place: str, made: Entry | tuple[str, Mapping[str, Any], Any]) -> None:
    """Writes an entry. Where several runs made the same at once, the last one's stays: each is whole."""
    if not place:
        return
    kind, folder = work.target
    try:
        if isinstance(made, Entry):
            entry = dataclasses.replace(made, address=_relative(work))
        else:
            key, of, report = made
            entry = Entry(key, of, digest_of(folder, kind), _relative(work), _run(work), dataclasses.asdict(report))
        resume.write(place, entry)
    except _FAULTS as error:
        _tell(work, f"{place} cannot be written, so that the next run will not find this: {error}")


def _run(work: Work[Any]) -> str:
    found = _RUN.search(_relative(work))  # whatever the way to that place is called
    return str(getattr(work.settings, "pipeline_run", "") or (found[0] if found else "of its own"))


def _beside() -> str:
    """Returns the place that the cache and the runs lie in."""
    return os.environ.get(CACHE, "").rpartition("/")[0] or resume.home()


def _relative(work: Work[Any]) -> str:
    """Returns where an artifact lies, from that place on: it may be moved, or copied."""
    return work.address.removeprefix(f"{_beside()}/")


def _absolute(address: str) -> str:
    return address if "://" in address or address.startswith("/") else f"{_beside()}/{address}"


def _reachable(address: str) -> str:
    """Returns an address as boto3 is asked for it: Kubeflow calls a bucket of its own store minio://."""
    return address.replace("minio://", "s3://", 1).partition("?")[0] if "://" in address else address


def _tell(work: Work[Any], words: str) -> None:
    print(f"graft: {work.step}: cache: {words}", flush=True)
