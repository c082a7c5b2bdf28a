"""A registered model of the words alone, as whoever loads it meets it: without graft, and without torch."""

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from components.finetune.finetune import finetune
from components.finetune.settings import FinetuneSettings
from components.register.register import RegisterSettings, register
from components.shared import prediction
from components.transform.transform import TransformSettings, transform
from tests.components.register.evaluations import write_evaluation

TEXTS = ["the old oven near some soup", "a mast by the harbour", ""]

PREDICT = """
import json, sys
for name in ("torch", "transformers", "sklearn", "tokenizers", "timm", "components"):
    sys.modules[name] = None  # whoever imports it fails
import mlflow, pandas
model = mlflow.pyfunc.load_model("models:/words@challenger")
found = model.predict(pandas.DataFrame({"text": json.loads(sys.argv[1])}))
print(json.dumps(found["probabilities"].tolist()))
"""


@pytest.fixture
def words_model(features: Path, snapshot: Path, backbone: Path, registry: str, tmp_path: Path) -> Path:
    finetune(features, tmp_path / "model", FinetuneSettings(str(backbone), strategy="lexical"), snapshot)
    evaluation = write_evaluation(tmp_path / "model", tmp_path / "evaluation")
    register(tmp_path / "model", evaluation, tmp_path / "version", RegisterSettings("words"))
    return tmp_path / "model"


def test_it_is_served_without_torch(words_model: Path, tmp_path: Path) -> None:
    command = [sys.executable, "-c", PREDICT, json.dumps(TEXTS)]
    ran = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert ran.returncode == 0, ran.stderr[-2000:]
    rows = [(text,) for text in TEXTS]
    np.testing.assert_allclose(
        json.loads(ran.stdout.splitlines()[-1]), prediction.load(str(words_model)).probabilities(rows), atol=1e-6
    )


def test_it_asks_for_nothing_that_it_does_not_need(words_model: Path, tmp_path: Path) -> None:
    import mlflow

    file = mlflow.artifacts.download_artifacts("models:/words@challenger/requirements.txt", dst_path=str(tmp_path))
    names = {line.partition("==")[0] for line in Path(file).read_text().splitlines()}
    assert names == {"mlflow", "numpy", "pandas", "safetensors", "scipy"}


def test_retraining_reads_texts_as_its_job_did(
    words_model: Path, features: Path, snapshot: Path, tmp_path: Path
) -> None:
    transform(snapshot, tmp_path / "features", TransformSettings("models:/words@challenger"))
    settings = FinetuneSettings("models:/words/1", strategy="lexical", known="models:/words/1")
    report = finetune(tmp_path / "features", tmp_path / "again", settings, snapshot)
    assert report.validation["accuracy"] > 0.95
    told = [json.loads((folder / "model.json").read_text()) for folder in (words_model, tmp_path / "again")]
    assert told[0] == told[1]
