"""Versions made cheaply, and promoters in processes of their own: some race, some are killed on the way."""

import contextlib
import multiprocessing
import os
import signal
import threading
from collections.abc import Callable, Iterator
from multiprocessing.connection import Connection
from typing import Any

from components.shared.registry import promotions, tracking
from components.shared.registry.promotions import Change, Outcome
from components.shared.registry.promotions.log import TAG

READS = ("get_", "search_", "list_", "download_")

FORKED = multiprocessing.get_context("fork")


class Starter:
    """A process that has imported what takes seconds, and has no thread and no connection: it forks the promoters."""

    def __init__(self, ours: Connection) -> None:
        self._ours = ours

    def __call__(self, act: Callable[..., Any], *arguments: Any) -> Any:
        """Does something there, and returns what it gave."""
        self._ours.send((act, *arguments))
        return self._ours.recv()


@contextlib.contextmanager
def starter() -> Iterator[Starter]:
    """Starts a `Starter`."""
    spawned = multiprocessing.get_context("spawn")
    ours, theirs = spawned.Pipe()
    process = spawned.Process(target=_serve, args=(theirs,))
    process.start()
    theirs.close()
    yield Starter(ours)
    ours.send(())
    process.join()


def _serve(connection: Connection) -> None:
    import mlflow.store.model_registry.sqlalchemy_store
    import mlflow.store.tracking.sqlalchemy_store  # noqa: F401

    while told := connection.recv():
        act, *arguments = told
        connection.send(act(*arguments))


def make_versions(name: str, count: int, **tags: str) -> str:
    """Makes a registered model with versions 1 to `count`; returns the run that stands for their training."""
    client = tracking.client()
    run = client.create_run(tracking.experiment_id(client, name))
    client.create_registered_model(name)
    for _ in range(count):
        client.create_model_version(name, f"{run.info.artifact_uri}/model", run.info.run_id, tags=tags)
    return str(run.info.run_id)


def aliases_of(name: str) -> dict[str, str]:
    return {alias: str(version) for alias, version in tracking.client().get_registered_model(name).aliases.items()}


def told(name: str) -> list[tuple[str, str, str, str]]:
    """Returns the history, the oldest first: from, to, kind, state."""
    return [(entry.before, entry.after, entry.kind, entry.state) for entry in reversed(promotions.history(name))]


def logs_of(name: str) -> list[str]:
    """Returns the names of the runs in a model's experiment that are logs."""
    client = tracking.client()
    runs = client.search_runs([tracking.experiment_id(client, name)], f"tags.`{TAG}` LIKE '%'")
    return [run.info.run_name for run in runs]


def promote(name: str, version: int | str, compared: int | str = "", **more: str) -> Outcome:
    return promotions.make(Change(name, str(version), str(compared), **{"why": "It is better.", "who": "ada", **more}))


def roll_back(name: str, to: str = "") -> Outcome:
    return promotions.make(promotions.way_back(name, to, "It is slow.", "eva"))


class Watched:
    """A client of MLflow that tells each write to `watch` before it is done."""

    def __init__(self, client: Any, watch: Callable[[str], None]) -> None:
        self._client, self._watch = client, watch

    def __getattr__(self, name: str) -> Any:
        method = getattr(self._client, name)

        def call(*arguments: Any, **options: Any) -> Any:
            if not name.startswith(READS):
                self._watch(name)
            return method(*arguments, **options)

        return call


def watch_writes(watch: Callable[[str], None]) -> Callable[[], None]:
    """Makes all clients of this process tell their writes; returns what takes that back."""
    client = tracking.client
    tracking.client = lambda: Watched(client(), watch)  # type: ignore[assignment,return-value]

    def undo() -> None:
        tracking.client = client

    return undo


@contextlib.contextmanager
def watching(watch: Callable[[str], None]) -> Iterator[None]:
    """Tells `watch` each write of this process before it is done; those that `watch` itself does are not told."""
    asleep = False

    def once(name: str) -> None:
        nonlocal asleep
        if not asleep:
            asleep = True
            watch(name)
            asleep = False

    undo = watch_writes(once)
    try:
        yield
    finally:
        undo()


def writes_of(act: Callable[..., Any], *arguments: Any) -> list[str]:
    """Does something, and returns the writes that it took."""
    seen: list[str] = []
    undo = watch_writes(seen.append)
    try:
        act(*arguments)
    finally:
        undo()
    return seen


def kill(uri: str, point: int, act: Callable[..., Any], *arguments: Any) -> int | None:
    """Does something in a process that kills itself before the write number `point`, counted from 0, or at the end."""
    process = FORKED.Process(target=_die, args=(uri, point, act, *arguments))
    process.start()
    process.join()
    return process.exitcode


def _die(uri: str, point: int, act: Callable[..., Any], *arguments: Any) -> None:
    os.environ["MLFLOW_TRACKING_URI"] = uri
    done: list[str] = []

    def watch(name: str) -> None:
        if len(done) == point:
            os.kill(os.getpid(), signal.SIGKILL)
        done.append(name)

    watch_writes(watch)
    act(*arguments)
    os.kill(os.getpid(), signal.SIGKILL)


def race(uri: str, name: str, rounds: int) -> list[set[str]]:
    """Lets two processes promote at the same time, over and over, each its own version against the same champion.

    Args:
        uri: Of MLflow.
        name: The registered model; it has two versions for each round.
        rounds: How often.

    Returns:
        The verdicts of each round.
    """
    barrier, told = FORKED.Barrier(2, timeout=120), FORKED.Queue()
    processes = [FORKED.Process(target=_compete, args=(uri, name, rounds, me, barrier, told)) for me in (0, 1)]
    for process in processes:
        process.start()
    found = [told.get(timeout=120) for _ in range(2 * rounds)]
    for process in processes:
        process.join()
    return [{verdict for number, verdict in found if number == this} for this in range(rounds)]


@contextlib.contextmanager
def looking_on(name: str) -> Iterator[list[str]]:
    """Looks meanwhile, again and again, which version is champion, "" for none."""
    seen: list[str] = []
    over = threading.Event()

    def look() -> None:
        while not over.wait(0.05):
            seen.append(aliases_of(name).get("champion", ""))

    thread = threading.Thread(target=look)
    thread.start()
    yield seen
    over.set()
    thread.join()


def _compete(uri: str, name: str, rounds: int, me: int, barrier: Any, told: Any) -> None:
    os.environ["MLFLOW_TRACKING_URI"] = uri
    for number in range(rounds):
        champion = aliases_of(name).get("champion", "")
        barrier.wait()
        told.put((number, promote(name, 2 * number + me + 1, champion).verdict))
        barrier.wait()
