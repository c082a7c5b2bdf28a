"""What of a backbone learns: one table of strategies, the same for text and images.

- `probe`: feature extraction; the backbone is frozen, and the head fitted on what it makes of the examples.
- `partial`: the last blocks and the head (Lee et al. 2019, 1911.03090: the top quarter gives 90 % of the quality).
- `full`: every weight.
- `gradual`: from the top down, more blocks each epoch (ULMFiT, Howard and Ruder 2018, 1801.06146).
- `probe-then-full`: a probe, then every weight from there (LP-FT, Kumar et al. 2022, 2202.10054).
- `lora`: a low-rank update of each weight matrix (Hu et al. 2021, 2106.09685), merged into it at the end.
"""

import warnings
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from torch import nn

from components.finetune.learning.anatomy import Anatomy
from components.finetune.settings import FinetuneSettings
from components.shared.backbones.network import Network

First = Callable[[Anatomy, FinetuneSettings, int], int]
"""Takes an anatomy, the settings and an epoch (from 0); returns the first stage that learns."""


@dataclass(frozen=True)
class Strategy:
    """A way to transfer.

    Attributes:
        first: From which stage on weights learn, in each epoch.
        probes: Whether the head is fitted first, on what the frozen backbone makes of the examples.
        trains: Whether gradient steps follow.
        fixed: Whether the same stages learn in each epoch, so that what the frozen ones make can be kept.
        adapts: Whether blocks learn through low-rank adapters alone.
    """

    first: First
    probes: bool = False
    trains: bool = True
    fixed: bool = True
    adapts: bool = False


def _everything(_: Anatomy, __: FinetuneSettings, ___: int) -> int:
    return 0


def _head(anatomy: Anatomy, _: FinetuneSettings, __: int) -> int:
    return anatomy.head


def _last_blocks(anatomy: Anatomy, settings: FinetuneSettings, _: int) -> int:
    wanted = settings.trainable_blocks or max(1, round(len(anatomy.blocks) / 3))
    return max(1, anatomy.tail - wanted)


def _from_the_top(anatomy: Anatomy, settings: FinetuneSettings, epoch: int) -> int:
    """The head in the first epoch, all in the last one, and evenly in between."""
    if epoch + 1 >= settings.epochs:
        return 0
    return anatomy.head if epoch == 0 else anatomy.tail - max(1, round(len(anatomy.blocks) * epoch / settings.epochs))


STRATEGIES = {
    "probe": Strategy(_head, probes=True, trains=False),
    "partial": Strategy(_last_blocks),
    "full": Strategy(_everything),
    "gradual": Strategy(_from_the_top, fixed=False),
    "probe-then-full": Strategy(_everything, probes=True),
    "lora": Strategy(_everything, adapts=True),
}


def freeze(network: Network, anatomy: Anatomy, strategy: Strategy, first: int) -> None:
    """Lets the stages from `first` on learn, and no other; puts the network into training mode.

    What is frozen is frozen whole: no dropout, and batch norms use and keep their statistics.
    """
    stages = anatomy.stages(network)
    for name, parameter in network.named_parameters():
        learns = stages[name] >= first
        if strategy.adapts and stages[name] != anatomy.head:
            learns = "lora_" in name
        parameter.requires_grad_(learns)
    network.train()
    for module, stage in anatomy.modules(network):
        is_norm = isinstance(module, nn.modules.batchnorm._BatchNorm)
        if stage < first or (strategy.adapts and is_norm):
            module.eval()


def describe(anatomy: Anatomy, strategy: Strategy, settings: FinetuneSettings) -> str:
    """Returns what is frozen, in words."""
    blocks = len(anatomy.blocks)
    if strategy.adapts:
        return f"all weights frozen, adapters of rank {settings.lora_rank} in {blocks} blocks"
    if not strategy.fixed:
        return f"unfrozen from the top, {blocks} blocks in {settings.epochs} epochs"
    frozen = min(max(strategy.first(anatomy, settings, 0) - 1, 0), blocks)
    return f"{frozen} of {blocks} blocks frozen" if frozen else "every weight learns"


def parameter_groups(
    network: Network, anatomy: Anatomy, settings: FinetuneSettings, learning_rate: float
) -> list[dict[str, Any]]:
    """Returns AdamW's groups: each stage with its own learning rate, no decay of biases and norms (vectors).

    The tail learns at `learning_rate`, each stage below at `layer_decay` times that of the one above (ULMFiT's
    discriminative rates, ELECTRA's and BEiT's layer decay), the head at `head_factor` times `learning_rate`.
    """
    stages = anatomy.stages(network)
    groups: dict[tuple[int, bool], list[nn.Parameter]] = {}
    for name, parameter in network.named_parameters():
        groups.setdefault((stages[name], parameter.ndim > 1), []).append(parameter)
    made = []
    for (stage, decays), parameters in sorted(groups.items(), key=lambda item: item[0]):
        depth = anatomy.tail - stage
        factor = settings.head_factor if stage == anatomy.head else settings.layer_decay**depth
        decay = settings.weight_decay if decays else 0.0
        made.append({"params": parameters, "lr": factor * learning_rate, "weight_decay": decay})
    return made


def add_adapters(network: Network, anatomy: Anatomy, settings: FinetuneSettings) -> None:
    """Puts a low-rank adapter beside each weight matrix of the blocks (through peft)."""
    from peft import LoraConfig, inject_adapter_in_model
    from transformers.pytorch_utils import Conv1D

    inside = {id(module) for block in anatomy.blocks for module in block.modules()}
    names = [
        name
        for name, module in network.encoder.named_modules()
        if id(module) in inside
        and (isinstance(module, nn.Linear | Conv1D) or (isinstance(module, nn.Conv2d) and module.groups == 1))
    ]
    config = LoraConfig(r=settings.lora_rank, lora_alpha=int(settings.lora_alpha), target_modules=names)
    config.lora_alpha = settings.lora_alpha  # type: ignore[assignment]  # peft types it int, and takes any number
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)  # GPT-2 keeps its weights transposed: peft sees it by itself
        inject_adapter_in_model(config, network.encoder)


def merge_adapters(network: Network) -> None:
    """Adds each adapter to the weights beside it, and removes it: the network is built as before."""
    from peft.tuners.tuners_utils import BaseTunerLayer

    for name, module in list(network.encoder.named_modules()):
        if isinstance(module, BaseTunerLayer):
            with torch.no_grad():
                module.merge()
            parent, _, child = name.rpartition(".")
            setattr(network.encoder.get_submodule(parent), child, module.get_base_layer())
