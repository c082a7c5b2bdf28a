"""What a model costs to use: the size of its weights, and the time that a batch takes from raw input."""

import json
import math
import statistics
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from components.shared.prediction import Loaded

BATCH = 64  # examples, at most
_ROUNDS = 9
_LEAST_ROUNDS = 3
_SECONDS = 10.0  # after which no round more than the least is begun
_STATISTICS = ("running_mean", "running_var")  # of batch normalisation: nothing that is learned


def size_of(folder: Path) -> dict[str, int]:
    """Returns `bytes` and learned `parameters` of a model's safetensors; their headers tell, nothing is loaded."""
    files = sorted(folder.glob("*.safetensors"))
    counts = [_parameters(file) for file in files]
    return {"bytes": sum(file.stat().st_size for file in files), "parameters": sum(counts)}


def latency_of(models: Mapping[str, Loaded], batches: Mapping[str, Sequence[Sequence[str | bytes]]]) -> dict[str, Any]:
    """Times two models on the same batch, in turns, so that what else the machine does befalls both.

    Args:
        models: "champion" and "challenger".
        batches: For each the rows of raw inputs, in its inputs' order.

    Returns:
        The median seconds of each, `ratio` (challenger to champion) and `examples`, how many were in the batch.
    """
    seconds: dict[str, list[float]] = {name: [] for name in models}
    for name, model in models.items():
        model.answers(batches[name])  # the first call loads and allocates
    begun = time.perf_counter()
    for number in range(_ROUNDS):
        if number >= _LEAST_ROUNDS and time.perf_counter() - begun > _SECONDS:
            break
        for name, model in models.items():
            start = time.perf_counter()
            model.answers(batches[name])
            seconds[name].append(time.perf_counter() - start)
    medians = {name: statistics.median(times) for name, times in seconds.items()}
    ratio = medians["challenger"] / max(medians["champion"], 1e-9)
    return {**medians, "ratio": ratio, "examples": len(batches["champion"])}


def _parameters(file: Path) -> int:
    with file.open("rb") as stream:
        length = int.from_bytes(stream.read(8), "little")
        header: dict[str, Any] = json.loads(stream.read(length))
    return sum(
        math.prod(told["shape"])
        for name, told in header.items()
        if name != "__metadata__" and "F" in told["dtype"] and not name.endswith(_STATISTICS)
    )
