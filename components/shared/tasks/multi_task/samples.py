"""Made-up rows that have answers for two tasks, to try the chain on."""

import random
from typing import Any

TASKS: dict[str, Any] = {
    "kind": {"task": "text-classification", "label": "kind"},
    "size": {"task": "text-regression", "label": "size", "weight": 0.5},
}
"""What is learned of them."""
_KINDS = {"boat": ("mast", "sail", "keel"), "kitchen": ("pan", "salt", "oven"), "garden": ("seed", "soil", "rake")}
_SIZES = ("tiny", "small", "large", "huge")
_FILL = ("the", "old", "near", "some", "red", "a")


def things(count: int, seed: int) -> list[dict[str, Any]]:
    """Returns rows of `input_1`, `kind` (a class, told by a noun) and `size` (a number, told by an adjective).

    Every fifth lacks one of both.
    """
    draw, rows = random.Random(seed), []
    for number in range(count):
        kind, size = draw.choice(list(_KINDS)), draw.randrange(len(_SIZES))
        words = [_SIZES[size], draw.choice(_KINDS[kind]), *draw.choices(_FILL, k=3), str(number)]
        draw.shuffle(words)
        row: dict[str, Any] = {
            "input_1": " ".join(words),
            "kind": kind,
            "size": size + round(draw.uniform(-0.1, 0.1), 3),
        }
        row |= {draw.choice(["kind", "size"]): None} if number % 5 == 0 else {}
        rows.append(row)
    return rows
