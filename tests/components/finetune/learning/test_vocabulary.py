"""Of a vocabulary those tokens learn that are there; the network answers about all of them, and is saved whole."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import load_file
from torch import nn

from components.finetune.finetune import finetune
from components.finetune.learning.vocabulary import Narrowed, narrow, widen
from components.finetune.settings import FinetuneSettings
from components.shared import backbones
from components.shared.artifacts.artifact import open_artifact
from components.shared.artifacts.features import FeatureSplit
from components.shared.backbones.network import Network
from tests.backbones import TEXT, VISION, make_text_backbone, make_timm_backbone, make_vision_backbone
from tests.conftest import TRAINING
from tests.heads import head_for

SEEN = np.array([5, 7, 8, 11])


def network_of(folder: Path, family: str = "transformers") -> Network:
    backbone = backbones.fetch(str(folder), folder.parent / "fetched")
    torch.manual_seed(0)
    made: Network = backbones.family(family).from_backbone(backbone, "auto", head_for(["a", "b"]))
    return made


def batch_of(ids: list[list[int]]) -> dict[str, torch.Tensor]:
    input_ids = torch.tensor(ids)
    return {"input_ids": input_ids, "attention_mask": torch.ones_like(input_ids)}


def learn(network: Network, steps: int = 3) -> None:
    optimizer = torch.optim.AdamW(network.parameters(), lr=1e-2, weight_decay=0.1)
    network.train()
    for module in network.modules():
        if isinstance(module, nn.Dropout):
            module.p = 0.0
    for _ in range(steps):
        outputs = network(**batch_of([[5, 7, 8], [11, 5, 7]]))["logits"]
        nn.functional.cross_entropy(outputs, torch.tensor([0, 1])).backward()
        optimizer.step()
        optimizer.zero_grad()
    network.eval()


@pytest.mark.parametrize("kind", TEXT)
def test_what_is_there_learns_as_ever_and_all_else_stays(kind: str, tmp_path: Path) -> None:
    folder = make_text_backbone(kind, tmp_path / "backbone", hidden_dropout_prob=0.0, attention_probs_dropout_prob=0.0)
    whole, narrowed = network_of(folder), network_of(folder)
    before = {name: tensor.clone() for name, tensor in whole.state_dict().items()}
    narrow(narrowed, SEEN)
    others = batch_of([[5, 9, 14], [3, 4, 7]])
    whole.eval(), narrowed.eval()
    torch.testing.assert_close(narrowed(**others)["logits"], whole(**others)["logits"], rtol=0, atol=0)
    torch.manual_seed(1)
    learn(whole)
    torch.manual_seed(1)
    learn(narrowed)
    state = narrowed.state_dict()
    assert state.keys() == before.keys()
    (table,) = [name for name in before if before[name].shape[0] == whole.encoder.config.vocab_size]  # type: ignore[union-attr]
    learned = torch.zeros(len(before[table]), dtype=torch.bool)
    (own,) = [module for module in narrowed.modules() if isinstance(module, Narrowed)]
    learned[own.ids] = True
    assert set(own.ids.tolist()) - set(SEEN.tolist()) <= {0, 1}, "but for padding"
    torch.testing.assert_close(state[table][~learned], before[table][~learned], rtol=0, atol=0)
    assert not torch.equal(state[table][learned], before[table][learned])
    for name, tensor in whole.state_dict().items():
        ours, theirs = (state[name][learned], tensor[learned]) if name == table else (state[name], tensor)
        torch.testing.assert_close(ours, theirs, atol=1e-5, rtol=1e-4)
    answers = narrowed(**others)["logits"]
    widen(narrowed)
    assert not any(isinstance(module, Narrowed) for module in narrowed.modules())
    assert torch.equal(narrowed(**others)["logits"], answers)
    assert all(torch.equal(tensor, state[name]) for name, tensor in narrowed.state_dict().items())


def test_a_state_goes_from_one_to_the_other(tmp_path: Path) -> None:
    folder = make_text_backbone("bert", tmp_path / "backbone")
    whole, narrowed = network_of(folder), network_of(folder)
    learn(whole)
    narrow(narrowed, SEEN)
    told = narrowed.load_state_dict(whole.state_dict(), strict=False)
    assert not told.missing_keys
    assert not told.unexpected_keys
    seen = batch_of([[5, 7, 8], [11, 5, 7]])
    narrowed.eval()
    assert torch.equal(narrowed(**seen)["logits"], whole(**seen)["logits"])


def test_where_most_tokens_are_there_all_learn(tmp_path: Path) -> None:
    network = network_of(make_text_backbone("bert", tmp_path / "backbone"))
    narrow(network, np.arange(int(0.9 * network.encoder.config.vocab_size)))  # type: ignore[union-attr, operator]
    assert not any(isinstance(module, Narrowed) for module in network.modules())


@pytest.mark.parametrize("kind", ["resnet10t", "vit"])
def test_a_network_of_pictures_has_no_tokens(kind: str, tmp_path: Path) -> None:
    make: Any = make_vision_backbone if kind in VISION else make_timm_backbone
    network = network_of(make(kind, tmp_path / "backbone"), "transformers" if kind in VISION else "timm")
    narrow(network, SEEN)
    widen(network)
    assert not any(isinstance(module, Narrowed) for module in network.modules())


def test_training_leaves_what_no_example_has_as_it_was(features: Path, backbone: Path, tmp_path: Path) -> None:
    settings = {**TRAINING, "epochs": 1, "weight_decay": 0.5}
    finetune(features, tmp_path / "model", FinetuneSettings(str(backbone), **settings))
    name = "embeddings.word_embeddings.weight"
    before = load_file(backbone / "model.safetensors")[name]
    after = load_file(tmp_path / "model/model.safetensors")[f"encoder.{name}"]
    split = FeatureSplit(open_artifact(features, "features"), "train")
    seen = torch.zeros(len(before), dtype=torch.bool)
    seen[torch.from_numpy(split.tokens)] = True
    assert 0 < int(seen.sum()) < 0.8 * len(seen)
    assert (after[seen] != before[seen]).any(1).all()
    seen[0] = True  # padding, which only decays
    assert torch.equal(after[~seen], before[~seen])
