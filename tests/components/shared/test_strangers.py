"""Backbones by strangers: refused before anything of theirs runs. What would run touches a file, the canary."""

import json
import pickle
import shutil
import struct
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file

from components.finetune.finetune import finetune
from components.finetune.settings import FinetuneSettings
from components.shared import backbones
from components.shared.errors import InputError
from components.transform.transform import TransformSettings, transform
from tests.backbones import make_timm_backbone
from tests.conftest import TRAINING, make_snapshot

pytestmark = pytest.mark.case(18)


class Evil:
    """What touches the canary when it is unpickled."""

    def __init__(self, canary: Path) -> None:
        self.canary = canary

    def __reduce__(self) -> tuple[Any, ...]:
        return Path.touch, (self.canary,)


@pytest.fixture
def canary(tmp_path: Path) -> Path:
    return tmp_path / "canary"


@pytest.fixture
def theirs(backbone: Path, tmp_path: Path) -> Path:
    """The folder of a backbone, to be made evil."""
    return shutil.copytree(backbone, tmp_path / "backbone")


def change(folder: Path, name: str = "config.json", **changes: Any) -> None:
    content = json.loads((folder / name).read_text())
    (folder / name).write_text(json.dumps({**content, **changes}))


def train(features: Path, folder: Path) -> None:
    settings = FinetuneSettings(str(folder), **{**TRAINING, "epochs": 1})
    finetune(features, folder.parent / "model", settings)


def refusal(features: Path, folder: Path) -> str:
    """Trains from a folder, which must be refused; returns how."""
    with pytest.raises(InputError) as caught:
        train(features, folder)
    assert not (folder.parent / "model").exists()
    return str(caught.value)


def shard(folder: Path, name: str) -> None:
    """Writes an index that names a file for every weight, beside safetensors that it does not name."""
    weights = load_file(folder / "model.safetensors")
    (folder / "model.safetensors").rename(folder / "model-x.safetensors")
    index = {"metadata": {}, "weight_map": dict.fromkeys(weights, name)}
    (folder / "model.safetensors.index.json").write_text(json.dumps(index))


def test_an_index_that_names_a_pickle(features: Path, theirs: Path, canary: Path) -> None:
    weights = load_file(theirs / "model.safetensors")
    torch.save({**weights, "evil": Evil(canary)}, theirs / "w.bin")
    shard(theirs, "w.bin")
    assert "names 'w.bin' as a file of weights; safetensors beside it" in refusal(features, theirs)
    assert not canary.exists()


@pytest.mark.parametrize("name", ["../../../../etc/passwd", "/etc/passwd", "sub/model-1.safetensors", "model.bin"])
def test_an_index_that_leads_elsewhere(features: Path, theirs: Path, name: str) -> None:
    shard(theirs, name)
    assert f"names '{name}' as a file of weights" in refusal(features, theirs)


def test_an_index_is_followed_where_it_names_safetensors(features: Path, theirs: Path) -> None:
    shard(theirs, "model-x.safetensors")
    train(features, theirs)
    (theirs / "model-x.safetensors").rename(theirs / "model-y.safetensors")
    shutil.rmtree(theirs.parent / "model")
    assert "has no file model-x.safetensors, which its model.safetensors.index.json names" in refusal(features, theirs)


def test_weights_that_are_a_pickle(features: Path, theirs: Path, canary: Path) -> None:
    (theirs / "model.safetensors").unlink()
    (theirs / "pytorch_model.bin").write_bytes(pickle.dumps(Evil(canary)))
    assert "has no safetensors. Older formats are pickles" in refusal(features, theirs)
    (theirs / "pytorch_model.bin").rename(theirs / "model.safetensors")
    assert "model.safetensors of" in refusal(features, theirs)
    assert not canary.exists()


@pytest.mark.parametrize("kind", ["bert", "theirs"])
def test_code_that_comes_with_a_model(features: Path, theirs: Path, canary: Path, kind: str) -> None:
    (theirs / "evil.py").write_text(f"import pathlib\npathlib.Path({str(canary)!r}).touch()\n")
    change(theirs, auto_map={"AutoConfig": "evil.Config", "AutoModel": "evil.Model"}, model_type=kind)
    if kind == "bert":
        train(features, theirs)
    else:
        assert "transformers knows no architecture 'theirs'" in refusal(features, theirs)
    assert not canary.exists()


@pytest.mark.parametrize(
    "told",
    [
        {"_attn_implementation": "evil/kernel"},
        {"attn_implementation": "evil/kernel@main:layer"},
        {"_experts_implementation": "evil/kernel"},
        {"quantization_config": {"quant_method": "gptq", "bits": 4}},
        {"transformers_weights": "pytorch_model.bin"},
    ],
    ids=lambda told: next(iter(told)),
)
def test_a_configuration_chooses_no_code(features: Path, theirs: Path, told: dict[str, Any]) -> None:
    """Attention code comes from the hub where the package `kernels` is installed; here it ended in a traceback."""
    change(theirs, **told)
    train(features, theirs)
    assert not told.keys() & json.loads((theirs.parent / "model/config.json").read_text()).keys()


def header(length: int, content: bytes = b"") -> bytes:
    return struct.pack("<Q", length) + content


@pytest.mark.parametrize(
    ("spoil", "message"),
    [
        (lambda content: content[:-100], "by its header"),
        (lambda content: b"", "it was cut off, or is none"),
        (lambda content: content[:500], "it was cut off"),
        (lambda content: header(2**62) + content[8:], "it was cut off, or is none"),
        (lambda content: header(200_000_000) + content[8:], "it was cut off, or is none"),
        (lambda content: header(50, b"{" * 50) + content, "its header cannot be read"),
        (lambda content: header(2, b"[]") + content, "its header cannot be read"),
        (lambda content: header(100_000, b"[" * 100_000), "its header cannot be read"),
    ],
)
def test_weights_that_are_damaged(features: Path, theirs: Path, spoil: Callable[[bytes], bytes], message: str) -> None:
    """A download that broke off, above all: a step that ends in a traceback is tried again."""
    file = theirs / "model.safetensors"
    file.write_bytes(spoil(file.read_bytes()))
    told = refusal(features, theirs)
    assert told.startswith("model.safetensors of")
    assert message in told


def test_offsets_that_overlap(features: Path, theirs: Path) -> None:
    content = (theirs / "model.safetensors").read_bytes()
    (length,) = struct.unpack("<Q", content[:8])
    told = json.loads(content[8 : 8 + length])
    names = [name for name in told if name != "__metadata__"]
    told[names[0]]["data_offsets"] = told[names[1]]["data_offsets"]
    text = json.dumps(told).encode()
    (theirs / "model.safetensors").write_bytes(header(len(text), text) + content[8 + length :])
    assert "cannot be built" in refusal(features, theirs)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("no JSON", "config.json of"),
        ("[1]", "it is no JSON object"),
        (40_000 * "[", "it is no JSON"),
        ('{"architecture": "hf-hub:evil/model"}', "a name that timm knows was expected"),
        ('{"architecture": 7}', "a name that timm knows was expected"),
    ],
)
def test_configurations_that_are_none(features: Path, theirs: Path, content: str, message: str) -> None:
    (theirs / "config.json").write_text(content)
    assert message in refusal(features, theirs)


@pytest.mark.parametrize("told", [{"num_attention_heads": 0}, {"hidden_size": -8}, {"vocab_size": "many"}])
def test_configurations_that_cannot_be_built(features: Path, theirs: Path, told: dict[str, Any]) -> None:
    change(theirs, **told)
    assert "cannot be built" in refusal(features, theirs)


@pytest.mark.parametrize("name", ["checkpoint_path", "pretrained_cfg_overlay"])
def test_timm_opens_no_other_file(tmp_path: Path, canary: Path, name: str) -> None:
    folder = make_timm_backbone("resnet10t", tmp_path / "timm")
    (folder / "evil.pth").write_bytes(pickle.dumps(Evil(canary)))
    told = json.loads((folder / "config.json").read_text()).get("model_args", {})
    change(folder, model_args={**told, name: str(folder / "evil.pth")})
    found = backbones.fetch(str(folder), tmp_path)
    with pytest.raises(ValueError, match=f"{name} would have timm open other files"):
        backbones.family("timm").from_backbone(found, "auto", ["a"])
    assert not canary.exists()


def pattern(folder: Path, regex: str) -> None:
    """Gives a tokenizer a rule."""
    split = {"type": "Split", "pattern": {"Regex": regex}, "behavior": "Isolated", "invert": False}
    change(folder, "tokenizer.json", pre_tokenizer=split)


def test_a_tokenizer_whose_rule_needs_endless_time(theirs: Path, tmp_path: Path) -> None:
    pattern(theirs, "(a+)+$")
    rows = [{"text": f"{number} {'ab'[number % 2]}", "label": "xy"[number % 2]} for number in range(60)]
    snapshot = make_snapshot(tmp_path, [*rows, {"text": f"{28 * 'a'}b", "label": "x"}], ["text"], "label")
    with pytest.raises(
        InputError, match=r"Example \w+ of the snapshot cannot be encoded: the backbone's tokenizer broke"
    ):
        transform(snapshot, tmp_path / "features", TransformSettings(str(theirs)))
    assert not (tmp_path / "features").exists()


@pytest.mark.parametrize("regex", ["(" * 100_000 + ")" * 100_000, "a{1,9999999}", "(?<=(a)*"])
def test_a_tokenizer_whose_rule_is_none(snapshot: Path, theirs: Path, tmp_path: Path, regex: str) -> None:
    pattern(theirs, regex)
    with pytest.raises(InputError, match="has no tokenizer that can be read"):
        transform(snapshot, tmp_path / "features", TransformSettings(str(theirs)))


def test_a_link_to_a_file_elsewhere_is_read_as_weights_alone(features: Path, theirs: Path, tmp_path: Path) -> None:
    (tmp_path / "secret").write_text("password " * 100)
    (theirs / "model.safetensors").unlink()
    (theirs / "model.safetensors").symlink_to(tmp_path / "secret")
    told = refusal(features, theirs)
    assert told.startswith("model.safetensors of")
    assert "password" not in told


def test_weights_of_all_kinds_of_numbers_are_taken(theirs: Path, tmp_path: Path) -> None:
    weights = {name: tensor.to(torch.bfloat16) for name, tensor in load_file(theirs / "model.safetensors").items()}
    save_file({**weights, "empty": torch.zeros(0)}, theirs / "model.safetensors", {"format": "pt"})
    assert backbones.fetch(str(theirs), tmp_path).family == "transformers"
