"""Several processes that train one network, each on a GPU of its own: torchrun's elastic launch, within the step.

Each takes its share of every batch, so that the batch that counts is the same however many they are. Without a launch
there is one process, and every function here does nothing more than that one needs.
"""

import json
import os
import signal
import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torch.distributed as dist
from torch import Tensor

from components.shared.errors import GraftError, InputError, ServiceError, TooLargeError
from components.shared.process.step import tell
from components.shared.process.stopping import PreemptedError

PROCESSES = "GRAFT_PROCESSES"
"""Environment variable: how many processes train, where it is not one a visible GPU (tests; fewer than there are)."""
_PARTS = "GRAFT_PARTS"
_FAILURE = "failure.json"


class SmallerError(TooLargeError):
    """A batch did not fit into one process' memory, and could be learned from in smaller parts."""


@dataclass(frozen=True)
class Group:
    """The processes that train together, and which of them this is."""

    rank: int = 0
    size: int = 1

    @property
    def is_first(self) -> bool:
        """Whether this process is the one that writes, and speaks to people."""
        return self.rank == 0

    def share(self, indices: np.ndarray) -> np.ndarray:
        """Returns this process' part of some examples; perhaps none."""
        return indices[self.rank :: self.size]

    def total(self, tensor: Tensor) -> Tensor:
        """Returns the sum over all processes."""
        if self.size > 1:
            dist.all_reduce(tensor)
        return tensor

    def gather(self, tensor: Tensor) -> Tensor:
        """Returns the tensors of all processes, [processes, …], in memory of the host."""
        if self.size == 1:
            return tensor.cpu()[None].clone()
        mine = tensor.to(device())
        found = [torch.empty_like(mine) for _ in range(self.size)]
        dist.all_gather(found, mine)
        return torch.stack(found).cpu()

    def agree(self, value: float) -> float:
        """Returns the first process' value: what hangs on a clock must be decided alike by all."""
        if self.size == 1:
            return value
        told = torch.tensor([value], dtype=torch.float64, device=device())
        dist.broadcast(told, 0)
        return float(told)

    def wait(self) -> None:
        """Returns when all processes have come here."""
        if self.size > 1:
            dist.barrier()


def group() -> Group:
    """Returns the group that this process is in."""
    if not dist.is_initialized():
        return Group()
    return Group(dist.get_rank(), dist.get_world_size())


def device() -> torch.device:
    """Returns the device that this process trains on."""
    if not torch.cuda.is_available():
        return torch.device("cpu")
    return torch.device("cuda", int(os.environ.get("LOCAL_RANK", 0)) % torch.cuda.device_count())


def processes() -> int:
    """Returns how many processes are to train: one for each visible GPU, or as many as `GRAFT_PROCESSES` says.

    Raises:
        InputError: It says no number.
    """
    told = os.environ.get(PROCESSES, "")
    if told and not (told.isdecimal() and int(told) > 0):
        raise InputError(f"{PROCESSES} is {told!r}; a number of processes was expected, such as 2.")
    return int(told) if told else max(1, torch.cuda.device_count())


def parts() -> int:
    """Returns in how many parts, at least, the processes learn from a batch: as an earlier launch of them found."""
    return int(os.environ.get(_PARTS, "") or 1)


def launch(work: Callable[..., Any], count: int, *arguments: Any) -> Any:
    """Runs a function in so many processes that train together; returns what the first one returns.

    Where memory does not suffice for their shares of a batch, they are launched anew, and compute it in parts: those
    that wait for the one that failed cannot be told.

    Args:
        work: Takes a scratch folder that all of them share, and the arguments.
        count: How many processes.
        arguments: Of the function.

    Raises:
        InputError: One of them raised it.
        ServiceError: One of them raised it, or died.
    """
    try:
        while True:
            try:
                return _launched(work, count, *arguments)
            except SmallerError:
                os.environ[_PARTS] = str(2 * parts())
                tell(f"out of memory in one of {count} processes: they begin anew, and take batches in {parts()} parts")
    finally:
        os.environ.pop(_PARTS, None)


def _launched(work: Callable[..., Any], count: int, *arguments: Any) -> Any:
    from torch.distributed.elastic.multiprocessing import SignalException
    from torch.distributed.elastic.multiprocessing.errors import ChildFailedError
    from torch.distributed.launcher.api import LaunchConfig, elastic_launch

    with tempfile.TemporaryDirectory(prefix="graft-finetune-") as scratch:
        config = LaunchConfig(
            min_nodes=1, max_nodes=1, nproc_per_node=count, max_restarts=0, monitor_interval=0.2,
            run_id=Path(scratch).name, rdzv_backend="c10d", rdzv_endpoint="127.0.0.1:0", start_method="spawn",
        )  # fmt: skip
        try:
            return elastic_launch(config, _worker)(work, Path(scratch), *arguments)[0]
        except SignalException as error:
            raise (PreemptedError if error.sigval == signal.SIGTERM else KeyboardInterrupt) from error
        except ChildFailedError as error:
            raise _told(Path(scratch) / _FAILURE, error) from None


def _worker(work: Callable[..., Any], scratch: Path, *arguments: Any) -> Any:
    """What each process does. It ends like an interrupted one when it is told to: what is half-written is removed."""
    signal.signal(signal.SIGTERM, _preempted)
    if torch.cuda.is_available():
        torch.cuda.set_device(device())
    dist.init_process_group("nccl" if torch.cuda.is_available() else "gloo")
    try:
        return work(scratch, *arguments)
    except GraftError as error:
        partial = scratch / f"{_FAILURE}.{dist.get_rank()}"
        partial.write_text(json.dumps(_words(error)), "utf-8")
        partial.replace(scratch / _FAILURE)
        raise SystemExit(error.exit_code) from None
    finally:
        dist.destroy_process_group()


def _preempted(*_: object) -> None:
    raise PreemptedError


def _told(file: Path, error: Exception) -> GraftError:
    """Returns the error that a process told before it ended."""
    if not file.exists():
        return ServiceError(f"A process that trained died: {str(error)[-800:]}. Look at its log above.")
    told = json.loads(file.read_text("utf-8"))
    kinds = {kind.exit_code: kind for kind in (InputError, ServiceError, TooLargeError)}
    return (SmallerError if told["again"] else kinds[told["code"]])(told["message"])


def _words(error: GraftError) -> dict[str, Any]:
    return {"code": error.exit_code, "message": str(error), "again": isinstance(error, SmallerError)}
