"""Made-up examples that can be learned, to try the chain on."""

import random
from typing import Any

TOPICS = {
    "kitchen": ["pan", "oven", "salt", "knife", "soup", "flour"],
    "ship": ["sail", "mast", "deck", "anchor", "harbour", "tide"],
}
_FILLER = ["the", "a", "small", "old", "red", "then", "near", "under", "with", "by", "some", "this"]


def mixed(draw: random.Random, number: int) -> list[str]:
    """Returns the words of a sentence, of which none to three are about kitchens or ships."""
    every = [word for words in TOPICS.values() for word in words]
    words = draw.choices(_FILLER, k=6) + draw.choices(every, k=draw.randrange(4))
    draw.shuffle(words)
    return [*words, str(number)]


def sample(count: int, seed: int) -> list[dict[str, Any]]:
    """Sentences that are about kitchens, ships, both or neither: words tell it."""
    draw, rows = random.Random(seed), []
    for number in range(count):
        words = mixed(draw, number)
        labels = [name for name, known in TOPICS.items() if set(known) & set(words)]
        rows.append({"input_1": " ".join(words), "label": labels})
    return rows
