"""Dropout and attention on a CPU: the same as torch's own, to rounding; what is dropped is dropped by chance alone."""

from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor
from torch.nn import functional

from components.finetune.finetune import finetune
from components.finetune.learning import kernels as fast
from components.finetune.learning.kernels import keep, kernels
from components.finetune.settings import FinetuneSettings
from tests.backbones import TEXT, VISION, forget_dropout, make_text_backbone, make_vision_backbone
from tests.conftest import TRAINING

CPU = torch.device("cpu")


def vectors(dtype: torch.dtype = torch.float64) -> list[Tensor]:
    torch.manual_seed(0)
    return [torch.randn(2, 3, 7, 8, dtype=dtype, requires_grad=True) for _ in range(3)]


def padding() -> Tensor:
    mask = torch.ones(2, 1, 7, 7, dtype=torch.bool)
    mask[1, ..., 5:] = False
    return mask


MASKS = {
    "none": None,
    "padding": padding(),
    "added": torch.zeros(2, 1, 7, 7, dtype=torch.float64).masked_fill(~padding(), -torch.inf),
}


@pytest.mark.parametrize("mask", MASKS)
@pytest.mark.parametrize("scale", [None, 0.3])
def test_attention_and_its_gradients_are_torchs(mask: str, scale: float | None) -> None:
    parts, told = vectors(), MASKS[mask]
    with kernels(CPU):
        ours = functional.scaled_dot_product_attention(*parts, told, scale=scale)
    assert "_Attention" in type(ours.grad_fn).__name__
    theirs = functional.scaled_dot_product_attention(*parts, told, scale=scale)
    torch.testing.assert_close(ours, theirs)
    of_ours, of_theirs = (torch.autograd.grad(made.square().sum(), parts) for made in (ours, theirs))
    torch.testing.assert_close(of_ours, of_theirs)


def test_the_gradient_with_dropout_is_that_of_what_was_computed() -> None:
    def attend(*parts: Tensor) -> Tensor:
        torch.manual_seed(3)  # what is dropped is the same each time
        with kernels(CPU):
            return functional.scaled_dot_product_attention(*parts, padding(), 0.3)

    assert torch.autograd.gradcheck(attend, vectors())


@pytest.mark.parametrize("p", [0.1, 0.5, 1 / 65536])
def test_what_is_dropped_is_as_many_as_was_asked_for(p: float) -> None:
    torch.manual_seed(0)
    count = 4_000_000
    factor = keep(torch.Size((count,)), p, torch.float32)
    dropped = float((factor == 0).float().mean())
    assert abs(dropped - p) < 5 * (p * (1 - p) / count) ** 0.5 + 1e-5
    assert factor.max() == pytest.approx(1 / (1 - p), rel=1e-4)
    neighbours = factor.view(-1, 4)  # of one drawn number
    both = float(((neighbours[:, 0] == 0) & (neighbours[:, 1] == 0)).float().mean())
    assert abs(both - p * p) < 5 * (p * p / count * 4) ** 0.5 + 1e-5


def test_it_is_torchs_seed_that_decides_and_its_state_that_goes_on() -> None:
    def draw() -> Tensor:
        with kernels(CPU):
            return functional.dropout(torch.ones(3, 50), 0.5)

    torch.manual_seed(1)
    first, state, second = draw(), torch.random.get_rng_state(), draw()
    assert not torch.equal(first, second)
    torch.manual_seed(1)
    assert torch.equal(first, draw())
    torch.random.set_rng_state(state)
    assert torch.equal(second, draw())


@pytest.mark.parametrize("p", [0.0, 1.0])
def test_nothing_and_everything_can_be_dropped(p: float) -> None:
    values = torch.ones(4, 4)
    with kernels(CPU):
        assert torch.equal(functional.dropout(values, p), values * (1 - p))
        assert torch.equal(functional.dropout(values, 0.5, training=False), values)
        assert functional.dropout(torch.zeros(0, 4), 0.5).shape == (0, 4)


def test_a_row_with_nothing_to_look_at_is_a_number() -> None:
    parts = vectors(torch.float32)
    with kernels(CPU):
        made = functional.scaled_dot_product_attention(*parts, torch.zeros(2, 1, 7, 7, dtype=torch.bool), 0.1)
    made.sum().backward()  # type: ignore[no-untyped-call]
    assert all(torch.isfinite(part).all() for part in (made, *(part.grad for part in parts)))  # type: ignore[arg-type]


def test_under_autocast_it_computes_in_bfloat16() -> None:
    with torch.autocast("cpu", torch.bfloat16), kernels(CPU):
        made = functional.scaled_dot_product_attention(*vectors(torch.float32), padding(), 0.1)
    assert made.dtype == torch.bfloat16
    exact = functional.scaled_dot_product_attention(*vectors(torch.float32), padding())
    with torch.autocast("cpu", torch.bfloat16), kernels(CPU):
        near = functional.scaled_dot_product_attention(*vectors(torch.float32), padding())
    torch.testing.assert_close(near.float(), exact, atol=0.05, rtol=0.05)


@pytest.mark.parametrize("kind", [*TEXT, "vit"])
def test_networks_learn_the_same(kind: str, tmp_path: Path) -> None:
    from transformers import AutoModel

    make: Any = make_vision_backbone if kind in VISION else make_text_backbone
    network = AutoModel.from_pretrained(make(kind, tmp_path)).train()
    forget_dropout(network)
    batch: dict[str, Tensor] = {"pixel_values": torch.rand(2, 3, 32, 32)}
    if kind in TEXT:
        mask = torch.ones(2, 9, dtype=torch.int64)
        mask[1, 6:] = 0
        batch = {"input_ids": torch.arange(18).view(2, 9) % 20 + 5, "attention_mask": mask}
    found = []
    for context in (kernels(CPU), kernels(torch.device("meta"))):
        network.zero_grad()
        with context:
            states = network(**batch).last_hidden_state
        seen = states * batch["attention_mask"].unsqueeze(-1) if kind in TEXT else states
        seen.square().mean().backward()
        found.append([seen.detach(), *(p.grad for p in network.parameters() if p.grad is not None)])
    torch.testing.assert_close(found[0], found[1], atol=1e-5, rtol=1e-4)


def test_training_goes_through_them(
    features: Path, backbone: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    went: list[str] = []

    def noted(name: str) -> None:
        own = getattr(fast, name)
        monkeypatch.setattr(fast, name, lambda *args, **kwargs: went.append(name) or own(*args, **kwargs))

    noted("_dropout")
    noted("_attention")
    finetune(features, tmp_path / "model", FinetuneSettings(str(backbone), **{**TRAINING, "epochs": 1}))
    assert {"_dropout", "_attention"} <= set(went)
