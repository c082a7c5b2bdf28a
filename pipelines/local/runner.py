"""Runs a pipeline here, through `kfp.local`: the very components that are compiled for a cluster."""

import contextlib
import io
import json
import os
import re
import shutil
import signal
import tempfile
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import psutil
from rich.console import Console
from rich.progress import BarColumn, Progress, SpinnerColumn, TextColumn, TimeElapsedColumn

from components.notify.webhook import ADDRESS as NOTIFY_ADDRESS
from components.shared.artifacts.artifact import MANIFEST, open_artifact
from components.shared.artifacts.cache import CACHE
from components.shared.artifacts.checkpoints import CHECKPOINTS
from components.shared.artifacts.resume import RESUME, STEPS
from components.shared.backbones import pinned
from components.shared.errors import GraftError, InputError, ServiceError
from components.shared.process.step import FAILURE, NOTE, PROGRESS
from components.shared.registry import records, tracking
from components.shared.registry.promotions import actor
from components.shared.storage.patience import OF_A_RUN, PATIENCE
from pipelines.checks.address import reach
from pipelines.jobs.job import Job
from pipelines.local import attempts, containers, leftovers

_COLOR = re.compile(r"\x1b\[[0-9;]*m")
_BEGIN = re.compile(r"Executing task '(?P<step>[\w-]+)'")
_END = re.compile(r"Task '(?P<step>[\w-]+)' finished with status (?P<status>\w+)")
_TAKEN = re.compile(r"^taken from .*, made by (?P<run>run .*)$")
_LAST_LINES = 15


@dataclass(frozen=True)
class Result:
    """How a run ended; `--json` writes it.

    Attributes:
        version: That was registered; where nothing had changed, the champion's.
        metrics: Of the model, on the test split.
        baselines: Metrics of each baseline, on the same examples.
        transfer: Whether transfer helped (`verdict`, `sentence`, …), where the job asked for it.
        changed: Whether there was something to train for.
        changes: What had changed in the data, as a sentence; "" where that was not looked at.
        promoted: Whether it became champion in this run.
        reason: Why it was promoted or not, or why nothing was done.
        report: Path of the page.
        seconds: Of each step, and "total" of the whole run.
        artifacts: Path of each artifact, by kind.
    """

    model: str
    version: str
    aliases: list[str]
    metrics: dict[str, float]
    baselines: dict[str, dict[str, float]]
    verdict: str
    transfer: dict[str, Any] | None
    changed: bool
    changes: str
    promoted: bool
    reason: str
    report: str
    seconds: dict[str, float]
    artifacts: dict[str, str]


def run(
    job: Job,
    root: Path,
    console: Console,
    runner: str = "subprocess",
    pipeline: str = "finetune",
    force: bool = False,
    cache: bool = True,
    resume: str | None = None,
    hint: str = "",
) -> Result:
    """Runs a pipeline of a job on this machine.

    Args:
        job: What to run.
        root: Holds everything of the embedded default: artifacts, the MLflow store, pages, logs.
        console: Where progress is shown.
        runner: What a step is: a "subprocess", or a container of its image ("docker").
        pipeline: "finetune" or "retrain".
        force: Retrain even if the data has not changed.
        cache: Whether steps may take what an earlier run below this root made of the same content.
        resume: The run to go on from; "": the newest that did not come to its end; None: none.
        hint: The command that goes on from a run, up to its name.

    Raises:
        InputError: There is no such backbone in the registry, or a step found something else that the user can mend.
        ServiceError: A step failed otherwise.
    """
    began = time.perf_counter()
    root.mkdir(parents=True, exist_ok=True)
    tracking.use_embedded(root)
    tracking.make_ready()
    if (address := os.environ["MLFLOW_TRACKING_URI"]).startswith("http"):
        reach("MLflow", address, "MLFLOW_TRACKING_URI")  # a slip of the pen is told at once; after that, there is time
    os.environ.setdefault("GRAFT_ACTOR", actor())
    os.environ.setdefault(CHECKPOINTS, str(root.absolute() / leftovers.CHECKPOINTS))
    os.environ[CACHE] = str(root.absolute() / "cache") if cache else ""
    arguments = {**job.arguments(pipeline), "backbone": pinned(job.backbone)}
    if pipeline == "retrain":
        arguments["force"] = force
    os.environ.setdefault(PATIENCE, OF_A_RUN)
    before = None if resume is None else attempts.to_resume(root, job.model, resume)
    if runner == "docker":
        containers.check()
        arguments = containers.expand(arguments)
    with attempts.begun(root, job.model, pipeline, before) as folder, attempts.told_how_to_go_on(folder, before, hint):
        os.environ |= {STEPS: str(folder / attempts.STEPS), RESUME: str(before / attempts.STEPS) if before else ""}
        if os.environ.get(NOTIFY_ADDRESS):  # the steps leave for the notice why one of them failed
            os.environ |= {records.RUN: folder.name, records.MODEL: job.model}
        with _Log(folder / "log.txt", console) as log:
            _run_pipeline(pipeline, arguments, folder, log, runner)
        seconds = {**log.seconds, "total": round(time.perf_counter() - began, 3)}
        paths = _artifacts(folder)
        return _result(job, root, paths, seconds) if "version" in paths else _unchanged(job, paths, seconds)


def _run_pipeline(pipeline: str, arguments: dict[str, Any], folder: Path, log: "_Log", runner: str) -> None:
    with contextlib.redirect_stdout(log), contextlib.redirect_stderr(log), _scratch(folder):
        from kfp import local
        from kfp.local import subprocess_task_handler

        from pipelines.cluster.compilation import PIPELINES
        from pipelines.local import conditions
        from pipelines.notices import with_notice

        conditions.mend()
        chosen = PIPELINES[pipeline]
        if os.environ.get(NOTIFY_ADDRESS):
            chosen = with_notice(chosen)
        subprocess_task_handler.replace_python_executable = _replace_python
        processes = local.SubprocessRunner(use_venv=False)
        local.init(containers.runner(arguments) if runner == "docker" else processes, pipeline_root=str(folder))
        try:
            chosen(**arguments)
        except KeyboardInterrupt:
            _stop_children()
            raise
        except RuntimeError as error:  # kfp tells a step's failure so
            raise log.failure() from error


@contextlib.contextmanager
def _scratch(folder: Path) -> Iterator[None]:
    """Gives what kfp and the steps need for a while a place on the disk of the run, and clears it afterwards."""
    before = os.environ.get("TMPDIR")
    with tempfile.TemporaryDirectory(dir=folder, prefix="scratch-") as scratch:
        os.environ["TMPDIR"] = scratch
        try:
            yield
        finally:
            os.environ.pop("TMPDIR")
            if before is not None:
                os.environ["TMPDIR"] = before


def _replace_python(command: Sequence[str], executable: str) -> list[str]:
    """Puts this Python into a task's command.

    kfp 2.17 replaces "python3" in the task's arguments too, where it may be part of a path (lib/python3.11/…).
    """
    script = next(number for number, part in enumerate(command) if '"$@"' in part)
    return [part.replace("python3", executable) if i <= script else part for i, part in enumerate(command)]


def _stop_children() -> None:
    """Ends the step that is at work: it removes what it has half-written."""
    children = psutil.Process().children(recursive=True)
    for child in children:
        with contextlib.suppress(psutil.NoSuchProcess):
            child.send_signal(signal.SIGINT)
    for child in psutil.wait_procs(children, timeout=20)[1]:
        child.kill()


def _artifacts(folder: Path) -> dict[str, Path]:
    """Returns the artifacts that a run left, by kind."""
    manifests = folder.glob(f"*/*/*/{MANIFEST}")
    return {json.loads(path.read_text("utf-8"))["kind"]: path.parent for path in manifests}


def _result(job: Job, root: Path, paths: dict[str, Path], seconds: dict[str, float]) -> Result:
    opened = {kind: open_artifact(paths[kind], kind) for kind in ("evaluation", "version", "promotion")}
    evaluation, version, promotion = (opened[kind].read_json(f"{kind}.json") for kind in opened)
    page = root / "reports" / f"{job.model}-{version['version']}.html"
    page.parent.mkdir(parents=True, exist_ok=True)
    shutil.copyfile(opened["evaluation"].file("notes/report.html"), page)
    return Result(
        model=job.model,
        version=str(version["version"]),
        aliases=sorted(alias for alias, number in promotion["aliases"].items() if number == version["version"]),
        metrics=evaluation["metrics"],
        baselines=evaluation["baselines"],
        verdict=evaluation["verdict"],
        transfer=evaluation.get("transfer"),
        changed=True,
        changes=_changes(paths)["sentence"] if "changes" in paths else "",
        promoted=promotion["promoted"],
        reason=" ".join(promotion["reasons"]),
        report=str(page),
        seconds=seconds,
        artifacts={kind: str(path) for kind, path in paths.items()},
    )


def _changes(paths: dict[str, Path]) -> dict[str, Any]:
    told: dict[str, Any] = open_artifact(paths["changes"], "changes").read_json("changes.json")
    return told


def _unchanged(job: Job, paths: dict[str, Path], seconds: dict[str, float]) -> Result:
    """Returns how a run ended in which there was nothing to train for."""
    changes = _changes(paths)
    nobody: dict[str, Any] = {"version": "", "aliases": [], "metrics": {}, "verdict": ""}
    return Result(
        model=job.model,
        **(changes["version"] or nobody),
        baselines={},
        transfer=None,
        changed=False,
        changes=changes["sentence"],
        promoted=False,
        reason=changes["sentence"],
        report="",
        seconds=seconds,
        artifacts={kind: str(path) for kind, path in paths.items()},
    )


@dataclass
class _Task:
    name: str
    bar: Any
    taken: str = ""
    began: float = field(default_factory=time.perf_counter)


class _Log(io.TextIOBase):
    """Takes all that kfp and the steps print: keeps it in a file, and shows from it which step is how far."""

    def __init__(self, path: Path, console: Console) -> None:
        self.path, self.console = path, console
        self.seconds: dict[str, float] = {}
        self._file = path.open("w", encoding="utf-8")
        self._partial = ""
        self._task: _Task | None = None
        self._failures: list[tuple[str, str]] = []
        self._lines: list[str] = []
        self._failed: tuple[str, list[str]] | None = None
        self._bars = Progress(
            SpinnerColumn(finished_text="[green]✓"),
            TextColumn("{task.fields[step]:<10}"),
            BarColumn(24),
            TimeElapsedColumn(),
            TextColumn("{task.description}"),
            console=console,
            disable=not console.is_terminal,
        )

    def __enter__(self) -> "_Log":
        self._bars.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._bars.stop()
        self._file.close()

    def write(self, text: str) -> int:
        """Takes text; acts on each whole line."""
        self._file.write(text)
        *lines, self._partial = (self._partial + text).split("\n")
        for line in lines:
            self._look_at(_COLOR.sub("", line))
        return len(text)

    def flush(self) -> None:
        """Brings what was taken into the file."""
        self._file.flush()

    def failure(self) -> GraftError:
        """Returns the error of the step that failed, in its own words where it had some."""
        self.flush()
        # The first to fail is the cause; another may have begun since, for a notice.
        name, lines = self._failed or (self._task.name if self._task else "the pipeline", self._lines)
        kinds = {kind for kind, _ in self._failures}
        if kinds:
            text = "\n".join(line for _, line in self._failures)
            error = InputError if kinds == {"wrong input"} else ServiceError
            return error(f"{name}: {text}\nThe whole log: {self.path}")
        tail = "\n".join(f"  {line}" for line in lines[-_LAST_LINES:])
        return ServiceError(f"{name} failed. Its last lines:\n{tail}\nThe whole log: {self.path}")

    def _look_at(self, line: str) -> None:
        if found := PROGRESS.match(line):
            self._show(int(found["percent"]), found["message"])
        elif found := NOTE.match(line):
            self.console.print(f"  {found['line']}", highlight=False, markup=False, soft_wrap=True)
        elif found := FAILURE.match(line):
            self._failures.append((found["kind"], found["line"]))
        elif found := _BEGIN.search(line):
            self._begin(found["step"])
        elif found := _END.search(line):
            self._end(found["status"] == "SUCCESS")
        elif line.strip(" -"):
            self._lines = [*self._lines[-_LAST_LINES:], line.strip()]

    def _begin(self, name: str) -> None:
        self._task = _Task(name, self._bars.add_task("starting", total=100, step=name))
        if not self.console.is_terminal:
            self.console.print(f"{name} …", highlight=False)

    def _show(self, percent: int, message: str) -> None:
        if self._task:
            if found := _TAKEN.match(message):
                self._task.taken = f", taken from {found['run']}"
            self._bars.update(self._task.bar, completed=min(percent, 99), description=message)

    def _end(self, succeeded: bool) -> None:
        assert self._task is not None
        self.seconds[self._task.name] = round(time.perf_counter() - self._task.began, 3)
        if succeeded:
            self._bars.update(self._task.bar, completed=100)
        elif self._failed is None:
            self._failed = self._task.name, self._lines
        if not self.console.is_terminal:
            state = "done" if succeeded else "failed"
            words = f"{self._task.name} {state} in {self.seconds[self._task.name]:.1f} s{self._task.taken}"
            self.console.print(words, highlight=False, soft_wrap=True)
