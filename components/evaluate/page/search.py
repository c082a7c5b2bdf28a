"""What the page tells of how the model was found: the candidates, what words carry, the cost of each baseline."""

from collections.abc import Mapping
from typing import Any, NamedTuple

from components.shared.artifacts.artifact import NOTES, Artifact
from components.shared.statistics import Metric
from components.shared.tasks import Task

WORDS = 10  # that are shown of a class
CLASSES = 24  # the first; more fill the page
_HISTORY, _CARRIERS = f"{NOTES}history.json", tuple(f"{NOTES}{kind}.json" for kind in ("lexical", "gradients"))
_SIDES = {"words": "Words", "gradients": "Gradients", "backbone": "Backbone"}


def search(model: Artifact, task: Task) -> dict[str, Any] | None:
    """Returns the candidates, best first; None where finetune looked at no more than one."""
    history = _read(model, _HISTORY)
    rows = [row for row in history.get("candidates") or [] if row.get("validation")]
    if len(rows) < 2:
        return None
    metric, other = _told(history, task, rows[0]["validation"])
    return {
        "rows": sorted(rows, key=lambda row: (-metric.direction * row["validation"][metric.name], row["seconds"])),
        "selection": metric.title,
        "budget": history.get("budget_minutes"),
        "seconds": sum(row["seconds"] for row in rows),
        "metric": metric,
        "other": other,
        "defaults": history.get("defaults") or "",
    }


def words(model: Artifact, metric: Metric, part: str = "class") -> dict[str, Any] | None:
    """Returns the words that carry each class, and how much each side carries; None for a backbone alone.

    Args:
        model: The model.
        metric: The task's primary one, which each side has of its own.
        part: What a class is called; "" where answers are numbers, that words raise and lower.
    """
    told = next((_read(model, name) for name in _CARRIERS if name in model.files), None)
    if told is None:
        return None
    classes = list(told.get("classes", {}).items())
    return {
        "sides": [
            {"name": _SIDES.get(name, name), "share": side.get("share"), "score": side.get(metric.name)}
            for name, side in told.get("sides", {}).items()
        ],
        "classes": [
            (label, [(word, max(weight / max(rows[0][1], 1e-9), 0.0)) for word, weight in rows[:WORDS]])
            for label, rows in classes[:CLASSES]
            if rows
        ],
        "all": len(classes),
        "part": part or "class",
        "number": [label for label, _ in classes] == ["raises", "lowers"],
    }


def chosen_by(model: Artifact) -> str:
    """Returns the metric that selected the model, "" where that is not told."""
    return str(_read(model, _HISTORY).get("selection") or "")


class _OfTraining(NamedTuple):
    """A metric that training measures, and evaluation in another way."""

    name: str
    title: str
    heading: str
    direction: int


def _told(
    history: Mapping[str, Any], task: Task, validation: Mapping[str, float]
) -> tuple[Metric | _OfTraining, Metric | _OfTraining | None]:
    """Returns the metric that selected, and another that decides, where there is one: of those that were measured."""
    known: dict[str, Metric | _OfTraining] = {metric.name: metric for metric in task.metrics if metric.decides}
    selection = str(history.get("selection") or "")
    names = [name for name in known if name in validation]
    if (chosen := selection.removeprefix("-")) not in names:
        names = [name for name in validation if name != "validation_loss"]
        chosen = chosen if chosen in names else names[0]
    told = [known.get(name) or _of_training(name, selection) for name in (chosen, *names) if name in validation]
    return told[0], next((metric for metric in told[1:] if metric.name != chosen), None)


def _of_training(name: str, selection: str) -> _OfTraining:
    words = name.replace("_f1", " F1").replace("_", " ")
    return _OfTraining(name, words, words[:1].upper() + words[1:], -1 if selection == f"-{name}" else 1)


def cost(model: Artifact) -> dict[str, Any]:
    """Returns `bytes` of the model's files, and the `seconds` that finding it took, None where that is not told."""
    history = _read(model, _HISTORY)
    tried = sum(row["seconds"] for row in history.get("candidates") or [])
    seconds = max(float(history.get("seconds") or 0.0), tried)
    size = sum((model.path / name).stat().st_size for name in model.files if not name.startswith(NOTES))
    return {"bytes": size, "seconds": seconds or None}


def _read(model: Artifact, name: str) -> dict[str, Any]:
    return model.read_json(name) if name in model.files else {}
