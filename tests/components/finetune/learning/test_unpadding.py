"""Texts without padding: the same answers and gradients; a network that cannot is told of, and keeps its padding."""

import contextlib
import dataclasses
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from components.finetune.finetune import finetune
from components.finetune.learning import unpadding
from components.finetune.learning.anatomy import anatomy_of
from components.finetune.learning.unpadding import Layout, Way, grain_of, layout_of, unpadder_of
from components.finetune.settings import FinetuneSettings
from components.shared.backbones.network import Network
from tests.backbones import TEXT, forget_dropout, make_text_backbone
from tests.components.finetune.learning.test_vocabulary import network_of
from tests.conftest import TRAINING

LENGTHS = np.array([30, 4, 1, 17])
WITHOUT = [kind for kind in TEXT if kind != "deberta-v2"]


@dataclasses.dataclass
class Texts:
    """Drawn texts, as much like `Examples` as is asked for."""

    lengths: np.ndarray
    padding: int = 0
    device: torch.device = torch.device("cpu")

    def __len__(self) -> int:
        return len(self.lengths)

    def batch(self, indices: np.ndarray) -> dict[str, Tensor]:
        lengths = self.lengths[indices]
        mask = np.arange(lengths.max()) < lengths[:, None]
        ids = np.random.default_rng(3).integers(5, 20, (len(self.lengths), self.lengths.max()))[indices]
        ids = np.where(mask, ids[:, : lengths.max()], self.padding)
        return {"input_ids": torch.from_numpy(ids), "attention_mask": torch.from_numpy(mask.astype(np.int64))}


def made(kind: str, folder: Path) -> Network:
    options = {"hidden_dropout_prob": 0.0, "attention_probs_dropout_prob": 0.0}
    network = network_of(make_text_backbone(kind, folder / "backbone", **options)).train()
    forget_dropout(network)
    return network


def gradients(network: Network, outputs: dict[str, Tensor]) -> list[Tensor]:
    network.zero_grad()
    outputs["logits"].square().sum().backward()  # type: ignore[no-untyped-call]
    return [outputs["logits"].detach(), *(p.grad.clone() for p in network.parameters() if p.grad is not None)]


@pytest.mark.parametrize("few_shapes", [False, True])
@pytest.mark.parametrize("kind", WITHOUT)
def test_answers_and_gradients_are_those_with_padding(kind: str, few_shapes: bool, tmp_path: Path) -> None:
    network, texts = made(kind, tmp_path), Texts(LENGTHS, TEXT[kind].get("pad_token_id") or 0)
    everything: Any = texts
    anatomy = anatomy_of(network, texts.batch(np.arange(4)))
    unpadder, reason = unpadder_of(network, anatomy, everything, contextlib.nullcontext)
    assert (unpadder is not None, reason) == (True, "")
    way, batch = Way(unpadder, few_shapes), texts.batch(np.arange(4))
    laid = way.laid(batch, everything, np.arange(4), learns=True)
    seen: list[torch.Size] = []
    hook = anatomy.blocks[1].register_forward_pre_hook(
        lambda _, given, named: seen.append((*given, named.get("hidden_states"))[0].shape), with_kwargs=True
    )
    with way.entered(laid) as features:
        ours = gradients(network, network(**features))
    hook.remove()
    padded = gradients(network, network(**batch))
    torch.testing.assert_close(ours, padded, atol=1e-5, rtol=1e-4)
    assert network.encoder.config._attn_implementation == "sdpa"  # type: ignore[union-attr, operator]
    assert seen[0][:2] == (1, 56 if few_shapes else LENGTHS.sum())


def test_a_network_with_an_attention_of_its_own_keeps_its_padding(tmp_path: Path) -> None:
    network, texts = made("deberta-v2", tmp_path), Texts(LENGTHS)
    everything: Any = texts
    anatomy = anatomy_of(network, texts.batch(np.arange(4)))
    assert unpadder_of(network, anatomy, everything, contextlib.nullcontext) == (None, "its attention is its own")


def test_texts_that_see_each_other_are_noticed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    network, texts = made("bert", tmp_path), Texts(LENGTHS)
    everything: Any = texts
    anatomy = anatomy_of(network, texts.batch(np.arange(4)))
    monkeypatch.setattr(Layout, "mask", lambda *_: None)
    found, reason = unpadder_of(network, anatomy, everything, contextlib.nullcontext)
    assert found is None
    assert reason.startswith("without it answers differ by ")


def test_a_block_that_takes_nothing_more_is_told(tmp_path: Path) -> None:
    network, texts = made("bert", tmp_path), Texts(LENGTHS)
    everything: Any = texts
    anatomy = anatomy_of(network, texts.batch(np.arange(4)))
    own = anatomy.blocks[1].forward
    anatomy.blocks[1].forward = lambda hidden_states, *_, **named: own(hidden_states) if not named else 1 / 0
    found, reason = unpadder_of(network, anatomy, everything, contextlib.nullcontext)
    assert (found, reason) == (None, "its blocks take no others (division by zero)")
    assert network.training
    assert network.encoder.config._attn_implementation == "sdpa"  # type: ignore[union-attr, operator]


@pytest.mark.parametrize("lengths", [[1], [5, 5, 5], [30, 4, 1, 17], [64] * 32, list(range(1, 60))])
def test_filler_is_told_as_short_texts_of_which_there_are_always_as_many(lengths: list[int]) -> None:
    longest, count = max(lengths), sum(lengths)
    grain = grain_of(count)
    made = layout_of(np.array(lengths), longest, grain)
    starts, places = made["token_starts"].numpy(), made["token_places"].numpy()
    assert len(places) == starts[-1] == count + -count % grain
    assert np.diff(starts)[: len(lengths)].tolist() == lengths
    assert 0 <= np.diff(starts).min() <= np.diff(starts).max() <= longest
    assert len(starts) == len(lengths) + 1 + -(-(grain - 1) // longest)
    assert len(set(places[:count].tolist())) == count
    assert (places[count:] == longest * len(lengths)).all()


def test_flash_attention_is_asked_as_torch_takes_it() -> None:
    parts = [torch.empty(56, 2, 16, dtype=torch.bfloat16, device="meta", requires_grad=True) for _ in range(3)]
    starts = torch.empty(5, dtype=torch.int32, device="meta")
    layout = Layout(torch.empty(56, dtype=torch.int64, device="meta"), starts, 4, 30)
    for causal, window in ((False, None), (True, None), (False, 9), (True, 9)):
        made = unpadding._flash(parts, layout, 0.1, 0.25, causal, window)
        assert made.shape == (56, 2, 16)
        made.sum().backward()  # type: ignore[no-untyped-call]


@pytest.mark.parametrize("strategy", ["full", "partial", "lora"])
def test_a_training_without_padding_is_the_one_with_it(
    strategy: str, features: Path, backbone: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(unpadding, "_WORTH", 0.0)
    went: list[int] = []
    own = unpadding.Unpadder.without
    monkeypatch.setattr(unpadding.Unpadder, "without", lambda *args: went.append(1) or own(*args))
    plain = {"hidden_dropout_prob": 0.0, "attention_probs_dropout_prob": 0.0}
    found = []
    for switch in ("auto", "false"):
        went.clear()
        settings = {**TRAINING, "epochs": 2, "strategy": strategy, "precision": "float32", "lexical": "false"}
        finetune(
            features,
            tmp_path / switch,
            FinetuneSettings(str(backbone), backbone_args=plain, unpadding=switch, **settings),
        )
        history = json.loads((tmp_path / switch / "notes/history.json").read_text("utf-8"))
        found.append([entry["train_loss"] for entry in history["epochs"]])
        assert bool(went) == (switch == "auto")
    assert found[0] == pytest.approx(found[1], rel=1e-3)


def test_rows_of_pictures_are_left_alone() -> None:
    batch = {"pixels": torch.zeros(2, 8, 8, 3, dtype=torch.uint8)}
    nothing: Any = None
    assert Way(few_shapes=True).laid(batch, nothing, np.arange(2), learns=True) is batch
