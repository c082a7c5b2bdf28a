"""What a device can do at the most: matrix products in bfloat16, copies of memory."""

import json
import sys
import time
from collections.abc import Callable
from typing import Any

import torch

_WARM, _TIMES = 3, 10


def main() -> None:
    """Prints both as JSON; of a CPU, and for a trial, on small matrices."""
    cuda = torch.cuda.is_available()
    device = torch.device("cuda" if cuda else "cpu")
    small = "tiny" in sys.argv or not cuda
    side, values = (512, 1 << 22) if small else (8192, 1 << 31)
    left, right = (torch.randn(side, side, device=device, dtype=torch.bfloat16) for _ in range(2))
    tflops = 2 * side**3 / _seconds(lambda: left @ right, cuda) / 1e12
    source = torch.empty(values, dtype=torch.uint8, device=device)
    target = torch.empty_like(source)
    copied = 2 * values / _seconds(lambda: target.copy_(source), cuda) / 1e9
    name = torch.cuda.get_device_name() if cuda else f"CPU, {torch.get_num_threads()} threads"
    print(json.dumps({"device": f"{name}, torch {torch.__version__}", "tflops": tflops, "copy_gbs": copied}))


def _seconds(work: Callable[[], Any], cuda: bool) -> float:
    """Returns what one of ten takes, after three that are not counted."""
    for number in range(_WARM + _TIMES):
        if number == _WARM:
            _wait(cuda)
            began = time.perf_counter()
        work()
    _wait(cuda)
    return (time.perf_counter() - began) / _TIMES


def _wait(cuda: bool) -> None:
    if cuda:
        torch.cuda.synchronize()
