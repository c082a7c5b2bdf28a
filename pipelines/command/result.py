"""What a run here came to, told on the terminal."""

from typing import TYPE_CHECKING

from rich.console import Console
from rich.table import Table

from components.shared.tasks import Task

if TYPE_CHECKING:
    from pipelines.local.runner import Result


_HEADING = 12  # characters; of a longer title the name stands there, as `promotion.metric` has it


def tell_result(result: "Result", task: Task, console: Console) -> None:
    """Prints scores, the decision with its reason, the version, and where the page is."""
    if not result.changed:
        console.print(result.reason, highlight=False, markup=False, soft_wrap=True)
        console.print(f"time     {result.seconds['total']:.0f} s", highlight=False)
        return
    deciding, first = [metric for metric in task.metrics if metric.decides], task.metrics[0]
    table = Table(box=None, header_style="bold")
    table.add_column("", no_wrap=True)
    for metric in deciding:
        table.add_column(metric.title if len(metric.title) <= _HEADING else metric.name)
    scores = {f"[bold]{result.model}[/]": result.metrics, **result.baselines}
    for name, metrics in sorted(scores.items(), key=lambda item: -first.direction * (item[1][first.name] or 0.0)):
        table.add_row(name, *(_number(metrics[metric.name]) for metric in deciding))
    aliases = " ".join(f"@{alias}" for alias in result.aliases)
    console.print(table)
    changes = "" if result.reason.startswith(result.changes) else f"{result.changes} "  # no sentence twice
    console.print(f"\n{changes}{result.reason}", highlight=False, markup=False, soft_wrap=True)
    if result.transfer:
        console.print(result.transfer["sentence"], highlight=False, markup=False, soft_wrap=True)
    console.print(f"version  {result.model} {result.version} {aliases}", highlight=False)
    console.print(f"page     {result.report}", highlight=False, markup=False, soft_wrap=True)
    console.print(f"time     {result.seconds['total']:.0f} s", highlight=False)


def _number(value: float | None) -> str:
    return "–" if value is None else f"{value:.4f}"
