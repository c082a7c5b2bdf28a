import json
import os
import random
import re
import shutil
import signal
import subprocess
from pathlib import Path

import numpy as np
import pytest

from components.finetune.finetune import finetune
from components.finetune.learning.batches import epoch_batches
from components.finetune.settings import FinetuneSettings
from components.ingest.ingest import IngestSettings, ingest
from components.shared.artifacts.artifact import open_artifact
from components.shared.artifacts.features import FeatureSplit
from components.shared.backbones import family
from components.shared.errors import InputError, ServiceError
from components.shared.tasks import get
from components.transform.transform import TransformSettings, transform
from tests.backbones import make_broken_bert, make_timm_backbone
from tests.cases import SETTINGS, sample_snapshot
from tests.conftest import TRAINING, write_csv
from tests.pythons import quick_python
from tests.servers import free_port


def history_of(model: Path) -> dict[str, list[dict[str, float]]]:
    found: dict[str, list[dict[str, float]]] = json.loads((model / "notes/history.json").read_text())
    return found


def test_it_learns(model: Path) -> None:
    epochs = history_of(model)["epochs"]
    assert epochs[-1]["train_loss"] < 0.5 * epochs[0]["train_loss"]
    assert max(epoch["accuracy"] for epoch in epochs) > 0.9


def test_pairs_learn(pair_model: Path) -> None:
    """Which of two texts comes first can be told by their token types alone."""
    assert max(epoch["accuracy"] for epoch in history_of(pair_model)["epochs"]) > 0.9


def test_the_same_seed_gives_the_same_bytes(features: Path, model: Path, backbone: Path, tmp_path: Path) -> None:
    again = finetune(features, tmp_path / "again", FinetuneSettings(str(backbone), **TRAINING))
    assert again.digest == open_artifact(model, "model").digest
    other = finetune(features, tmp_path / "other", FinetuneSettings(str(backbone), **{**TRAINING, "seed": 8}))
    assert other.digest != again.digest


def test_a_saved_model_predicts_from_raw_text_as_it_did_from_features(
    pair_model: Path, pair_features: Path, pair_snapshot: Path
) -> None:
    from components.shared.backbones.transformers import Predictor
    from tests.components.transform.test_transform import texts_of

    kind = family("transformers")
    split = FeatureSplit(open_artifact(pair_features, "features"), "test")
    expected = kind.predict(
        kind.from_model(pair_model), split.take(np.arange(len(split))), kind.padding_of(pair_model), 16
    )
    texts = texts_of(pair_snapshot, "test")
    found = Predictor(pair_model).probabilities([texts[id_] for id_ in split])
    np.testing.assert_allclose(found, expected, atol=1e-5)
    np.testing.assert_allclose(found.sum(1), 1, atol=1e-5)


def test_re_encoded_pictures_train_as_pixels_do(tmp_path: Path) -> None:
    """Where pixels would not fit on the disk: JPEG, decoded for each batch."""
    snapshot = sample_snapshot("image-classification", tmp_path)
    backbone = str(make_timm_backbone("resnet10t", tmp_path / "backbone"))
    settings = FinetuneSettings(backbone, strategy="full", **{**SETTINGS, "epochs": 8})
    losses = {}
    for column, pixel_gib in (("pixels", 1.0), ("encoded", 0.0)):
        features, model = tmp_path / f"{column}-features", tmp_path / column
        transform(snapshot, features, TransformSettings(backbone, pixel_gib=pixel_gib))
        report = finetune(features, model, settings)
        assert json.loads((model / "model.json").read_text())["columns"] == [column]
        assert report.validation["accuracy"] > 0.9
        losses[column] = [epoch["train_loss"] for epoch in history_of(model)["epochs"]]
    np.testing.assert_allclose(losses["encoded"], losses["pixels"], rtol=0.1, atol=0.03)
    assert losses["encoded"] != losses["pixels"]


@pytest.mark.parametrize("pooling", ["first", "mean"])
def test_pooling_can_be_set(features: Path, backbone: Path, tmp_path: Path, pooling: str) -> None:
    finetune(features, tmp_path / "m", FinetuneSettings(str(backbone), strategy="full", epochs=1, pooling=pooling))
    assert json.loads((tmp_path / "m/model.json").read_text())["pooling"] == pooling


def test_pooling_is_as_the_backbone_was_trained(features: Path, backbone: Path, tmp_path: Path) -> None:
    sentence = shutil.copytree(backbone, tmp_path / "sentence")
    (sentence / "1_Pooling").mkdir()
    (sentence / "1_Pooling/config.json").write_text('{"pooling_mode_mean_tokens": true}')
    for folder, pooling in ((sentence, "mean"), (backbone, "first")):
        finetune(features, tmp_path / pooling, FinetuneSettings(str(folder), strategy="full", epochs=1))
        assert json.loads((tmp_path / pooling / "model.json").read_text())["pooling"] == pooling


@pytest.mark.parametrize("pooling", ["first", "mean"])
def test_padding_changes_nothing(features: Path, backbone: Path, tmp_path: Path, pooling: str) -> None:
    """A text alone, and the same text padded in a batch with a longer one."""
    from components.shared.backbones.transformers import Predictor

    settings = FinetuneSettings(str(backbone), **{**TRAINING, "epochs": 1}, pooling=pooling)
    finetune(features, tmp_path / "model", settings)
    predictor = Predictor(tmp_path / "model")
    alone = predictor.probabilities([("soup and salt",)])
    beside = predictor.probabilities(
        [("soup and salt",), ("a sail and a mast near the old deck under the small tide",)]
    )
    np.testing.assert_allclose(alone[0], beside[0], atol=1e-6)


def test_batches_hold_every_example_once_and_hardly_any_padding() -> None:
    lengths = np.random.default_rng(0).integers(3, 200, size=5000)
    batches = list(epoch_batches(lengths, 16, seed=1, epoch=0))
    assert sorted(np.concatenate(batches).tolist()) == list(range(5000))
    computed = sum(len(batch) * lengths[batch].max() for batch in batches)
    assert lengths.sum() / computed > 0.97
    assert [b.tolist() for b in epoch_batches(lengths, 16, seed=1, epoch=0)] == [b.tolist() for b in batches]
    assert [b.tolist() for b in epoch_batches(lengths, 16, seed=1, epoch=1)] != [b.tolist() for b in batches]
    means = [lengths[batch].mean() for batch in batches]
    assert abs(np.corrcoef(means[:-1], means[1:])[0, 1]) < 0.2  # long batches do not come in a row


def test_training_stops_early_and_keeps_the_best_epoch(backbone: Path, tmp_path: Path) -> None:
    """On labels that were drawn at random: nothing is to be learned from them for validation."""
    draw = random.Random(0)
    rows = [{"text": row["input_1"], "label": draw.choice("ab")} for row in get("text-classification").sample(400, 1)]
    ingest(tmp_path / "s", IngestSettings(str(write_csv(tmp_path / "data.csv", rows)), ["text"], "label"))
    transform(tmp_path / "s", tmp_path / "f", TransformSettings(str(backbone)))
    settings = FinetuneSettings(str(backbone), **{**TRAINING, "epochs": 30, "patience": 2})
    report = finetune(tmp_path / "f", tmp_path / "m", settings)
    epochs = history_of(tmp_path / "m")["epochs"]
    assert len(epochs) < 30
    gained = min(range(len(epochs)), key=lambda number: epochs[number]["validation_loss"])
    assert epochs[-1]["step"] - epochs[gained]["step"] >= 100, "some steps are waited for, however short an epoch is"
    assert report.validation["accuracy"] == max(epoch["accuracy"] for epoch in epochs)
    told = json.loads((tmp_path / "m/notes/history.json").read_text())
    assert not told["learned"]
    assert "no difference that could be shown" in told["reason"]
    assert "look at the labels" in told["advice"]
    kind, split = family("transformers"), FeatureSplit(open_artifact(tmp_path / "f", "features"), "validation")
    found = kind.predict(kind.from_model(tmp_path / "m"), split.take(np.arange(len(split))), 0, 32)
    assert (found.argmax(1) == split.labels).mean() == pytest.approx(report.validation["accuracy"])


@pytest.mark.case(14)
def test_a_loss_that_is_no_number_names_step_and_examples(features: Path, tmp_path: Path) -> None:
    folder = make_broken_bert(tmp_path / "backbone")
    with pytest.raises(InputError, match=r"The loss is no longer a number at step 1 \(epoch 1\)") as caught:
        finetune(features, tmp_path / "m", FinetuneSettings(str(folder), strategy="full", batch_size=4))
    named = re.findall(r"[0-9a-f]{32}", str(caught.value))
    assert len(named) == 4
    assert set(named) <= set(FeatureSplit(open_artifact(features, "features"), "train"))
    assert not (tmp_path / "m").exists()


def test_bfloat16_trains_too(features: Path, backbone: Path, tmp_path: Path) -> None:
    finetune(features, tmp_path / "m", FinetuneSettings(str(backbone), **{**TRAINING, "precision": "bfloat16"}))
    epochs = history_of(tmp_path / "m")["epochs"]
    assert epochs[-1]["train_loss"] < epochs[0]["train_loss"]


def test_wrong_settings_are_refused_with_the_nearest_name() -> None:
    with pytest.raises(
        InputError, match="pooling is 'men'; allowed: 'auto', 'first', 'last', 'mean', 'max'. Did you mean 'mean'"
    ):
        FinetuneSettings("x", pooling="men")


def test_curves_and_settings_go_to_mlflow(registry: str, features: Path, backbone: Path, tmp_path: Path) -> None:
    from mlflow import MlflowClient

    settings = FinetuneSettings(str(backbone), strategy="full", experiment="curves", epochs=2, learning_rate=5e-5)
    report = finetune(features, tmp_path / "m", settings)
    client = MlflowClient(registry)
    run = client.get_run(report.run_id)
    assert run.info.status == "FINISHED"
    assert run.data.params["learning_rate"] == "5e-05"
    accuracies = client.get_metric_history(report.run_id, "validation/accuracy")
    assert [point.value for point in accuracies] == [
        epoch["accuracy"] for epoch in history_of(tmp_path / "m")["epochs"]
    ]
    assert len(client.get_metric_history(report.run_id, "train/loss")) == len(history_of(tmp_path / "m")["steps"])


def test_mlflow_out_of_reach_is_told_before_training(
    features: Path, backbone: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"http://127.0.0.1:{free_port()}")
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "1")
    with pytest.raises(ServiceError, match="MLflow at http://127.0.0.1"):
        finetune(features, tmp_path / "m", FinetuneSettings(str(backbone)))
    assert not (tmp_path / "m").exists()


def test_ctrl_c_ends_with_130_and_leaves_nothing(features: Path, backbone: Path, tmp_path: Path) -> None:
    command = [quick_python(), "-m", "components.finetune", "--features", str(features), "--model", str(tmp_path / "m")]
    options = ["--backbone", str(backbone), "--strategy", "full", "--epochs", "1000", "--patience", "1000"]
    process = subprocess.Popen(
        [*command, *options],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),  # under nohup it would take no SIGINT
    )
    assert process.stdout is not None
    for line in process.stdout:
        if line.startswith("epoch 1:"):
            break
    os.kill(process.pid, signal.SIGINT)
    output, errors = process.communicate(timeout=60)
    assert process.returncode == 130
    assert "graft: interrupted" in output
    assert "Traceback" not in output + errors
    assert not (tmp_path / "m").exists()
