"""Made-up queries with passages that can be learned, to try the chain on."""

from typing import Any

import numpy as np

_WORDS = ["pan", "oven", "salt", "knife", "soup", "flour", "sail", "mast", "deck", "anchor", "harbour", "tide"]
_FILLER = ["the", "a", "small", "old", "red", "then", "near", "under", "with", "by", "some", "this"]


def notes(count: int, seed: int) -> list[dict[str, Any]]:
    """A query has three words, and its passage the same ones among others; one pair in ten does not belong together."""
    draw, rows = np.random.default_rng(seed), []
    for number in range(count):
        words = draw.choice(_WORDS, 3, replace=False).tolist()
        own = words if number % 10 else [word for word in _WORDS if word not in words][:3]
        passage = draw.permutation([*draw.choice(_FILLER, 3).tolist(), *own]).tolist()
        label = float(number % 10 > 0)
        rows.append({"input_1": " ".join([*words, str(number)]), "input_2": " ".join(passage), "label": label})
    return rows
