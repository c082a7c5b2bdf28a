"""Words of a text as a network sees them: which token stands for a word, and which window for a token.

A word is what the tokenizer's own pre-tokenizer makes of a text, and its first token stands for it. A text that is too
long is read in windows that overlap; of a token that stands in several of them, that one answers in which it is
farthest from both ends: it has seen most of what stands around it. No torch here: transform and prediction use it.
"""

from collections.abc import Sequence
from typing import Any

import numpy as np

NOWHERE = -1
"""Where a token is no word's first one, is special, or another window answers for it."""


def words_of(windows: Sequence[Any]) -> list[tuple[np.ndarray, np.ndarray]]:
    """Returns where the words are that each window answers for.

    Args:
        windows: Of one text, `tokenizers.Encoding`, in order.

    Returns:
        For each window two arrays, int32 [tokens]: first character of the word that a token stands for, and the one
        after its last; `NOWHERE` of all other tokens.
    """
    bounds = _bounds(windows)
    owners: dict[int, tuple[int, int, int]] = {}  # by word: margin, window, token
    for number, window in enumerate(windows):
        places = _places(window)
        for place in places:
            word, margin = window.word_ids[place], min(place - places[0], places[-1] - place)
            is_first = window.offsets[place][0] == bounds[word][0]
            if is_first and (word not in owners or margin > owners[word][0]):
                owners[word] = (margin, number, place)
    found = [(np.full(len(window.ids), NOWHERE, np.int32), np.full(len(window.ids), NOWHERE, np.int32))
             for window in windows]  # fmt: skip
    for word, (_, number, place) in owners.items():
        found[number][0][place], found[number][1][place] = bounds[word]
    return found


def _places(window: Any) -> list[int]:
    """Returns which tokens of a window are of words."""
    return [
        place
        for place, (word, (start, stop)) in enumerate(zip(window.word_ids, window.offsets, strict=True))
        if word is not None and stop > start
    ]


def _bounds(windows: Sequence[Any]) -> dict[int, tuple[int, int]]:
    """Returns where each word begins and ends, which may stand in two windows."""
    bounds: dict[int, tuple[int, int]] = {}
    for window in windows:
        for place in _places(window):
            word, (start, stop) = window.word_ids[place], window.offsets[place]
            low, high = bounds.get(word, (start, stop))
            bounds[word] = (min(low, start), max(high, stop))
    return bounds
