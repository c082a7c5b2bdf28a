"""Steps of training as graphs of the device, one a shape of batch.

A step of a small batch takes a GPU 15 to 23 ms whatever it computes: a thousand kernels are launched one by one. A
graph (CUDA graphs) is launched at once. It reads its batch where the one lay that it was recorded with, and writes
weights, loss and norm where they lay: so batches are copied there, and have few shapes, see `unpadding.Way`.
"""

from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

from components.finetune.learning import parallel
from components.finetune.learning.examples import Batch
from components.finetune.settings import FinetuneSettings
from components.shared.process.step import tell

Step = Callable[[Batch, Batch], tuple[Tensor, Tensor]]
"""Takes a batch and its targets; returns loss and norm."""
Record = Callable[[Callable[[], None]], Callable[[], None]]
"""Records what a function does on a device, without doing it; returns what does it."""

_COMMON = 3  # times that a shape must have come: a recording costs some steps
_MOST = 64  # graphs: each holds what its step computes


@dataclass(frozen=True)
class _Graph:
    inputs: list[Tensor]
    replay: Callable[[], None]
    outputs: list[Tensor]


class Graphs:
    """Takes steps from graphs, where there is one; records them.

    Attributes:
        steps: How many were taken so.
        is_off: Whether a step cannot be one.
    """

    def __init__(self, step: Step, record: Record) -> None:
        self._step, self._record = step, record
        self.is_off = False
        self.steps = 0
        self.forget()

    def forget(self) -> None:
        """Forgets all graphs: what learns has changed."""
        self._seen: Counter[tuple[object, ...]] = Counter()
        self._graphs: dict[tuple[object, ...], _Graph] = {}

    def take(self, batch: Batch, targets: Batch) -> tuple[Tensor, Tensor] | None:
        """Takes a step; returns its loss and norm, or None where there is no graph: then it is not taken."""
        if self.is_off:
            return None
        named = [*sorted(batch.items()), *sorted(targets.items())]
        shape = tuple((name, tensor.shape, tensor.dtype) for name, tensor in named)
        self._seen[shape] += 1
        graph = self._graphs.get(shape)
        if graph is None:
            if self._seen[shape] < _COMMON or len(self._graphs) == _MOST:
                return None
            if (graph := self._recorded(batch, targets)) is None:
                return None
            self._graphs[shape] = graph
        else:
            for kept, (_, tensor) in zip(graph.inputs, named, strict=True):
                kept.copy_(tensor, non_blocking=True)
        graph.replay()
        self.steps += 1
        loss, norm = graph.outputs
        return loss.clone(), norm.clone()

    def _recorded(self, batch: Batch, targets: Batch) -> _Graph | None:
        """Returns the graph of a shape, which holds a first batch; None where a step cannot be one, which is told."""
        batch, targets = ({name: tensor.clone() for name, tensor in part.items()} for part in (batch, targets))
        outputs: list[Tensor] = []

        def step() -> None:
            outputs[:] = self._step(batch, targets)

        try:
            replay = self._record(step)
        except (RuntimeError, NotImplementedError) as error:
            why = str(error).splitlines()[0][:200]
            tell(f"steps are launched one kernel at a time: they cannot be recorded as a CUDA graph ({why})")
            self.is_off = True
            self.forget()
            return None
        inputs = [part[name] for part in (batch, targets) for name in sorted(part)]
        return _Graph(inputs, replay, outputs)


def recorder(settings: FinetuneSettings, device: torch.device) -> Record | None:
    """Returns what records on a device; None: it has no graphs, or they are not asked for, or others take part."""
    if device.type != "cuda" or settings.cuda_graphs == "false" or parallel.group().size > 1:
        return None
    pool = torch.cuda.graph_pool_handle()

    def record(work: Callable[[], None]) -> Callable[[], None]:
        graph, state = torch.cuda.CUDAGraph(), torch.cuda.get_rng_state(device)
        try:
            with torch.cuda.graph(graph, pool=pool, capture_error_mode="thread_local"):  # others read ahead
                work()
        except BaseException:
            torch.cuda.set_rng_state(state, device)
            raise
        replay: Callable[[], None] = graph.replay
        return replay

    return record
