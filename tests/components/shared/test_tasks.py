"""Over the registry of tasks: a new task is tested the day it is added."""

from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest

from components.finetune.finetune import finetune
from components.finetune.settings import FinetuneSettings
from components.shared import tasks
from components.shared.artifacts.artifact import open_artifact
from components.shared.artifacts.snapshot import spec_of
from components.shared.baselines import Labelled, Terms
from components.shared.errors import InputError
from components.shared.modalities import Limits
from components.shared.prediction import load_artifact
from components.shared.statistics import score_of
from components.shared.tasks.task import Composite
from components.transform.transform import TransformSettings, transform
from tests.backbones import TIMM
from tests.cases import answers_of, sample_snapshot
from tests.conftest import TRAINING

SENTENCES = ["question-answering"]
"""Tasks whose baselines answer by whole sentences: they are right in part, where there is an answer."""


@pytest.fixture(params=[name for name in tasks.names() if not isinstance(tasks.get(name), Composite)])
def task(request: pytest.FixtureRequest) -> Any:
    return tasks.get(request.param)


def test_there_is_a_task() -> None:
    assert "text-classification" in tasks.names()


def test_its_sample_can_be_learned_from_data_to_model(task: Any, backbone: Path, tmp_path: Path) -> None:
    snapshot = sample_snapshot(task.name, tmp_path, 400)
    name, settings = str(backbone), {**TRAINING, "epochs": 12, "patience": 12, "learning_rate": 3e-3, "batch_size": 8}
    if task.name == "text-retrieval":
        settings["strategy"] = "probe-then-full"  # which also chooses how a text becomes one vector
    if task.input_type == pa.binary():
        name, args = "random:timm/resnet10t", {**TIMM["resnet10t"], "img_size": 32}
        settings |= {"backbone_args": args, "epochs": 10, "patience": 10, "crop_scale": 1.0}
    transform(snapshot, tmp_path / "features", TransformSettings(name, settings.get("backbone_args", {})))
    finetune(tmp_path / "features", tmp_path / "model", FinetuneSettings(name, **settings))
    model = load_artifact(tmp_path / "model")
    answers, spec = (
        answers_of(snapshot, "test"),
        spec_of(open_artifact(snapshot, "snapshot").read_json("snapshot.json")),
    )
    rows = [inputs for inputs, _ in answers]
    predicted = task.scoring.read(model.answers(rows), spec)
    assert task.scoring.fault(predicted, len(rows), spec) is None
    statistics = task.scoring.score(predicted, task.scoring.targets([answer for _, answer in answers], spec), spec)
    assert (score_of(task.metrics[0], statistics) or 0.0) > 0.9


def test_its_baselines_predict_what_can_be_scored(task: Any, tmp_path: Path) -> None:
    """One of them learns the sample; all say what they are and what they cost."""
    snapshot = sample_snapshot(task.name, tmp_path, 300)
    spec = spec_of(open_artifact(snapshot, "snapshot").read_json("snapshot.json"))
    rows = [*answers_of(snapshot, "train"), *answers_of(snapshot, "test")]
    targets = task.scoring.targets([answer for _, answer in rows], spec)
    for count in task.input_counts:
        inputs = [[row[min(number, len(row) - 1)] for row, _ in rows] for number in range(count)]
        train, held = (
            Labelled([column[part] for column in inputs], targets[part]) for part in (slice(150), slice(150, 200))
        )
        found = list(task.baselines(train, held, [column[200:] for column in inputs], Terms(len(spec["labels"]))))
        assert found
        for baseline in found:
            assert task.scoring.fault(baseline.predictions, len(rows) - 200, spec) is None
            assert baseline.examples == 150
            assert 0 < baseline.bytes < 10_000_000
            assert baseline.seconds > 0
        scored = [task.scoring.score(one.predictions, targets[200:], spec) for one in found]
        if task.name in SENTENCES:
            constant = task.scoring.constant(train.labels, {}, spec, len(rows) - 200).predictions
            nothing = task.scoring.breakdown(task.scoring.score(constant, targets[200:], spec), spec)
            parts = [task.scoring.breakdown(statistics, spec) for statistics in scored]
            assert max((part.values - nothing.values).max() for part in parts) > 0.1
        else:
            assert max(score_of(task.metrics[0], statistics) or 0.0 for statistics in scored) > 0.8


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
        "import pipelines.command.cli, pipelines.jobs.job, pipelines.finetune\n"
        "from components.shared import tasks; tasks.names()\n"
        "assert 'torch' not in sys.modules and 'sklearn' not in sys.modules, 'a heavy import at the top'\n"
    )
    subprocess.run([sys.executable, "-c", code], check=True)
