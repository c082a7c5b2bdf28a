"""What is below a root, and in its MLflow, that no version, alias or living process needs any more."""

import contextlib
import json
import shutil
from collections import Counter, defaultdict
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from components.register.delivery import LOGGED, PLACE
from components.shared.artifacts import checkpoints
from components.shared.artifacts.artifact import MANIFEST, PARTIAL
from components.shared.process import locks, process
from components.shared.process.step import LOCK
from components.shared.registry import relocation, runs
from components.shared.registry.registry import all_versions
from pipelines.local.attempts import STEPS, Attempt, attempts

if TYPE_CHECKING:
    from mlflow import MlflowClient
    from mlflow.entities import Run

CACHE, CHECKPOINTS = "cache", "checkpoints"


@dataclass(frozen=True)
class Leftover:
    """Something that is not needed.

    Attributes:
        kind: "run", "scratch", "half-written artifact", "checkpoint", "model copy", "store" or "MLflow run".
        what: Its name, for people.
        why: It is not needed.
        path: What is removed; None: nothing on the disk.
        after: What is done, too.
    """

    kind: str
    what: str
    why: str
    path: Path | None
    after: Callable[[], None] = field(default=lambda: None)


def of_runs(root: Path, keep: int) -> Iterator[Leftover]:
    """Yields the folders of old runs, and what dead ones have left in those that are kept.

    Args:
        root: Where they are.
        keep: How many of each model stay, the newest.
    """
    seen: Counter[str] = Counter()
    for attempt in attempts(root):
        seen[attempt.model] += 1
        if attempt.is_live:
            continue
        if seen[attempt.model] > keep:
            why = f"{keep} newer of {attempt.model}" if keep else "no run is to be kept"
            yield Leftover("run", attempt.folder.name, why, attempt.folder)
        else:
            yield from _left_by(attempt)


def _left_by(attempt: Attempt) -> Iterator[Leftover]:
    name = attempt.folder.name
    for scratch in sorted(attempt.folder.glob("scratch-*")):
        yield Leftover("scratch", f"{name}/{scratch.name}", "its run is dead", scratch)
    for mark in sorted(attempt.folder.glob(f"*/*/*/{PARTIAL}")):
        if not mark.with_name(MANIFEST).exists():
            what = f"{name}/{mark.parent.relative_to(attempt.folder)}"
            yield Leftover("half-written artifact", what, "its run is dead", mark.parent)


def of_store(client: "MlflowClient", database: Path, root: Path) -> Iterator[Leftover]:
    """Yields what lies in and beside an embedded store for nothing. Nobody else may work with it meanwhile."""
    for file in sorted(database.parent.glob(f"{database.name}.*")):
        if file.name.startswith((f"{database.name}.new-", f"{database.name}.broken")):
            yield Leftover("store", file.name, "it was never whole", file)
    needed = {relocation.path_of(version.source or "") for version in all_versions(client)}
    for run in all_runs(client):
        is_ours = any(tag.startswith("graft.") or tag == "model_digest" for tag in run.data.tags)
        if is_ours and (run.info.status != "RUNNING" or _why_dead(run, root)):
            yield from _model_of(client, run, needed)


def _model_of(client: "MlflowClient", run: "Run", needed: set[Path | None]) -> Iterator[Leftover]:
    place = relocation.path_of(run.info.artifact_uri)
    if place is None:
        return
    run_id, name = run.info.run_id, f"{place.parents[1].name}/{place.parent.name}"
    if (place / f"{PLACE}.partial").exists():
        yield Leftover("model copy", f"{name}/{PLACE}.partial", "it was never whole", place / f"{PLACE}.partial")
    if (place / PLACE).exists() and place / PLACE not in needed:

        def forget() -> None:
            if LOGGED in run.data.tags:
                client.delete_tag(run_id, LOGGED)

        yield Leftover("model copy", name, "no version has it", place / PLACE, forget)


def of_mlflow(client: "MlflowClient", root: Path) -> Iterator[Leftover]:
    """Yields the MLflow runs that are open, and whose process is dead."""
    for run in all_runs(client, "attributes.status = 'RUNNING'"):
        if why := _why_dead(run, root):
            run_id = run.info.run_id

            def end(run_id: str = run_id) -> None:
                client.set_terminated(run_id, "KILLED")

            yield Leftover("MLflow run", f"{run.info.run_name} ({run_id[:8]})", why, None, end)


def _why_dead(run: "Run", root: Path) -> str:
    """Returns why a run that is open is known to be dead, "" where it is not: the run's folder knows best."""
    output, folders = runs.output_of(run), (root.absolute() / "runs").resolve()
    if output and output.resolve().is_relative_to(folders):
        folder = folders / output.resolve().relative_to(folders).parts[0]
        return "" if locks.is_held(folder / LOCK) else "open, and its run is dead"
    return "open, and its process is dead" if process.is_dead(run.data.tags.get(runs.PROCESS, "")) else ""


def of_cache(root: Path, gone: set[Path]) -> Iterator[Leftover]:
    """Yields the entries of the cache that lead to nothing, or will once some folders are gone."""
    for file in sorted((root / CACHE).glob("*/*.json")):
        address = ""
        with contextlib.suppress(OSError, ValueError):
            address = str(json.loads(file.read_text("utf-8")).get("address", ""))
        if "://" in address:
            continue
        place = root.absolute() / address
        if not address or not place.exists() or gone & {place, *place.parents}:
            yield Leftover("cache entry", f"{file.parent.name}/{file.stem[:12]}", "what it leads to is gone", file)


def of_checkpoints(root: Path, gone: set[Path]) -> Iterator[Leftover]:
    """Yields the checkpoints of trainings that nobody goes on with: their run is done, or will be gone, or never was.

    Args:
        root: Where they are.
        gone: Folders of runs that will be.
    """
    wanted = {attempt.folder.name for attempt in attempts(root) if not attempt.is_done and attempt.folder not in gone}
    for folder in sorted(path for path in (root / CHECKPOINTS).glob("*") if path.is_dir()):
        if locks.is_held(folder / checkpoints.LOCK):
            continue
        run = ""
        with contextlib.suppress(OSError, ValueError):
            run = str(json.loads((folder / checkpoints.RUN).read_text("utf-8")).get("run", ""))
        if run not in wanted:
            why = f"its run, {run}, is done, or gone" if run else "no run is known to need it"
            yield Leftover("checkpoint", folder.name[:12], why, folder)


def all_runs(client: "MlflowClient", criterion: str = "") -> "Iterator[Run]":
    """Yields all MLflow runs, of all experiments, also the deleted ones."""
    from mlflow.entities import ViewType

    experiments = [found.experiment_id for found in client.search_experiments(ViewType.ALL)]
    token = None
    while token is None or token:
        page = client.search_runs(experiments, criterion, ViewType.ALL, max_results=1000, page_token=token)
        yield from page
        token = page.token or ""


def freed(paths: list[Path]) -> int:
    """Returns how many bytes are free once some files and folders are gone; a file that has other names stays."""
    names: dict[tuple[int, int], int] = defaultdict(int)
    sizes: dict[tuple[int, int], tuple[int, int]] = {}
    for path in paths:
        for file in [path, *path.rglob("*")] if path.is_dir() and not path.is_symlink() else [path]:
            with contextlib.suppress(FileNotFoundError):
                told = file.lstat()
                if not file.is_dir() or file.is_symlink():
                    names[told.st_dev, told.st_ino] += 1
                    sizes[told.st_dev, told.st_ino] = told.st_size, told.st_nlink
    return sum(size for key, (size, links) in sizes.items() if names[key] >= links)


def remove(leftover: Leftover) -> bool:
    """Removes something; returns False where a process has begun to use it."""
    path = leftover.path
    if leftover.kind == "run" and path is not None:
        with contextlib.ExitStack() as stack:
            if locks.is_held(path / LOCK):
                return False
            if (path / LOCK).exists():
                stack.enter_context(locks.held(path / LOCK))
            shutil.rmtree(path / STEPS, ignore_errors=True)  # first: nobody shall go on from half of it
            shutil.rmtree(path)
    elif path is not None:
        shutil.rmtree(path) if path.is_dir() else path.unlink(missing_ok=True)
    leftover.after()
    return True
