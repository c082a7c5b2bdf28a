"""Made-up examples that can be learned, to try the chain on."""

from typing import Any

import numpy as np

WORDS = {"soup": 1.0, "salt": 1.0, "bread": 2.0, "wine": 3.0}


def scores(count: int, seed: int) -> list[dict[str, Any]]:
    """Orders of a kitchen: each word of the menu adds its price to the number."""
    filler = ["the", "a", "small", "old", "red", "then", "near", "under", "with", "by", "some", "this"]
    draw, rows = np.random.default_rng(seed), []
    for number in range(count):
        ordered = draw.choice(sorted(WORDS), int(draw.integers(0, 5))).tolist()
        text = [*draw.choice(filler, 4), *ordered]
        price = sum(WORDS[word] for word in ordered)
        rows.append({"input_1": " ".join(draw.permutation(text)) + f" {number}", "label": price})
    return rows
