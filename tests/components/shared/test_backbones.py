import json
from pathlib import Path
from typing import Any

import pytest
from huggingface_hub import constants

from components.shared import backbones
from components.shared.errors import InputError, ServiceError
from tests.servers import file_server, free_port


@pytest.fixture
def hub(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Any:
    """Leads the hub's client to another address, with a cache of its own."""

    def lead(address: str) -> None:
        monkeypatch.setattr(constants, "ENDPOINT", address)
        monkeypatch.setattr(
            constants, "HUGGINGFACE_CO_URL_TEMPLATE", address + "/{repo_id}/resolve/{revision}/{filename}"
        )
        monkeypatch.setattr(constants, "HF_HUB_OFFLINE", False)
        monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path / "cache"))

    return lead


def test_a_path_is_taken_as_it_is(backbone: Path, tmp_path: Path) -> None:
    assert backbones.fetch(str(backbone), tmp_path).folder == backbone


def test_a_prefix_in_s3_is_downloaded(s3: Any, backbone: Path, tmp_path: Path) -> None:
    for file in backbone.iterdir():
        s3.upload_file(str(file), "bucket", f"models/tiny/{file.name}")
    s3.put_object(Bucket="bucket", Key="models/tiny/pytorch_model.bin", Body=b"a pickle")
    folder = backbones.fetch("s3://bucket/models/tiny", tmp_path / "scratch").folder
    assert {file.name for file in folder.iterdir()} == {file.name for file in backbone.iterdir()}
    light = backbones.fetch("s3://bucket/models/tiny", tmp_path / "light", weights=False).folder
    assert {file.name for file in light.iterdir()} == {"config.json", "tokenizer.json"}


def test_a_path_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="There is no backbone at './nowhere'"):
        backbones.fetch("./nowhere", tmp_path)


def test_pickled_weights_are_not_opened(tmp_path: Path) -> None:
    (tmp_path / "config.json").write_text("{}")
    (tmp_path / "pytorch_model.bin").write_bytes(b"pickle")
    with pytest.raises(InputError, match="has no safetensors. Older formats are pickles"):
        backbones.fetch(str(tmp_path), tmp_path)


def test_a_folder_that_is_no_backbone(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="it has no config.json"):
        backbones.fetch(str(tmp_path), tmp_path)


def test_a_name_that_the_hub_does_not_know(hub: Any, tmp_path: Path) -> None:
    unknown = (401, {"X-Error-Code": "RepoNotFound", "X-Error-Message": "Repository not found"}, b"{}")
    with file_server({"/api/models/no/such/revision/main": unknown}) as address:
        hub(address)
        with pytest.raises(InputError, match="There is no backbone 'no/such'"):
            backbones.fetch("no/such", tmp_path)


def test_a_name_that_the_hub_knows_is_downloaded(hub: Any, backbone: Path, tmp_path: Path) -> None:
    commit = "c" * 40
    names = [file.name for file in backbone.iterdir()] + ["pytorch_model.bin"]
    info = {"id": "tiny/bert", "sha": commit, "siblings": [{"rfilename": name} for name in names]}
    tree = [{"type": "file", "path": name, "size": 1, "oid": "0" * 40} for name in names]
    answers: dict[str, Any] = {
        "/api/models/tiny/bert/revision/main": (200, {}, json.dumps(info).encode()),
        f"/api/models/tiny/bert/tree/{commit}": (200, {}, json.dumps(tree).encode()),
    }
    for file in backbone.iterdir():
        headers = {"ETag": f'"{file.name}"', "X-Repo-Commit": commit}
        answers[f"/tiny/bert/resolve/{commit}/{file.name}"] = (200, headers, file.read_bytes())
    with file_server(answers) as address:
        hub(address)
        folder = backbones.fetch("tiny/bert", tmp_path).folder
    assert (folder / "model.safetensors").read_bytes() == (backbone / "model.safetensors").read_bytes()
    assert not (folder / "pytorch_model.bin").exists()


def test_a_hub_out_of_reach(hub: Any, tmp_path: Path) -> None:
    hub(f"http://127.0.0.1:{free_port()}")
    with pytest.raises(ServiceError, match="The hub did not answer for 'google-bert/bert-base-uncased'"):
        backbones.fetch("google-bert/bert-base-uncased", tmp_path)


@pytest.mark.parametrize(
    ("told", "pooling"),
    [
        ({"pooling_mode_mean_tokens": True, "pooling_mode_cls_token": False}, "mean"),
        ({"pooling_mode": "mean"}, "mean"),
        ({"pooling_mode_mean_tokens": False, "pooling_mode_cls_token": True}, "first"),
        ({"pooling_mode_lasttoken": True}, "last"),
        (None, None),
    ],
)
def test_pooling_follows_what_the_backbone_was_trained_with(tmp_path: Path, told: Any, pooling: str) -> None:
    if told is not None:
        (tmp_path / "1_Pooling").mkdir()
        (tmp_path / "1_Pooling/config.json").write_text(json.dumps(told))
    assert backbones.pooling_of(tmp_path) == pooling
