"""What the page draws of training, of the arms of transfer and of the learning curve."""

from collections.abc import Mapping, Sequence
from typing import Any

from components.evaluate.comparison import ranked
from components.evaluate.transfer import sentence_of_curve
from components.shared.artifacts.artifact import Artifact
from components.shared.charts import Line, Point, epoch_axis, interval, line_chart, log_axis, padded
from components.shared.statistics import Metric
from components.shared.tasks import Task

TRANSFER_HEADLINES = {
    "positive": "Positive: better than without pretrained weights",
    "none shown": "No gain from transfer was shown",
    "negative": "Negative transfer: worse than without pretrained weights",
}
_LOOKS = ("model", "second")  # of two lines in one chart
TONES = {"positive": "better", "none shown": "open", "negative": "worse"}


def training(model: Artifact, task: Task) -> dict[str, Any] | None:
    """Returns the training curves, where the model's notes tell them; a fitted probe has no epochs to draw."""
    if "notes/history.json" not in model.files:
        return None
    history = model.read_json("notes/history.json")
    epochs, steps = history["epochs"], history["steps"]
    if not epochs:
        return None
    loss = [
        Line("training", "faint", _points(steps, "loss")),
        Line("validation", "model", _points(epochs, "validation_loss"), dots=True),
    ]
    told = [metric for metric in task.metrics if metric.decides and metric.name in epochs[0]][: len(_LOOKS)]
    score = [
        Line(metric.title, look, _points(epochs, metric.name), dots=True)
        for metric, look in zip(told, _LOOKS, strict=False)
    ]
    highest = max((metric.bounds[1] for metric in told), default=1.0)
    axis = epoch_axis(max(entry["epoch"] for entry in (*epochs, *steps)))
    return {
        "history": history,
        "metrics": told,
        "kept": history["epochs"][max(history["best_epoch"], 1) - 1],
        "loss": line_chart(loss, padded(_heights(loss), 0.1), axis) if steps else None,
        "score": line_chart(score, padded(_heights(score), 0.1, highest), axis) if score and len(epochs) > 1 else None,
        "probe": _probe(history.get("probe")),
        "sweep": history.get("sweep"),
    }


def transfer(content: Mapping[str, Any], seconds: Mapping[str, float], metric: Metric) -> dict[str, Any] | None:
    """Returns the arms and the task's baselines beside the model, best first, with the strip of the reference.

    Args:
        content: What `evaluation.json` holds.
        seconds: How long the training of each arm took.
        metric: The task's primary one.
    """
    told = content["transfer"]
    if told is None:
        return None
    arms = [{**arm, **arm["metrics"], "seconds": seconds.get(arm["name"])} for arm in told["arms"]]
    baselines = [
        {"name": name, "strategy": "classical", "pretrained": False, "seconds": None, **content["baselines"][name],
         "difference": difference}
        for name, difference in content["differences"].items()
    ]  # fmt: skip
    difference = next(arm["difference"] for arm in arms if arm["name"] == told["reference"])
    return {
        "headline": TRANSFER_HEADLINES[told["verdict"]],
        "tone": TONES[told["verdict"]],
        "sentence": told["sentence"],
        "reference": told["reference"],
        "difference": difference,
        "strip": interval(*(difference[name] for name in ("low", "value", "high"))),
        "rows": sorted(arms + baselines, key=lambda row: -ranked(metric, row)),
    }


def learning_curve(content: Mapping[str, Any], metric: Metric) -> dict[str, Any] | None:
    """Returns the chart of a metric over the labels (a class), of the model and the best baseline of each point."""
    points = content["learning_curve"]
    if points is None:
        return None
    classes = len(content.get("labels", []))
    across = [max(round(point["examples"] / max(classes, 1)), 1) for point in points]
    model = [(x, point["model"][metric.name] or 0.0) for x, point in zip(across, points, strict=True)]
    best = [
        (x, metric.direction * max(ranked(metric, scores) for scores in point["baselines"].values()))
        for x, point in zip(across, points, strict=True)
        if point["baselines"]
    ]
    lines = [Line("this model", "model", model, dots=True), Line("best baseline", "second", best, dots=True)]
    axis = log_axis(f"training labels{' a class' if classes else ''}", across)
    return {
        "chart": line_chart(lines, padded(_heights(lines), 0.1, metric.bounds[1]), axis),
        "sentence": sentence_of_curve(points, classes, metric),
    }


def _probe(told: Mapping[str, Any] | None) -> dict[str, Any] | None:
    """Returns the chart of validation loss over the penalties that were tried."""
    if told is None or not all(told["penalties"]):  # without a penalty there was nothing to try
        return None
    line = Line("validation", "model", list(zip(told["penalties"], told["validation_losses"], strict=True)), dots=True)
    chart = line_chart([line], padded(_heights([line]), 0.1), log_axis("penalty", told["penalties"]))
    return {"chart": chart, "chosen": told["chosen"]}


def _points(entries: Sequence[Mapping[str, float]], name: str) -> list[Point]:
    return [(entry["epoch"], entry[name]) for entry in entries]


def _heights(lines: Sequence[Line]) -> list[float]:
    return [height for line in lines for _, height in line.points]
