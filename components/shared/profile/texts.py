"""What texts are like: how long, in which script, and what is left of them without case, digits and blanks."""

import bisect
import functools
import hashlib
import re
import unicodedata
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

PIECES_A_WORD = 1.3  # of word-piece tokenizers in English: measured on the documentation of AWS' API
_SPECIAL = 2  # tokens around a text
_PIECES = re.compile(r"[\u3040-\u30ff\u3400-\u9fff\uac00-\ud7af\u0e00-\u0e7f]|\w+|[^\w\s]")
_NO_LETTERS = re.compile(r"[\W\d_]+")
_ASCII = bytes(code if chr(code).isalpha() else 32 for code in range(128)) + bytes(128)
_LETTERS = 200  # of a text, that tell its script
_EDGES = (8, 16, 32, 64, 128, 256, 512, 1024, 2048, 4096)
_NAMES = {"CJK": "Chinese characters", "HIRAGANA": "Japanese", "KATAKANA": "Japanese", "HANGUL": "Korean"}


@dataclass(frozen=True)
class Ruler:
    """How the length of an example is told.

    Attributes:
        max_length: The most tokens of an example; longer ones are cut.
        limit: The most that the backbone takes; 0 where that is not known.
        source: What counted the tokens, for people; "" where they are estimated from words.
        count: Returns the tokens of each example (one text for each input); None: estimated.
    """

    max_length: int = 512
    limit: int = 0
    source: str = ""
    count: Callable[[Sequence[tuple[str, ...]]], list[int]] | None = None


def lengths(examples: Sequence[tuple[str, ...]], ruler: Ruler) -> dict[str, Any]:
    """Returns how long examples are, in tokens: quantiles, how many are cut at `max_length`, and a histogram.

    Args:
        examples: A sample; one text for each input.
        ruler: What counts.
    """
    counts = ruler.count(examples) if ruler.count else [_estimate(texts) for texts in examples]
    tokens = np.array(counts or [0])
    cut = tokens > ruler.max_length
    return {
        "source": ruler.source,
        "max_length": ruler.max_length,
        "limit": ruler.limit,
        "cut": float(cut.mean()),
        "lost": float((tokens - ruler.max_length)[cut].sum() / max(tokens.sum(), 1)),
        **_distribution(tokens),
    }


def measured(tokens: np.ndarray, max_length: int, before: Mapping[str, Any]) -> dict[str, Any]:
    """Returns the lengths of a profile as they turned out to be.

    Args:
        tokens: Of every example, none more than `max_length`: those of that length count as cut.
        max_length: Where longer ones were cut.
        before: The lengths as they were estimated; what was lost is known from there alone.
    """
    told = {"source": "the backbone's tokenizer", "max_length": max_length, "cut": float((tokens >= max_length).mean())}
    return {**before, **told, **_distribution(tokens)}


def _distribution(tokens: np.ndarray) -> dict[str, Any]:
    bins = Counter(bisect.bisect_left(_EDGES, count) for count in tokens.tolist())
    quantiles = (("median", 0.5), ("p95", 0.95), ("p99", 0.99))
    return {
        "examples": len(tokens),
        "mean": float(tokens.mean()),
        **{name: int(np.quantile(tokens, share)) for name, share in quantiles},
        "max": int(tokens.max()),
        "bins": [[_EDGES[n] if n < len(_EDGES) else 0, bins[n]] for n in range(max(bins) + 1)],
    }


def _estimate(texts: tuple[str, ...]) -> int:
    words = sum(len(_PIECES.findall(text)) for text in texts)
    return round(PIECES_A_WORD * words) + _SPECIAL + len(texts) - 1


def scripts(texts: Sequence[str]) -> dict[str, float]:
    """Returns which part of the texts is mostly in which script ("Latin", "Cyrillic", …), the largest first."""
    counts = Counter(script for text in texts if (script := _script(text)))
    total = counts.total() or 1
    return {script: count / total for script, count in counts.most_common(8)}


def _script(text: str) -> str | None:
    head = text[:_LETTERS]
    if head.isascii():
        return "Latin" if head.encode().translate(_ASCII).strip() else None
    counts = Counter[str]()
    for letter, count in Counter(head).items():
        if letter.isalpha():
            counts[_script_of(letter)] += count
    return counts.most_common(1)[0][0] if counts else None


@functools.lru_cache(maxsize=20_000)
def _script_of(letter: str) -> str:
    word = unicodedata.name(letter, "UNKNOWN").split()[0].split("-")[0]
    return _NAMES.get(word, word.capitalize())


def skeleton(inputs: Sequence[str]) -> bytes:
    """Returns what tells an example from others where case, digits, blanks and punctuation do not count: 8 bytes."""
    return hashlib.blake2b(b"|".join(map(_letters_of, inputs)), digest_size=8).digest()


def _letters_of(text: str) -> bytes:
    folded = text.casefold()
    if folded.isascii():  # five times as fast
        return b" ".join(folded.encode().translate(_ASCII).split())
    return _NO_LETTERS.sub(" ", folded).strip().encode("utf-8", "replace")
