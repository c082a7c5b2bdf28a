import dataclasses
import http.server
import json
import shutil
import subprocess
import sys
import threading
import time
from pathlib import Path

import numpy as np
import pytest

from components.finetune.finetune import finetune
from components.finetune.settings import FinetuneSettings
from components.register.register import RegisterSettings, register
from components.shared import backbones
from components.shared.artifacts.artifact import open_artifact
from components.shared.errors import InputError, ServiceError
from components.shared.registry import registry as models
from components.shared.registry import tracking
from tests.components.register.evaluations import REPORT, write_evaluation
from tests.components.register.processes import BLOCKED
from tests.conftest import TRAINING
from tests.servers import free_port

DEMO = RegisterSettings("demo")
TEXTS = ["the old oven near some soup", "a mast by the harbour"]

REGISTER = BLOCKED + 'import runpy; runpy.run_module("components.register", run_name="__main__")'
PREDICT = BLOCKED + (
    "import json, mlflow, pandas\n"
    "model = mlflow.pyfunc.load_model(sys.argv[1])\n"
    'frame = pandas.DataFrame({"text": json.loads(sys.argv[2])})\n'
    "print(model.predict(frame).to_json(orient='records', double_precision=15))"
)


@pytest.fixture(scope="module")
def other(features: Path, backbone: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A second model, trained for one epoch."""
    folder = tmp_path_factory.mktemp("other") / "model"
    finetune(features, folder, FinetuneSettings(str(backbone), **{**TRAINING, "epochs": 1}))
    return folder


def predictor(model: Path) -> object:
    return backbones.family("transformers").Predictor(model)


@pytest.mark.usefixtures("registry")
def test_a_version_tells_where_it_came_from(model: Path, evaluation: Path, tmp_path: Path) -> None:
    report = register(model, evaluation, tmp_path / "version", DEMO)
    assert (report.version, report.aliases, report.created) == ("1", ["challenger"], True)
    told = open_artifact(tmp_path / "version", "version").read_json("version.json")
    assert told == {name: getattr(report, name) for name in told}
    version = tracking.client().get_model_version_by_alias("demo", "challenger")
    lineage = open_artifact(evaluation, "evaluation").lineage()
    assert {f"{kind}_digest": digest for kind, digest in lineage.items()}.items() <= version.tags.items()
    assert version.tags["test_accuracy"] == "0.9"
    assert version.tags["verdict"] == "better"
    assert version.tags["run_id"] == version.run_id == report.run_id
    assert version.tags["git_commit"] == open_artifact(model, "model").producer["git_commit"]
    assert "test_ece" not in version.tags  # it was not measured
    assert list(tmp_path.glob("mlruns")) == []


@pytest.mark.usefixtures("registry")
def test_it_goes_to_the_run_that_trained_it(features: Path, backbone: Path, tmp_path: Path) -> None:
    settings = FinetuneSettings(str(backbone), experiment="sailing", **{**TRAINING, "epochs": 1})
    run_id = finetune(features, tmp_path / "model", settings).run_id
    evaluation = write_evaluation(tmp_path / "model", tmp_path / "evaluation")
    assert register(tmp_path / "model", evaluation, tmp_path / "version", DEMO).run_id == run_id
    client = tracking.client()
    assert {file.path for file in client.list_artifacts(run_id)} == {"evaluation.json", "model", "report.html"}
    assert Path(client.download_artifacts(run_id, "report.html", str(tmp_path))).read_text() == REPORT
    logged = client.get_run(run_id).data.metrics
    assert (logged["test/accuracy"], logged["baseline/TF-IDF/accuracy"]) == (0.9, 0.5)
    assert "mlflow_uri" not in open_artifact(tmp_path / "model", "model").producer


DECISION = {"verdict": "refuse", "reasons": ["It is worse.", "A class suffers."], "champion": "3"}


@pytest.mark.usefixtures("registry")
def test_a_version_tells_its_data_and_what_was_decided(model: Path, tmp_path: Path) -> None:
    inventory = {"inventory.json": b'{"data_digest": "abc"}', "rows.parquet": b"rows", "files.parquet": b"files"}
    changes = {"sentence": "20 new examples.", "drift": {"score": 0.512345678, "p_value": 0.04, "examples": 400}}
    told = {"rows": {"train": 800, "validation": 90, "test": 110}, "changes": changes}
    evaluation = write_evaluation(model, tmp_path / "evaluation", decision=DECISION, inventory=inventory, **told)
    register(model, evaluation, tmp_path / "version", RegisterSettings("demo", pipeline_run="run 7"))
    (version,) = models.show_model("demo")
    expected = {
        "decision": "refuse",
        "reasons": "It is worse. A class suffers.",
        "compared_with": "3",
        "train_examples": "800",
        "test_examples": "110",
        "data_digest": "abc",
        "drift_score": "0.512346",
        "drift_p_value": "0.04",
        "pipeline_run": "run 7",
    }
    assert expected.items() <= version.tags.items()
    assert set(version.metrics) == {"accuracy", "macro_f1"}
    folder = models.download_inventory(version, tmp_path / "inventory")
    assert folder == tmp_path / "inventory"
    assert {file.name: file.read_bytes() for file in folder.iterdir()} == inventory


@pytest.mark.usefixtures("registry")
def test_a_version_without_inventory_or_decision(model: Path, evaluation: Path, tmp_path: Path) -> None:
    run = register(model, evaluation, tmp_path / "version", DEMO).run_id
    (version,) = models.show_model("demo")
    unknown = {"decision", "reasons", "compared_with", "data_digest", "drift_score", "pipeline_run", "test_examples"}
    assert not unknown & version.tags.keys()
    assert models.download_inventory(version, tmp_path / "inventory") is None
    tracking.client().delete_run(run)
    assert models.download_inventory(version, tmp_path / "inventory") is None
    assert models.download_inventory(dataclasses.replace(version, run_id="0" * 32), tmp_path / "inventory") is None
    assert models.download_inventory(dataclasses.replace(version, run_id=""), tmp_path / "inventory") is None
    assert not (tmp_path / "inventory").exists()


@pytest.mark.usefixtures("registry")
def test_what_a_later_evaluation_does_not_tell_is_told_no_more(model: Path, tmp_path: Path) -> None:
    first = write_evaluation(model, tmp_path / "first", decision=DECISION)
    register(model, first, tmp_path / "version-1", DEMO)
    promoted = {"verdict": "promote", "reasons": ["It is" + " very" * 2000 + " good."], "champion": ""}
    second = write_evaluation(model, tmp_path / "second", decision=promoted)
    register(model, second, tmp_path / "version-2", DEMO)
    (version,) = models.show_model("demo")
    assert (version.tags["decision"], "compared_with" in version.tags) == ("promote", False)
    assert (len(version.tags["reasons"]), version.tags["reasons"][-1]) == (5000, "…")


@pytest.mark.usefixtures("registry")
@pytest.mark.case(8)
def test_the_same_model_twice_is_one_version(model: Path, evaluation: Path, tmp_path: Path) -> None:
    first = register(model, evaluation, tmp_path / "first", DEMO)
    better = write_evaluation(model, tmp_path / "evaluation", accuracy=0.95)
    second = register(model, better, tmp_path / "second", DEMO)
    assert (second.version, second.run_id, second.created) == (first.version, first.run_id, False)
    assert [version.metrics["accuracy"] for version in models.show_model("demo")] == [0.95]


def test_a_model_and_its_version_are_one_copy_on_the_disk(
    model: Path, evaluation: Path, registry: str, tmp_path: Path
) -> None:
    register(model, evaluation, tmp_path / "version", RegisterSettings("topics"))
    (weights,) = tmp_path.glob("mlflow-artifacts/*/*/artifacts/model/artifacts/model/model.safetensors")
    assert weights.samefile(model / "model.safetensors")


def test_a_model_that_is_trained_once_more_leaves_no_second_copy(
    model: Path, evaluation: Path, registry: str, tmp_path: Path
) -> None:
    register(model, evaluation, tmp_path / "version", RegisterSettings("topics"))
    client = tracking.client()
    again = Path(shutil.copytree(model, tmp_path / "again"))
    manifest = json.loads((again / "manifest.json").read_text())
    run = client.create_run(tracking.experiment_id(client, "topics"))
    manifest["producer"]["mlflow_run_id"] = run.info.run_id
    (again / "manifest.json").write_text(json.dumps(manifest))
    report = register(again, evaluation, tmp_path / "second", RegisterSettings("topics"))
    assert (report.version, report.created, report.run_id) == ("1", False, run.info.run_id)
    assert len(list(tmp_path.glob("mlflow-artifacts/*/*/artifacts/model"))) == 1
    kept = {entry.path for entry in client.list_artifacts(run.info.run_id)}
    assert kept == {"evaluation.json", "report.html"}  # what the run found out is kept with it


@pytest.mark.usefixtures("registry")
@pytest.mark.case(8)
def test_a_request_that_is_sent_twice_is_one_version(
    model: Path, evaluation: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from mlflow import MlflowClient

    create = MlflowClient.create_model_version

    def create_twice(*arguments: object, **options: object) -> object:
        create(*arguments, **options)
        return create(*arguments, **options)

    monkeypatch.setattr(MlflowClient, "create_model_version", create_twice)
    report = register(model, evaluation, tmp_path / "version", DEMO)
    assert [version.version for version in models.show_model("demo")] == [report.version] == ["1"]


@pytest.mark.usefixtures("registry")
def test_another_model_takes_the_alias(model: Path, evaluation: Path, other: Path, tmp_path: Path) -> None:
    register(model, evaluation, tmp_path / "first", DEMO)
    report = register(other, write_evaluation(other, tmp_path / "evaluation"), tmp_path / "second", DEMO)
    assert report.version == "2"
    assert [(version.version, version.aliases) for version in models.show_model("demo")] == [
        ("2", ["challenger"]),
        ("1", []),
    ]


@pytest.mark.usefixtures("registry")
@pytest.mark.parametrize("killed_in", ["set_tag", "log_artifact", "create_model_version", "set_registered_model_alias"])
@pytest.mark.case(8)
def test_a_killed_try_leaves_nothing_behind(
    killed_in: str, model: Path, evaluation: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def interrupt(*_: object, **__: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(f"mlflow.MlflowClient.{killed_in}", interrupt)
        with pytest.raises(KeyboardInterrupt):
            register(model, evaluation, tmp_path / "version", DEMO)
    assert not (tmp_path / "version").exists()
    report = register(model, evaluation, tmp_path / "version", DEMO)
    assert (report.version, report.aliases) == ("1", ["challenger"])
    assert len(models.show_model("demo")) == 1
    client = tracking.client()
    assert len(client.search_runs([client.get_run(report.run_id).info.experiment_id])) == 1


def test_the_model_needs_neither_graft_nor_pickle(registry: str, model: Path, evaluation: Path, tmp_path: Path) -> None:
    report = register(model, evaluation, tmp_path / "version", DEMO)
    blocked = "components,pipelines,kfp"
    done = subprocess.run(
        [sys.executable, "-c", PREDICT, blocked, "models:/demo@challenger", json.dumps(TEXTS)],
        cwd=tmp_path, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    expected = predictor(model).probabilities([(text,) for text in TEXTS])
    rows = json.loads(done.stdout.splitlines()[-1])
    np.testing.assert_allclose([row["probabilities"] for row in rows], expected, atol=1e-6)
    np.testing.assert_allclose([row["confidence"] for row in rows], expected.max(1), atol=1e-6)
    assert [row["label"] for row in rows] == ["kitchen", "ship"]
    folder = Path(tracking.client().download_artifacts(report.run_id, "model", str(tmp_path)))
    endings = {file.suffix for file in folder.rglob("*") if file.is_file()}
    assert endings == {"", ".json", ".py", ".safetensors", ".txt", ".yaml"}  # "" is MLmodel


@pytest.mark.usefixtures("registry")
def test_signature_requirements_and_example(model: Path, evaluation: Path, tmp_path: Path) -> None:
    import mlflow.models

    register(model, evaluation, tmp_path / "version", DEMO)
    info = mlflow.models.get_model_info("models:/demo@challenger")
    assert info.signature.inputs.to_dict() == [{"type": "string", "name": "text", "required": True}]
    assert info.signature.outputs.input_names() == ["label", "confidence", "probabilities"]
    assert info.metadata["labels"] == ["kitchen", "ship"]
    folder = Path(mlflow.artifacts.download_artifacts("models:/demo@challenger", dst_path=str(tmp_path)))
    trained_with = open_artifact(model, "model").producer["requirements"]
    assert set(backbones.FAMILIES["transformers"].requirements) == set(trained_with)
    pinned = dict(line.split("==") for line in (folder / "requirements.txt").read_text().splitlines())
    assert pinned == trained_with
    assert all("+" not in version for version in pinned.values())
    loaded = mlflow.pyfunc.load_model(str(folder))
    assert len(loaded.predict(loaded.input_example)) == 1


@pytest.mark.usefixtures("registry")
def test_what_the_model_refuses(pair_model: Path, tmp_path: Path) -> None:
    import mlflow.pyfunc
    import pandas as pd
    from mlflow.exceptions import MlflowException

    evaluation = write_evaluation(pair_model, tmp_path / "evaluation")
    register(pair_model, evaluation, tmp_path / "version", RegisterSettings("pairs"))
    loaded = mlflow.pyfunc.load_model("models:/pairs@challenger")
    frame = pd.DataFrame({"left": ["a pan", "a sail"], "right": ["an oven", "soup"], "number": [1, 2]})
    expected = predictor(pair_model).probabilities([("a pan", "an oven"), ("a sail", "soup")])
    found = loaded.predict(frame)
    np.testing.assert_allclose(np.array(found["probabilities"].tolist()), expected, atol=1e-6)
    assert loaded.predict(frame[:0]).shape == (0, 3)
    with pytest.raises(MlflowException, match="right"):
        loaded.predict(frame[["left"]])
    with pytest.raises(MlflowException, match="Row 1 of the column 'right' is no text but None"):
        loaded.unwrap_python_model().predict(None, frame.assign(right=pd.Series(["x", None], dtype=object)))
    with pytest.raises(MlflowException, match="has no column 'left'"):
        loaded.unwrap_python_model().predict(None, frame[["right"]])


def test_register_needs_no_torch(registry: str, model: Path, evaluation: Path, tmp_path: Path) -> None:
    folders = [f"--model={model}", f"--evaluation={evaluation}", f"--version={tmp_path / 'version'}"]
    done = subprocess.run(
        [sys.executable, "-c", REGISTER, "torch,kfp,safetensors,sklearn", *folders, "--name=demo"],
        cwd=tmp_path, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr
    assert "graft: register 100% · demo version 1" in done.stdout
    assert done.stderr == ""  # no chatter


def test_an_evaluation_of_another_model_is_refused(model: Path, other: Path, registry: str, tmp_path: Path) -> None:
    evaluation = write_evaluation(other, tmp_path / "evaluation")
    with pytest.raises(InputError, match="of another model"):
        register(model, evaluation, tmp_path / "version", DEMO)


@pytest.mark.parametrize("name", ["", " ", "a/b", "a:b", "a@b", "it's", ".."])
def test_a_name_that_cannot_be_one(name: str, model: Path, evaluation: Path, tmp_path: Path) -> None:
    with pytest.raises(InputError, match="cannot be a model's name"):
        register(model, evaluation, tmp_path / "version", RegisterSettings(name))


def test_without_an_address(model: Path, evaluation: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    monkeypatch.chdir(tmp_path)
    with pytest.raises(InputError, match="MLFLOW_TRACKING_URI is not set"):
        register(model, evaluation, tmp_path / "version", DEMO)
    assert list(tmp_path.iterdir()) == []


def test_a_registry_that_is_down(
    model: Path, evaluation: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"http://ada:secret@127.0.0.1:{free_port()}")
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "1")
    begun = time.monotonic()
    with pytest.raises(ServiceError, match="failed while logging the model") as caught:
        register(model, evaluation, tmp_path / "version", DEMO)
    assert time.monotonic() - begun < 30
    assert "secret" not in str(caught.value)
    assert not (tmp_path / "version").exists()


@pytest.mark.parametrize("status", [401, 403])
def test_wrong_credentials(
    status: int, model: Path, evaluation: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Refusing(http.server.BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_error(status)

        def log_message(self, *_: object) -> None:
            pass

    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Refusing) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        monkeypatch.setenv("MLFLOW_TRACKING_URI", f"http://ada:secret@127.0.0.1:{server.server_port}")
        with pytest.raises(InputError, match="refused these credentials") as caught:
            register(model, evaluation, tmp_path / "version", DEMO)
        server.shutdown()
    assert "secret" not in str(caught.value)
