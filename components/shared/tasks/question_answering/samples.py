"""Made-up questions with answers that can be learned, to try the chain on."""

from typing import Any

import numpy as np

_THINGS = ["pan", "oven", "salt", "knife", "soup", "flour", "sail", "mast", "deck", "rope"]
_PLACES = ["shelf", "cellar", "drawer", "attic", "yard", "barn", "crate", "locker"]
_ASKED = 3  # questions on one text


def inventories(count: int, seed: int) -> list[dict[str, Any]]:
    """Where is a thing? Each text tells it of four of them; one question in six is on another, and has no answer."""
    draw = np.random.default_rng(seed)
    rows: list[dict[str, Any]] = []
    while len(rows) < count:
        things, places = draw.permutation(_THINGS).tolist(), draw.permutation(_PLACES).tolist()
        context = f"{len(rows)}:"
        starts = []
        for thing, place in zip(things[:4], places[:4], strict=True):
            context += f" the {thing} is in the "
            starts.append(len(context))
            context += f"{place}."
        for number in range(_ASKED):
            known = bool(len(rows) % 6)
            answers = [(places[number], starts[number])] if known else []
            label = {"text": [text for text, _ in answers], "answer_start": [start for _, start in answers]}
            question = f"where is the {things[number] if known else things[5]}?"
            rows.append({"input_1": question, "input_2": context, "label": label})
    return rows[:count]
