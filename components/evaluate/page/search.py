"""What the page tells of how the model was found: the candidates, what words carry, the cost of each baseline."""

from collections.abc import Mapping
from typing import Any

import numpy as np

from components.shared.artifact import NOTES, Artifact
from components.shared.selection import selection_of

METRICS = {"accuracy": "accuracy", "macro_f1": "macro-F1"}
WORDS = 10  # that are shown of a class
CLASSES = 24  # the first; more fill the page
_HISTORY, _CARRIERS = f"{NOTES}history.json", tuple(f"{NOTES}{kind}.json" for kind in ("lexical", "gradients"))
_SIDES = {"words": "Words", "gradients": "Gradients", "backbone": "Backbone"}


def search(model: Artifact) -> dict[str, Any] | None:
    """Returns the candidates, best first; None where finetune looked at no more than one."""
    history = _read(model, _HISTORY)
    rows = [row for row in history.get("candidates") or [] if row.get("validation")]
    if len(rows) < 2:
        return None
    selection = history.get("selection", "accuracy")
    return {
        "rows": sorted(rows, key=lambda row: (-_number(row["validation"].get(selection)), row["seconds"])),
        "selection": METRICS.get(selection, selection),
        "budget": history.get("budget_minutes"),
        "seconds": sum(row["seconds"] for row in rows),
        "key": selection,
        "defaults": history.get("defaults") or "",
    }


def words(model: Artifact) -> dict[str, Any] | None:
    """Returns the words that carry each class, and how much each side carries; None for a backbone alone."""
    told = next((_read(model, name) for name in _CARRIERS if name in model.files), None)
    if told is None:
        return None
    classes = list(told.get("classes", {}).items())
    return {
        "sides": [
            {"name": _SIDES.get(name, name), "share": side.get("share"), "accuracy": side.get("accuracy")}
            for name, side in told.get("sides", {}).items()
        ],
        "classes": [
            (label, [(word, max(weight / max(rows[0][1], 1e-9), 0.0)) for word, weight in rows[:WORDS]])
            for label, rows in classes[:CLASSES]
            if rows
        ],
        "all": len(classes),
    }


def balance(counts: Mapping[str, int], model: Artifact) -> dict[str, Any] | None:
    """Returns what is to be said of uneven classes, and which metric selected; None where classes are even.

    Args:
        counts: Training examples of each class.
        model: Whose history tells what selected.
    """
    there = {label: count for label, count in counts.items() if count}
    if selection_of(np.array(list(there.values()))) != "macro_f1":
        return None
    largest, smallest = max(there, key=lambda label: there[label]), min(there, key=lambda label: there[label])
    selection = _read(model, _HISTORY).get("selection")
    return {
        "largest": (largest, there[largest]),
        "smallest": (smallest, there[smallest]),
        "ratio": there[largest] / there[smallest],
        "selection": METRICS.get(selection, selection) if selection else "",
    }


def cost(model: Artifact) -> dict[str, Any]:
    """Returns `bytes` of the model's files, and the `seconds` that finding it took, None where that is not told."""
    history = _read(model, _HISTORY)
    tried = sum(row["seconds"] for row in history.get("candidates") or [])
    seconds = max(float(history.get("seconds") or 0.0), tried)
    size = sum((model.path / name).stat().st_size for name in model.files if not name.startswith(NOTES))
    return {"bytes": size, "seconds": seconds or None}


def _read(model: Artifact, name: str) -> dict[str, Any]:
    return model.read_json(name) if name in model.files else {}


def _number(value: Any) -> float:
    """Returns a score as it is ranked: what is none comes last."""
    return float(value) if isinstance(value, int | float) and np.isfinite(value) else float("-inf")
