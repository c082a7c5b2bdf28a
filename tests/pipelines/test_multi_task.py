"""Several tasks in one network, from rows that lack some answers to an evaluation, a champion and a served model."""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import mlflow
import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from components.evaluate.evaluate import EvaluateSettings, evaluate
from components.finetune.finetune import finetune
from components.finetune.settings import FinetuneSettings
from components.ingest.ingest import IngestSettings, ingest
from components.register.package import write_package
from components.register.register import RegisterSettings, register
from components.shared import tasks
from components.shared.artifacts.artifact import open_artifact
from components.shared.errors import InputError
from components.shared.prediction import load_artifact
from components.shared.registry import tracking
from components.shared.tasks.multi_task.samples import TASKS
from components.transform.transform import TransformSettings, transform
from tests.backbones import TIMM
from tests.cases import picture

NAMES = ("snapshot", "features", "model", "evaluation")
TEXTS = ["the huge old mast 1", "a tiny pan near salt"]
LEARNED: dict[str, Any] = {"strategy": "probe", "precision": "float32", "seed": 7, "lexical": "false"}


def ingested(
    rows: list[dict[str, Any]], folder: Path, label: Sequence[str] = ("kind", "size"), **settings: Any
) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    pq.write_table(pa.Table.from_pylist(rows), folder / "data.parquet")
    told = {"task": "multi-task", "task_args": {"tasks": TASKS}, "test_fraction": 0.25, **settings}
    columns = json.dumps(list(label))
    ingest(folder / "snapshot", IngestSettings(str(folder / "data.parquet"), ["input_1"], columns, **told))
    return folder / "snapshot"


@pytest.fixture(scope="module")
def folders(backbone: Path, tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    """The sample, ingested, transformed, learned and evaluated."""
    folder = tmp_path_factory.mktemp("several")
    ingested(tasks.get("multi-task").sample(400, seed=1), folder)
    transform(folder / "snapshot", folder / "features", TransformSettings(str(backbone)))
    settings = FinetuneSettings(
        str(backbone),
        **{**LEARNED, "strategy": "full", "epochs": 12, "batch_size": 8, "learning_rate": 3e-3, "patience": 12},
    )
    finetune(folder / "features", folder / "model", settings, folder / "snapshot")
    paths = [folder / name for name in NAMES]
    evaluate(*paths, EvaluateSettings())
    return paths


def test_a_snapshot_tells_of_each_task(folders: list[Path]) -> None:
    told = json.loads((folders[0] / "snapshot.json").read_text())
    assert told["labels"] == []
    assert told["target"]["tasks"]["kind"]["labels"] == ["boat", "garden", "kitchen"]
    assert 0.85 < told["target"]["tasks"]["size"]["share"] < 0.95
    assert told["target"]["tasks"]["size"]["mean"] == pytest.approx(1.5, abs=0.2)
    rows = pq.read_table(folders[0] / "train-00000.parquet")["label"].to_pylist()
    assert any(row["kind"] is None for row in rows)
    assert any(row["size"] is None for row in rows)


def test_the_same_rows_in_another_order_give_the_same_snapshot_and_model(
    folders: list[Path], backbone: Path, tmp_path: Path
) -> None:
    rows = tasks.get("multi-task").sample(400, seed=1)
    backwards = {"task_args": {"tasks": dict(reversed(TASKS.items()))}}
    snapshot = ingested(rows[::-1], tmp_path, ("size", "kind"), **backwards)
    told, before = (json.loads((path / "snapshot.json").read_text()) for path in (snapshot, folders[0]))
    assert told["target"] == before["target"]
    assert told["classes"] == before["classes"]
    model = open_artifact(folders[2], "model")
    finetune(folders[1], tmp_path / "again", FinetuneSettings(**model.settings), folders[0])
    assert open_artifact(tmp_path / "again", "model").digest == model.digest


def test_each_task_is_learned_and_judged_on_the_examples_that_have_an_answer(folders: list[Path]) -> None:
    told = open_artifact(folders[3], "evaluation").read_json("evaluation.json")
    assert told["metrics"]["kind.accuracy"] > 0.9
    assert told["metrics"]["size.pearson"] > 0.8
    members = {row["name"]: row for row in told["members"]}
    assert members["kind"]["difference"]["examples"] < told["examples"]
    assert members["kind"]["value"] == told["metrics"]["kind.accuracy"]
    assert members["size"]["best_baseline"].startswith("Ridge")
    assert told["baselines_failure"] == ""
    predictions = pq.read_table(folders[3] / "predictions.parquet")
    assert predictions["size.value"].null_count == 0
    page = (folders[3] / "notes/report.html").read_text("utf-8")
    for there in (
        "Each task by its own metric",
        "<h2>kind</h2>",
        "<h2>size</h2>",
        "Predictions and labels",
        "Confusion",
    ):
        assert there in page
    history = open_artifact(folders[2], "model").read_json("notes/history.json")
    assert history["selection"] == "mean_selection"
    assert history["calibration"]["kind"]["temperature"] > 0


def test_a_model_answers_for_all_tasks_wherever_it_is_served(folders: list[Path], tmp_path: Path) -> None:
    model = load_artifact(folders[2])
    told = model.predict([(text,) for text in TEXTS])
    assert [row["kind"]["label"] for row in told] == ["boat", "kitchen"]
    assert set(told[0]["kind"]["probabilities"]) == {"boat", "garden", "kitchen"}
    assert told[0]["size"]["value"] > told[1]["size"]["value"]
    write_package(open_artifact(folders[2], "model"), tmp_path / "package", "0" * 32)
    served = mlflow.pyfunc.load_model(str(tmp_path / "package")).predict(pd.DataFrame({"input_1": TEXTS}))
    assert list(served.columns) == ["kind", "size"]
    assert [row["value"] for row in served["size"]] == pytest.approx([row["size"]["value"] for row in told], abs=1e-5)
    assert [row["label"] for row in served["kind"]] == ["boat", "kitchen"]


def test_words_alone_answer_for_all_tasks_without_torch(folders: list[Path], backbone: Path, tmp_path: Path) -> None:
    settings = FinetuneSettings(str(backbone), strategy="lexical", seed=7)
    finetune(folders[1], tmp_path / "model", settings, folders[0])
    assert not (tmp_path / "model/model.safetensors").exists()
    told = load_artifact(tmp_path / "model").predict([(text,) for text in TEXTS])
    assert [row["kind"]["label"] for row in told] == ["boat", "kitchen"]
    assert told[0]["size"]["value"] == pytest.approx(3, abs=0.7)
    words = json.loads((tmp_path / "model/notes/lexical.json").read_text())["classes"]
    assert set(words) == {"kind: boat", "kind: garden", "kind: kitchen", "size"}
    evaluate(folders[0], folders[1], tmp_path / "model", tmp_path / "evaluation", EvaluateSettings())
    write_package(open_artifact(tmp_path / "model", "model"), tmp_path / "package", "0" * 32)
    served = mlflow.pyfunc.load_model(str(tmp_path / "package")).predict(pd.DataFrame({"input_1": TEXTS}))
    assert [row["label"] for row in served["kind"]] == ["boat", "kitchen"]


def test_a_champion_is_compared_task_by_task_and_one_of_other_tasks_not_at_all(
    folders: list[Path], backbone: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, empty_database: Path
) -> None:
    (tmp_path / "mlflow.db").write_bytes(empty_database.read_bytes())
    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"sqlite:///{tmp_path / 'mlflow.db'}")
    settings = EvaluateSettings(champion="demo", promotion={"must_beat_baseline": False})
    evaluate(*folders[:3], tmp_path / "first", settings)
    version = register(folders[2], tmp_path / "first", tmp_path / "version", RegisterSettings("demo")).version
    tracking.client().set_registered_model_alias("demo", "champion", version)
    tags = tracking.client().get_model_version("demo", version).tags
    assert float(tags["test_size.pearson"]) > 0.8
    (tmp_path / "weak").mkdir()
    weaker = FinetuneSettings(str(backbone), **{**LEARNED, "strategy": "full", "epochs": 1, "learning_rate": 1e-5})
    finetune(folders[1], tmp_path / "weak/model", weaker, folders[0])
    report = evaluate(*folders[:2], tmp_path / "weak/model", tmp_path / "weak/evaluation", settings)
    told = open_artifact(tmp_path / "weak/evaluation", "evaluation").read_json("evaluation.json")["champion"]
    assert told["failure"] == ""
    assert [row["name"] for row in told["members"]] == ["kind", "size"]
    assert report.decision == "refuse"
    reasons = [reason for reason in report.reasons if reason.startswith("It is worse than the champion at")]
    assert [reason.split("'")[1] for reason in reasons] == ["kind", "size"]
    other = {"tasks": {**TASKS, "kind": {"task": "multi-label-classification", "label": "kind"}}}
    snapshot = ingested(tasks.get("multi-task").sample(400, seed=1), tmp_path / "other", task_args=other)
    transform(snapshot, tmp_path / "other/features", TransformSettings(str(backbone)))
    finetune(tmp_path / "other/features", tmp_path / "other/model", FinetuneSettings(str(backbone), **LEARNED))
    paths = [tmp_path / "other" / name for name in NAMES]
    report = evaluate(*paths, settings)
    assert any("could not be compared with the champion" in reason for reason in report.reasons)


def test_pictures_have_several_answers_too(tmp_path: Path) -> None:
    draw, rows = np.random.default_rng(0), []
    for number in range(240):
        dark, red = number % 2, float(draw.integers(0, 200))
        image = picture(color=(int(red), 0 if dark else 220, int(draw.integers(0, 40))))
        rows.append({"input_1": image, "tone": None if number % 7 == 0 else ("light", "dark")[dark], "red": red})
    told = {
        "tone": {"task": "image-classification", "label": "tone"},
        "red": {"task": "image-regression", "label": "red"},
    }
    options = {"task": "image-multi-task", "task_args": {"tasks": told}, "near_duplicates": 1.0}
    snapshot = ingested(rows, tmp_path, ("tone", "red"), **options)
    name, args = "random:timm/resnet10t", {**TIMM["resnet10t"], "img_size": 32}
    transform(snapshot, tmp_path / "features", TransformSettings(name, args))
    chosen: dict[str, Any] = {"strategy": "full", "epochs": 4, "learning_rate": 3e-3, "crop_scale": 1.0}
    settings = FinetuneSettings(name, precision="float32", seed=7, backbone_args=args, **chosen)
    finetune(tmp_path / "features", tmp_path / "model", settings, snapshot)
    evaluate(*[tmp_path / one for one in NAMES], EvaluateSettings())
    found = open_artifact(tmp_path / "evaluation", "evaluation").read_json("evaluation.json")
    assert found["metrics"]["tone.accuracy"] > 0.8
    assert found["metrics"]["red.pearson"] > 0.5
    assert found["baselines_failure"] == ""


@pytest.mark.parametrize("strategy", ["partial", "gradual", "lora", "probe-then-full"])
def test_every_strategy_learns_several_tasks(
    strategy: str, folders: list[Path], backbone: Path, tmp_path: Path
) -> None:
    chosen = {**LEARNED, "strategy": strategy, "epochs": 8, "batch_size": 8, "learning_rate": 3e-3, "lora_rank": 4}
    finetune(folders[1], tmp_path / "model", FinetuneSettings(str(backbone), **chosen), folders[0])
    history = open_artifact(tmp_path / "model", "model").read_json("notes/history.json")
    assert history["strategy"] == strategy
    losses = [epoch["train_loss"] for epoch in history["epochs"]]
    assert losses[-1] < 0.97 * losses[0]
    answers = load_artifact(tmp_path / "model").predict([(text,) for text in TEXTS])
    assert set(answers[0]) == {"kind", "size"}


def test_transfer_is_checked_and_a_curve_drawn(folders: list[Path], backbone: Path, tmp_path: Path) -> None:
    asked: dict[str, Any] = {"transfer_check": True, "learning_curve": [8, 32]}
    finetune(folders[1], tmp_path / "model", FinetuneSettings(str(backbone), **LEARNED, **asked), folders[0])
    evaluate(*folders[:2], tmp_path / "model", tmp_path / "evaluation", EvaluateSettings())
    found = open_artifact(tmp_path / "evaluation", "evaluation").read_json("evaluation.json")
    few, more = (point["model"]["mean_score"] for point in found["learning_curve"][:2])
    assert few < more
    page = (tmp_path / "evaluation/notes/report.html").read_text("utf-8")
    assert "Did transfer help?" in page


def test_what_means_nothing_for_several_tasks_is_refused(folders: list[Path], backbone: Path, tmp_path: Path) -> None:
    rows = tasks.get("multi-task").sample(60, seed=1)
    with pytest.raises(InputError, match="rare_classes: drop is about the classes of one task"):
        ingested(rows, tmp_path / "rare", rare_classes="drop")
    with pytest.raises(InputError, match="mixup is 0.2, but examples of multi-task have no labels that"):
        finetune(
            folders[1], tmp_path / "model", FinetuneSettings(str(backbone), **{**LEARNED, "mixup": 0.2}), folders[0]
        )
