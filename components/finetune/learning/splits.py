"""The splits of features, as one run of the step looks at them: each is opened once, and they share what is scarce."""

import functools

import torch

from components.finetune.learning.examples import Examples, Targets
from components.finetune.learning.loading import Room
from components.finetune.settings import FinetuneSettings
from components.shared.artifacts.artifact import Artifact
from components.shared.artifacts.features import FeatureSplit
from components.shared.backbones import Family

_PART = 0.4  # of what is free on a GPU: most of it is for the network, its gradients and what it computes
_THREADS = 2
_GIB = 1 << 30


class Splits:
    """Opens splits; their pixels share the room on the device, and batches of each are read ahead where that gains."""

    def __init__(
        self,
        source: Artifact,
        family: Family,
        padding: int,
        device: torch.device,
        make_targets: Targets,
        settings: FinetuneSettings,
    ) -> None:
        """Looks at the device.

        Args:
            source: The features.
            family: How batches are made.
            padding: What they are padded with.
            device: Where they go.
            make_targets: Makes tensors of their target columns.
            settings: `device_gib` and `read_ahead`.
        """
        self._source, self._given = source, (family, padding, device, make_targets)
        self._device, self._settings = device, settings
        self._room = Room(_room_on(device, settings.device_gib))
        self._threads = _threads_for(device, settings.read_ahead)
        self.of = functools.cache(self._whole)

    def _whole(self, *splits: str) -> Examples:
        """Returns all examples of splits, one after the other, not augmented."""
        return Examples.whole(FeatureSplit(self._source, *splits), *self._given, self._threads, self._room)

    @property
    def words(self) -> str:
        """How training examples come to the device, and why, in words."""
        loader, given = self.of("train").loader, self._settings.read_ahead >= 0
        where = "on the GPU" if self._device.type == "cuda" else "in memory"
        if loader.holds:
            return f"pixels stay {where} once they are there ({_gib(loader.size)})"
        why = "as asked for" if given else "so that the GPU need not wait"
        if not loader.threads and not given:
            why = "threads beside training would take its cores"
        if loader.size:
            why += f"; pixels are {_gib(loader.size)}, and may take {_gib(self._room.most)} {where}"
        told = f"read ahead by {loader.threads} threads" if loader.threads else "read when their step comes"
        return f"batches are {told} ({why})"


def _gib(size: float) -> str:
    return f"{size / _GIB:.3g} GiB"


def _room_on(device: torch.device, wanted: float) -> float:
    """Returns how many bytes of a device's memory pixels may take."""
    if wanted >= 0:
        return wanted * _GIB
    if device.type != "cuda":
        return 0.0  # of a CPU they are in its memory as mapped files
    return _PART * torch.cuda.mem_get_info(device)[0]


def _threads_for(device: torch.device, wanted: int) -> int:
    """Returns how many threads read ahead: on a CPU none, since training keeps all cores busy by itself."""
    if wanted >= 0:
        return wanted
    return _THREADS if device.type == "cuda" else 0
