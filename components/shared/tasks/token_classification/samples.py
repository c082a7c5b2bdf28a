"""Made-up examples that can be learned, to try the chain on."""

from typing import Any

import numpy as np

WORDS = {"TOOL": "pan oven knife ladle", "PLACE": "harbour island cape bay"}


def names(count: int, seed: int) -> list[dict[str, Any]]:
    """Short sentences with none to two names of tools and places, as spans of characters."""
    filler = ["the", "a", "small", "old", "red", "then", "near", "under", "with", "by", "some", "this"]
    kinds = {word: kind for kind, words in WORDS.items() for word in words.split()}
    draw, rows = np.random.default_rng(seed), []
    for number in range(count):
        words = [*draw.choice(filler, 5).tolist(), *draw.choice(sorted(kinds), int(draw.integers(0, 3))).tolist()]
        text, spans = "", []
        for word in draw.permutation(words).tolist():
            if word in kinds:
                spans.append({"start": len(text), "end": len(text) + len(word), "label": kinds[word]})
            text += f"{word} "
        rows.append({"input_1": f"{text}{number}", "label": spans})
    return rows
