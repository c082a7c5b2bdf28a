"""Made-up examples that can be learned, to try the chain on."""

from typing import Any

import numpy as np

WORDS = {"food": "salt soup flour", "kitchen": "pan oven knife", "ship": "sail mast deck anchor"}


def topics(count: int, seed: int) -> list[dict[str, Any]]:
    """Short sentences about none to all of three topics, each told by its words."""
    filler = ["the", "a", "small", "old", "red", "then", "near", "under", "with", "by", "some", "this"]
    draw, rows = np.random.default_rng(seed), []
    for number in range(count):
        labels = [label for label in WORDS if draw.random() < 0.5]
        text = [*draw.choice(filler, 5), *(draw.choice(WORDS[label].split()) for label in labels)]
        rows.append({"input_1": " ".join(draw.permutation(text)) + f" {number}", "label": labels})
    return rows
