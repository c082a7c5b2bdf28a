"""Every example is a valid job, and its header is its own command."""

import argparse
import collections
import itertools
import random
import re
import runpy
import shlex
from pathlib import Path

import pytest
import yaml

from pipelines.cluster.compilation import compile_pipeline
from pipelines.cluster.deployment import load_deployment
from pipelines.command.cli import parser
from pipelines.jobs.job import load_job

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


def test_the_policy_closes_the_pods_of_every_step_of_the_example(tmp_path: Path) -> None:
    """It takes them by the deployment's labels, and what has a volume at /tmp: which every step has there."""
    (rule,) = yaml.safe_load((ROOT / "examples/policies/closed-pods.yaml").read_text())["spec"]["rules"]
    (taken,) = rule["match"]["any"]
    deployment = load_deployment(ROOT / "examples/deployment.yaml")
    compile_pipeline(load_job(EXAMPLES[0]), tmp_path / "pipeline.yaml", deployment)
    _, platform = yaml.safe_load_all((tmp_path / "pipeline.yaml").read_text())
    pods = platform["platforms"]["kubernetes"]["deploymentSpec"]["executors"]
    assert len(pods) >= 7
    assert taken["resources"]["namespaces"] == [deployment.kubeflow.namespace]
    for pod in pods.values():
        assert taken["resources"]["selector"]["matchLabels"].items() <= pod["podMetadata"]["labels"].items()
        assert rule["preconditions"]["all"][0]["key"] in [each["mountPath"] for each in pod["emptyDirMounts"]]
    (main,) = rule["mutate"]["patchStrategicMerge"]["spec"]["containers"]
    assert main["(name)"] == "main"
    assert main["securityContext"]["readOnlyRootFilesystem"] is True


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


def test_scenes_hold_what_is_told_and_a_needle_stands_where_the_number_is() -> None:
    script = runpy.run_path(str(ROOT / "examples/make_scenes.py"))
    draw = random.Random(1)
    made = [script["make_scene"](draw) for _ in range(40)]
    assert {label for _, labels in made for label in labels} == set(script["SHAPES"])
    assert any(not labels for _, labels in made)
    assert made[0][0].size == (48, 48)
    ends = [script["at"](0, 0, 1, value) for value in (0, 50, 100)]
    assert [(round(x, 2), round(y, 2)) for x, y in ends] == [(-0.71, 0.71), (0.0, -1.0), (0.71, 0.71)]
    dials = [script["make_dial"](draw) for _ in range(20)]
    assert 0 <= min(value for _, value in dials) < 30
    assert 70 < max(value for _, value in dials) <= 100


def test_questions_have_their_answers_in_the_text(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(ROOT / "examples")
    script = runpy.run_path(str(ROOT / "examples/make_aws_questions.py"))
    parameters = {f"name {n}": f"The number {n} of what is made." for n in range(9)}
    made = [script["make_paragraph"]("s create", parameters, random.Random(seed)) for seed in range(40)]
    asked = [(paragraph["context"], question) for paragraph in made for question in paragraph["qas"]]
    assert len(asked) == 40 * 3
    for context, question in asked:
        assert question["is_impossible"] == (not question["answers"])
        for answer in question["answers"]:
            assert context[answer["answer_start"] :].startswith(answer["text"])
            assert answer["text"] == parameters[question["id"].partition("/")[2]]
    assert 0.1 < sum(question["is_impossible"] for _, question in asked) / len(asked) < 0.3


def test_a_passage_is_looked_for_by_one_query(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(ROOT / "examples")
    script = runpy.run_path(str(ROOT / "examples/make_aws_retrieval.py"))
    rows = list(script["make_pairs"]([("s", f"tag {n}", f"Tags resource number {n % 50}.") for n in range(80)]))
    assert len({row["passage"] for _, row in rows}) == len(rows) == 50
