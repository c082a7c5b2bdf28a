"""What a registered model takes along is found by its imports, and predicts without graft, whatever the task."""

import ast
import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import mlflow
import pandas as pd
import pytest

from components.finetune.finetune import finetune
from components.finetune.settings import FinetuneSettings
from components.register.copies import ROOT, copy_predictor, files_of
from components.register.package import write_package
from components.shared import backbones, tasks
from components.shared.artifacts.artifact import open_artifact
from components.shared.prediction import load_artifact
from tests.sketches import LEARNED, Sketch, register, texts_of, write_features

HEADS = sorted(path.relative_to(ROOT).as_posix() for path in ROOT.glob("tasks/*/head.py"))


@pytest.mark.parametrize("family", sorted(backbones.FAMILIES))
def test_what_a_model_takes_along_needs_nothing_of_graft(family: str) -> None:
    assert HEADS
    for name in files_of([*backbones.FAMILIES[family].files, *HEADS]):
        for node in ast.walk(ast.parse((ROOT / name).read_text("utf-8"))):
            names = [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
            names += [node.module or ""] if isinstance(node, ast.ImportFrom) and not node.level else []
            assert not [name for name in names if name.split(".")[0] in ("components", "pipelines")], name


def test_files_are_found_by_their_imports() -> None:
    found = files_of(["backbones/timm.py", "tasks/token_classification/head.py"])
    assert {"backbones/network.py", "backbones/head.py", "backbones/pixels.py", "columns.py"} <= set(found)
    assert {"tasks/token_classification/pieces.py", "tasks/token_classification/tags.py"} <= set(found)
    assert "backbones/__init__.py" not in found  # for type checkers alone
    assert "backbones/transformers.py" not in found


@pytest.mark.parametrize("name", LEARNED)
def test_a_served_model_answers_as_its_task_says(
    name: str, backbone: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    register(monkeypatch)
    features = write_features(LEARNED[name], backbone, tmp_path / "features")
    settings = FinetuneSettings(str(backbone), strategy="probe", precision="float32", seed=7)
    finetune(features, tmp_path / "model", settings)
    write_package(open_artifact(tmp_path / "model", "model"), tmp_path / "package", "0" * 32)
    served = mlflow.pyfunc.load_model(str(tmp_path / "package"))
    texts = texts_of("test")[:20]
    found = served.predict(pd.DataFrame({"text": texts}))
    expected = load_artifact(tmp_path / "model").answers([(text,) for text in texts])
    assert list(found.columns) == list(expected) == LEARNED[name].sketch.prediction.names
    assert {column: found[column].tolist() for column in found} == expected
    told = served.metadata.signature.outputs.to_dict()
    assert [column["name"] for column in told] == LEARNED[name].sketch.prediction.names
    assert served.predict(pd.DataFrame({"text": texts})[:0]).empty


_PLUGIN = '''
"""Numbers as logarithms: a head of somebody else's."""

from components.shared.backbones.head import Columns, LinearHead
from components.shared.tasks.regression.head import Head as Regression


class Head(Regression):
    """Answers in other units."""

    def decode(self, outputs: Columns, extras: Columns) -> dict:
        return {"value": [value / 1000 for value in super().decode(outputs, extras)["value"]]}
'''


def test_a_plug_in_brings_its_head(backbone: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """It imports graft where it is trained; what is registered does not."""
    package = tmp_path / "somebody" / "thousands"
    package.mkdir(parents=True)
    (package / "__init__.py").write_text("")
    (package / "head.py").write_text(_PLUGIN)
    (package / "objective.py").write_text(
        "from components.shared.tasks.regression.objective import Objective\n__all__ = ['Objective']\n"
    )
    monkeypatch.syspath_prepend(str(package.parent))
    learned = LEARNED["regression"]
    sketch: Any = Sketch("sketch-thousands", "thousands", learned.sketch.prediction)
    tasks.names()
    monkeypatch.setitem(tasks._TASKS, sketch.name, sketch)
    from dataclasses import replace

    features = write_features(replace(learned, sketch=sketch), backbone, tmp_path / "features")
    settings = FinetuneSettings(str(backbone), strategy="probe", precision="float32", seed=7)
    finetune(features, tmp_path / "model", settings)
    text = texts_of("test")[0]
    (here,) = load_artifact(tmp_path / "model").answers([(text,)])["value"]
    assert 0.08 < here < 0.15
    copies = copy_predictor("transformers", sketch.name, tmp_path / "copies" / "predictor")
    code = (
        "import importlib, json, pathlib, sys, types\n"
        f"package = types.ModuleType('alone'); package.__path__ = [{str(copies)!r}]; sys.modules['alone'] = package\n"
        "predictor = importlib.import_module('alone.backbones.transformers').Predictor("
        f"pathlib.Path({str(tmp_path / 'model')!r}))\n"
        f"print(json.dumps(predictor.predict([({text!r},)])))\n"
        "assert not [name for name in sys.modules if name.split('.')[0] in ('components', 'thousands')]\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, cwd=tmp_path, check=False)
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout.splitlines()[-1])["value"] == pytest.approx([here])
