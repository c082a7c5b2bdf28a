"""Every example is a valid job, and its header is its own command."""

import argparse
import collections
import itertools
import re
import runpy
import shlex
from pathlib import Path

import pytest
import yaml

from pipelines.cli import parser
from pipelines.job import load_job

ROOT = Path(__file__).parent.parent
DEPLOYMENTS = sorted((ROOT / "examples").glob("deployment*.yaml"))
EXAMPLES = sorted(set((ROOT / "examples").glob("*.yaml")) - set(DEPLOYMENTS))


def test_examples_were_found() -> None:
    assert len(EXAMPLES) >= 11


@pytest.mark.parametrize("path", EXAMPLES, ids=lambda path: path.stem)
def test_an_example_is_a_job_that_begins_with_its_command(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(ROOT)
    load_job(path)
    assert command_of(path).job.resolve() == path


def test_deployments_were_found() -> None:
    assert len(DEPLOYMENTS) >= 2


@pytest.mark.parametrize("path", DEPLOYMENTS, ids=lambda path: path.stem)
def test_a_deployment_begins_with_a_command_that_compiles_for_it(
    path: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(ROOT)
    arguments = command_of(path)
    assert arguments.deployment.resolve() == path
    arguments.output = tmp_path / "pipeline.yaml"
    arguments.act(arguments)
    assert len(list(yaml.safe_load_all(arguments.output.read_text()))) == 2  # the pipeline's spec and the platform's


def command_of(path: Path) -> argparse.Namespace:
    """Returns what the command in an example's header says."""
    command = re.search(r"^#   (?:.* && )?graft (.*)$", path.read_text(), re.MULTILINE)
    assert command, "the header has no command"
    return parser().parse_args(shlex.split(command[1]))


def test_the_demo_draws_letters_and_parts_digits_with_few_labels() -> None:
    script = runpy.run_path(str(ROOT / "examples/make_images.py"))
    name, letter = next(script["make_glyphs"]())
    assert (name, letter.size) == ("A", (32, 32))
    assert letter.getextrema()[1] > 100  # there is something on it
    digits = collections.Counter(name for name, _ in script["make_digits"]())
    assert {digits[f"{split}/{digit}"] for split, digit in itertools.product(("train", "validation"), range(10))} == {
        10
    }
    assert min(digits[f"test/{digit}"] for digit in range(10)) > 100
