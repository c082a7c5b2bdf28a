import json
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest

from components.register.register import RegisterSettings, register
from components.shared import backbones, prediction
from components.shared.artifacts.artifact import content_digest, sha256
from components.shared.errors import InputError
from components.shared.registry import registry as models
from components.shared.registry import tracking
from tests.components.register.evaluations import write_evaluation
from tests.components.register.image_models import picture, write_image_model


@pytest.fixture(scope="module")
def registered(model: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The name of a registered model: one version, challenger."""
    folder = tmp_path_factory.mktemp("registry")
    evaluation = write_evaluation(model, folder / "evaluation")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("MLFLOW_TRACKING_URI", f"sqlite:///{folder}/mlflow.db")
        register(model, evaluation, folder / "version", RegisterSettings("boats"))
        yield "boats"


def test_what_the_registry_holds(registered: str) -> None:
    (summary,) = models.list_models()
    assert (summary.name, summary.versions, summary.aliases) == (registered, 1, {"challenger": "1"})
    assert (summary.metrics, summary.verdict) == ({"accuracy": 0.9, "macro_f1": 0.89}, "better")
    (version,) = models.show_model(registered)
    assert (version.model, version.version, version.aliases) == (registered, "1", ["challenger"])
    assert version.created.endswith("Z")


def test_the_champion_goes_before_the_challenger(registered: str) -> None:
    assert models.resolve("boats") == "models:/boats/1"  # the challenger: there is no champion yet
    client = tracking.client()
    version = client.get_model_version(registered, "1")
    client.create_model_version(registered, version.source, version.run_id)
    client.set_registered_model_alias(registered, "champion", "2")
    assert models.resolve("boats") == models.resolve("boats@champion") == "models:/boats/2"
    assert models.resolve("boats@challenger") == models.resolve("models:/boats@challenger") == "models:/boats/1"
    assert models.resolve("boats/1") == "models:/boats/1"
    assert models.list_models()[0].metrics == {}  # those of the champion, made by hand
    client.delete_model_version(registered, "2")


def test_predicting_with_a_version_or_with_the_artifact(registered: str, model: Path) -> None:
    rows = [("the old oven near some soup",), ("a mast by the harbour",), ("",)]
    from_registry, from_artifact = prediction.load(registered), prediction.load(str(model))
    assert from_registry.inputs == from_artifact.inputs == ["text"]
    assert from_registry.input_type == from_artifact.input_type == pa.string()
    np.testing.assert_allclose(from_registry.probabilities(rows), from_artifact.probabilities(rows), atol=1e-6)
    told = from_registry.predict(rows)
    assert [row["label"] for row in told[:2]] == ["kitchen", "ship"]
    assert told[0]["confidence"] == told[0]["probabilities"]["kitchen"] > 0.5
    assert from_registry.predict([]) == from_artifact.predict([]) == []


@pytest.mark.usefixtures("registry")
def test_predicting_images(tmp_path: Path) -> None:
    model = write_image_model(tmp_path / "model")
    register(model, write_evaluation(model, tmp_path / "evaluation"), tmp_path / "version", RegisterSettings("shades"))
    (tmp_path / "light.png").write_bytes(picture(220))
    for loaded in (prediction.load("shades"), prediction.load(str(model))):
        assert (loaded.inputs, loaded.input_type) == (["image"], pa.binary())
        found = loaded.predict([(picture(30),), (str(tmp_path / "light.png"),)])
        assert [row["label"] for row in found] == ["dark", "light"]
        with pytest.raises(InputError, match="no image that can be read: truncated file"):
            loaded.predict([(picture(30)[:-900],)])


@pytest.mark.parametrize("name", ["models:/boats@challenger", "models:/boats/1", "models:/boats"])
def test_downloading_files_of_a_version(name: str, registered: str, model: Path, tmp_path: Path) -> None:
    folder = models.download(name, tmp_path / "some" / "where", ["config.json", "model.json", "tokenizer*.json"])
    assert {file.name for file in folder.rglob("*")} == {"config.json", "model.json", "tokenizer.json"}
    assert models.download(name, folder, ["*"]) == folder == tmp_path / "some" / "where"
    written = {file.relative_to(model): file.read_bytes() for file in model.rglob("*") if file.is_file()}
    assert {file.relative_to(folder): file.read_bytes() for file in folder.rglob("*") if file.is_file()} == written
    assert registered == "boats"


def test_a_registered_model_is_a_backbone(registered: str, tmp_path: Path) -> None:
    light = backbones.fetch(f"models:/{registered}@challenger", tmp_path / "light", weights=False)
    assert light.is_model
    assert not list(light.folder.glob("*.safetensors"))
    whole = backbones.fetch(f"models:/{registered}@challenger", tmp_path / "whole")
    assert (whole.family, whole.pretrained) == ("transformers", True)
    assert (whole.folder / "model.safetensors").exists()


CANARY = "import pathlib; pathlib.Path({place!r}).touch()\n"


@pytest.fixture
def stored(model: Path, registry: str, tmp_path: Path) -> Path:
    """The folder of a registered model in the artifact store, which anybody may write to who can write the bucket."""
    evaluation = write_evaluation(model, tmp_path / "evaluation")
    register(model, evaluation, tmp_path / "version", RegisterSettings("boats"))
    assert registry
    folder = next(tmp_path.rglob("mlflow-artifacts/**/MLmodel")).parent
    for file in folder.rglob("model/*"):  # one with the model that was trained, which other tests need as it is
        if file.is_file():
            content = file.read_bytes()
            file.unlink()
            file.write_bytes(content)
    return folder


@pytest.mark.case(18)
def test_no_code_that_lies_in_the_registry_is_run(stored: Path, tmp_path: Path) -> None:
    for file in stored.rglob("*.py"):
        file.write_text(CANARY.format(place=str(tmp_path / "canary")) + file.read_text())
    assert list(stored.rglob("*.py"))
    assert prediction.load("boats").predict([("a mast by the harbour",)])[0]["label"] == "ship"
    assert not (tmp_path / "canary").exists()


@pytest.mark.case(18)
def test_neither_is_that_of_a_model_by_somebody_else(registry: str, tmp_path: Path) -> None:
    import mlflow

    code = tmp_path / "evil.py"
    code.write_text(
        CANARY.format(place=str(tmp_path / "canary"))
        + "from mlflow.models import set_model\nfrom mlflow.pyfunc import PythonModel\n"
        "class Evil(PythonModel):\n    def predict(self, context, model_input, params=None): return []\n"
        "set_model(Evil())\n"
    )
    mlflow.pyfunc.save_model(tmp_path / "evil", python_model=code, pip_requirements=[])
    (tmp_path / "canary").unlink()  # by the one who wrote the model
    client = tracking.client()
    client.create_registered_model("evil")
    for tags in ({}, {"model_digest": 64 * "0"}):
        client.create_model_version("evil", (tmp_path / "evil").as_uri(), tags=tags)
    with pytest.raises(InputError, match="evil/1 was not registered by graft: it has no tag model_digest"):
        prediction.load("evil/1")
    with pytest.raises(InputError, match="evil/2 was not registered by graft: .* not laid out as graft does"):
        prediction.load("evil/2")
    assert not (tmp_path / "canary").exists()
    assert registry


@pytest.mark.case(6, 18)
@pytest.mark.parametrize("also", [(), ("manifest",), ("manifest", "digest")])
def test_weights_that_were_changed_in_the_store_are_not_used(stored: Path, tmp_path: Path, also: tuple[str]) -> None:
    """Neither to predict with nor to train from, even if somebody made the manifest fit them."""
    (weights,) = stored.rglob("model.safetensors")
    content = bytearray(weights.read_bytes())
    content[-3] ^= 1
    weights.write_bytes(content)
    file = weights.with_name("manifest.json")
    manifest = json.loads(file.read_text())
    if "manifest" in also:
        manifest["files"]["model.safetensors"]["sha256"] = sha256(weights)
    if "digest" in also:
        manifest["digest"] = content_digest("model", manifest["files"])
    file.write_text(json.dumps(manifest))
    with pytest.raises(InputError, match="boats/1 is not what was registered: .* changed or damaged"):
        prediction.load("boats")
    with pytest.raises(InputError, match="boats/1 is not what was registered"):
        backbones.fetch("models:/boats@challenger", tmp_path / "whole")
    assert not (tmp_path / "whole/model.safetensors").exists()


@pytest.mark.case(18)
def test_a_manifest_in_the_registry_leads_nowhere_else(stored: Path, tmp_path: Path) -> None:
    (file,) = stored.rglob("model/manifest.json")
    manifest = json.loads(file.read_text())
    (file.parent / "../outside").write_text("x")
    manifest["files"]["notes/../../outside"] = {"sha256": sha256(file.parent / "../outside"), "size": 1}
    file.write_text(json.dumps(manifest))
    with pytest.raises(InputError, match="leads out of its folder"):
        models.download("boats", tmp_path / "files", ["*"])


def test_a_version_of_something_else(registered: str, tmp_path: Path) -> None:
    (tmp_path / "MLmodel").write_text("flavors: {}\nmodel_uuid: 1\nutc_time_created: 2026-01-01\n")
    client = tracking.client()
    client.create_registered_model("other")
    client.create_model_version("other", tmp_path.as_uri())
    with pytest.raises(InputError, match="was not registered by graft"):
        models.download("models:/other/1", tmp_path / "files", ["*"])
    client.delete_registered_model("other")
    assert registered == "boats"


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ("boat", "no model 'boat'; there are 'boats'. Did you mean 'boats'?"),
        ("boats@challenge", "no alias 'challenge'; .* Did you mean 'challenger'?"),
        ("boats@champion", "it has aliases 'challenger' and versions '1'"),
        ("boats/7", "no version '7'; it has '1'"),
        ("boats@", "boats@champion or boats/1 was expected"),
        ("./boats", "A model was expected at boats"),
    ],
)
@pytest.mark.usefixtures("registered")
def test_what_is_not_there(wrong: str, message: str) -> None:
    with pytest.raises(InputError, match=message):
        prediction.load(wrong)


def test_nothing_is_downloaded_of_what_is_not_there(registered: str, tmp_path: Path) -> None:
    with pytest.raises(InputError, match="has no alias 'champion'"):
        models.download(f"models:/{registered}@champion", tmp_path / "files", ["*"])
    assert not list(tmp_path.iterdir())


def test_an_empty_registry(registry: str) -> None:
    assert models.list_models() == []
    with pytest.raises(InputError, match="it has none yet"):
        models.show_model("boats")
