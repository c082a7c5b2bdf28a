"""Pictures without a network: gradients alone, beside a frozen backbone, and added to a trained one."""

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from components.evaluate.evaluate import EvaluateReport, EvaluateSettings, evaluate
from components.evaluate.predictions import Classifier
from components.finetune.finetune import finetune
from components.finetune.linear.fusion import Fusion, fuse
from components.finetune.settings import FinetuneSettings
from components.register.register import RegisterSettings, register
from components.shared.artifacts.artifact import open_artifact
from components.shared.errors import InputError
from components.shared.linear import softmax
from components.shared.prediction import load_artifact
from components.transform.transform import TransformSettings, transform
from tests.cases import SETTINGS, Case, inputs_of, make_case, sample_snapshot
from tests.components.register.evaluations import write_evaluation

PREDICT = """
import base64, json, sys
for name in ("torch", "transformers", "sklearn", "timm", "torchvision", "skimage", "components"):
    sys.modules[name] = None  # whoever imports it fails
import mlflow, pandas
model = mlflow.pyfunc.load_model("models:/shapes@challenger")
files = [base64.b64decode(text) for text in json.loads(sys.argv[1])]
print(json.dumps(model.predict(pandas.DataFrame({"input_1": files}))["probabilities"].tolist()))
"""


@pytest.fixture(scope="module")
def case(tmp_path_factory: pytest.TempPathFactory) -> Case:
    """Discs and crosses of any colour, and a tiny network."""
    folder = tmp_path_factory.mktemp("shapes")
    snapshot = sample_snapshot("image-classification", folder)
    return make_case("image-classification", "timm", "resnet10t", folder / "case", snapshot)


def train(case: Case, folder: Path, **settings: Any) -> Path:
    finetune(case.features, folder, FinetuneSettings(str(case.backbone), **{**SETTINGS, **settings}), case.snapshot)
    return folder


@pytest.fixture(scope="module")
def alone(case: Case, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return train(case, tmp_path_factory.mktemp("alone") / "model", strategy="gradients")


def rows_of(case: Case) -> dict[str, tuple[Any, ...]]:
    return inputs_of(case.snapshot, "test")


def told(model: Path, name: str) -> dict[str, Any]:
    found: dict[str, Any] = json.loads((model / name).read_text())
    return found


def test_gradients_alone_are_a_small_model_without_a_backbone(case: Case, alone: Path) -> None:
    assert told(alone, "model.json")["family"] == "gradients"
    assert told(alone, "notes/history.json")["epochs"][0]["accuracy"] > 0.9
    assert {file.name for file in alone.glob("*.*")} >= {"gradients.json", "gradients.safetensors"}
    assert not (alone / "model.safetensors").exists()
    assert sum(file.stat().st_size for file in alone.rglob("*")) < 1 << 18
    texts, model = rows_of(case), load_artifact(alone)
    classifier = Classifier(open_artifact(alone, "model"), open_artifact(case.features, "features"), 16)
    rows = [texts[id_] for id_ in classifier.split]
    expected = classifier.probabilities(0, len(rows), list(zip(*rows, strict=True)))
    np.testing.assert_allclose(model.probabilities(rows), expected, atol=1e-6)
    assert (expected.argmax(1) == classifier.split.labels).mean() > 0.8


def test_the_same_pictures_give_the_same_bytes(case: Case, alone: Path, tmp_path: Path) -> None:
    again = train(case, tmp_path / "again", strategy="gradients")
    assert open_artifact(again, "model").digest == open_artifact(alone, "model").digest


def test_it_is_served_without_torch(case: Case, alone: Path, registry: str, tmp_path: Path) -> None:
    import base64

    register(alone, write_evaluation(alone, tmp_path / "e"), tmp_path / "v", RegisterSettings("shapes"))
    rows = [*rows_of(case).values()][:5]
    files = json.dumps([base64.b64encode(file).decode() for (file,) in rows])
    ran = subprocess.run([sys.executable, "-c", PREDICT, files], cwd=tmp_path, capture_output=True, text=True)
    assert ran.returncode == 0, ran.stderr[-2000:]
    found = json.loads(ran.stdout.splitlines()[-1])
    np.testing.assert_allclose(found, load_artifact(alone).probabilities(rows), atol=1e-6)


@pytest.mark.parametrize("strategy", ["probe", "full", "probe-then-full", "lora"])
def test_gradients_beside_a_backbone(strategy: str, case: Case, tmp_path: Path) -> None:
    model = train(case, tmp_path / "model", strategy=strategy, gradients="true", epochs=1)
    note, texts = told(model, "notes/gradients.json"), rows_of(case)
    assert set(note["sides"]) == {"backbone", "gradients"}
    assert sum(side["share"] for side in note["sides"].values()) == pytest.approx(1)
    classifier = Classifier(open_artifact(model, "model"), open_artifact(case.features, "features"), 16)
    rows = [texts[id_] for id_ in classifier.split]
    expected = classifier.probabilities(0, len(rows), list(zip(*rows, strict=True)))
    np.testing.assert_allclose(load_artifact(model).probabilities(rows), expected, atol=1e-5)
    assert (expected.argmax(1) == classifier.split.labels).mean() > 0.8


def test_unasked_a_strategy_trains_the_backbone_alone(case: Case, tmp_path: Path) -> None:
    model = train(case, tmp_path / "model", strategy="probe")
    assert "gradients.json" not in open_artifact(model, "model").files


def test_auto_delivers_gradients_where_no_backbone_adds_anything(case: Case, tmp_path: Path) -> None:
    model = train(case, tmp_path / "model", strategy="auto", minutes=60.0, epochs=1)
    history = told(model, "notes/history.json")
    assert history["candidates"][0]["name"] == "gradients"
    assert {"probe", "probe with gradients"} < {row["name"] for row in history["candidates"]}
    report: EvaluateReport = evaluate(case.snapshot, case.features, model, tmp_path / "e", EvaluateSettings())
    page = report.report.read_text()
    if history["strategy"] == "gradients":
        assert "the gradients alone" in history["headline"]
        assert "What carries the decision" in page
    assert report.verdict in ("the backbone adds nothing", "better", "not shown")


def test_training_goes_on_from_a_champion_with_gradients(case: Case, alone: Path, tmp_path: Path) -> None:
    before = train(case, tmp_path / "before", strategy="probe", gradients="true")
    transform(case.snapshot, tmp_path / "features", TransformSettings(str(before)))
    settings = FinetuneSettings(str(before), strategy="full", gradients="true", **{**SETTINGS, "epochs": 1})
    report = finetune(tmp_path / "features", tmp_path / "after", settings, case.snapshot)
    assert report.validation["accuracy"] > 0.85
    transform(case.snapshot, tmp_path / "again", TransformSettings(str(alone)))  # stands for the backbone of its job
    assert (tmp_path / "again/preprocessing.json").exists()


def test_words_and_gradients_belong_to_their_tasks(
    case: Case, features: Path, snapshot: Path, backbone: Path, tmp_path: Path
) -> None:
    with pytest.raises(InputError, match="reads words: it needs a task on texts"):
        train(case, tmp_path / "m", strategy="lexical")
    with pytest.raises(InputError, match="reads gradients: it needs a task on images"):
        finetune(features, tmp_path / "m", FinetuneSettings(str(backbone), strategy="gradients"), snapshot)


def test_two_models_that_know_different_halves_know_both_together() -> None:
    draw = np.random.default_rng(0)
    truth = draw.integers(0, 4, 400)
    targets = np.eye(4)[truth]
    first, second = draw.normal(0, 1, (400, 4)), draw.normal(0, 1, (400, 4))
    first[:200] += 6 * targets[:200]
    second[200:] += 3 * targets[200:]
    fusion = fuse(first, second, truth)
    right = [(logits.argmax(1) == truth).mean() for logits in (first, second, fusion.logits(first, second))]
    assert right[2] > max(right[:2]) + 0.1
    nothing = fuse(20 * targets, draw.normal(0, 1, (400, 4)), truth)
    assert nothing.wide < 0.1
    assert softmax(Fusion(1.0, 0.0).logits(first, second)) == pytest.approx(softmax(first))
