"""How a network is trained where a job leaves it open: by the kind and size of the backbone, and by the data.

The learning rates are those that the models' authors and large sweeps ended at: BERT 2e-5 to 5e-5 (1810.04805), small
encoders several times that, ViT and BEiT with layer decay (2106.08254), networks from scratch 5e-4 to 3e-3 with AdamW.
Few examples want more passes: short fine-tuning is what makes it unstable (Mosbach et al. 2021, 2006.04884).
"""

import dataclasses
import math
from dataclasses import dataclass
from typing import Any

from torch import nn

from components.finetune.settings import FinetuneSettings
from components.shared.backbones.network import Network

ENCODER, DECODER, TRANSFORMER, CONVOLUTIONAL = "encoder", "decoder", "vision transformer", "convolutional network"
_SMALL, _BASE = 50e6, 200e6  # parameters: up to these a network is small, or of a base size
_RATES = {
    ENCODER: (2e-4, 5e-5, 2e-5),
    DECODER: (1e-4, 5e-5, 1e-5),
    TRANSFORMER: (2e-4, 1e-4, 3e-5),
    CONVOLUTIONAL: (5e-4, 2e-4, 1e-4),
}
"""Of AdamW, for a small, a base and a large pretrained network."""
_FROM_SCRATCH = {ENCODER: 5e-4, DECODER: 5e-4, TRANSFORMER: 5e-4, CONVOLUTIONAL: 2e-3}
_ADAPTERS = 5.0  # adapters learn at so many times the rate
_STEPS, _STEPS_FROM_SCRATCH = 400, 1500  # that training has at least
_EPOCHS, _EPOCHS_FROM_SCRATCH = (3, 30), (10, 80)  # the fewest and the most
_BATCHES = (8, 16, 32)
_PICTURES = ("flip", "crop_scale")  # changes of pictures, which are told apart
_CROPS = 0.5  # of the area, at least
_WAITING = 100  # steps without better validation before training stops, at least


@dataclass(frozen=True)
class Shape:
    """What the defaults depend on.

    Attributes:
        kind: Of network.
        parameters: How many it has.
        pretrained: Whether it begins with weights that it learned elsewhere.
        examples: How many it is trained on.
    """

    kind: str
    parameters: int
    pretrained: bool
    examples: int

    @property
    def words(self) -> str:
        """What it is, in words."""
        size = ("small", "base-sized", "large")[self.size]
        start = "pretrained" if self.pretrained else "from scratch"
        return f"{size} {self.kind}, {start}, {self.examples:,} examples"

    @property
    def size(self) -> int:
        """0 for a small network, 1 for one of a base size, 2 for a large one."""
        return (self.parameters > _SMALL) + (self.parameters > _BASE)


def shape_of(network: Network, pretrained: bool, examples: int) -> Shape:
    """Returns what the defaults depend on.

    Args:
        network: Its own pooling tells a decoder ("last").
        pretrained: Whether its weights were learned elsewhere.
        examples: How many it is trained on.
    """
    parameters = sum(parameter.numel() for parameter in network.parameters())
    norms = any(isinstance(module, nn.modules.batchnorm._BatchNorm) for module in network.modules())
    sees = getattr(network, "normalize", None) is not None
    kind = DECODER if network.pooling == "last" else ENCODER
    if sees:
        kind = CONVOLUTIONAL if norms else TRANSFORMER
    return Shape(kind, parameters, pretrained, examples)


def resolve(
    settings: FinetuneSettings, shape: Shape, mirrors: bool, crops: bool = True
) -> tuple[FinetuneSettings, str]:
    """Fills in what the settings leave open.

    Args:
        settings: Of the step.
        shape: Of network and data.
        mirrors: Whether a mirrored picture was shown to keep its answer.
        crops: Whether a part of a picture has its answer.

    Returns:
        The settings with no number open, and why in words ("" where all were given).
    """
    batch = settings.batch_size or _batch_size(shape.examples)
    steps = max(1, math.ceil(shape.examples / batch))  # of an epoch
    found: dict[str, Any] = {
        "learning_rate": _rate(settings, shape),
        "epochs": _epochs(shape, steps),
        "batch_size": batch,
        "patience": max(2, math.ceil(_WAITING / steps)),
        "layer_decay": _layer_decay(shape),
        "flip": 0.5 if mirrors else 0.0,
        "crop_scale": _CROPS if crops else 1.0,
    }
    unset = {name: value for name, value in found.items() if _is_open(name, getattr(settings, name))}
    told = ", ".join(f"{name} {value:g}" for name, value in unset.items() if name not in _PICTURES)
    return dataclasses.replace(settings, **unset), f"{shape.words}: {told}" if told else ""


def _is_open(name: str, value: float) -> bool:
    return value < 0 if name == "flip" else value == 0


def _batch_size(examples: int) -> int:
    """Returns a batch that leaves some twenty steps an epoch, where there are examples for it."""
    return next((size for size in reversed(_BATCHES) if examples >= 20 * size), _BATCHES[0])


def _rate(settings: FinetuneSettings, shape: Shape) -> float:
    if not shape.pretrained:
        return _FROM_SCRATCH[shape.kind]
    rate = _RATES[shape.kind][shape.size]
    return _ADAPTERS * rate if settings.strategy == "lora" else rate


def _epochs(shape: Shape, steps: int) -> int:
    wanted, (fewest, most) = (
        (_STEPS, _EPOCHS) if shape.pretrained else (_STEPS_FROM_SCRATCH, _EPOCHS_FROM_SCRATCH)
    )  # fmt: skip
    return min(most, max(fewest, math.ceil(wanted / steps)))


def _layer_decay(shape: Shape) -> float:
    """Lower layers hold what is general; the deeper the network, the less they should move."""
    if not shape.pretrained or shape.kind == CONVOLUTIONAL:
        return 1.0
    return (0.9, 0.85, 0.8)[shape.size]
