"""Texts of a batch one after the other, without padding, through the blocks of a network.

Embeddings are looked up, and vectors pooled, as ever, [texts, longest]; before the first block padding is taken out,
and put back after the last one. In between there is one row of tokens, [1, tokens, width], and attention that keeps
texts apart: transformers' blocks ask `AttentionInterface` for it. On a GPU it is flash attention for variable lengths
(Dao 2023, 2307.08691), elsewhere padded attention, the smallest part of a block. What comes out is the same to
rounding; a network for which it is not keeps its padding, and says why.
"""

import contextlib
import dataclasses
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional

from components.finetune.learning import graphs
from components.finetune.learning.anatomy import Anatomy
from components.finetune.learning.batches import padding
from components.finetune.learning.device import Autocast
from components.finetune.learning.examples import Batch, Examples
from components.finetune.settings import FinetuneSettings
from components.shared.backbones.network import Network

PLACES, STARTS = "token_places", "token_starts"
"""In a batch: where its tokens are, see `Layout`."""
_NAME = "graft-unpadded"
_STRANGE = ("position_bias", "softcap", "s_aux", "cache")  # what attention may be asked for, and is not done here
_WORTH = 0.08  # of what is computed on a CPU: for less padding, taking it out costs more
_TRIED = 6  # texts that it is tried on
_FLASH = (torch.float16, torch.bfloat16)
_NEAR = {torch.float32: 1e-4, torch.bfloat16: 0.05}  # of the largest value: what rounding may differ by


@dataclass(frozen=True)
class Layout:
    """Where the tokens of a padded batch are when its padding is left out.

    Attributes:
        places: int64 [tokens]: of each in the flattened batch; of filler the place after the last.
        starts: int32 [texts + 1]: where each text starts in the row of tokens, and the last one ends; filler is told as
            further texts, none longer than the longest.
        texts: How many there are.
        longest: Tokens of a text in the padded batch.
    """

    places: Tensor
    starts: Tensor
    texts: int
    longest: int
    masks: dict[tuple[bool, int], Tensor | None] = field(default_factory=dict)

    def pack(self, padded: Tensor) -> Tensor:
        """Takes [texts, longest, …]; returns [1, tokens, …]."""
        flat = padded.flatten(0, 1)
        return flat.index_select(0, self.places.clamp(max=len(flat) - 1))[None]

    def unpack(self, packed: Tensor) -> Tensor:
        """Takes [1, tokens, …]; returns [texts, longest, …], zeros where padding is."""
        inner = packed.shape[2:]
        flat = packed.new_zeros((self.texts * self.longest + 1, *inner)).index_copy(0, self.places, packed[0])
        return flat[:-1].view(self.texts, self.longest, *inner)

    def mask(self, causal: bool, window: int) -> Tensor | None:
        """Returns which tokens see which, bool [texts, 1, 1 or longest, longest]; None: all see all.

        Args:
            causal: Whether a token sees none after it.
            window: How far it sees, itself included; 0: all.
        """
        if (causal, window) not in self.masks:
            places = torch.arange(self.longest, device=self.starts.device)
            lengths = self.starts[1 : self.texts + 1] - self.starts[: self.texts]
            seen = (places < lengths[:, None])[:, None, None]
            distance = places[:, None] - places
            if causal:
                seen = seen & (distance >= 0)
            if window:
                seen = seen & (distance.abs() < window)
            is_full = len(self.places) == self.texts * self.longest and not causal and not window
            self.masks[causal, window] = None if is_full else seen
        return self.masks[causal, window]


def layout_of(lengths: np.ndarray, longest: int, grain: int = 1) -> dict[str, Tensor]:
    """Returns where the tokens of a batch are, as tensors of the batch.

    Args:
        lengths: int [texts], tokens of each.
        longest: Tokens of a text in the padded batch.
        grain: The row of tokens is filled up to a multiple of it, so that few shapes occur.
    """
    there = np.arange(longest) < lengths[:, None]
    places, count = np.flatnonzero(there), int(lengths.sum())
    filler = -count % grain
    starts = np.concatenate(([0], np.cumsum(lengths)))
    if grain > 1:  # as many further texts whatever the filler, the first of them as long as may be
        ends = count + np.minimum(np.arange(1, -(-(grain - 1) // longest) + 1) * longest, filler)
        starts, places = np.concatenate((starts, ends)), np.concatenate((places, np.full(filler, there.size)))
    return {PLACES: torch.from_numpy(places), STARTS: torch.from_numpy(starts.astype(np.int32))}


@dataclass(frozen=True)
class Way:
    """How batches of texts are laid out for a network.

    Attributes:
        unpadder: Leads them through without padding; None: as they are.
        few_shapes: Whether batches of training are filled up to one of few shapes: each shape is recorded apart.
        widens: Whether that goes for the longest text, too; of a head that looks at tokens, targets are as long as it.
    """

    unpadder: "Unpadder | None" = None
    few_shapes: bool = False
    widens: bool = True

    def laid(self, batch: Batch, examples: Examples, indices: np.ndarray, learns: bool) -> Batch:
        """Returns a batch with what `entered` needs.

        Args:
            batch: Padded to its longest text.
            examples: Of which it is.
            indices: int [texts]: which.
            learns: Whether it is one of training.
        """
        if "input_ids" not in batch:
            return batch
        longest, few = batch["input_ids"].shape[1], self.few_shapes and learns
        if few and self.widens:
            wide = 1 << (longest - 1).bit_length() if self.unpadder else longest + -longest % grain_of(longest)
            batch = {name: _widened(tensor, longest, wide, examples, name) for name, tensor in batch.items()}
            longest = wide
        if self.unpadder is None:
            return batch
        lengths = np.maximum(examples.lengths[indices].astype(np.int64), 1)  # an empty text is a token of padding
        layout = layout_of(lengths, longest, grain_of(int(lengths.sum())) if few else 1)
        return {**batch, **{name: tensor.to(examples.device, non_blocking=True) for name, tensor in layout.items()}}

    def entered(self, batch: Batch) -> contextlib.AbstractContextManager[Batch]:
        """Returns the context of a pass, which gives the batch as the network takes it."""
        return (
            contextlib.nullcontext(batch)
            if self.unpadder is None or PLACES not in batch
            else self.unpadder.without(batch)
        )


def grain_of(count: int) -> int:
    """Returns what a count is filled up to a multiple of: an eighth of an octave, at least 8."""
    return max(8, 1 << max(0, count.bit_length() - 4))


def _widened(tensor: Tensor, longest: int, wide: int, examples: Examples, name: str) -> Tensor:
    """Pads what has a value for each token."""
    if tensor.ndim < 2 or tensor.shape[1] != longest:
        return tensor
    value = examples.padding if name == "input_ids" else 0
    return functional.pad(tensor, (*[0] * 2 * (tensor.ndim - 2), 0, wide - longest), value=value)


class Unpadder:
    """Leads batches through a network without their padding."""

    def __init__(self, network: Network, anatomy: Anatomy) -> None:
        encoder: Any = network.encoder
        self.config, self.blocks = encoder.config, anatomy.blocks

    @contextlib.contextmanager
    def without(self, batch: Mapping[str, Tensor]) -> Iterator[dict[str, Tensor]]:
        """Gives the batch as the network takes it; within the block, its pass goes without padding."""
        texts, longest = batch["input_ids"].shape
        layout = Layout(batch[PLACES], batch[STARTS], texts, longest)
        known: dict[int, tuple[Tensor, Tensor]] = {}

        def packed(value: Any) -> Any:
            if isinstance(value, tuple):
                return tuple(packed(part) for part in value)
            if not isinstance(value, Tensor) or value.ndim < 2 or value.shape[1] != longest:
                return value
            if value.shape[0] not in (1, texts):
                return value
            if id(value) not in known:  # all blocks take the same positions
                known[id(value)] = value, layout.pack(value.expand(texts, *value.shape[1:]))
            return known[id(value)][1]

        def enter(_: nn.Module, arguments: tuple[Any, ...], named: dict[str, Any]) -> Any:
            named = {name: None if name == "attention_mask" else packed(value) for name, value in named.items()}
            return packed(arguments), {**named, "layout": layout}

        def leave(_: nn.Module, __: tuple[Any, ...], output: Any) -> Any:
            return (layout.unpack(output[0]), *output[1:]) if isinstance(output, tuple) else layout.unpack(output)

        before = self.config._attn_implementation
        with contextlib.ExitStack() as stack:
            for block in self.blocks:
                stack.callback(block.register_forward_pre_hook(enter, with_kwargs=True).remove)
            stack.callback(self.blocks[-1].register_forward_hook(leave).remove)
            stack.callback(setattr, self.config, "_attn_implementation", before)
            self.config._attn_implementation = _NAME
            yield {name: tensor for name, tensor in batch.items() if name not in (PLACES, STARTS)}


def way_of(
    network: Network, anatomy: Anatomy, examples: Examples, settings: FinetuneSettings, autocast: Autocast
) -> tuple[Way, str]:
    """Returns how batches of training are laid out, and a sentence on it, or "".

    Args:
        network: That learns, on its device.
        anatomy: Its stages.
        examples: Of training.
        settings: Of the loop.
        autocast: Makes the context that forward passes run in.
    """
    few_shapes = graphs.recorder(settings, examples.device) is not None
    way = Way(None, few_shapes, network.head.level == "pooled")
    if "input_ids" not in examples.batch(np.arange(1)) or settings.unpadding == "false":
        return way, ""
    share = padding(examples.lengths, settings.batch_size, settings.seed)
    if examples.device.type == "cpu" and share < _WORTH:
        return way, ""
    unpadder, reason = unpadder_of(network, anatomy, examples, autocast)
    if unpadder is None:
        return way, f"texts are padded, as {reason}"
    return dataclasses.replace(way, unpadder=unpadder), f"texts are computed without padding ({share:.0%} of batches)"


def unpadder_of(
    network: Network, anatomy: Anatomy, examples: Examples, autocast: Autocast
) -> tuple["Unpadder | None", str]:
    """Tries it on texts of different lengths; returns what leads batches without padding, or None and the reason."""
    if getattr(getattr(network.encoder, "config", None), "_attn_implementation", "") != "sdpa":
        return None, "its attention is its own"
    _register()
    order = np.argsort(examples.lengths, kind="stable")
    indices = order[np.linspace(0, len(order) - 1, min(_TRIED, len(order))).round().astype(int)]
    batch, was_training = examples.batch(indices), network.training
    unpadder = Unpadder(network, anatomy)
    try:
        with torch.no_grad(), autocast():
            padded = network.eval()(**batch)
            with unpadder.without(Way(unpadder).laid(batch, examples, indices, learns=False)) as without:
                unpadded = network(**without)
            is_rough = torch.is_autocast_enabled(examples.device.type)
    except Exception as error:  # what a network that knows nothing of it says, nobody can list
        return None, f"its blocks take no others ({str(error)[:200] or type(error).__name__})"
    finally:
        network.train(was_training)
    difference = _difference(padded, unpadded, batch["attention_mask"], network.head.level)
    if not difference <= (_NEAR[torch.bfloat16] if is_rough else _NEAR[torch.float32]):
        return None, f"without it answers differ by {difference:.1%}"
    return unpadder, ""


def _difference(padded: Mapping[str, Tensor], unpadded: Mapping[str, Tensor], mask: Tensor, level: str) -> float:
    """Returns the largest difference of outputs, as a part of the largest of them; padding does not count."""
    found = 0.0
    for name, values in padded.items():
        there = mask.bool() if level == "tokens" else torch.ones(len(values), dtype=torch.bool, device=mask.device)
        ours, theirs = unpadded[name][there].float(), values[there].float()
        found = max(found, float((ours - theirs).abs().max() / theirs.abs().max().clamp(min=1e-6)))
    return found


def _register() -> None:
    """Makes it known to transformers by a name; masks are its own, so that none is made for it."""
    from transformers import AttentionInterface

    AttentionInterface.register(_NAME, _attend)


def _attend(
    module: nn.Module,
    query: Tensor,
    key: Tensor,
    value: Tensor,
    attention_mask: Tensor | None = None,
    dropout: float = 0.0,
    scaling: float | None = None,
    is_causal: bool | None = None,
    sliding_window: int | None = None,
    layout: Layout | None = None,
    **others: Any,
) -> tuple[Tensor, None]:
    """See `transformers.integrations.sdpa_attention`.

    Args:
        module: Says whether it is causal, where `is_causal` does not.
        query: [1, heads, tokens, width of a head].
        key: Likewise, perhaps of fewer heads, each of which serves several.
        value: Likewise.
        attention_mask: None.
        dropout: The part of the weights that is dropped.
        scaling: Of the scores; None: 1 / √width.
        is_causal: Whether a token sees none after it.
        sliding_window: How far it sees, itself included; None: all.
        layout: Where the texts are.
        others: What else a network asks for.

    Returns:
        [1, tokens, heads, width of a head], and no weights.

    Raises:
        NotImplementedError: The network asks for what is not done here.
    """
    strange = [name for name in _STRANGE if others.get(name) is not None]
    if layout is None or attention_mask is not None or strange:
        raise NotImplementedError(f"attention with {', '.join(strange) or 'a mask of its own'}")
    causal = bool(getattr(module, "is_causal", True) if is_causal is None else is_causal)
    parts = [part[0].transpose(0, 1) for part in (query, key, value)]  # [tokens, heads, width]
    if (repeats := parts[0].shape[1] // parts[1].shape[1]) > 1:
        parts[1:] = [part.repeat_interleave(repeats, 1) for part in parts[1:]]
    if torch.is_autocast_enabled(query.device.type):
        parts = [part.to(torch.get_autocast_dtype(query.device.type)) for part in parts]
    width = parts[0].shape[-1]
    if query.is_cuda and parts[0].dtype in _FLASH and width % 8 == 0 and width <= 256:
        return _flash(parts, layout, dropout, scaling, causal, sliding_window)[None], None
    q, k, v = (layout.unpack(part[None]).transpose(1, 2) for part in parts)
    mask = layout.mask(causal, sliding_window or 0)
    made = functional.scaled_dot_product_attention(q, k, v, attn_mask=mask, dropout_p=dropout, scale=scaling)
    return layout.pack(made.transpose(1, 2)), None


def _flash(
    parts: list[Tensor], layout: Layout, dropout: float, scaling: float | None, causal: bool, window: int | None
) -> Tensor:
    """What `torch.nn.attention.varlen.varlen_attn` calls, which takes no dropout."""
    around = None if window is None else window - 1
    made: Tensor = torch.ops.aten._flash_attention_forward(
        *parts, layout.starts, layout.starts, layout.longest, layout.longest, dropout, causal, False,
        scale=scaling, window_size_left=around, window_size_right=0 if causal and around is not None else around,
    )[0]  # fmt: skip
    return made
