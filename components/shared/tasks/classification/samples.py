"""Made-up examples that can be learned, to try the chain on."""

import io
from typing import Any

import numpy as np
from PIL import Image, ImageDraw


def sentences(count: int, seed: int) -> list[dict[str, Any]]:
    """Short sentences about kitchens or ships: the class is told by two words out of eight."""
    words = {"kitchen": "pan oven salt knife soup flour", "ship": "sail mast deck anchor harbour tide"}
    filler = ["the", "a", "small", "old", "red", "then", "near", "under", "with", "by", "some", "this"]
    draw = np.random.default_rng(seed)
    rows = []
    for number in range(count):
        label = ("kitchen", "ship")[number % 2]
        text = [*draw.choice(filler, 6), *draw.choice(words[label].split(), 2)]
        rows.append({"input_1": " ".join(draw.permutation(text)) + f" {number}", "label": label})
    return rows


def shapes(count: int, seed: int) -> list[dict[str, Any]]:
    """PNG pictures of 32 x 32 pixels: a disc or a cross of any colour, anywhere on a noisy background."""
    draw = np.random.default_rng(seed)
    rows = []
    for number in range(count):
        label = ("cross", "disc")[number % 2]
        image = Image.fromarray(draw.integers(0, 110, (32, 32, 3), np.uint8))
        radius = int(draw.integers(6, 10))
        x, y = draw.integers(radius, 32 - radius, 2).tolist()
        red, green, blue = draw.integers(150, 256, 3).tolist()
        boxes = [(radius, radius)] if label == "disc" else [(radius, 2), (2, radius)]
        shape = ImageDraw.Draw(image).ellipse if label == "disc" else ImageDraw.Draw(image).rectangle
        for wide, high in boxes:
            shape((x - wide, y - high, x + wide, y + high), fill=(red, green, blue))
        file = io.BytesIO()
        image.save(file, "PNG")
        rows.append({"input_1": file.getvalue(), "label": label})
    return rows
