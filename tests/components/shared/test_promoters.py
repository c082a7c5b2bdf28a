"""Two promoters at once, killed on the way, overtaken: there is one champion, and the log tells the way to it."""

import shutil
import signal
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from components.shared.registry import promotions, tracking
from tests.components.shared.promoters import (
    Starter,
    aliases_of,
    kill,
    logs_of,
    looking_on,
    make_versions,
    promote,
    race,
    roll_back,
    told,
    watching,
    writes_of,
)


def test_two_promoters_in_two_processes(registry: str, fork: Starter) -> None:
    make_versions("demo", 100)
    with looking_on("demo") as champions:
        rounds = fork(race, registry, "demo", 50)
    assert rounds == [{"promoted", "refused"}] * 50
    first = next(number for number, champion in enumerate(champions) if champion)
    assert "" not in champions[first:]
    entries = promotions.history("demo")[::-1]
    assert [(entry.number, entry.kind, entry.state) for entry in entries] == [
        (number, "promotion", "done") for number in range(1, 51)
    ]
    assert [entry.before for entry in entries] == ["", *(entry.after for entry in entries[:-1])]
    assert aliases_of("demo") == {"champion": entries[-1].after, "previous": entries[-1].before}
    assert logs_of("demo") == ["promotions of demo"]


def nothing() -> None:
    """There was no champion before."""


def two_champions() -> None:
    promote("demo", 1)
    promote("demo", 2, 1)


KILLED: dict[str, tuple[Callable[[], None], tuple[Any, ...], tuple[Any, ...]]] = {
    "the first, and again": (nothing, (promote, "demo", 3), (promote, "demo", 3)),
    "the third, and then another": (two_champions, (promote, "demo", 3, 2), (promote, "demo", 4, 2)),
    "a rollback, and then a promotion": (two_champions, (roll_back, "demo", "1"), (promote, "demo", 4, 2)),
}


@pytest.mark.parametrize("case", KILLED)
@pytest.mark.usefixtures("registry")
def test_killed_at_every_point(case: str, fork: Starter, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    before, (act, *arguments), (then, *others) = KILLED[case]
    make_versions("demo", 4)
    before()
    start, lead = aliases_of("demo"), len(told("demo"))
    shutil.copyfile(tmp_path / "mlflow.db", tmp_path / "before.db")
    points = len(writes_of(act, *arguments))
    done = aliases_of("demo")
    assert points >= 9
    for point in range(points + 1):
        shutil.copyfile(tmp_path / "before.db", tmp_path / f"{point}.db")
        monkeypatch.setenv("MLFLOW_TRACKING_URI", uri := f"sqlite:///{tmp_path}/{point}.db")
        assert fork(kill, uri, point, act, *arguments) == -signal.SIGKILL
        assert aliases_of("demo").get("champion") in (start.get("champion"), done["champion"])
        outcome = then(*others)
        changes, version = told("demo")[lead:], str(others[1])
        if version == done["champion"]:  # the same again: it is finished
            assert outcome.verdict in ("promoted", "already champion")
            assert aliases_of("demo") == done
            assert [change[1::2] for change in changes] == [(version, "done")]
        elif outcome.verdict == "refused":  # the other one was finished first
            assert act(*arguments).verdict == "already champion"
            assert aliases_of("demo") == done
            assert [change[1::2] for change in changes] == [(done["champion"], "done")]
        else:  # the other one had not begun
            assert aliases_of("demo") == {"champion": version, "previous": start["champion"]}
            assert [change[1::2] for change in changes] == [(version, "done")]
        champion = tracking.client().get_model_version("demo", aliases_of("demo")["champion"])
        assert champion.tags["promotion"] == str(lead + 1)
        assert logs_of("demo") == ["promotions of demo"]


@pytest.mark.usefixtures("registry")
def test_overtaken_at_every_point(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """It stops before a write, others go on for two promotions, and it wakes up."""
    make_versions("demo", 5)
    two_champions()
    shutil.copyfile(tmp_path / "mlflow.db", tmp_path / "before.db")
    points = len(writes_of(promote, "demo", 3, 2))
    for point in range(points):
        shutil.copyfile(tmp_path / "before.db", tmp_path / f"{point}.db")
        monkeypatch.setenv("MLFLOW_TRACKING_URI", f"sqlite:///{tmp_path}/{point}.db")
        passed: list[str] = []

        def overtake(name: str, point: int = point, passed: list[str] = passed) -> None:
            passed.append(name)
            if len(passed) == point + 1:
                for version in ("4", "5"):
                    promotions.settle("demo")
                    promote("demo", version, aliases_of("demo")["champion"])

        with watching(overtake):
            verdict = promote("demo", 3, 2).verdict
        expected = [("2", "3"), ("3", "4")] if verdict == "promoted" else [("2", "4")]
        assert [change[:2] for change in told("demo")][2:] == [*expected, ("4", "5")]
        assert {change[3] for change in told("demo")} == {"done"}
        assert aliases_of("demo") == {"champion": "5", "previous": "4"}
