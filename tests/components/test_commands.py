"""Each step from a shell: `python -m components.<step>` has an option for each folder and each of its settings."""

import dataclasses
import json
import re
import subprocess
from pathlib import Path
from typing import Any

import pytest

from components.evaluate.evaluate import EvaluateSettings
from components.finetune.settings import FinetuneSettings
from components.ingest.ingest import IngestSettings
from components.notify.notify import NotifySettings
from components.promote.promote import PromoteSettings
from components.register.register import RegisterSettings
from components.shared.artifacts.artifact import open_artifact
from components.transform.transform import TransformSettings
from tests.conftest import TRAINING
from tests.pythons import quick_python

SETTINGS: dict[str, Any] = {
    "ingest": IngestSettings,
    "transform": TransformSettings,
    "finetune": FinetuneSettings,
    "evaluate": EvaluateSettings,
    "register": RegisterSettings,
    "promote": PromoteSettings,
    "notify": NotifySettings,
}


def shell(step: str, *arguments: str) -> "subprocess.CompletedProcess[str]":
    command = [quick_python(), "-m", f"components.{step}", *arguments]
    return subprocess.run(command, capture_output=True, text=True, timeout=120)


@pytest.mark.parametrize("step", SETTINGS)
def test_the_help_of_a_step_names_all_its_settings(step: str) -> None:
    told = shell(step, "--help").stdout
    options = set(re.findall(r"^  (--[\w-]+)", told, re.MULTILINE))
    assert {"--" + field.name.replace("_", "-") for field in dataclasses.fields(SETTINGS[step])} <= options


def test_finetune_is_asked_for_comparisons(features: Path, backbone: Path, tmp_path: Path) -> None:
    training = [part for name, value in TRAINING.items() for part in ("--" + name.replace("_", "-"), str(value))]
    folders = ["--features", str(features), "--model", str(tmp_path / "model"), "--backbone", str(backbone)]
    asked = ["--transfer-check", "--learning-curve", "8", "32", "--strategy", "probe, lora"]
    done = shell("finetune", *folders, *training, *asked)
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout[done.stdout.index("\n{") :])["strategy"] in ("probe", "lora")
    model = open_artifact(tmp_path / "model", "model")
    assert model.settings["learning_curve"] == [8, 32]
    compared = model.read_json("notes/comparison.json")
    assert [point["labels_per_class"] for point in compared["curve"]] == [8, 32]
    assert [arm["name"] for arm in compared["arms"]] == ["probe, pretrained", "probe, random", "from scratch"]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--backbone-args", "[1]"], "argument --backbone-args: '[1]' is no mapping in JSON"),
        (["--learning-curve", "few"], "argument --learning-curve: invalid int value: 'few'"),
        (["--strategy", "ful"], "graft: wrong input: strategy is 'ful'; allowed: 'auto', 'probe', "),
    ],
)
def test_wrong_options_end_with_a_message(tmp_path: Path, arguments: list[str], message: str) -> None:
    folders = ["--features", "nowhere", "--model", str(tmp_path / "model"), "--backbone", "b"]
    done = shell("finetune", *folders, *arguments)
    assert done.returncode == 2
    assert message in done.stdout + done.stderr
    assert "Traceback" not in done.stderr
