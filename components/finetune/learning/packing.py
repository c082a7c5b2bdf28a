"""Dataclasses of arrays and plain values as JSON beside tensors, and back: what is kept of a fit, without pickle."""

import dataclasses
import typing
from collections.abc import Mapping
from typing import Any, TypeVar

import numpy as np
import torch
from torch import Tensor

Value = TypeVar("Value")
_TENSOR, _ARRAY, _PAIRS = "tensor", "array", "pairs"


def pack(value: Any) -> tuple[Any, dict[str, Tensor]]:
    """Returns what is left of a dataclass without its arrays, as JSON values, and those, by name."""
    tensors: dict[str, Tensor] = {}

    def packed(part: Any) -> Any:
        if isinstance(part, Tensor | np.ndarray):
            name = str(len(tensors))
            tensors[name] = torch.from_numpy(np.array(part)) if isinstance(part, np.ndarray) else part.cpu().clone()
            return {_TENSOR: name} if isinstance(part, Tensor) else {_ARRAY: name}
        if dataclasses.is_dataclass(part) and not isinstance(part, type):
            return {field.name: packed(getattr(part, field.name)) for field in dataclasses.fields(part)}
        if isinstance(part, Mapping):
            return {_PAIRS: [[packed(key), packed(each)] for key, each in part.items()]}
        if isinstance(part, list | tuple):
            return [packed(each) for each in part]
        return part.item() if isinstance(part, np.generic) else part

    return packed(value), tensors


def unpack(kind: type[Value], told: Any, tensors: Mapping[str, Tensor], device: torch.device) -> Value:
    """Returns the dataclass that `pack` was given; its tensors are on a device."""

    def unpacked(part: Any, hint: Any) -> Any:
        if dataclasses.is_dataclass(hint):
            hints = typing.get_type_hints(hint)
            fields = {field.name: unpacked(part[field.name], hints[field.name]) for field in dataclasses.fields(hint)}
            return typing.cast(Any, hint)(**fields)
        if isinstance(part, list):
            return [unpacked(each, None) for each in part]
        if not isinstance(part, dict):
            return part
        if _PAIRS in part:
            return {unpacked(key, None): unpacked(each, None) for key, each in part[_PAIRS]}
        return tensors[part[_TENSOR]].to(device) if _TENSOR in part else tensors[part[_ARRAY]].numpy()

    found: Value = unpacked(told, kind)
    return found
