"""The head of question answering: where in a context an answer begins and ends. It goes with a registered model.

A token of the context, or the first token, which says that the answer is not here, is chosen in each window, as BERT
does (Devlin et al. 2018, 1810.04805). What the first token gets is taken off, so that the windows of one example can be
compared: a softmax over all spans of all windows, and over "no answer".

Beside that linear layer stands what few examples cannot teach it: where the context speaks of what is asked. Each token
of the question looks for its like among those of the context (late interaction, as in ColBERT, Khattab & Zaharia 2020,
2004.12832; the attention from question to context of BiDAF, Seo et al. 2017, 1611.01603). How much of these looks falls
on the tokens after one, or before it, is added to its logits by weights that are learned, and are 0 at first.
"""

from collections.abc import Callable, Mapping, Sequence
from typing import Any, ClassVar, NamedTuple

import numpy as np
import torch
from torch import Tensor, nn

from ...backbones.head import Columns, Encoded, Level, LinearHead, Outputs, Spec
from .spans import Span, best_span
from .windows import Pairs, context_of, shortener

_QUESTION, _ANSWER = 1, 2
"""Segments: the first text, the second one."""
_REACHES = (4, 12, 32)
"""Tokens that are looked at after a token, and before it."""
_SHARP = 10.0
"""What cosines are multiplied by before the softmax of a token's looks."""
_SWIFT = 100.0
"""The few weights of the looks learn at so many times the rate of others: they begin at 0 and end at about 5."""

_OF_LOOKS = ("looks", "interest")
"""Weights."""

_FIRST, _CONTEXT, _OTHER, _PADDING = 2, 1, 0, -1
"""What a token is: the first one of its window, of the context, of the question, or none."""


class Head(LinearHead):
    """Two logits for each token: that the answer begins with it, and that it ends with it."""

    level: ClassVar[Level] = "tokens"
    windows: ClassVar[bool] = True
    segmented: ClassVar[bool] = True
    threshold: Tensor

    def __init__(self, width: int, spec: Spec) -> None:
        super().__init__(width, spec)
        self.register_buffer("threshold", torch.zeros(()))
        self.looks = nn.Parameter(torch.zeros(len(_REACHES), 2))
        self.interest = nn.Parameter(torch.zeros(width))

    def forward(self, encoded: Encoded) -> Outputs:  # type: ignore[override]
        """Returns `logits`, float [batch, tokens, 2]; without segments those of the linear layer alone."""
        outputs = super().forward(encoded)
        if encoded.segments is None or encoded.tokens is None:
            return outputs
        with torch.autocast(encoded.tokens.device.type, enabled=False):  # looks are told apart by their last digits
            seen = _seen(encoded.tokens.float(), encoded.segments, self.interest)
            return {"logits": outputs["logits"].float() + _SWIFT * (seen * self.looks).sum(2)}

    def adopt(self, weights: Mapping[str, Tensor], spec: Spec) -> bool:
        """Keeps the linear layer of an older head, and what it learned of looks."""
        if not super().adopt(weights, spec):
            return False
        with torch.no_grad():
            for name in _OF_LOOKS:
                if name in weights:
                    getattr(self, name).copy_(weights[name])
        return True

    def _load_from_state_dict(self, state_dict: dict[str, Tensor], prefix: str, *rest: Any) -> None:
        """Loads a head that was made before there were looks, too: it has learned nothing of them."""
        for name in _OF_LOOKS:
            state_dict.setdefault(prefix + name, getattr(self, name).detach())
        super()._load_from_state_dict(state_dict, prefix, *rest)

    @staticmethod
    def names(spec: Spec) -> list[str]:
        """Returns what the outputs are called."""
        return ["start", "end"]

    def targets(self, columns: Columns) -> Outputs:
        """Returns int64 [batch, tokens]: `kinds`, what each token is; `begins` and `ends`, 1 at the answer's tokens.

        Args:
            columns: `start` and `end`, tokens of each window's answer; `starts`, see `context_of`.
        """
        rows = [np.asarray(row) for row in columns["starts"]]
        shape = (len(rows), max((len(row) for row in rows), default=0))
        found = {name: np.zeros(shape, np.int64) for name in ("begins", "ends")}
        kinds = np.full(shape, _PADDING, np.int64)
        for place, row in zip(kinds, rows, strict=True):
            place[: len(row)] = np.where(row >= 0, _CONTEXT, _OTHER)
            place[:1] = _FIRST
        for name, column in (("begins", "start"), ("ends", "end")):
            found[name][np.arange(len(rows)), np.asarray(columns[column], np.int64)] = 1
        return {"kinds": torch.from_numpy(kinds), **{name: torch.from_numpy(row) for name, row in found.items()}}

    def asked(self, targets: Outputs) -> Tensor:
        """Tells which tokens can be an answer: those of the context, and the first, which says that there is none."""
        return targets["kinds"] > _OTHER

    def loss(self, outputs: Outputs, targets: Outputs, smoothing: float = 0.0) -> tuple[Tensor, Tensor]:
        """Returns cross-entropies in nats, of a window the mean of its two; `smoothing` is spread over its candidates.

        Tokens may come as [batch, tokens] or one after the other: a first one begins a window.
        """
        kinds, logits = targets["kinds"].reshape(-1), outputs["logits"].float().reshape(-1, 2)
        window = (kinds == _FIRST).cumsum(0) - 1
        asked = kinds > _OTHER
        logits, window = logits[asked], window[asked]
        count = (kinds == _FIRST).sum()
        logs = logits - _log_sums(logits, window, int(count))[window]
        there = torch.stack([targets["begins"].reshape(-1)[asked], targets["ends"].reshape(-1)[asked]], 1)
        if smoothing:
            sizes = torch.zeros(int(count), device=logits.device).index_add(0, window, torch.ones_like(logits[:, 0]))
            there = (1 - smoothing) * there + smoothing / sizes[window, None]
        return -(logs * there).sum() / 2, count

    @staticmethod
    def shortener(tokenizer: Any) -> Callable[[Pairs], Pairs]:
        """Returns what cuts questions that leave no room for their contexts."""
        return shortener(tokenizer)

    @staticmethod
    def extras(encodings: Sequence[Sequence[Any]]) -> dict[str, list[Any]]:
        """Returns of each window whose it is (`example`), and where its context's tokens are (`starts`, `ends`)."""
        found: dict[str, list[Any]] = {"example": [], "starts": [], "ends": []}
        for number, windows in enumerate(encodings):
            for window in windows:
                starts, ends = context_of(window)
                found["example"].append(number)
                found["starts"].append(starts)
                found["ends"].append(ends)
        return found

    def decode(self, outputs: Columns, extras: Columns) -> dict[str, list[Any]]:
        """Returns `answer`, `score` (its probability), `start` and `end` (characters of the context).

        No answer is "" from 0 to 0.
        """
        windows: dict[int, list[tuple[Any, Any, Any]]] = {}
        rows = zip(extras["example"], outputs["logits"], extras["starts"], extras["ends"], strict=True)
        for example, logits, starts, ends in rows:
            windows.setdefault(int(example), []).append((logits, starts, ends))
        longest, threshold = int(self.spec.get("max_answer_tokens", 64)), float(self.threshold)
        level = threshold if self.spec.get("unanswerable") else None
        found = [
            _answer(inputs[-1], best_span(windows.get(number, []), longest, level))
            for number, inputs in enumerate(extras["inputs"])
        ]
        return {name: [getattr(row, name) for row in found] for name in _Answer._fields}


class _Answer(NamedTuple):
    answer: str
    score: float
    start: int
    end: int


def _answer(context: str, span: Span) -> _Answer:
    """Returns an answer as it is told; some tokenizers give a word the blank before it."""
    text = context[span.start : span.end]
    start = span.start + len(text) - len(text.lstrip())
    if not text.strip():
        return _Answer("", span.score, 0, 0)
    return _Answer(text.strip(), span.score, start, start + len(text.strip()))


def _seen(tokens: Tensor, segments: Tensor, interest: Tensor) -> Tensor:
    """Returns how much the question looks at what follows a token of the context, and at what leads up to it.

    Args:
        tokens: [batch, tokens, width].
        segments: int [batch, tokens].
        interest: [width], which tokens of a question count more than others.

    Returns:
        [batch, tokens, reaches, 2]: parts of all looks; 0 for tokens that are none of the context.
    """
    asks, told = segments == _QUESTION, segments == _ANSWER
    low = torch.finfo(tokens.dtype).min
    units = nn.functional.normalize(tokens, dim=-1)
    looks = (_SHARP * units @ units.transpose(1, 2)).masked_fill(~told[:, None], low).softmax(-1)
    weights = (tokens @ interest).masked_fill(~asks, low).softmax(-1)
    found = (weights[:, :, None] * looks).sum(1) * told
    sums = nn.functional.pad(found.cumsum(1), (1, 0))
    count = found.shape[1]
    at = torch.arange(count, device=tokens.device)
    parts = [
        torch.stack(
            [
                sums[:, (at + reach).clamp(max=count)] - sums[:, at],
                sums[:, at + 1] - sums[:, (at + 1 - reach).clamp(min=0)],
            ],
            -1,
        )
        for reach in _REACHES
    ]
    return torch.stack(parts, 2) * told[:, :, None, None]


def _log_sums(logits: Tensor, window: Tensor, count: int) -> Tensor:
    """Returns the logarithm of the sum of exponentials in each window, [windows, 2]."""
    places = window[:, None].expand_as(logits)
    most = torch.full((count, 2), -torch.inf, device=logits.device).scatter_reduce(0, places, logits.detach(), "amax")
    sums = torch.zeros_like(most).index_add(0, window, (logits - most[window]).exp())
    return sums.log() + most
