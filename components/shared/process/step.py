"""What makes a plain function a step: its lines of progress, its exit code, its command.

A step tells its progress as lines (`graft: finetune  41% · epoch 2/3 · loss 0.31`), which people read in a pod's log
and `graft run` turns into a progress bar. Its failure is told likewise, each line of the message behind a prefix.
"""

import argparse
import contextlib
import dataclasses
import json
import logging
import os
import re
import signal
import sys
import threading
import time
import typing
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from components.shared.artifacts import resume
from components.shared.errors import GraftError, InputError
from components.shared.process import locks
from components.shared.process.stopping import RETRY, PreemptedError
from components.shared.registry import embedded, records

PROGRESS = re.compile(r"^\s*graft: (?P<step>\S+) +(?P<percent>\d+)% · (?P<message>.*)$")
FAILURE = re.compile(r"^\s*graft: (?P<kind>wrong input|failure): (?P<line>.*)$")
NOTE = re.compile(r"^\s*graft: note: (?P<line>.*)$")
INTERRUPTED = 130
LOCK = "lock"
"""In a run's folder: held while a process of the run lives."""


class Progress:
    """Tells how far a step is: one line when it begins, then at most one every `interval` seconds, and one at the end.

    On a terminal the line is drawn over and over, as a bar.
    """

    def __init__(self, step: str, total: float, interval: float = 1.0) -> None:
        self.step, self.total, self.interval = step, max(total, 1e-9), interval
        self._begun = time.monotonic()
        self._last = float("-inf")
        self._terminal = sys.stdout.isatty()

    def update(self, done: float, message: str) -> None:
        """Tells that `done` of `total` is done, unless it told so less than `interval` seconds ago."""
        now = time.monotonic()
        if now - self._last >= self.interval or done >= self.total:
            self._last = now
            self._tell(min(done / self.total, 1.0), message)

    def line(self, text: str) -> None:
        """Prints a line that stays, above the bar."""
        print(f"\r\033[K{text}" if self._terminal else text, flush=True)

    def rate(self, done: float) -> float:
        """Returns how much was done a second so far."""
        return done / max(time.monotonic() - self._begun, 1e-9)

    def _tell(self, fraction: float, message: str) -> None:
        if self._terminal:
            filled = round(24 * fraction)
            line = f"\r\033[K{self.step} {'━' * filled}{'·' * (24 - filled)} {fraction:4.0%}  {message}"
            print(line, end="\n" if fraction >= 1 else "", flush=True)
        else:
            print(f"graft: {self.step} {round(100 * fraction):3d}% · {message}", flush=True)


def tell(line: str) -> None:
    """Prints what somebody should know of a step's work; `graft run` shows it as it comes."""
    print(f"graft: note: {line}", flush=True)


def run_step(step: Callable[[], Any], name: str = "") -> Any:
    """Runs a step in its own process; a failure ends that process with a message and an exit code, not a traceback.

    SIGTERM, with which Kubernetes ends a pod that is cancelled, evicted or out of time, is taken as Ctrl-C: what is
    half-written is removed, what training came to is kept, and what is open in MLflow is closed. Its exit code says
    that the step is worth another try. Why the step failed is left for the run's last step.

    Args:
        step: Does the work.
        name: The step's; without one, its failure is left for nobody.

    Raises:
        SystemExit: 2 for an `InputError`, 1 for another `GraftError` (4: memory did not suffice), 130 for Ctrl-C, 75
            for SIGTERM.
    """
    _quieten()
    try:
        with terminable(), _at_work():
            result = step()
    except GraftError as error:
        kind = "wrong input" if isinstance(error, InputError) else "failure"
        for line in str(error).splitlines():
            print(f"graft: {kind}: {line}", flush=True)
        _leave(name, {"failure": str(error)})
        raise SystemExit(error.exit_code) from None
    except KeyboardInterrupt as error:
        print("graft: interrupted", flush=True)
        _leave(name, {"stopped": True})
        raise SystemExit(RETRY if isinstance(error, PreemptedError) else INTERRUPTED) from None
    except Exception as error:
        _leave(name, {"failure": f"a fault of its own, {type(error).__name__}: {error}"})
        raise
    if os.environ.get("KFP_RETRY_INDEX", "0") not in ("", "0") and (run := records.current()) and name:
        records.take_back(run, records.failure_of(name))
    return result


@contextlib.contextmanager
def _at_work() -> Iterator[None]:
    """Holds that the run lives, and its store is used, even where `graft run` itself was killed: nothing is cleared."""
    steps, uri = os.environ.get(resume.STEPS, ""), os.environ.get("MLFLOW_TRACKING_URI", "")
    with contextlib.ExitStack() as stack:
        if steps:
            stack.enter_context(locks.held(Path(steps).parent / LOCK, shared=True))
        if uri.startswith(embedded.SQLITE):
            with contextlib.suppress(OSError):  # what is wrong with the place is told by who opens the store
                stack.enter_context(embedded.using(embedded.file_of(uri)))
        yield


@contextlib.contextmanager
def terminable() -> Iterator[None]:
    """Takes SIGTERM as Ctrl-C for the length of a block; a second one does not disturb the clearing up."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return

    def stop(*_: object) -> None:
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
        raise PreemptedError

    before = signal.signal(signal.SIGTERM, stop)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)


def _leave(name: str, entry: Mapping[str, Any]) -> None:
    """Leaves a step's failure for the run's last step; a fault in doing so hides no failure."""
    run = records.current()
    if not run or not name:
        return
    try:
        records.leave(run, records.failure_of(name), {"step": name, **entry})
    except Exception as error:
        print(f"graft: warning: the failure could not be written down ({type(error).__name__})", flush=True)


def _quieten() -> None:
    """Keeps libraries from telling of credentials, connections and requests in the log of a step that is all right."""
    for library in ("botocore", "boto3", "s3transfer", "urllib3", "httpx", "fsspec", "alembic", "mlflow"):
        logging.getLogger(library).setLevel(logging.WARNING)


def option(default: Any, help_text: str, keyed: bool = True) -> Any:
    """Returns a settings field with its default and the help that the step's own command shows.

    Args:
        default: Of the field.
        help_text: What it means.
        keyed: Whether what the step makes may depend on it: if so, what was made with another value is not taken from
            the cache.
    """
    metadata = {"help": help_text, "keyed": keyed}
    if isinstance(default, list | dict):
        return dataclasses.field(default_factory=lambda: default.copy(), metadata=metadata)
    return dataclasses.field(default=default, metadata=metadata)


def required(help_text: str) -> Any:
    """Returns a settings field without default."""
    return dataclasses.field(metadata={"help": help_text})


def command(
    step: Callable[..., Any], settings: type[Any], paths: Mapping[str, str], doc: str, optional: Sequence[str] = ()
) -> None:
    """Runs a step from a shell: `paths` (folder arguments) and the settings' fields become its options.

    Args:
        step: The step's function; takes the paths by keyword and `settings`; what it returns is printed as JSON.
        settings: Its settings dataclass.
        paths: Help of each folder argument, by name.
        doc: What `--help` says first.
        optional: Those of the paths that can be left out.
    """
    parser = argparse.ArgumentParser(prog=f"python -m components.{step.__name__}", description=doc)
    for name, text in paths.items():
        parser.add_argument(_flag(name), type=Path, required=name not in optional, help=text, metavar="DIR")
    hints = typing.get_type_hints(settings)
    for field in dataclasses.fields(settings):
        _add_option(parser, field, hints[field.name])
    arguments = vars(parser.parse_args())
    folders = {name: arguments.pop(name) for name in paths}
    report = run_step(lambda: step(**folders, settings=settings(**arguments)), step.__name__)
    print(json.dumps(dataclasses.asdict(report), indent=1, ensure_ascii=False, default=str))


def _add_option(parser: argparse.ArgumentParser, field: dataclasses.Field[Any], hint: Any) -> None:
    needed = field.default is dataclasses.MISSING and field.default_factory is dataclasses.MISSING
    default = None if needed else field.default
    if field.default_factory is not dataclasses.MISSING:
        default = field.default_factory()
    text = field.metadata["help"] + ("" if needed else f" (default: {json.dumps(default)})")
    options: dict[str, Any] = {"required": needed, "default": default, "help": text.replace("%", "%%")}
    origin = typing.get_origin(hint)
    if hint is bool:
        parser.add_argument(_flag(field.name), action=argparse.BooleanOptionalAction, **options)
    elif origin is list:
        (kind,) = typing.get_args(hint)
        parser.add_argument(_flag(field.name), nargs="+", type=kind, metavar=kind.__name__.upper(), **options)
    elif origin is dict:
        parser.add_argument(_flag(field.name), type=_mapping, metavar="JSON", **options)
    else:
        parser.add_argument(_flag(field.name), type=hint, metavar=hint.__name__.upper(), **options)


def _mapping(text: str) -> dict[str, Any]:
    with contextlib.suppress(json.JSONDecodeError):
        if isinstance(value := json.loads(text), dict):
            return value
    raise argparse.ArgumentTypeError(f'{text!r} is no mapping in JSON, such as {{"name": 1}}')


def _flag(name: str) -> str:
    return "--" + name.replace("_", "-")
