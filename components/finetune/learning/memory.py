"""What is done where memory does not suffice: a batch in parts, whose gradients add up to those of the whole."""

import resource
from collections.abc import Callable, Iterable
from typing import Any, TypeVar

import numpy as np
import torch
from torch import nn

from components.finetune.learning import parallel
from components.finetune.learning.batches import LEAST
from components.shared.errors import TooLargeError
from components.shared.process.step import tell

_ON_THE_HOST = ("can't allocate memory", "DefaultCPUAllocator")  # as torch says it there, without a class of its own
_GIB = 1 << 30

Result = TypeVar("Result")


class Sizes:
    """How many examples of a batch are learned from at once; halved where they are too many.

    Attributes:
        batch: Examples of a step.
        learned: Of them at once.
    """

    def __init__(self, batch: int, network: nn.Module) -> None:
        self.batch = batch
        norms = any(isinstance(module, nn.modules.batchnorm._BatchNorm) for module in network.modules())
        self._least = parallel.group().size * (LEAST if norms else 1)  # a batch norm takes no batch of one
        self.learned = max(self._least, batch // parallel.parts()) if parallel.parts() > 1 else batch

    def told(self) -> dict[str, int]:
        """Returns what `restore` takes."""
        return {"learned": self.learned}

    def restore(self, told: dict[str, int]) -> None:
        """Takes the sizes that were found before."""
        self.learned = min(self.learned, told["learned"])

    def parts(self, indices: np.ndarray, size: int) -> list[np.ndarray]:
        """Returns a batch in parts of about this size, none smaller than it may be."""
        if size >= self.batch:  # the last one of an epoch may have some more
            return [indices]
        whole = len(indices) // size if self._least > 1 else -(-len(indices) // size)
        return np.array_split(indices, max(1, whole))

    def shares(self, indices: np.ndarray, rows: int) -> list[np.ndarray]:
        """Returns what this process passes through the network of a batch's rows, in parts as they are now."""
        parts = self.parts(indices.reshape(-1, rows), self.learned)
        return [parallel.group().share(part).ravel() for part in parts]

    def learning(
        self, learn: Callable[[int], Result], alone: bool, spare: Callable[[], bool] = lambda: False
    ) -> Result:
        """Returns what a step returns, done with as many examples at once as memory has room for.

        Args:
            learn: Takes how many; may be called again.
            alone: Whether no other process waits for this one: then it can be done again.
            spare: Frees memory that training can do without; returns False where there is none.

        Raises:
            TooLargeError: Not even the fewest fit.
            SmallerError: So many do not fit, and other processes wait.
        """
        while True:
            if (result := _tried(learn, self.learned)) is not None:
                return result
            if alone and spare():
                tell("out of memory: pixels do not stay on the device any more, batches are read ahead of the step")
                continue
            if self.learned > self._least and not alone:
                raise parallel.SmallerError(f"Memory does not suffice for {self.learned} examples at once.")
            if self.learned <= self._least:
                count = "one example" if self.learned == 1 else f"{self.learned} examples"
                raise TooLargeError(
                    f"Memory does not suffice to train on {count} at once. Set a smaller training.max_length or "
                    "training.batch_size, strategy: lora, partial or probe, or a smaller backbone; or give the step "
                    "more memory."
                )
            self.learned = max(self._least, self.learned // 2)
            tell(
                f"out of memory: batches of {self.batch} examples are computed {self.learned} at a time from here, "
                "their gradients added up (what is learned is the same batch)"
            )


def in_parts(
    numbers: np.ndarray,
    size: int,
    look: Callable[[np.ndarray], object],
    expect: Callable[[Iterable[np.ndarray]], None] = lambda _: None,
) -> None:
    """Passes examples through a network, so many at once as memory has room for.

    Args:
        numbers: int [examples].
        size: At once, at most.
        look: Takes some of them; may be called again with fewer.
        expect: Is told which are looked at next, and in the end that there are none, see `Examples.expect`.

    Raises:
        TooLargeError: Not even one fits.
    """
    start = 0
    try:
        while start < len(numbers):
            expect(numbers[at : at + size] for at in range(start, len(numbers), size))
            if _tried(_looking(look, numbers[start:]), size):
                start += size
                continue
            if size == 1:
                raise TooLargeError(
                    "Memory does not suffice to pass one example through the network. Give the step more."
                )
            size //= 2
            tell(f"out of memory: {size} examples are passed through the network at a time from here")
    finally:
        expect(())


def _looking(look: Callable[[np.ndarray], object], numbers: np.ndarray) -> Callable[[int], bool]:
    """Returns what looks at the first so many of some examples."""

    def do(most: int) -> bool:
        look(numbers[:most])
        return True

    return do


def _tried(work: Callable[[int], Result], size: int) -> Result | None:
    """Returns what work returns; None where memory did not suffice, all of which is free again then."""
    try:
        return work(size)
    except (RuntimeError, MemoryError) as error:
        if not is_out_of_memory(error):
            raise
    if torch.cuda.is_available():  # outside of the block: there, the error holds on to what was computed
        torch.cuda.empty_cache()
    return None


def is_out_of_memory(error: BaseException) -> bool:
    """Tells whether an error says that memory did not suffice, of the device or of the host."""
    told = str(error)
    return isinstance(error, torch.OutOfMemoryError | MemoryError) or any(words in told for words in _ON_THE_HOST)


def peaks() -> dict[str, Any]:
    """Returns the most memory that this process has taken so far, in GiB: of the host, and of its GPU."""
    found = {"peak_memory_gib": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024 / _GIB}
    if torch.cuda.is_available():
        found["peak_gpu_memory_gib"] = torch.cuda.max_memory_allocated() / _GIB
        found["gpu_memory_gib"] = torch.cuda.get_device_properties(torch.cuda.current_device()).total_memory / _GIB
    return found
