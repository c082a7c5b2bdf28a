"""Questions and contexts as a network sees them: which token stands where, and how a question that is too long is cut.

No torch here, and nothing else of graft: transform and prediction use it, and it goes with a registered model.
"""

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

NOWHERE = -1
"""Where a token is none of the context."""

_LEAST = 16  # tokens that a window has for the context

Pairs = Sequence[Sequence[Any]]
"""A question and a context each."""


def context_of(window: Any) -> tuple[np.ndarray, np.ndarray]:
    """Returns where each token of the context begins and ends in characters, int32 [tokens]; `NOWHERE` for others.

    Args:
        window: Of a pair, `tokenizers.Encoding`.
    """
    offsets = np.array(window.offsets, np.int32).reshape(-1, 2)
    inside = np.array([sequence == 1 for sequence in window.sequence_ids], bool) & (offsets[:, 1] > offsets[:, 0])
    return np.where(inside, offsets[:, 0], NOWHERE), np.where(inside, offsets[:, 1], NOWHERE)


def question_room(max_length: int, special: int) -> int:
    """Returns how many tokens a question may have, so that beside it the context has half of a window or more.

    Args:
        max_length: Tokens of a window.
        special: Of them, those that are neither of the question nor of the context.
    """
    room = max_length - special
    return max(1, room - max(_LEAST, room // 2))


def shortener(tokenizer: Any) -> Callable[[Pairs], list[tuple[str, str]]]:
    """Returns what cuts questions that leave no room for their contexts, which tokenizers refuse to do.

    Args:
        tokenizer: `tokenizers.Tokenizer`, with its truncation set.
    """
    limit = question_room(tokenizer.truncation["max_length"], tokenizer.num_special_tokens_to_add(True))
    whole = type(tokenizer).from_str(tokenizer.to_str())
    whole.no_truncation()
    whole.no_padding()

    def shortened(pairs: Pairs) -> list[tuple[str, str]]:
        found = []
        encodings = whole.encode_batch([question for question, _ in pairs], add_special_tokens=False)
        for (question, context), encoding in zip(pairs, encodings, strict=True):
            cut = question if len(encoding.ids) <= limit else question[: encoding.offsets[limit - 1][1]]
            found.append((cut, context))
        return found

    return shortened
