"""Over tasks and families: a model that was trained, registered, loaded and used as a backbone is the same model."""

from pathlib import Path

import numpy as np
import pytest

from components.finetune.finetune import finetune
from components.finetune.settings import FinetuneSettings
from components.register.register import RegisterSettings, register
from components.shared import backbones, prediction
from components.shared.artifacts.artifact import open_artifact
from components.transform.transform import TransformSettings, transform
from tests.cases import FAMILIES, SETTINGS, inputs_of, make_case, sample_snapshot
from tests.components.register.evaluations import write_evaluation
from tests.heads import head_for


@pytest.mark.parametrize("key", FAMILIES, ids=lambda key: f"{key[0]}-{key[1]}")
def test_the_registered_model_is_the_one_that_was_trained(
    registry: str, key: tuple[str, str, str], tmp_path: Path
) -> None:
    case = make_case(*key, tmp_path, sample_snapshot(key[0], tmp_path / "data"))
    model = tmp_path / "model"
    finetune(case.features, model, FinetuneSettings(str(case.backbone), strategy="lora", **SETTINGS))
    evaluation = write_evaluation(model, tmp_path / "evaluation")
    register(model, evaluation, tmp_path / "version", RegisterSettings("tiny"))
    rows = list(inputs_of(case.snapshot, "test").values())
    loaded, direct = prediction.load("tiny@challenger"), prediction.load(str(model))
    np.testing.assert_allclose(loaded.probabilities(rows), direct.probabilities(rows), atol=1e-6)
    assert loaded.labels == direct.labels
    assert loaded.inputs == direct.inputs
    report = transform(case.snapshot, tmp_path / "again", TransformSettings("models:/tiny@challenger"))
    assert report.backbone == "models:/tiny/1"  # what finetune is to take, wherever the alias goes meanwhile
    assert open_artifact(tmp_path / "again", "features").settings["backbone"] == "models:/tiny/1"
    fetched = backbones.fetch("models:/tiny@challenger", tmp_path / "fetched")
    network = backbones.family(case.family).from_backbone(fetched, "auto", head_for(loaded.labels))
    trained = backbones.family(case.family).from_model(model)
    assert all((tensor == network.state_dict()[name]).all() for name, tensor in trained.state_dict().items())
