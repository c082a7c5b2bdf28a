"""The scores of models as a column of a table: each by its task's primary metric."""

from collections.abc import Mapping, Sequence

from components.shared import tasks
from components.shared.statistics import Metric


def score_column(models: Sequence[tuple[str, Mapping[str, float]]]) -> tuple[str, list[str]]:
    """Returns the heading of a column and its cells; where tasks differ, each cell names its metric.

    Args:
        models: Of each its task ("": not told), and its metrics.
    """
    found = [_primary(task, metrics) for task, metrics in models]
    names = {metric.title for metric in found if metric}
    alone = names.pop() if len(names) == 1 else ""
    cells = []
    for metric, (_, metrics) in zip(found, models, strict=True):
        value = f"{metrics[metric.name]:.4f}" if metric and metric.name in metrics else ""
        cells.append(f"{metric.title} {value}" if metric and value and not alone else value)
    return alone or "score", cells


def _primary(task: str, metrics: Mapping[str, float]) -> Metric | None:
    """Returns the metric that a model is told by; of a task that is not told, or not there, one that it has."""
    if task in tasks.names():
        return tasks.get(task).metrics[0]
    known = [tasks.get(name).metrics[0] for name in tasks.names()]
    return next((metric for metric in known if metric.name in metrics), None)
