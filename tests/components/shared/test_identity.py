"""What tells that a backbone's name leads to other content than before."""

import json
import shutil
from pathlib import Path
from typing import Any

import pytest
from mlflow import MlflowClient

from components.shared import backbones
from components.shared.backbones.identity import identity
from components.shared.errors import InputError
from tests.components.shared.test_backbones import hub
from tests.servers import file_server

__all__ = ["hub"]


def touch(path: Path) -> None:
    with path.open("ab") as file:
        file.write(b"\n")


def test_of_a_folder_the_content_counts_and_not_the_place(backbone: Path, tmp_path: Path) -> None:
    other = Path(shutil.copytree(backbone, tmp_path / "other"))
    assert identity(str(other)) == identity(str(backbone))
    (other / "README.md").write_text("what nobody reads changes nothing")
    assert identity(str(other)) == identity(str(backbone))
    light = identity(str(other), weights=False)
    touch(other / "model.safetensors")
    assert identity(str(other)) != identity(str(backbone))
    assert identity(str(other), weights=False) == light == identity(f"random:{other}")
    touch(other / "tokenizer.json")
    assert identity(str(other), weights=False) != light


def test_of_a_model_that_graft_made_its_digest_counts(model: Path) -> None:
    digest = json.loads((model / "manifest.json").read_text())["digest"]
    assert identity(str(model)) == f"model {digest}"


def test_of_a_prefix_in_s3_etags_count_and_nothing_is_downloaded(s3: Any, backbone: Path) -> None:
    for file in backbone.iterdir():
        s3.upload_file(str(file), "bucket", f"tiny/{file.name}")
    before = identity("s3://bucket/tiny")
    s3.put_object(Bucket="bucket", Key="tiny/notes.txt", Body=b"what nobody reads")
    assert identity("s3://bucket/tiny") == before
    s3.put_object(Bucket="bucket", Key="tiny/model.safetensors", Body=b"other weights")
    assert identity("s3://bucket/tiny") != before


def test_of_the_hub_the_commit_counts_and_no_weights_are_downloaded(
    hub: Any,
    backbone: Path,
    tmp_path: Path,
) -> None:
    found = []
    for commit in ("c" * 40, "d" * 40):
        names = [file.name for file in backbone.iterdir()]
        info = {"id": "tiny/bert", "sha": commit, "siblings": [{"rfilename": name} for name in names]}
        tree = [{"type": "file", "path": name, "size": 1, "oid": "0" * 40} for name in names]
        answers: dict[str, Any] = {
            "/api/models/tiny/bert/revision/main": (200, {}, json.dumps(info).encode()),
            f"/api/models/tiny/bert/tree/{commit}": (200, {}, json.dumps(tree).encode()),
        }
        for name in ("config.json", "tokenizer.json"):
            headers = {"ETag": f'"{name}"', "X-Repo-Commit": commit}
            answers[f"/tiny/bert/resolve/{commit}/{name}"] = (200, headers, (backbone / name).read_bytes())
        with file_server(answers) as address:
            hub(address)
            found.append(identity("tiny/bert"))
    assert found == [f"commit {'c' * 40}", f"commit {'d' * 40}"]
    assert identity("tiny/bert") == found[1]  # the hub is away, and its cache has the last one


def test_of_the_registry_the_models_digest_counts_and_not_its_number(registry: str) -> None:
    """A model that was deleted and made anew counts from 1 again."""
    client = MlflowClient()

    def register(**tags: str) -> None:
        client.create_registered_model("topics")
        client.create_model_version("topics", "somewhere", tags=tags)
        client.set_registered_model_alias("topics", "champion", "1")

    register(model_digest="abc")
    assert identity("models:/topics/1") == identity("models:/topics@champion") == "model abc"
    client.delete_registered_model("topics")
    register(model_digest="def")
    assert identity("models:/topics/1") == "model def"
    client.delete_registered_model("topics")
    register()  # not by graft
    assert identity("models:/topics/1").startswith("version of 20")


def test_what_is_not_there_has_none(registry: str) -> None:
    for name in ("./nowhere", "models:/nobody@champion"):
        with pytest.raises(InputError):
            identity(name)


def test_an_architecture_of_timm_is_its_name() -> None:
    assert identity("random:timm/resnet10t") == identity("random:timm/resnet10t")
    assert identity("random:timm/resnet10t") != identity("random:timm/resnet18")
    assert backbones.wanted(weights=False) < backbones.wanted(weights=True)
