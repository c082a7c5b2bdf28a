"""The task that `docs/tasks.md` shows is a plug-in that works: from rows to a served model."""

import importlib.metadata
import re
import sys
import tomllib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import mlflow
import numpy as np
import pandas as pd
import pytest

from components.evaluate.evaluate import EvaluateSettings, evaluate
from components.finetune.finetune import finetune
from components.finetune.settings import FinetuneSettings
from components.register.package import write_package
from components.shared import tasks
from components.shared.artifacts.artifact import open_artifact
from components.shared.tasks.target import Asked
from components.transform.transform import TransformSettings, transform
from tests.cases import sample_snapshot

ROOT = Path(__file__).parent.parent
PLUGIN = ROOT / "examples/plugin"


@pytest.fixture
def counts(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    """The task, installed as pip would: by the entry points that its pyproject.toml names."""
    project = tomllib.loads((PLUGIN / "pyproject.toml").read_text())["project"]
    folder = tmp_path / "site" / f"{project['name'].replace('-', '_')}-{project['version']}.dist-info"
    folder.mkdir(parents=True)
    (folder / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {project['name']}\nVersion: {project['version']}\n")
    lines = [f"[{group}]\n" + "".join(f"{name} = {place}\n" for name, place in named.items())
             for group, named in project["entry-points"].items()]  # fmt: skip
    (folder / "entry_points.txt").write_text("\n".join(lines))
    monkeypatch.syspath_prepend(str(folder.parent))
    monkeypatch.syspath_prepend(str(PLUGIN))
    monkeypatch.setattr(tasks, "_TASKS", dict(tasks._TASKS))
    assert any(entry.name == "text-counts" for entry in importlib.metadata.entry_points(group=tasks.PLUGINS))
    yield tasks.get("text-counts")
    for name in [name for name in sys.modules if name.split(".")[0] == "graft_counts"]:
        del sys.modules[name]


def test_the_example_learns_is_judged_and_served(counts: Any, backbone: Path, tmp_path: Path) -> None:
    snapshot = sample_snapshot(counts.name, tmp_path, 300)
    transform(snapshot, tmp_path / "features", TransformSettings(str(backbone)))
    settings = FinetuneSettings(str(backbone), strategy="probe", precision="float32", seed=7)
    finetune(tmp_path / "features", tmp_path / "model", settings, snapshot)
    evaluate(snapshot, tmp_path / "features", tmp_path / "model", tmp_path / "evaluation", EvaluateSettings())
    told = open_artifact(tmp_path / "evaluation", "evaluation").read_json("evaluation.json")
    assert told["baselines_failure"] == ""
    assert told["metrics"]["spearman"] > 0.5
    assert told["difference"]["metric"] == "poisson_deviance"
    assert "Poisson deviance" in next((tmp_path / "evaluation").rglob("*.html")).read_text("utf-8")
    write_package(open_artifact(tmp_path / "model", "model"), tmp_path / "package", "0" * 32)
    served = mlflow.pyfunc.load_model(str(tmp_path / "package"))
    many, none = served.predict(pd.DataFrame({"input_1": ["pan oven salt knife", "the old red"]}))["value"]
    assert many > none > 0


def test_the_example_takes_counts_alone(counts: Any) -> None:
    reader = counts.target.reader(Asked(["label"], counts.name))
    assert reader.read(3, "here") == ("3.0", None)
    for wrong in (-1, 2.5, "two", None):
        assert reader.read(wrong, "here")[0] is None


def test_its_deviance_is_that_of_scikit_learn(counts: Any) -> None:
    from sklearn.metrics import mean_poisson_deviance

    truth, found = np.array([0.0, 1, 2, 7]), np.array([0.5, 1, 3, 2.5])
    statistics = counts.scoring.score(found, truth, {})
    assert counts.metrics[0].value(statistics)[0] == pytest.approx(mean_poisson_deviance(truth, found))


def test_the_page_about_tasks_names_files_and_members_that_there_are() -> None:
    page = (ROOT / "docs/tasks.md").read_text("utf-8")
    links = re.findall(r"\]\(\.\./([^)#]+)\)", page)
    assert len(links) > 8
    assert [link for link in links if not (ROOT / link).exists()] == []
    lines = sum(len(path.read_text().splitlines()) for path in (PLUGIN / "graft_counts").glob("*.py"))
    assert lines < 220
    for name in tasks.names():
        assert f"`{name}`" in page
