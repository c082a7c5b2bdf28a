"""What a device computes in, and what it is called."""

import contextlib
from collections.abc import Callable
from typing import Any

import torch
from torch import nn

Autocast = Callable[[], contextlib.AbstractContextManager[Any]]
"""Makes the context that a forward pass runs in."""


def precision_of(wanted: str, device: torch.device, network: nn.Module) -> str:
    """Returns what is computed in, see `precision_and_why`."""
    return precision_and_why(wanted, device, network)[0]


def precision_and_why(wanted: str, device: torch.device, network: nn.Module) -> tuple[str, str]:
    """bfloat16 only where the hardware has it and the network gains by it; and why, in words.

    Without units for it a CPU is three times slower with it than in float32. With them, convolutions of a channel each
    under batch norms are slower in it still: EfficientNet a quarter, MobileNetV3 two thirds. ConvNeXt, which has the
    same convolutions under other norms, and ResNeXt and RegNet, whose groups hold several channels, gain by it.
    """
    if wanted != "auto":
        return wanted, "as asked for"
    if device.type == "cuda":
        has = torch.cuda.is_bf16_supported()
        return ("bfloat16", "the GPU has units for it") if has else ("float32", "the GPU has no bfloat16")
    by_channel = any(conv.groups == conv.in_channels > 1 for conv in _convolutions(network))
    if by_channel and any(isinstance(module, nn.modules.batchnorm._BatchNorm) for module in network.modules()):
        return "float32", "convolutions of a channel each under batch norms are slower in bfloat16 on a CPU"
    capabilities = torch.cpu.get_capabilities()
    if capabilities.get("avx512_bf16") or capabilities.get("amx_bf16"):
        return "bfloat16", "the CPU has units for it"
    return "float32", "the CPU has no units for bfloat16"


def lay_out(network: nn.Module, device: torch.device) -> None:
    """Puts a network on its device; the weights of convolutions lie there as pictures do, channels last."""
    network.to(device)
    if len(_convolutions(network)) > 1:
        network.to(memory_format=torch.channels_last)


def _convolutions(network: nn.Module) -> list[nn.Conv2d]:
    return [module for module in network.modules() if isinstance(module, nn.Conv2d)]


def autocast(device: torch.device, precision: str) -> contextlib.AbstractContextManager[Any]:
    """Returns the context that forward passes run in."""
    if precision == "float32":
        return contextlib.nullcontext()
    return torch.autocast(device.type, torch.bfloat16)


def name_of(device: torch.device) -> str:
    """Returns what people call a device."""
    if device.type == "cuda":
        return torch.cuda.get_device_name()
    return f"CPU, {torch.get_num_threads()} threads"
