"""Words of a text as a network sees them: which token stands for a word, and which window for a token.

A word is what the tokenizer's own pre-tokenizer makes of a text, and its first token stands for it. In scripts that
write words without blanks between them (or particles behind them, as Korean does) a "word" may be a sentence with
several entities: there each token is a word of its own. A text that is too long is read in windows that overlap; of a
token that stands in several of them, that one answers in which it is farthest from both ends: it has seen most of what
stands around it. No torch here: transform and prediction use it.
"""

import re
from collections.abc import Sequence
from typing import Any

import numpy as np

NOWHERE = -1
"""Where a token is no word's first one, is special, or another window answers for it."""

_UNPARTED = re.compile(
    "[\u0e00-\u0eff\u0f00-\u0fff\u1000-\u109f\u1100-\u11ff\u1780-\u17ff\u1980-\u19df\u1a20-\u1aaf\u3005-\u3007\u3040-\u30ff"
    "\u3130-\u318f\u31f0-\u31ff\u3400-\u4dbf\u4e00-\u9fff\ua980-\ua9df\uaa60-\uaa7f\uac00-\ud7af\uf900-\ufaff\uff66-\uff9f"
    "\U00020000-\U0003ffff]"
)
"""Thai, Lao, Tibetan, Burmese, Hangul, Khmer, Tai scripts, kana, Chinese characters, Javanese."""

Word = tuple[int, int]
"""The number of a word; and where its token begins where each is one of its own, else -1."""


def words_of(windows: Sequence[Any]) -> list[tuple[np.ndarray, np.ndarray]]:
    """Returns where the words are that each window answers for.

    Args:
        windows: Of one text, `tokenizers.Encoding`, in order.

    Returns:
        For each window two arrays, int32 [tokens]: first character of the word that a token stands for, and the one
        after its last; `NOWHERE` of all other tokens.
    """
    unparted = _unparted(windows)
    bounds = _bounds(windows, unparted)
    owners: dict[Word, tuple[int, int, int]] = {}  # by word: margin, window, token
    for number, window in enumerate(windows):
        places = _places(window)
        for place in places:
            word, margin = _word(window, place, unparted), min(place - places[0], places[-1] - place)
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


def _word(window: Any, place: int, unparted: set[int]) -> Word:
    """Returns the word that a token is of."""
    number = int(window.word_ids[place])
    return number, window.offsets[place][0] if number in unparted else NOWHERE


def _unparted(windows: Sequence[Any]) -> set[int]:
    """Returns which words are of scripts without blanks between words."""
    found: set[int] = set()
    for window in windows:
        if all(token.isascii() for token in window.tokens):
            continue
        tokens: dict[int, str] = {}
        for number, token in zip(window.word_ids, window.tokens, strict=True):
            if number is not None:
                tokens[number] = tokens.get(number, "") + token
        found |= {number for number, text in tokens.items() if _UNPARTED.search(text) or _UNPARTED.search(_read(text))}
    return found


def _read(text: str) -> str:
    """Returns what tokens say that are made of bytes, each written as a character (GPT-2, RoBERTa)."""
    return bytes(_BYTES.get(letter, 0) for letter in text).decode("utf-8", "ignore")


def _bytes() -> dict[str, int]:
    """Returns which byte a character stands for: itself where it can be seen, the others from U+0100 on."""
    seen = [*range(33, 127), *range(161, 173), *range(174, 256)]
    hidden = [byte for byte in range(256) if byte not in seen]
    return {chr(byte): byte for byte in seen} | {chr(256 + place): byte for place, byte in enumerate(hidden)}


_BYTES = _bytes()


def _bounds(windows: Sequence[Any], unparted: set[int]) -> dict[Word, tuple[int, int]]:
    """Returns where each word begins and ends, which may stand in two windows."""
    bounds: dict[Word, tuple[int, int]] = {}
    for window in windows:
        for place in _places(window):
            word, (start, stop) = _word(window, place, unparted), window.offsets[place]
            low, high = bounds.get(word, (start, stop))
            bounds[word] = (min(low, start), max(high, stop))
    return bounds
