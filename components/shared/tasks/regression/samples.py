"""Made-up examples that can be learned, to try the chain on."""

import random
from typing import Any

from components.shared.tasks.multi_label.samples import TOPICS, mixed


def sample(count: int, seed: int) -> list[dict[str, Any]]:
    """Sentences with a number: 100, and 10 more for each word about kitchens."""
    draw, rows = random.Random(seed), []
    for number in range(count):
        words = mixed(draw, number)
        value = 100.0 + 10 * sum(word in TOPICS["kitchen"] for word in words)
        rows.append({"input_1": " ".join(words), "label": value})
    return rows
