"""What a network is computed in, and how it lies in memory."""

import pytest
import torch
from torch import nn

from components.finetune.learning import device as devices
from components.finetune.learning.device import lay_out, precision_of

CPU = torch.device("cpu")
WHOLE = nn.Sequential(nn.Conv2d(3, 8, 3), nn.Conv2d(8, 8, 3))
BY_CHANNEL = nn.Sequential(nn.Conv2d(3, 8, 3), nn.Conv2d(8, 8, 3, groups=8), nn.BatchNorm2d(8))
OTHER_NORMS = nn.Sequential(nn.Conv2d(3, 8, 3), nn.Conv2d(8, 8, 3, groups=8), nn.GroupNorm(1, 8))
IN_GROUPS = nn.Sequential(nn.Conv2d(3, 8, 3), nn.Conv2d(8, 8, 3, groups=2), nn.BatchNorm2d(8))
TRANSFORMER = nn.Sequential(nn.Conv2d(3, 8, 16, 16), nn.Linear(8, 8))


@pytest.mark.parametrize("has", [{"avx512_bf16": True}, {"amx_bf16": True}, {}])
def test_a_cpu_computes_in_bfloat16_where_it_has_units_and_the_network_gains(
    has: dict[str, bool], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(devices.torch.cpu, "get_capabilities", lambda: has)
    expected = "bfloat16" if has else "float32"
    for network in (WHOLE, TRANSFORMER, OTHER_NORMS, IN_GROUPS):
        assert precision_of("auto", CPU, network) == expected
    assert precision_of("auto", CPU, BY_CHANNEL) == "float32"
    assert precision_of("bfloat16", CPU, BY_CHANNEL) == "bfloat16"


def test_weights_of_a_convolutional_network_lie_as_its_pictures_do() -> None:
    pixels = torch.rand(2, 3, 16, 16)
    before = WHOLE(pixels)
    lay_out(WHOLE, CPU)
    assert all(conv.weight.is_contiguous(memory_format=torch.channels_last) for conv in WHOLE)  # type: ignore[operator, union-attr, arg-type]
    torch.testing.assert_close(WHOLE(pixels), before)
    lay_out(TRANSFORMER, CPU)
    assert TRANSFORMER[0].weight.is_contiguous()  # type: ignore[operator, union-attr]
