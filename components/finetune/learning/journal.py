"""What of a run is done, and where its training stands: written as a checkpoint now and then, and gone on from.

A run does the same things in the same order each time, but for what hangs on a clock. So the journal keeps what was
decided, what was fitted and the state of each training, by names that count them; a run that is done again asks for
each in turn, takes what is there, and does from then on what is not.
"""

import dataclasses
import json
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, TypeVar

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor

from components.finetune.learning import parallel
from components.finetune.learning.packing import pack, unpack
from components.finetune.learning.training import Trial
from components.shared.artifacts.checkpoints import Checkpoints, File
from components.shared.errors import GraftError, InputError, ServiceError
from components.shared.process.step import tell
from components.shared.process.stopping import Stop, held_back

_BEST = "best."
_FAILED = "failed"
_NOWHERE = File("", 0, "")  # where a file is that another process has written

Value = TypeVar("Value")
Tensors = Mapping[str, Tensor]


class Journal:
    """What is known of a run. Without a place to write to it keeps nothing, and all is done anew."""

    def __init__(self, store: Checkpoints | None = None, scratch: Path = Path(), minutes: float = 10.0) -> None:
        """Prepares it.

        Args:
            store: Where checkpoints go.
            scratch: A folder that all processes that train together share; a checkpoint that is found is brought there.
            minutes: Between two checkpoints.
        """
        self.store, self.scratch, self.minutes = store, scratch / "checkpoint", minutes
        self._told: dict[str, Any] = {}
        self._files: dict[str, tuple[Any, File]] = {}  # of the newest checkpoint, with the state that they hold
        self._new: dict[str, tuple[Any, Tensors]] = {}  # in memory, for the next one
        self._trials: dict[str, Trial] = {}
        self._names: Counter[str] = Counter()
        self._before, self._began = 0.0, time.perf_counter()
        self._last = time.monotonic()
        self._thread: threading.Thread | None = None
        self._fault: BaseException | None = None

    def clock(self) -> float:
        """Returns the seconds that the run has worked, over all attempts at it."""
        return self._before + time.perf_counter() - self._began

    @contextmanager
    def kept(self) -> Iterator[None]:
        """Takes what an earlier attempt has left; where the block is ended from outside, what was done is written.

        Raises:
            InputError: What was left may not be read.
            ServiceError: The store did not answer.
        """
        self._open()
        try:
            yield
        except InputError:
            raise  # of the job, or the data: it would be found again
        except BaseException:
            if self.store is not None and parallel.group().size == 1:  # of several, each may be elsewhere
                self._save_at_last()
            raise
        if self._thread is not None:
            self._thread.join()  # what it could not write is no longer needed

    def noted(self, label: str, make: Callable[[], Any]) -> Any:
        """Returns what was decided before, or what is decided now: JSON values.

        Raises:
            InputError: It was, or is, the outcome.
        """
        name = self._name(label)
        if name not in self._told:
            try:
                self._told[name] = make()
            except InputError as error:
                self._told[name] = {_FAILED: str(error)}
        found = self._told[name]
        if isinstance(found, dict) and _FAILED in found:
            raise InputError(found[_FAILED])
        return found

    def fitted(self, label: str, kind: type[Value], make: Callable[[], Value], device: torch.device) -> Value:
        """Returns what was fitted before, or what is fitted now: a dataclass of arrays and plain values."""
        if self.store is None:
            return make()
        name = self._name(label)
        if name in self._told:
            return unpack(kind, self._told[name], self._tensors(name), device)
        found = make()
        self._told[name], tensors = pack(found)
        self._new[name] = (0, tensors)
        return found

    def attach(self, trial: Trial, label: str) -> None:
        """Brings a training to where it was, and keeps where it is from here on."""
        if self.store is None:
            return
        name = self._name(label)
        if name in self._told:
            best = self._tensors(_BEST + name) if _BEST + name in self._files else {}
            trial.restore({**self._tensors(name), **best}, self._told[name])
            if not trial.over:
                tell(f"{label}: goes on after step {trial.done} of {trial.total}, from a checkpoint")
        self._trials[name] = trial

    def drop(self, trial: Trial) -> None:
        """Forgets a training that does not go on."""
        for name in [name for name, known in self._trials.items() if known is trial]:
            del self._trials[name]
            for part in (name, _BEST + name):
                self._told.pop(part, None)
                self._files.pop(part, None)
                self._new.pop(part, None)

    def end(self, trial: Trial) -> None:
        """Keeps what a training that is over has learned: its network may change from here on."""
        for name in [name for name, known in self._trials.items() if known is trial]:
            self._keep(name, trial)
            del self._trials[name]
            self._files.pop(_BEST + name, None)

    def look(self, trial: Trial, stop: Stop) -> None:
        """Writes a checkpoint where it is time, or the process was told to stop, which it then does.

        Of several processes all do what one of them has to, at a step after which they are of one mind.

        Raises:
            KeyboardInterrupt: It was told to stop.
            ServiceError, InputError: A checkpoint could not be written.
        """
        if self.store is None:
            return
        group = parallel.group()
        due = time.monotonic() - self._last >= 60 * self.minutes and not self._is_writing
        asked = stop.asked
        if group.size > 1:
            if not trial.is_told:
                return
            flags = torch.tensor([float(asked), float(due and group.is_first)], device=parallel.device())
            asked, due = (value > 0 for value in group.total(flags).tolist())
        if due or (asked and group.size > 1):
            self.save()
        if asked and group.size > 1:
            self._join()
            raise stop.error or KeyboardInterrupt

    def _save_at_last(self) -> None:
        with held_back():
            try:
                self.save()
                self._join()
            except GraftError as error:
                tell(f"what was done since the last checkpoint is lost: {error}")

    def save(self) -> None:
        """Copies to memory what is to be kept, and has a thread write it."""
        self._join()
        for name, trial in self._trials.items():
            known = self._new.get(name) or self._files.get(name)
            if trial.is_between_steps and (known is None or known[0] != trial.done):
                self._keep(name, trial)
        self._last = time.monotonic()
        if self.store is None or not parallel.group().is_first:
            self._files |= {name: (state, _NOWHERE) for name, (state, _) in self._new.items()}
            self._new = {}
            return
        new, states = dict(self._new), {name: state for name, (state, _) in {**self._files, **self._new}.items()}
        told = {"records": dict(self._told), "states": states, "seconds": self.clock()}
        kept = {name: file for name, (_, file) in self._files.items() if name not in new}
        self._thread = threading.Thread(target=self._write, args=(self.store, told, new, kept), daemon=True)
        self._thread.start()

    def _keep(self, name: str, trial: Trial) -> None:
        tensors, self._told[name] = trial.state()
        best = {key: tensor for key, tensor in tensors.items() if key.startswith(_BEST)}
        self._new[name] = (trial.done, {key: tensor for key, tensor in tensors.items() if key not in best})
        epoch = self._told[name]["history"]["best_epoch"]
        known = self._new.get(_BEST + name) or self._files.get(_BEST + name)
        if not best:  # the last epoch's are what the network has
            self._new.pop(_BEST + name, None)
            self._files.pop(_BEST + name, None)
        elif known is None or known[0] != epoch:
            self._new[_BEST + name] = (epoch, best)

    def _write(
        self,
        store: Checkpoints,
        told: Mapping[str, Any],
        new: Mapping[str, tuple[Any, Tensors]],
        kept: Mapping[str, File],
    ) -> None:
        """Writes a checkpoint, beside the training."""
        try:
            written = {name: store.target() for name in new}
            try:
                for name, (_, tensors) in new.items():
                    save_file({key: tensor.contiguous() for key, tensor in tensors.items()}, written[name])
            except SafetensorError as error:  # has no number of the operating system's
                for path in written.values():
                    path.unlink(missing_ok=True)
                raise store.not_written(OSError(str(error))) from error
            files = store.add(told, written, kept)
        except BaseException as error:
            self._fault = error
            return
        self._files |= {name: (state, files[name]) for name, (state, _) in new.items()}
        for name, part in new.items():
            if self._new.get(name) is part:
                del self._new[name]

    def _open(self) -> None:
        """Takes the newest checkpoint; one process brings it here, for all."""
        if self.store is None:
            return
        index = self.scratch / "found.json"
        if parallel.group().is_first:
            self.scratch.mkdir(parents=True, exist_ok=True)
            found = self.store.newest(self.scratch)
            told = {} if found is None else {**found.told, "files": found.files}
            index.write_text(json.dumps(told, default=dataclasses.asdict), "utf-8")
        parallel.group().wait()
        if told := json.loads(index.read_text("utf-8")):
            self._told, self._before = told["records"], told["seconds"]
            self._files = {name: (told["states"][name], File(**file)) for name, file in told["files"].items()}
            if parallel.group().is_first:
                tell(f"goes on from a checkpoint of {self._before:.0f} s of work: {self.store.place}")

    def _tensors(self, name: str) -> Tensors:
        return load_file(self.scratch / self._files[name][1].name)

    @property
    def _is_writing(self) -> bool:
        return self._thread is not None and self._thread.is_alive()

    def _join(self) -> None:
        """Waits until what is being written is written.

        Raises:
            ServiceError, InputError: It could not be.
        """
        if self._thread is not None:
            self._thread.join()
            self._thread = None
        fault, self._fault = self._fault, None
        if fault is None:
            return
        if isinstance(fault, ServiceError) and self.store is not None and not self.store.is_local:
            tell(f"a checkpoint could not be written, which is tried again with the next one: {fault}")
            return
        raise fault

    def _name(self, label: str) -> str:
        self._names[label] += 1
        return f"{label} {self._names[label]}"
