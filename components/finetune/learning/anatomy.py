"""How deep each part of a network lies: what is below its blocks, the blocks, what is above them.

Freezing, layer-wise learning rates and cached activations all speak of the same stages: 0 is what runs before the
first block (embeddings, stem), 1 to n are the n blocks, n + 1 is what runs after them (final norm, pooler), n + 2 is
the head. It is found by watching one forward pass, so that it needs no list of architectures.
"""

import re
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from components.shared.backbones.network import WIDE_IDS, WIDE_WEIGHTS, Network

_NUMBERED = re.compile(r"^(layer|stage|s)\d+$")  # ResNet's layer1 … layer4, RegNet's s1 … s4


@dataclass(frozen=True)
class Anatomy:
    """The stages of a network.

    Attributes:
        blocks: The blocks, lowest first.
        above: Modules (by id) that first ran when the last block was done.
        outputs: For each block, how many values it returns: 0 for a bare tensor, else the length of a tuple.
        resumable: Whether each block takes a tensor first, so that a pass can begin in the middle.
    """

    blocks: list[nn.Module]
    above: frozenset[int]
    outputs: list[int]
    resumable: bool

    @property
    def tail(self) -> int:
        """The stage after the blocks."""
        return len(self.blocks) + 1

    @property
    def head(self) -> int:
        """The stage of the head, the last one."""
        return len(self.blocks) + 2

    def stages(self, network: Network) -> dict[str, int]:
        """Returns the stage of each parameter, by name."""
        found: dict[str, int] = {}
        inside = self._inside()
        for prefix, module in network.named_modules():
            for name, _ in module.named_parameters(prefix, recurse=False):
                found[name] = self.head if name.startswith(("head.", "wide.")) else self._stage(module, inside)
        return found

    def modules(self, network: Network) -> Iterator[tuple[nn.Module, int]]:
        """Yields every module with its stage, but for those that hold blocks."""
        inside = self._inside()
        blocks, head = ({id(part) for part in parts} for parts in (self.blocks, network.head.modules()))
        for module in network.modules():
            if id(module) in inside or not any(id(part) in blocks for part in module.modules()):
                is_head = id(module) in head or module in (network.dropout, network.wide)
                yield module, self.head if is_head else self._stage(module, inside)

    def _inside(self) -> dict[int, int]:
        """Returns the stage of each module of a block, by the module's id."""
        return {id(module): number for number, block in enumerate(self.blocks, 1) for module in block.modules()}

    def _stage(self, module: nn.Module, inside: Mapping[int, int]) -> int:
        return inside.get(id(module), self.tail if id(module) in self.above else 0)


def blocks_of(encoder: nn.Module) -> list[nn.Module]:
    """Returns the chain of blocks that a backbone is made of.

    Numbered siblings (`layer1`, `layer2`, …) give the members of each; else it is the outermost list of modules that
    holds most of the parameters: transformer blocks, or the stages of a convolutional network.
    """
    siblings = [child for name, child in encoder.named_children() if _NUMBERED.match(name)]
    if len(siblings) > 1:
        return [block for child in siblings for block in (child if isinstance(child, nn.Sequential) else [child])]
    lists = [m for m in encoder.modules() if isinstance(m, nn.ModuleList | nn.Sequential) and len(m) > 1]
    if not lists:
        return [encoder]
    return list(max(lists, key=lambda item: sum(parameter.numel() for parameter in item.parameters())))


def anatomy_of(network: Network, batch: Mapping[str, Tensor]) -> Anatomy:
    """Watches one forward pass over a batch."""
    blocks = blocks_of(network.encoder)
    begun: list[nn.Module] = []
    above: set[int] = set()
    outputs = [0] * len(blocks)
    resumable = True

    def begins(module: nn.Module, arguments: tuple[Any, ...], named: dict[str, Any]) -> None:
        nonlocal resumable
        if module in blocks:
            resumable = resumable and isinstance(hidden_of(arguments, named), Tensor)
            begun.append(module)

    def is_done(module: nn.Module, _: Any, output: Any) -> None:
        outputs[blocks.index(module)] = len(output) if isinstance(output, tuple) else 0

    seen: set[int] = set()

    def first_seen(module: nn.Module, _: Any) -> None:
        if id(module) not in seen and blocks[-1] in begun:
            above.add(id(module))
        seen.add(id(module))

    with ExitStack() as hooks:
        for module in network.modules():
            hooks.callback(module.register_forward_pre_hook(first_seen).remove)
        for block in blocks:
            hooks.callback(block.register_forward_pre_hook(begins, with_kwargs=True).remove)
            hooks.callback(block.register_forward_hook(is_done).remove)
        was_training = network.training
        with torch.inference_mode():
            network.eval()(**batch)
        network.train(was_training)
    in_order = [id(block) for block in begun] == [id(block) for block in blocks]
    inside = {id(module) for block in blocks for module in block.modules()}
    return Anatomy(blocks, frozenset(above - inside), outputs, resumable and in_order and len(blocks) > 1)


def hidden_of(arguments: tuple[Any, ...], named: Mapping[str, Any]) -> Any:
    """Returns what a block is given to work on."""
    return arguments[0] if arguments else named.get("hidden_states")


class _ReachedError(Exception):
    """Ends a forward pass where nothing more of it is needed."""


class Prefix:
    """The part of a network below a stage: computed apart, and a pass resumed from what it gave.

    Stage n + 2 (the head) is the whole backbone: its outcome is what the head takes: the pooled vectors, the network's
    own pooling first, or the vectors of the tokens.
    """

    def __init__(self, network: Network, anatomy: Anatomy) -> None:
        self.network, self.anatomy = network, anatomy

    @torch.no_grad()
    def states(self, batch: Mapping[str, Tensor], stages: list[int]) -> dict[int, Tensor]:
        """Returns what enters each of some stages, from one pass.

        Args:
            batch: As the network takes it.
            stages: Each a block's, or the head's.
        """
        found: dict[int, Tensor] = {}
        highest = max(stages)

        def catch(stage: int) -> Any:
            def hook(_: nn.Module, arguments: tuple[Any, ...], named: dict[str, Any]) -> None:
                found[stage] = hidden_of(arguments, named)
                if stage == highest:
                    raise _ReachedError

            return hook

        with ExitStack() as hooks:
            for stage in stages:
                if stage != self.anatomy.head:
                    block = self.anatomy.blocks[stage - 1]
                    hooks.callback(block.register_forward_pre_hook(catch(stage), with_kwargs=True).remove)
            with suppress(_ReachedError):
                deep = {name: tensor for name, tensor in batch.items() if name not in (WIDE_IDS, WIDE_WEIGHTS)}
                found[self.anatomy.head] = self._top(deep)
        return {stage: found[stage] for stage in stages}

    def _top(self, batch: Mapping[str, Tensor]) -> Tensor:
        if self.network.head.level == "tokens":
            return self.network.tokens(**batch)[0]
        return torch.stack(list(self.network.summaries(**batch).values()), 1)

    @contextmanager
    def resumed(self, stage: int, states: Tensor) -> Iterator[None]:
        """Within the block, a forward pass of the network begins at a stage: blocks below hand on what they are given.

        What runs before the first block runs as ever: it is cheap, and makes the masks and positions that blocks take.
        """
        blocks, outputs = self.anatomy.blocks, self.anatomy.outputs

        def enter(_: nn.Module, arguments: tuple[Any, ...], named: dict[str, Any]) -> Any:
            if arguments:
                return (states, *arguments[1:]), named
            return arguments, {**named, "hidden_states": states}

        with ExitStack() as hooks:
            for block, count in zip(blocks[: stage - 1], outputs, strict=False):
                block.forward = _skip(count)
                hooks.callback(delattr, block, "forward")
            hooks.callback(blocks[stage - 1].register_forward_pre_hook(enter, with_kwargs=True).remove)
            yield


def _skip(outputs: int) -> Any:
    def forward(*arguments: Any, **named: Any) -> Any:
        hidden = hidden_of(arguments, named)
        return (hidden, *[None] * (outputs - 1)) if outputs else hidden

    return forward
