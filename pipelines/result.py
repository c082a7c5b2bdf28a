"""What a run here came to, told on the terminal."""

from typing import TYPE_CHECKING

from rich.console import Console
from rich.table import Table

if TYPE_CHECKING:
    from pipelines.local import Result


def tell_result(result: "Result", console: Console) -> None:
    """Prints scores, the decision with its reason, the version, and where the page is."""
    if not result.changed:
        console.print(result.reason, highlight=False, markup=False, soft_wrap=True)
        console.print(f"time     {result.seconds['total']:.0f} s", highlight=False)
        return
    table = Table("", "accuracy", "macro-F1", box=None, header_style="bold")
    scores = {f"[bold]{result.model}[/]": result.metrics, **result.baselines}
    for name, metrics in sorted(scores.items(), key=lambda item: -item[1]["accuracy"]):
        table.add_row(name, f"{metrics['accuracy']:.4f}", f"{metrics['macro_f1']:.4f}")
    aliases = " ".join(f"@{alias}" for alias in result.aliases)
    console.print(table)
    changes = "" if result.reason.startswith(result.changes) else f"{result.changes} "  # no sentence twice
    console.print(f"\n{changes}{result.reason}", highlight=False, markup=False, soft_wrap=True)
    if result.transfer:
        console.print(result.transfer["sentence"], highlight=False, markup=False, soft_wrap=True)
    console.print(f"version  {result.model} {result.version} {aliases}", highlight=False)
    console.print(f"page     {result.report}", highlight=False, markup=False, soft_wrap=True)
    console.print(f"time     {result.seconds['total']:.0f} s", highlight=False)
