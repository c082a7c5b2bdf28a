"""What a device computes in, and what it is called."""

import contextlib
from typing import Any

import torch


def precision_of(wanted: str, device: torch.device) -> str:
    """bfloat16 only where the hardware has it: without, a CPU is three times slower with it than in float32."""
    if wanted != "auto":
        return wanted
    if device.type == "cuda":
        return "bfloat16" if torch.cuda.is_bf16_supported() else "float32"
    capabilities = torch.cpu.get_capabilities()
    return "bfloat16" if capabilities.get("avx512_bf16") or capabilities.get("amx_bf16") else "float32"


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
