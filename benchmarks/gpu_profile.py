"""Watches Graft's step from outside: when epochs end, and what the GPU does in ten steps of training."""

import contextlib
import itertools
import time
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any
from unittest import mock

_WARM, _STEPS, _TOP = 20, 10, 15


@contextlib.contextmanager
def watched() -> Iterator[list[float]]:
    """Gives a list that gets the time at which each epoch was over and validated."""
    from components.finetune.progress import Telling

    marks: list[float] = []
    entry = Telling.entry

    def looked(self: Telling, strategy: str, event: str, values: dict[str, float]) -> None:
        if event == "epoch":  # what is told was brought from the device
            marks.append(time.perf_counter())
        entry(self, strategy, event, values)

    with mock.patch.object(Telling, "entry", looked):
        yield marks


@contextlib.contextmanager
def profiled(file: str) -> Iterator[None]:
    """Writes what is done in ten steps, some after the first; nothing where no file is named."""
    if not file:
        yield
        return
    import torch
    from torch.profiler import ProfilerActivity, profile

    from components.finetune.learning.journal import Journal

    cuda, done, look = torch.cuda.is_available(), itertools.count(1), Journal.look
    activities = [ProfilerActivity.CPU, *([ProfilerActivity.CUDA] if cuda else [])]
    profiler, began = profile(activities=activities), [0.0]

    def looked(self: Journal, trial: Any, stop: Any) -> None:
        look(self, trial, stop)
        number = next(done)
        if number == _WARM:
            _wait()
            profiler.start()
            began[0] = time.perf_counter()
        if number == _WARM + _STEPS:
            _wait()
            seconds = time.perf_counter() - began[0]
            profiler.stop()
            _write(Path(file), profiler, seconds, cuda)

    Path(file).write_text(f"training ended before its step {_WARM + _STEPS}\n", "utf-8")
    with mock.patch.object(Journal, "look", looked):
        yield


def _wait() -> None:
    import torch

    if torch.cuda.is_available():
        torch.cuda.synchronize()


def _write(file: Path, profiler: Any, seconds: float, cuda: bool) -> None:
    sort = "self_device_time_total" if cuda else "self_cpu_time_total"
    table = profiler.key_averages().table(sort_by=sort, row_limit=_TOP, max_name_column_width=70)
    from torch.autograd import DeviceType

    events = [event for event in profiler.events() if event.device_type == DeviceType.CUDA]
    # An annotation lasts from its first kernel to its last, whatever lies between.
    spans = [event.time_range for event in events if not getattr(event, "is_user_annotation", False)]
    busy = busy_of((span.start, span.end) for span in spans) / 1e6
    told = f"{_STEPS} steps in {seconds:.4f} s; {len(spans):,} kernels, the GPU was busy {busy:.4f} s of it"
    file.write_text(f"{told} ({busy / seconds:.0%})\n\n{table}\n", "utf-8")


def busy_of(spans: Iterable[tuple[float, float]]) -> float:
    """Returns how long at least one of some spans lasts."""
    total, end = 0.0, float("-inf")
    for start, stop in sorted(spans):
        total += max(0.0, stop - max(start, end))
        end = max(end, stop)
    return total
