"""The registered model as others meet it: over HTTP, served, and in an environment of its own."""

import json
import subprocess
import urllib.error
import urllib.request
import venv
from pathlib import Path

import numpy as np
import pytest

from components.register.register import RegisterSettings, register
from components.shared import prediction
from components.shared.backbones import family
from components.shared.registry import registry, tracking
from tests.servers import serving

DEMO = RegisterSettings("demo")
TEXTS = ["the old oven near some soup", "a mast by the harbour"]

PREDICT = """
import importlib.util, json, sys
import mlflow, pandas
assert importlib.util.find_spec("components") is None
model = mlflow.pyfunc.load_model("models:/demo@challenger")
print(model.predict(pandas.DataFrame({"text": json.loads(sys.argv[1])})).to_json(orient="records", double_precision=15))
"""


def expected(model: Path) -> np.ndarray:
    return family("transformers").Predictor(model).probabilities([(text,) for text in TEXTS])


def post(address: str, content: object, kind: str = "application/json") -> tuple[int, dict]:
    body = content if isinstance(content, bytes) else json.dumps(content).encode()
    request = urllib.request.Request(address, body, {"Content-Type": kind})
    try:
        with urllib.request.urlopen(request, timeout=60) as answer:
            return answer.status, json.load(answer)
    except urllib.error.HTTPError as error:
        return error.code, json.load(error)


def test_over_http(
    model: Path,
    evaluation: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capfd: pytest.CaptureFixture[str],
) -> None:
    store = ["--backend-store-uri", f"sqlite:///{tmp_path}/mlflow.db", "--artifacts-destination", f"{tmp_path}/store"]
    with serving(["server", *store, "--workers", "1"], tmp_path, "/health") as address:
        monkeypatch.setenv("MLFLOW_TRACKING_URI", address.replace("://", "://ada:pass-of-ada@"))
        assert register(model, evaluation, tmp_path / "first", DEMO).created
        assert not register(model, evaluation, tmp_path / "second", DEMO).created
        assert [summary.aliases for summary in registry.list_models()] == [{"challenger": "1"}]
        found = prediction.load("demo").probabilities([(text,) for text in TEXTS])
    np.testing.assert_allclose(found, expected(model), atol=1e-6)
    assert "pass-of-ada" not in "".join(capfd.readouterr())
    files = [file for file in tmp_path.rglob("*") if file.is_file()]
    assert [file for file in files if b"pass-of-ada" in file.read_bytes()] == []


@pytest.mark.slow
@pytest.mark.usefixtures("registry")
def test_served(model: Path, evaluation: Path, tmp_path: Path) -> None:
    register(model, evaluation, tmp_path / "version", DEMO)
    arguments = ["models", "serve", "--model-uri", "models:/demo@challenger", "--env-manager", "local"]
    with serving(arguments, tmp_path, "/ping") as address:
        status, answer = post(f"{address}/invocations", {"dataframe_records": [{"text": text} for text in TEXTS]})
        assert status == 200
        predictions = answer["predictions"]
        assert [row["label"] for row in predictions] == ["kitchen", "ship"]
        np.testing.assert_allclose([row["probabilities"] for row in predictions], expected(model), atol=1e-6)
        status, answer = post(f"{address}/invocations", {"dataframe_records": [{"words": "a mast"}]})
        assert status == 400
        assert "text" in json.dumps(answer)
        assert post(f"{address}/invocations", {"inputs": {"text": TEXTS}})[1]["predictions"] == predictions
        assert post(f"{address}/invocations", {"dataframe_records": [{"text": None}, {"text": "x"}]})[0] == 400


@pytest.mark.slow
def test_in_an_environment_of_its_own(model: Path, evaluation: Path, tmp_path: Path, registry: str) -> None:
    """Installs the model's own requirements (several GB with torch) into a new environment, and predicts there."""
    report = register(model, evaluation, tmp_path / "version", DEMO)
    requirements = tracking.client().download_artifacts(report.run_id, "model/requirements.txt")
    venv.create(tmp_path / "venv", with_pip=True)
    python = str(tmp_path / "venv" / "bin" / "python")
    install = [python, "-m", "pip", "install", "--quiet", "--no-cache-dir", "-r", requirements]
    subprocess.run(install, cwd=tmp_path, check=True, timeout=900)
    done = subprocess.run(
        [python, "-c", PREDICT, json.dumps(TEXTS)],
        cwd=tmp_path, capture_output=True, text=True, check=False, timeout=300,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    rows = json.loads(done.stdout.splitlines()[-1])
    np.testing.assert_allclose([row["probabilities"] for row in rows], expected(model), atol=1e-5)
