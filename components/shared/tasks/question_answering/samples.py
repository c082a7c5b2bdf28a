"""Made-up questions with answers that can be learned, to try the chain on."""

from typing import Any

import numpy as np

_KINDS = {"kitchen": "pan oven salt knife", "ship": "sail mast deck anchor"}
_FILLER = ["the", "small", "old", "red", "near", "under", "with", "by", "some", "this"]
_LACKING = 3  # of so many texts, one lacks what one of its questions is about


def finds(count: int, seed: int) -> list[dict[str, Any]]:
    """What is there of a kitchen, of a ship? A text has both questions; one in six is on what it tells nothing of."""
    draw = np.random.default_rng(seed)
    rows: list[dict[str, Any]] = []
    while len(rows) < count:
        text = len(rows) // len(_KINDS)
        lacking = str(draw.choice(list(_KINDS))) if text % _LACKING == 0 else ""
        told = {kind: str(draw.choice(words.split())) for kind, words in _KINDS.items() if kind != lacking}
        words = draw.permutation([*draw.choice(_FILLER, 5).tolist(), *told.values()]).tolist()
        context = " ".join([*words, str(text)])
        for kind in _KINDS:
            answers = [(told[kind], context.index(told[kind]))] if kind in told else []
            label = {"text": [word for word, _ in answers], "answer_start": [start for _, start in answers]}
            rows.append({"input_1": f"{kind}?", "input_2": context, "label": label})
    return rows[:count]
