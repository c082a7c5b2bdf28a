"""Every example is a valid job, and its header is its own command."""

import re
import shlex
from pathlib import Path

import pytest

from pipelines.cli import parser
from pipelines.job import load_job

ROOT = Path(__file__).parent.parent
EXAMPLES = sorted((ROOT / "examples").glob("*.yaml"))


def test_examples_were_found() -> None:
    assert len(EXAMPLES) >= 6


@pytest.mark.parametrize("path", EXAMPLES, ids=lambda path: path.stem)
def test_an_example_is_a_job_that_begins_with_its_command(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(ROOT)
    load_job(path)
    command = re.search(r"^#   (?:.* && )?graft (.*)$", path.read_text(), re.MULTILINE)
    assert command, "the header has no command"
    arguments = parser().parse_args(shlex.split(command[1]))
    assert arguments.job.resolve() == path
