"""How batches of a split come to the device: their pixels lie there already, or threads read them ahead of the step.

What comes is the same bit for bit, whichever way: which batches are next is known, the work is only done earlier.
"""

import itertools
from collections.abc import Callable, Iterable
from concurrent.futures import Future, ThreadPoolExecutor

import numpy as np
import torch
from torch import Tensor

from components.finetune.learning import memory
from components.finetune.learning.batches import AHEAD

Batch = dict[str, Tensor]
Read = Callable[[np.ndarray], Batch]
"""Makes a batch of some examples of a split, in memory of the host."""
_BATCHES, _BYTES = AHEAD, 512 << 20  # that wait at the most, of a split; of one batch, whatever its size


class Room:
    """Memory of a device that pixels may take, until it is needed for training.

    Attributes:
        most: Bytes of it.
        left: Of these what nobody has claimed.
    """

    def __init__(self, most: float) -> None:
        self.most = self.left = most
        self._holders: list[Callable[[], None]] = []

    def claim(self, size: int, release: Callable[[], None]) -> bool:
        """Takes so many bytes of it; returns False where there are not so many left.

        Args:
            size: In bytes.
            release: Gives them back, see `clear`.
        """
        if not 0 < size <= self.left:
            return False
        self.left -= size
        self._holders.append(release)
        return True

    def clear(self) -> bool:
        """Takes all pixels from the device, for good; returns False where there were none."""
        had = bool(self._holders)
        for release in self._holders:
            release()
        self._holders.clear()
        self.left = 0.0
        return had


class Ahead:
    """Makes batches in threads before they are asked for; a few at a time, in the order in which they are expected."""

    def __init__(self, read: Read, threads: int, device: torch.device, most: int = _BYTES) -> None:
        """Prepares it; no thread runs until something is expected.

        Args:
            read: Makes a batch; it is called in several threads at once.
            threads: How many; 0: nothing is made before it is asked for.
            device: That batches go to: for a GPU they are put into memory that it reads by itself.
            most: Bytes of all batches that wait.
        """
        self._read, self._threads, self._device, self._most = read, threads, device, most
        self._waiting: dict[bytes, Future[Batch]] = {}
        self._pool: ThreadPoolExecutor | None = None
        self._size = 0  # of the last batch, in bytes

    @property
    def depth(self) -> int:
        """How many batches may wait; before the size of one is known, one."""
        fit = self._most // self._size if self._size else 1
        return max(1, min(_BATCHES, fit)) if self._threads else 0

    def expect(self, coming: Iterable[np.ndarray]) -> None:
        """Says which batches are asked for next; those that wait and are not among them are given up.

        Args:
            coming: The examples of each, the next one first; none: nothing runs any more when it returns.
        """
        some = itertools.islice((numbers for numbers in coming if len(numbers)), self.depth)
        wanted = {numbers.tobytes(): numbers for numbers in some}
        for key in self._waiting.keys() - wanted.keys():
            self._waiting.pop(key).cancel()
        if not wanted and self._pool is not None:
            self._pool.shutdown(cancel_futures=True)
            self._pool = None
        for key, numbers in wanted.items():
            if key not in self._waiting:
                self._waiting[key] = self._opened().submit(self._made, numbers)

    def take(self, numbers: np.ndarray) -> Batch:
        """Returns a batch: the one that waits, or one that is made now. What went wrong in a thread is raised here."""
        future = self._waiting.pop(numbers.tobytes(), None)
        batch = self._read(numbers) if future is None else future.result()
        self._size = max(1, sum(tensor.nbytes for tensor in batch.values()))
        return batch

    def _opened(self) -> ThreadPoolExecutor:
        if self._pool is None:
            self._pool = ThreadPoolExecutor(self._threads, "reads ahead", initializer=self._begin)
        return self._pool

    def _begin(self) -> None:
        """A new thread is on the first GPU, whichever its process trains on."""
        if self._device.type == "cuda":
            torch.cuda.set_device(self._device)

    def _made(self, numbers: np.ndarray) -> Batch:
        batch = self._read(numbers)
        if self._device.type != "cuda":
            return batch
        return {name: tensor.pin_memory() for name, tensor in batch.items()}


class Pixels:
    """The pixels of a split on the device: each picture is brought there once, when it is first asked for."""

    def __init__(self, count: int, shape: tuple[int, ...], device: torch.device) -> None:
        with torch.inference_mode(False):  # it is written to in training, too
            self._values = torch.empty((count, *shape), dtype=torch.uint8, device=device)
        self._known = np.zeros(count, bool)

    def missing(self, numbers: np.ndarray) -> np.ndarray:
        """Returns those of some pictures that are not there."""
        missing: np.ndarray = numbers[~self._known[numbers]]
        return missing

    def keep(self, numbers: np.ndarray, pixels: Tensor) -> None:
        """Puts pictures there, uint8 [numbers, height, width, colours]."""
        self._values.index_copy_(0, self._places(numbers), pixels)
        self._known[numbers] = True

    def take(self, numbers: np.ndarray) -> Tensor:
        """Returns pictures, uint8 [numbers, height, width, colours]."""
        return self._values.index_select(0, self._places(numbers))

    def _places(self, numbers: np.ndarray) -> Tensor:
        return torch.from_numpy(numbers.astype(np.int64)).to(self._values.device, non_blocking=True)


class Loader:
    """Brings the batches of a split to its device.

    Attributes:
        count: Examples of the split.
        size: Bytes of their pixels; 0 where there are none, or no room for any.
        holds: Whether these stay on the device once they are there.
        threads: That read ahead of the step.
    """

    def __init__(
        self, read: Read, count: int, device: torch.device, threads: int = 0, room: Room | None = None
    ) -> None:
        """Looks at the first example.

        Args:
            read: Makes a batch, also in threads.
            count: Examples of the split.
            device: Where batches go.
            threads: That read ahead of the step; 0: each batch is read when it is asked for.
            room: On the device, for pixels of all splits; those of this one stay there where they fit.
        """
        self.count, self.threads, self._device, self._room = count, threads, device, room
        first = read(np.zeros(1, np.int64)).get("pixels") if count and room and room.most else None
        self._shape = () if first is None else tuple(first.shape[1:])
        self.size = 0 if first is None else count * first.nbytes
        self.holds = room is not None and room.claim(self.size, self._release)
        self._pixels: Pixels | None = None
        self._ahead = Ahead(read, threads, device)

    def take(self, numbers: np.ndarray) -> Batch:
        """Returns a batch of some examples, on the device."""
        pixels = self._held()
        missing = numbers if pixels is None else pixels.missing(numbers)
        read = self._ahead.take(missing) if pixels is None or len(missing) else {}
        batch = {name: tensor.to(self._device, non_blocking=True) for name, tensor in read.items()}
        if pixels is None:
            return batch
        if len(missing):
            pixels.keep(missing, batch["pixels"])
        return {"pixels": pixels.take(numbers)}

    def expect(self, coming: Iterable[np.ndarray]) -> None:
        """Says which batches are asked for next, see `Ahead.expect`; what is on the device is not read again."""
        if self._pixels is not None:
            coming = map(self._pixels.missing, itertools.islice(coming, self._ahead.depth))
        self._ahead.expect(coming)

    def spare(self) -> bool:
        """Makes room on the device, where pixels of this split or of others take some; returns whether they did."""
        return self._room is not None and self._room.clear()

    def _release(self) -> None:
        self.holds, self._pixels = False, None

    def _held(self) -> Pixels | None:
        """Returns the pixels on the device; None where they do not stay there, or memory does not suffice after all."""
        if self.holds and self._pixels is None:
            try:
                self._pixels = Pixels(self.count, self._shape, self._device)
            except (RuntimeError, MemoryError) as error:
                if not memory.is_out_of_memory(error):
                    raise
                self.holds = False
        return self._pixels
