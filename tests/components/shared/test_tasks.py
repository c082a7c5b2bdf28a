"""Over the registry of tasks: a new task is tested the day it is added."""

from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest

from components.finetune.finetune import finetune
from components.finetune.settings import FinetuneSettings
from components.shared import backbones, tasks
from components.shared.artifact import open_artifact
from components.shared.baselines import Labelled, Terms
from components.shared.errors import InputError
from components.shared.features import FeatureSplit
from components.shared.modalities import Limits
from components.transform.transform import TransformSettings, transform
from tests.backbones import TIMM
from tests.cases import sample_snapshot
from tests.conftest import TRAINING


@pytest.fixture(params=tasks.names())
def task(request: pytest.FixtureRequest) -> Any:
    return tasks.get(request.param)


def test_there_is_a_task() -> None:
    assert "text-classification" in tasks.names()


def test_its_sample_can_be_learned_from_data_to_model(task: Any, backbone: Path, tmp_path: Path) -> None:
    snapshot = sample_snapshot(task.name, tmp_path, 400)
    name, settings = str(backbone), dict(TRAINING)
    if task.input_type == pa.binary():
        name, args = "random:timm/resnet10t", {**TIMM["resnet10t"], "img_size": 32}
        settings |= {"backbone_args": args, "epochs": 10, "patience": 10, "crop_scale": 1.0}
    transform(snapshot, tmp_path / "features", TransformSettings(name, settings.get("backbone_args", {})))
    finetune(tmp_path / "features", tmp_path / "model", FinetuneSettings(name, **settings))
    told = open_artifact(tmp_path / "model", "model").read_json("model.json")
    family = backbones.family(told["family"])
    split = FeatureSplit(open_artifact(tmp_path / "features", "features"), "test")
    network = family.from_model(tmp_path / "model")
    predicted = family.predict(
        network, split.take(np.arange(len(split))), family.padding_of(tmp_path / "model"), 32
    ).argmax(1)
    assert (predicted == split.labels).mean() > 0.9


def test_its_baselines_give_probabilities(task: Any) -> None:
    rows = task.sample(200, seed=6)
    labels = sorted({row["label"] for row in rows})
    numbers = np.array([labels.index(row["label"]) for row in rows])
    for count in task.input_counts:
        inputs = [[row["input_1"] for row in rows]] * count
        train, held = (Labelled([c[part] for c in inputs], numbers[part]) for part in (slice(100), slice(100, 150)))
        found = list(task.baselines(train, held, [c[150:] for c in inputs], Terms(len(labels))))
        assert found
        for baseline in found:
            assert baseline.probabilities.shape == (50, len(labels))
            np.testing.assert_allclose(baseline.probabilities.sum(1), 1, atol=1e-5)
            assert baseline.examples == 100
            assert 0 < baseline.bytes < 10_000_000
            assert baseline.seconds > 0
        assert max((b.probabilities.argmax(1) == numbers[150:]).mean() for b in found) > 0.8


def test_it_rejects_what_is_no_input(task: Any) -> None:
    good = task.sample(1, seed=0)[0]["input_1"]
    assert task.reason_to_reject([good], Limits()) is None
    for wrong in (None, type(good)(), 3):
        assert task.reason_to_reject([wrong], Limits())


def test_an_unknown_task_is_refused_with_the_nearest_name() -> None:
    with pytest.raises(InputError, match="no task 'text-clasification'(?s:.*)Did you mean 'text-classification'"):
        tasks.get("text-clasification")


def test_a_task_is_one_folder_that_registers_itself(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "made_up_task").mkdir()
    (tmp_path / "made_up_task" / "__init__.py").write_text(
        "from types import SimpleNamespace\n"
        "from components.shared.tasks import register\n"
        "register(SimpleNamespace(name='made-up', input_counts=(1,)))\n"
    )
    monkeypatch.setattr(tasks, "__path__", [*tasks.__path__, str(tmp_path)])
    monkeypatch.setattr(tasks, "_TASKS", dict(tasks._TASKS))
    assert "made-up" in tasks.names()
    assert tasks.get("made-up").input_counts == (1,)


def test_a_task_of_somebody_else_is_found_by_its_entry_point(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "somebodys_task.py").write_text(
        "from types import SimpleNamespace\n"
        "from components.shared.tasks import register\n"
        "register(SimpleNamespace(name='somebodys', input_counts=(1,)))\n"
    )
    (tmp_path / "somebodys-1.0.dist-info").mkdir()
    (tmp_path / "somebodys-1.0.dist-info" / "METADATA").write_text("Name: somebodys\nVersion: 1.0\n")
    (tmp_path / "somebodys-1.0.dist-info" / "entry_points.txt").write_text(
        "[graft.tasks]\nsomebodys = somebodys_task\n"
    )
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.setattr(tasks, "_TASKS", dict(tasks._TASKS))
    assert "somebodys" in tasks.names()


def test_light_steps_import_no_torch() -> None:
    import subprocess
    import sys

    code = (
        "import sys, components.ingest.ingest, components.transform.transform, components.register.register\n"
        "import pipelines.cli, pipelines.job, pipelines.finetune\n"
        "from components.shared import tasks; tasks.names()\n"
        "assert 'torch' not in sys.modules and 'sklearn' not in sys.modules, 'a heavy import at the top'\n"
    )
    subprocess.run([sys.executable, "-c", code], check=True)
