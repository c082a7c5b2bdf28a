"""Made-up examples that can be learned, to try the chain on."""

import io
from typing import Any

import numpy as np
from PIL import Image, ImageDraw

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


def dots(count: int, seed: int) -> list[dict[str, Any]]:
    """PNG pictures of 32 x 32 pixels: the number is how many bright dots there are, none or up to eight."""
    draw, rows = np.random.default_rng(seed), []
    for _ in range(count):
        image = Image.fromarray(draw.integers(0, 90, (32, 32, 3), np.uint8))
        number = int(draw.integers(0, 9))
        for place in draw.choice(9, number, replace=False).tolist():
            x, y = (10 * side + int(draw.integers(1, 5)) for side in divmod(place, 3))
            ImageDraw.Draw(image).ellipse((x, y, x + 6, y + 6), fill=(220, 220, 200))
        file = io.BytesIO()
        image.save(file, "PNG")
        rows.append({"input_1": file.getvalue(), "label": float(number)})
    return rows
