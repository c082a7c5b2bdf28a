"""Made-up examples that can be learned, to try the chain on."""

import io
from typing import Any

import numpy as np
from PIL import Image, ImageDraw

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


SHAPES = {"ball": (210, 60, 50), "box": (60, 190, 80), "pole": (70, 90, 220)}
"""What may stand in a scene, and its colour."""


def scenes(count: int, seed: int) -> list[dict[str, Any]]:
    """PNG pictures of 32 x 32 pixels: none or up to three things of different shape and colour, anywhere, in noise."""
    draw, rows = np.random.default_rng(seed), []
    for _ in range(count):
        image = Image.fromarray(draw.integers(0, 110, (32, 32, 3), np.uint8))
        there = [name for name in SHAPES if draw.random() < 0.4]
        for name in there:
            x, y = draw.integers(1, 19, 2).tolist()
            make = ImageDraw.Draw(image).ellipse if name == "ball" else ImageDraw.Draw(image).rectangle
            make((x, y, x + (4 if name == "pole" else 10), y + 10), fill=SHAPES[name])
        file = io.BytesIO()
        image.save(file, "PNG")
        rows.append({"input_1": file.getvalue(), "label": there})
    return rows
