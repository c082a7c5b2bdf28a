"""The README's commands: each is one that there is, and the walk through one's own data runs as it stands."""

import json
import os
import re
import shlex
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from pipelines.command.cli import parser
from pipelines.jobs.job import load_job
from tests.pythons import quick_python

ROOT = Path(__file__).parent.parent
README = (ROOT / "README.md").read_text("utf-8")
BLOCKS = re.findall(r"^```sh\n(.*?)^```", README, re.MULTILINE | re.DOTALL)
WALK = next(block for block in BLOCKS if "tickets.yaml" in block)


def commands() -> list[str]:
    """Every line of a shell block, and every `graft …` or `make …` in running text."""
    lines = [line for block in BLOCKS if block != WALK for line in block.splitlines()]
    return lines + re.findall(r"`(?:\.venv/bin/)?((?:graft|make) [^`…]+)`", README)


def test_commands_were_found() -> None:
    assert sum(command.startswith("graft") for command in commands()) >= 2
    assert sum(command.startswith("make") for command in commands()) >= 3


@pytest.mark.parametrize("command", [c for c in commands() if c.startswith("make")])
def test_make_has_the_target(command: str) -> None:
    subprocess.run(["make", "--dry-run", *shlex.split(command)[1:]], cwd=ROOT, check=True, stdout=subprocess.DEVNULL)


@pytest.mark.parametrize(
    "command", [c for c in commands() if c.startswith("graft") and ("examples/" in c or "--" in c)]
)
def test_graft_knows_the_command(command: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(ROOT)
    arguments = parser().parse_args(shlex.split(command.replace("JOB", "job.yaml").replace("FILE", "file.yaml"))[1:])
    if "examples/" in command:
        load_job(arguments.job)


@pytest.mark.parametrize("command", [c for c in commands() if c.startswith(("python -m", "graft compile"))])
def test_a_quick_command_runs(command: str, tmp_path: Path) -> None:
    (tmp_path / "examples").symlink_to(ROOT / "examples")
    words = shlex.split(command)
    start = [quick_python(), "-m", "pipelines.command.cli"] if words[0] == "graft" else [quick_python()]
    done = subprocess.run([*start, *words[1:]], cwd=tmp_path, capture_output=True, text=True, check=True)
    assert done.stdout


def test_the_job_that_is_explained_is_one(tmp_path: Path) -> None:
    blocks = re.findall(r"^```yaml\n(.*?)^```", README, re.MULTILINE | re.DOTALL)
    (tmp_path / "job.yaml").write_text(blocks[0])
    assert load_job(tmp_path / "job.yaml").data.inputs == ["operation", "description"]


def test_the_walk_through_your_own_data_runs(tmp_path: Path, backbone: Path) -> None:
    """With a tiny backbone in the place of MiniLM, where `make demo` lays it and `graft init` finds it."""
    shutil.copytree(backbone, tmp_path / ".graft/demo/minilm")
    script = WALK.replace(". .venv/bin/activate\n", "")
    (tmp_path / "bin").mkdir()
    graft = tmp_path / "bin/graft"  # as the installed one, with its imports done
    graft.write_text(f'#!/bin/sh\nexec {quick_python()} -m pipelines.command.cli "$@"\n')
    graft.chmod(0o755)
    path = os.pathsep.join([str(graft.parent), str(Path(sys.executable).parent), os.environ["PATH"]])
    done = subprocess.run(
        ["bash", "-euo", "pipefail", "-c", script],
        cwd=tmp_path,
        env={**os.environ, "PATH": path},
        capture_output=True,
        text=True,
        timeout=300,
    )
    assert done.returncode == 0, done.stderr
    assert json.loads((tmp_path / "result.json").read_text())["version"] == "1"
    assert json.loads(done.stdout.splitlines()[-1])["label"] in ("billing", "login")
