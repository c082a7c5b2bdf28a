"""Made-up examples that can be learned, to try the chain on."""

import random
from typing import Any

from components.shared.tasks.multi_label.samples import TOPICS, mixed


def sample(count: int, seed: int) -> list[dict[str, Any]]:
    """Sentences whose entities are things in kitchens and on ships, neighbours of a kind being one entity."""
    draw, rows = random.Random(seed), []
    for number in range(count):
        spans: list[dict[str, Any]] = []
        place = 0
        for word in (words := mixed(draw, number)):
            kind = next((name for name, known in TOPICS.items() if word in known), None)
            if kind and spans and spans[-1]["label"] == kind and spans[-1]["end"] == place - 1:
                spans[-1]["end"] = place + len(word)
            elif kind:
                spans.append({"start": place, "end": place + len(word), "label": kind})
            place += len(word) + 1
        rows.append({"input_1": " ".join(words), "label": spans})
    return rows
