"""The runs below a root: a folder each, locked while it lives, with a file that tells how it ended."""

import contextlib
import datetime
import json
import os
import re
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from components.shared.errors import GraftError, InputError, did_you_mean
from components.shared.process import locks
from components.shared.process.step import LOCK
from components.shared.registry import embedded
from components.shared.storage import storage

RUNS, STEPS, FILE = "runs", "steps", "run.json"
_NAME = re.compile(r"\d{4}-\d\d-\d\dT\d\d-\d\d-\d\d-\d+-(?P<model>.+)", re.DOTALL)
WORKING, DONE, FAILED = "working", "done", "failed"


@dataclass(frozen=True)
class Attempt:
    """A run, as its folder tells.

    Attributes:
        folder: Of the run; its name begins with the time, and ends with the model's name.
        model: What it was to make.
        state: "working", "done" or "failed"; of an older graft's "".
    """

    folder: Path
    model: str
    state: str

    @property
    def is_live(self) -> bool:
        """Whether a process of it lives."""
        return locks.is_held(self.folder / LOCK)

    @property
    def is_done(self) -> bool:
        """Whether it came to its end."""
        if self.state:
            return self.state == DONE
        return any(self.folder.glob("*/promote/promotion/manifest.json"))

    @property
    def can_go_on(self) -> bool:
        """Whether it left something to go on from."""
        return any(self.folder.glob(f"{STEPS}/*.json"))


def attempts(root: Path) -> list[Attempt]:
    """Returns the runs below a root, the newest first."""
    folders = [folder for folder in (root / RUNS).glob("*") if folder.is_dir() and _NAME.match(folder.name)]
    return [_read(folder) for folder in sorted(folders, reverse=True)]


def _read(folder: Path) -> Attempt:
    told = {}
    with contextlib.suppress(OSError, ValueError):
        told = json.loads((folder / FILE).read_text("utf-8"))
    named = _NAME.match(folder.name)
    return Attempt(folder, told.get("model") or (named["model"] if named else ""), told.get("state", ""))


@contextlib.contextmanager
def begun(root: Path, model: str, pipeline: str, before: Path | None = None) -> Iterator[Path]:
    """Gives a new run its folder, and writes down how it ends; while it lives, nothing that it needs is cleared.

    Of one model only one retraining works at a time, as on a cluster: a schedule may fire while the last still works.

    Args:
        root: Where it is to be.
        model: What it makes.
        pipeline: Which one it runs.
        before: The folder of the run that it goes on from.

    Raises:
        ServiceError: A retraining of the model is at work.
    """
    runs = root.absolute() / RUNS
    folder = runs / f"{datetime.datetime.now():%Y-%m-%dT%H-%M-%S-%f}-{model}"
    told = {"model": model, "pipeline": pipeline, "began": datetime.datetime.now(datetime.UTC).isoformat()}
    uri = os.environ.get("MLFLOW_TRACKING_URI", "")
    runs.mkdir(parents=True, exist_ok=True)
    with contextlib.ExitStack() as stack:
        if pipeline == "retrain":
            stack.enter_context(locks.held(runs / f"{model}.retrain.lock", doing=f"retraining {model!r} already"))
        folder.mkdir()
        for needed in (folder, before):
            if needed:
                stack.enter_context(locks.held(needed / LOCK, shared=True))
        if uri.startswith(embedded.SQLITE):
            stack.enter_context(embedded.using(embedded.file_of(uri)))
        _write(folder, {**told, "state": WORKING})
        try:
            yield folder
        except BaseException:
            _write(folder, {**told, "state": FAILED})
            raise
        _write(folder, {**told, "state": DONE})


@contextlib.contextmanager
def told_how_to_go_on(folder: Path, before: Path | None, hint: str) -> Iterator[None]:
    """Ends a failure with the command that goes on from it, where a step has left something.

    Args:
        folder: Of the run.
        before: Of the run that it went on from.
        hint: The command, up to the run's name; "": it is not told.
    """

    def told() -> str:
        of = folder if any((folder / STEPS).glob("*.json")) else before
        return f"To go on from there: {hint} {of.name}" if hint and of else ""

    try:
        yield
    except GraftError as error:
        raise type(error)(f"{error}\n{told()}".rstrip()) from error
    except KeyboardInterrupt:
        if line := told():
            print(line, file=sys.stderr)
        raise


def _write(folder: Path, told: dict[str, str]) -> None:
    with contextlib.suppress(OSError):  # on a full disk the failure itself is what is told
        storage.write_whole(str(folder / FILE), json.dumps(told, indent=1).encode())


def to_resume(root: Path, model: str, name: str) -> Path:
    """Returns the folder of the run that is to be gone on from.

    Args:
        root: Where runs are.
        model: That it was to make.
        name: The run's; "": the newest that did not come to its end.

    Raises:
        InputError: There is none, or it is at work.
    """
    found = [attempt for attempt in attempts(root) if attempt.model == model]
    if not name:
        open_ones = [one for one in found if not one.is_done and not one.is_live]
        if not open_ones:
            raise InputError(
                f"There is no run of {model!r} below {root} to go on from: none has failed, or been killed. Leave out "
                "--resume."
            )
        return open_ones[0].folder
    names = {attempt.folder.name: attempt for attempt in found}
    if name not in names:
        near = did_you_mean(name, names) or (f" The newest is {next(iter(names))!r}." if names else "")
        raise InputError(f"There is no run {name!r} of {model!r} below {root}.{near}")
    if names[name].is_live:
        raise InputError(f"The run {name!r} is at work still. Wait for its end, or stop it, and then go on from it.")
    return names[name].folder
