"""A registered image model: what it takes in Python, over HTTP, and what it refuses."""

import base64
import io
import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import mlflow.models
import mlflow.pyfunc
import numpy as np
import pandas as pd
import pytest
from mlflow.exceptions import MlflowException
from mlflow.pyfunc.model import PythonModelContext
from PIL import Image

from components.register.copies import files_of
from components.register.pyfunc import RegisteredModel
from components.shared import backbones
from tests.components.register.image_models import picture
from tests.components.register.processes import BLOCKED
from tests.components.register.test_serving import post
from tests.servers import serving

SHADES = [30, 220, 60, 190]
NAMES = ["dark", "light", "dark", "light"]

PREDICT = BLOCKED + (
    "import mlflow, pandas\n"
    "model = mlflow.pyfunc.load_model(sys.argv[1])\n"
    'frame = pandas.DataFrame({"image": [open(sys.argv[2], "rb").read(), sys.argv[3]]})\n'
    "print(*model.predict(frame).label)"
)

STUB = """
from .network import LABELS

class Predictor:
    labels, inputs = LABELS, ["text"]

    def __init__(self, folder):
        assert (folder / "model.json").exists()

    def predict(self, rows):
        return {"label": LABELS * len(rows)}
"""


def pictures() -> pd.DataFrame:
    return pd.DataFrame({"image": [picture(shade) for shade in SHADES]})


def write_pictures(folder: Path) -> list[str]:
    paths = [folder / f"{shade}.png" for shade in SHADES]
    for path, shade in zip(paths, SHADES, strict=True):
        path.write_bytes(picture(shade))
    return [str(path) for path in paths]


def base64_json(data: list[bytes]) -> dict[str, Any]:
    rows = [[base64.b64encode(item).decode()] for item in data]
    return {"dataframe_split": {"columns": ["image"], "data": rows}}


def test_signature_example_and_code(shades: str, tmp_path: Path) -> None:
    info = mlflow.models.get_model_info(shades)
    assert info.signature.inputs.to_dict() == [{"type": "binary", "name": "image", "required": True}]
    model = mlflow.pyfunc.load_model(shades)
    (example,) = model.input_example["image"]
    assert Image.open(io.BytesIO(example)).format == "PNG"
    assert len(model.predict(model.input_example)) == 1
    code = Path(mlflow.artifacts.download_artifacts(f"{shades}/artifacts/predictor", dst_path=str(tmp_path)))
    assert {str(file.relative_to(code)) for file in code.rglob("*.py")} == set(
        files_of([*backbones.FAMILIES["timm"].files, "tasks/classification/head.py"])
    )


def test_bytes_and_paths_predict_the_same(shades: str, image_model: Path, tmp_path: Path) -> None:
    model = mlflow.pyfunc.load_model(shades)
    expected = backbones.family("timm").Predictor(image_model).probabilities([(data,) for data in pictures()["image"]])
    paths = write_pictures(tmp_path)
    for values in (pictures()["image"], paths, map(Path, paths), map(bytearray, pictures()["image"])):
        found = model.predict(pd.DataFrame({"image": list(values)}, dtype=object))
        assert found["label"].tolist() == NAMES
        np.testing.assert_allclose(np.array(found["probabilities"].tolist()), expected, atol=1e-6)
    assert model.predict(pd.DataFrame({"image": paths}))["label"].tolist() == NAMES  # pandas' own type of strings
    assert model.predict(pictures()[:0]).shape == (0, 3)


def test_it_needs_no_graft(shades: str, tmp_path: Path) -> None:
    files = write_pictures(tmp_path)
    done = subprocess.run(
        [sys.executable, "-c", PREDICT, "components,pipelines,kfp", shades, *files[:2]],
        cwd=tmp_path, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines()[-1] == "dark light"


@pytest.mark.parametrize(
    ("value", "message"),
    [
        (b"", r"Row 1 of the column 'image' is no image that can be read: no image \(an empty file\)"),
        (picture(9)[:-900], "Row 1 of the column 'image' is no image that can be read: truncated file"),
        ("nowhere.png", "Row 1 of the column 'image' names no file: 'nowhere.png'"),
        ("/dev/zero", "Row 1 of the column 'image' names no file"),  # it would never end
        (None, "Row 1 of the column 'image' is no image but None"),
        (7, "Row 1 of the column 'image' is no image but 7"),
    ],
)
def test_what_is_no_image_is_named(value: object, message: str, shades: str) -> None:
    frame = pd.DataFrame({"image": [picture(9), value]}, dtype=object)
    with pytest.raises(MlflowException, match=message) as caught:
        mlflow.pyfunc.load_model(shades).predict(frame)
    assert caught.value.error_code == "INVALID_PARAMETER_VALUE"  # 400 over HTTP


def test_a_file_that_is_no_image_is_named(shades: str, tmp_path: Path) -> None:
    (tmp_path / "cut.png").write_bytes(picture(9)[:-900])
    with pytest.raises(MlflowException, match="Row 0 .* truncated file"):
        mlflow.pyfunc.load_model(shades).predict(pd.DataFrame({"image": [str(tmp_path / "cut.png")]}))


@pytest.mark.parametrize("variable", ["_MLFLOW_IS_IN_SERVING_ENVIRONMENT", "IS_IN_DB_MODEL_SERVING_ENV"])
def test_a_server_reads_no_files(variable: str, shades: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    model, paths = mlflow.pyfunc.load_model(shades), write_pictures(tmp_path)
    monkeypatch.setenv(variable, "true")
    for values in (paths, [Path(path) for path in paths], ["nowhere.png"]):
        with pytest.raises(MlflowException, match="Row 0 of the column 'image' is a string. A server takes the bytes"):
            model.predict(pd.DataFrame({"image": values}, dtype=object))
    assert model.predict(pictures())["label"].tolist() == NAMES


@pytest.mark.slow
def test_served(shades: str, tmp_path: Path) -> None:
    arguments = ["models", "serve", "--model-uri", shades, "--env-manager", "local"]
    (path, *_) = write_pictures(tmp_path)
    with serving(arguments, tmp_path, "/ping") as address:
        status, answer = post(f"{address}/invocations", base64_json(pictures()["image"].tolist()))
        assert (status, [row["label"] for row in answer["predictions"]]) == (200, NAMES)
        status, answer = post(f"{address}/invocations", base64_json([picture(9), b"no picture"]))
        assert status == 400
        assert "Row 1 of the column 'image' is no image" in json.dumps(answer)
        # A path gets nowhere, however it is sent.
        assert post(f"{address}/invocations", base64_json([path.encode()]))[0] == 400
        assert post(f"{address}/invocations", {"inputs": {"image": [path]}})[0] == 400
        status, answer = post(f"{address}/invocations", f"image\n{path}\n".encode(), "text/csv")
        assert (status, "A server takes the bytes" in json.dumps(answer)) == (400, True)
        table = pd.DataFrame({"image": [path]}).to_parquet()
        assert post(f"{address}/invocations", table, "application/vnd.apache.parquet")[0] == 400


def test_two_versions_of_the_code_live_side_by_side(tmp_path: Path) -> None:
    """Files of the same names, that import each other: each model keeps to its own."""
    models = []
    for version in ("old", "new"):
        folder = tmp_path / version
        (folder / "model").mkdir(parents=True)
        (folder / "model/model.json").write_text(json.dumps({"family": "stub"}))
        (folder / "model/tokenizer.json").write_text("{}")
        (folder / "predictor/backbones").mkdir(parents=True)
        (folder / "predictor/backbones/stub.py").write_text(STUB)
        (folder / "predictor/backbones/network.py").write_text(f"LABELS = [{version!r}]\n")
        artifacts = {name: str(folder / name) for name in ("model", "predictor")}
        models.append(RegisteredModel())
        models[-1].load_context(PythonModelContext(artifacts, {}))
    found = [model.predict(None, pd.DataFrame({"text": ["x"]})).label.tolist() for model in models]  # type: ignore[arg-type]
    assert found == [["old"], ["new"]]
