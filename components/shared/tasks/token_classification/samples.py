"""Made-up texts with entities that can be learned, to try the chain on."""

from typing import Any

import numpy as np

_SHIPS = ("Aurora", "Beagle", "Calypso", "Dunbar", "Endeavour", "Fram")
_PORTS = ("Oslo", "Porto", "Cádiz", "Riga", "Genoa")
_NAMES = {"ship": _SHIPS, "port": _PORTS}
_FRAMES = (["the", "", "left", "", "at", "dawn"], ["", "reached", "", "late"], ["nothing", "came", "to", ""])


def reports(count: int, seed: int) -> list[dict[str, Any]]:
    """Short reports on ships and ports, told by their names and what stands around them; some with none."""
    draw = np.random.default_rng(seed)
    rows = []
    for number in range(count):
        text, spans, kinds = f"{number}:", list[dict[str, Any]](), iter(("ship", "port"))
        frame = _FRAMES[number % len(_FRAMES)] if number % 5 else ["no", "news"]
        for word in frame:
            kind = "" if word else next(kinds)
            word = word or str(draw.choice(_NAMES[kind]))
            if kind:
                spans.append({"start": len(text) + 1, "end": len(text) + 1 + len(word), "label": kind})
            text += f" {word}"
        rows.append({"input_1": text, "label": spans})
    return rows
