import json
import os
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from huggingface_hub import constants

from components.shared import backbones
from components.shared.errors import InputError, ServiceError
from tests.backbones import TEXT, make_text_backbone, make_timm_backbone
from tests.heads import head_for
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


def test_the_architecture_of_a_timm_model_needs_no_hub(hub: Any, tmp_path: Path) -> None:
    hub(f"http://127.0.0.1:{free_port()}")
    found = backbones.fetch("random:timm/resnet10t.c3_in1k", tmp_path / "scratch", args={"img_size": 32})
    assert (found.family, found.pretrained, dict(found.args)) == ("timm", False, {"img_size": 32})
    assert found.read_json("config.json") == {"architecture": "resnet10t"}


def test_a_timm_model_without_its_tag_is_the_one_that_timm_prefers(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked = []
    monkeypatch.setattr(backbones, "_fetch_from_hub", lambda name, _: asked.append(name) or make_timm_backbone(
        "resnet10t", tmp_path
    ))  # fmt: skip
    backbones.fetch("timm/vit_base_patch16_224", tmp_path)
    backbones.fetch("timm/vit_base_patch16_224.orig_in21k", tmp_path)
    assert asked == ["timm/vit_base_patch16_224.augreg2_in21k_ft_in1k", "timm/vit_base_patch16_224.orig_in21k"]


def test_timm_knows_the_same_names_as_this_table() -> None:
    """A new timm brings new names: GRAFT_RENEW_TIMM_NAMES=1 writes them."""
    import timm
    from timm.models import get_pretrained_cfg

    configurations = {name: get_pretrained_cfg(name) for name in timm.list_models()}
    names = {name: (config.hf_hub_id or None) if config else None for name, config in configurations.items()}
    if os.environ.get("GRAFT_RENEW_TIMM_NAMES"):
        file = Path(str(backbones.__file__)).with_name("timm_names.json")
        file.write_text(json.dumps(names, indent=0, sort_keys=True) + "\n")
    assert backbones.timm_names() == names


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("timm/resnet18s", "timm has no architecture 'resnet18s'. Did you mean 'resnet18'?"),
        ("timm/resnet.a1_in1k", "timm has no architecture 'resnet'."),
    ],
)
def test_a_timm_model_that_there_is_not(tmp_path: Path, name: str, message: str) -> None:
    with pytest.raises(InputError) as caught:
        backbones.fetch(name, tmp_path)
    assert message in str(caught.value)


def test_a_timm_model_without_weights_can_be_trained_from_scratch(tmp_path: Path) -> None:
    name = next(name for name, repository in backbones.timm_names().items() if repository is None)
    with pytest.raises(InputError, match=f"timm has no weights for '{name}'. Train it from scratch as random:timm/"):
        backbones.fetch(f"timm/{name}", tmp_path)
    assert not backbones.fetch(f"random:timm/{name}", tmp_path).pretrained


def test_random_keeps_the_architecture_and_needs_no_weights(backbone: Path, tmp_path: Path) -> None:
    (tmp_path / "config.json").write_text((backbone / "config.json").read_text())
    found = backbones.fetch(f"random:{tmp_path}", tmp_path)
    assert (found.family, found.pretrained, found.folder) == ("transformers", False, tmp_path)


def test_a_model_of_ours_is_verified_before_it_is_a_backbone(model: Path, tmp_path: Path) -> None:
    assert backbones.fetch(str(model), tmp_path).is_model
    damaged = shutil.copytree(model, tmp_path / "damaged")
    (damaged / "config.json").write_text("{}")
    with pytest.raises(InputError, match="config.json is not the file that was written"):
        backbones.fetch(str(damaged), tmp_path)


def test_how_a_decoder_and_modernbert_sum_up(tmp_path: Path) -> None:
    """A decoder's first token sees no other: its last one is taken. ModernBERT says it itself."""
    from components.shared.backbones.transformers import backbone_pooling

    kinds = {}
    for name in TEXT:
        found = backbones.fetch(str(make_text_backbone(name, tmp_path / name)), tmp_path)
        kinds[name] = backbone_pooling(
            backbones.family("transformers").from_backbone(found, "first", head_for(["a"])).encoder
        )
    assert {name for name, pooling in kinds.items() if pooling == "last"} == {"gpt2", "qwen2", "llama"}
    (tmp_path / "modernbert/config.json").write_text(json.dumps({"classifier_pooling": "mean"}))
    assert backbones.pooling_of(tmp_path / "modernbert") == "mean"


@pytest.mark.parametrize("name", ["gpt2", "bert"])
def test_padding_changes_nothing(name: str, tmp_path: Path) -> None:
    found = backbones.fetch(str(make_text_backbone(name, tmp_path / name)), tmp_path)
    kind = backbones.family("transformers")
    network = kind.from_backbone(found, "auto", head_for(["a", "b"])).eval()
    rows = [np.array([7, 8, 9]), np.arange(5, 25)]
    alone = kind.predict(network, {"input_ids": rows[:1]}, 0, 1)
    beside = kind.predict(network, {"input_ids": rows}, 0, 2)
    np.testing.assert_allclose(alone[0], beside[0], atol=1e-6)


def test_an_encoder_decoder_is_refused(tmp_path: Path) -> None:
    from transformers import T5Config

    T5Config(d_model=8, num_layers=1, num_heads=1, d_ff=8, d_kv=8, vocab_size=50).save_pretrained(tmp_path)
    found = backbones.fetch(f"random:{tmp_path}", tmp_path)
    with pytest.raises(ValueError, match="t5 is an encoder-decoder; an encoder or a decoder was expected"):
        backbones.family("transformers").from_backbone(found, "first", head_for(["a"]))


def test_weights_of_another_input_size_are_fitted(tmp_path: Path) -> None:
    """timm interpolates the positions: a ViT for 32 pixels goes on at 48."""
    folder = make_timm_backbone("vit_tiny_patch16_224", tmp_path / "vit")
    kind, networks = backbones.family("timm"), []
    for args in ({}, {"img_size": 48}):
        networks.append(kind.from_backbone(backbones.fetch(str(folder), tmp_path, args=args), "auto", head_for(["a"])))
    states = [network.encoder.state_dict() for network in networks]
    assert states[0]["pos_embed"].shape[1] == 17
    assert states[1]["pos_embed"].shape[1] == 37
    assert (states[0]["blocks.0.mlp.fc1.weight"] == states[1]["blocks.0.mlp.fc1.weight"]).all()


def test_weights_of_something_else_are_refused(tmp_path: Path) -> None:
    """Neither library says anything: the network would be a random one."""
    from safetensors.torch import load_file, save_file

    for kind, folder in (
        ("timm", make_timm_backbone("resnet10t", tmp_path / "timm")),
        ("transformers", make_text_backbone("bert", tmp_path / "bert")),
    ):
        weights = load_file(folder / "model.safetensors")
        renamed = {f"wrapped.{name}": tensor for name, tensor in weights.items()}
        save_file(renamed, folder / "model.safetensors", {"format": "pt"})
        with pytest.raises(ValueError, match="its weights do not fit its"):
            backbones.family(kind).from_backbone(backbones.fetch(str(folder), tmp_path), "first", head_for(["a"]))
    deeper = make_text_backbone("gpt2", tmp_path / "gpt2")
    found = backbones.fetch(str(deeper), tmp_path, args={"n_layer": 4})
    with pytest.raises(ValueError, match=r"24 are missing, such as h\.2"):
        backbones.family("transformers").from_backbone(found, "first", head_for(["a"]))
