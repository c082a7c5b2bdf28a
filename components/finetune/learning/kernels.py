"""Dropout and attention on a CPU, computed faster than torch does; what they answer is the same.

torch draws each value of a dropout mask from a Bernoulli distribution of its own, some 0.13 billion a second, and that
for hidden states and for the attention's weights. Sixteen random bits a value compared with a bound are ten times
faster, and as good: the chance is met to 1 / 65,536. And attention in training is five matrix products and a softmax:
torch's way with dropout takes a dozen passes over the weights beside, its flash kernel, without, a slow way back.

A mode (`torch.overrides.TorchFunctionMode`) puts them in the place of torch's own functions, whatever library calls
those: so networks stay as they are, of transformers and of timm.
"""

import contextlib
import math
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional
from torch.overrides import TorchFunctionMode

_DRAWN = 1 << 16  # values that 16 random bits have
_LONG = 256  # tokens from which torch's own attention is as fast, where nothing is dropped


def kernels(device: torch.device) -> contextlib.AbstractContextManager[Any]:
    """Returns the context that a forward pass of training runs in."""
    return _Kernels() if device.type == "cpu" else contextlib.nullcontext()


class _Kernels(TorchFunctionMode):
    """Replaces two functions of torch."""

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        kwargs = kwargs or {}
        if func is functional.dropout:
            return _dropout(*args, **kwargs)
        if func is functional.scaled_dot_product_attention:
            return _attention(*args, **kwargs)
        return func(*args, **kwargs)


def keep(shape: torch.Size, p: float, dtype: torch.dtype) -> Tensor:
    """Returns what dropout multiplies with: 0 with a chance of p, else 1 / (1 - p).

    Its seed comes from torch's own generator, so that training that goes on elsewhere goes on alike.

    Args:
        shape: Of the values that are dropped.
        p: The chance, met to 1 / 65,536.
        dtype: Of the result.
    """
    seed = int(torch.empty((), dtype=torch.int64).random_())
    count = math.prod(shape)
    drawn = np.random.SFC64(seed).random_raw(-(-count // 4)).view(np.int16)[:count]
    dropped = round(p * _DRAWN)
    kept = torch.from_numpy(drawn).view(shape) >= dropped - _DRAWN // 2
    return kept.to(dtype).mul_(_DRAWN / (_DRAWN - dropped))


def _dropout(values: Tensor, p: float = 0.5, training: bool = True, inplace: bool = False) -> Tensor:
    if not training or inplace or not 0 < round(p * _DRAWN) < _DRAWN or not values.is_floating_point():
        return functional.dropout(values, p, training, inplace)
    return values * keep(values.shape, p, values.dtype)


def _attention(
    query: Tensor,
    key: Tensor,
    value: Tensor,
    attn_mask: Tensor | None = None,
    dropout_p: float = 0.0,
    is_causal: bool = False,
    scale: float | None = None,
    enable_gqa: bool = False,
) -> Tensor:
    """See `functional.scaled_dot_product_attention`, which what is not usual in training is left to."""
    parts = (query, key, value)
    usual = len({part.shape for part in parts}) == 1 and query.ndim == 4 and not (is_causal or enable_gqa)
    learned = attn_mask is not None and attn_mask.requires_grad  # a bias of positions
    learns = torch.is_grad_enabled() and any(part.requires_grad for part in parts)
    gains = learns and (dropout_p > 0 or query.shape[-2] < _LONG)
    if not usual or learned or not gains or dropout_p >= 1:
        return functional.scaled_dot_product_attention(
            query, key, value, attn_mask, dropout_p, is_causal, scale=scale, enable_gqa=enable_gqa
        )
    if torch.is_autocast_enabled("cpu"):
        query, key, value = (part.to(torch.get_autocast_dtype("cpu")) for part in parts)
    if attn_mask is not None:
        attn_mask = _added(attn_mask, query.dtype)
    with torch.autocast("cpu", enabled=False):
        made: Tensor = _Attention.apply(query, key, value, attn_mask, scale or query.shape[-1] ** -0.5, dropout_p)
    return made


def _added(mask: Tensor, dtype: torch.dtype) -> Tensor:
    """Returns what a mask adds to scores: finite, so that a row with nothing to look at is a number, too."""
    lowest = torch.finfo(dtype).min
    if mask.dtype == torch.bool:
        return torch.zeros_like(mask, dtype=dtype).masked_fill_(~mask, lowest)
    return mask.to(dtype).clamp(min=lowest)


class _Attention(torch.autograd.Function):
    """softmax(scale · QKᵀ + mask), some of it dropped, times V (Vaswani et al. 2017, 1706.03762).

    Of each head [tokens, tokens] weights are kept for the way back, and what they were multiplied with.
    """

    @staticmethod
    def forward(
        ctx: Any, query: Tensor, key: Tensor, value: Tensor, mask: Tensor | None, scale: float, p: float
    ) -> Tensor:
        flat = (-1, *query.shape[-2:])
        q, k, v = (part.reshape(flat) for part in (query, key, value))
        scores = torch.bmm(q, k.transpose(1, 2)).mul_(scale)
        if mask is not None:
            scores.view(*query.shape[:-1], -1).add_(mask)
        weights = torch.softmax(scores, -1)
        factor = keep(weights.shape, p, weights.dtype) if p else None
        ctx.save_for_backward(q, k, v, weights, factor)
        ctx.scale, ctx.shape = scale, query.shape
        return torch.bmm(weights if factor is None else weights * factor, v).view(query.shape)

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor | None, ...]:
        q, k, v, weights, factor = ctx.saved_tensors
        gradient = gradient.reshape(q.shape)
        used = weights if factor is None else weights * factor
        of_value = torch.bmm(used.transpose(1, 2), gradient)
        of_weights = torch.bmm(gradient, v.transpose(1, 2))
        if factor is not None:
            of_weights.mul_(factor)
        of_scores = torch._softmax_backward_data(of_weights, weights, -1, weights.dtype).mul_(ctx.scale)
        of_query, of_key = torch.bmm(of_scores, k), torch.bmm(of_scores.transpose(1, 2), q)
        return *(part.view(ctx.shape) for part in (of_query, of_key, of_value)), None, None, None
