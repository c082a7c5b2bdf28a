import json
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import pytest

from components.shared.errors import InputError, ServiceError
from components.shared.process.step import FAILURE, PROGRESS, Progress, option, required, run_step


def test_progress_is_told_in_lines_that_people_and_graft_run_read(capsys: pytest.CaptureFixture[str]) -> None:
    progress = Progress("ingest", total=200, interval=0)
    progress.update(50, "50 rows")
    progress.update(200, "200 rows")
    lines = capsys.readouterr().out.splitlines()
    assert lines == ["graft: ingest  25% · 50 rows", "graft: ingest 100% · 200 rows"]
    found = PROGRESS.match("    " + lines[0])  # kfp indents what a step prints
    assert found is not None
    assert found.groupdict() == {"step": "ingest", "percent": "25", "message": "50 rows"}


def test_progress_is_not_told_more_often_than_its_interval(capsys: pytest.CaptureFixture[str]) -> None:
    progress = Progress("ingest", total=1000, interval=60)
    for done in range(1001):
        progress.update(done, "rows")
    assert capsys.readouterr().out.splitlines() == ["graft: ingest   0% · rows", "graft: ingest 100% · rows"]


@pytest.mark.parametrize(
    ("error", "code", "lines"),
    [
        (InputError("two\nlines"), 2, ["graft: wrong input: two", "graft: wrong input: lines"]),
        (ServiceError("no answer"), 1, ["graft: failure: no answer"]),
        (KeyboardInterrupt(), 130, ["graft: interrupted"]),
    ],
)
def test_a_failure_is_told_without_traceback(
    error: BaseException, code: int, lines: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    def fail() -> None:
        raise error

    with pytest.raises(SystemExit) as caught:
        run_step(fail)
    assert caught.value.code == code
    assert capsys.readouterr().out.splitlines() == lines
    assert all(FAILURE.match(line) for line in lines) or code == 130


def test_a_bug_keeps_its_traceback() -> None:
    with pytest.raises(ZeroDivisionError):
        run_step(lambda: 1 / 0)


@dataclass(frozen=True)
class Settings:
    """Settings of every type that a step may have."""

    name: str = required("a name")
    columns: list[str] = option(["text"], "some columns")
    splits: dict[str, str] = option({}, "a mapping")
    count: int = option(3, "a number; 5 % more")
    numbers: list[int] = option([], "some numbers")
    check: bool = option(False, "a switch")


COMMAND = """
import sys
from tests.components.shared.process.test_step import Settings, work
from components.shared.process.step import command
command(work, Settings, {"output": "a folder"}, doc="Works.")
"""


@dataclass(frozen=True)
class Report:
    """What `work` was given."""

    given: str


def work(output: Path, settings: Settings) -> Report:
    """A step that tells its settings."""
    return Report(f"{output} {settings}")


def test_a_step_is_a_command_made_of_its_settings() -> None:
    options = ["--output", "x", "--name", "n", "--columns", "a", "b", "--splits", '{"dev": "test"}', "--count", "7"]
    options += ["--numbers", "8", "32", "--check"]
    done = subprocess.run([sys.executable, "-c", COMMAND, *options], capture_output=True, text=True, check=True)
    expected = Settings("n", ["a", "b"], {"dev": "test"}, 7, [8, 32], True)
    assert json.loads(done.stdout)["given"] == f"x {expected}"
    told = subprocess.run([sys.executable, "-c", COMMAND, "--help"], capture_output=True, text=True, check=True).stdout
    assert "a number; 5 % more (default: 3)" in told
    assert "--columns STR [STR ...]" in told
    assert "--numbers INT [INT ...]" in told
    assert "--check, --no-check" in told


@pytest.mark.parametrize("value", ["dev", '["dev"]', "3"])
def test_a_mapping_that_is_none(value: str) -> None:
    options = ["--output", "x", "--name", "n", "--splits", value]
    done = subprocess.run([sys.executable, "-c", COMMAND, *options], capture_output=True, text=True)
    assert done.returncode == 2
    assert f"argument --splits: {value!r} is no mapping in JSON" in done.stderr
