"""What the page tells of a promotion: the decision, champion and challenger side by side, what changed in the data."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from components.evaluate.page.history import history
from components.shared.charts import interval
from components.shared.gate import AWAIT_APPROVAL, PROMOTE, REFUSE, Decision, Rules
from components.shared.registry.registry import Version
from components.shared.tasks import Task, metric_of

ROWS = 40  # of the tables of classes and slices
BALANCE_ROWS = 12
_SIDES = ("champion", "challenger")
_TONES = {PROMOTE: "better", REFUSE: "worse", AWAIT_APPROVAL: "open"}


@dataclass(frozen=True)
class Promotion:
    """A decision, and what stands around it.

    Attributes:
        decision: Whether the model is to become champion.
        champion: The version that it was compared with, None: there is no champion yet.
        versions: All versions of the registered model, newest first.
        rules: By which it was decided.
        task: What was learned.
    """

    decision: Decision
    champion: Version | None
    versions: Sequence[Version]
    rules: Rules
    task: Task


def promotion(told: Promotion, content: Mapping[str, Any], timing: Mapping[str, Any], digest: str) -> dict[str, Any]:
    """Returns what the template shows.

    Args:
        told: The decision.
        content: What `evaluation.json` holds.
        timing: The notes on time, of which `latency`.
        digest: Of the challenger.
    """
    compared = content["champion"]
    shown = compared if compared and not compared["failure"] else None
    return {
        "headline": _headline(told, compared),
        "tone": _TONES[told.decision.verdict],
        "reasons": told.decision.reasons,
        "champion": told.champion,
        "failure": compared["failure"] if compared else "",
        "compared": shown,
        "metric": metric_of(told.task, told.rules.metric).heading,
        "history": history(told.versions, told.decision, content, digest, told.task.metrics[0]),
        **(_side_by_side(shown, timing, told.task) if shown else {}),
    }


def changes(told: Mapping[str, Any]) -> dict[str, Any] | None:
    """Returns what detect found, for the template; None where there was no champion to compare with."""
    if not told.get("champion"):
        return None
    examples: Mapping[str, int] = told.get("examples", {})
    return {
        "sentence": told.get("sentence", ""),
        "champion": told["champion"],
        "counts": [
            (name, examples[name]) for name in ("before", "after", "new", "changed", "vanished") if name in examples
        ],
        "labels": [(name, found) for name, found in sorted(told.get("labels", {}).items()) if found],
        "classes": _balance(told.get("classes", [])),
        "all": len(told.get("classes", [])),
        "balance": told.get("balance"),
        "drift": told.get("drift") or None,
    }


def _headline(told: Promotion, compared: Mapping[str, Any] | None) -> str:
    verdict = told.decision.verdict
    if compared is None:
        return {
            PROMOTE: "To be promoted: the first champion",
            REFUSE: "Not to be promoted: there is no champion yet",
            AWAIT_APPROVAL: "Waits for approval as the first champion",
        }[verdict]
    version = f"version {compared['version']}"
    if verdict == REFUSE:
        return f"Not to be promoted: {version} stays champion"
    shown = "better" if compared["difference"]["low"] > 0 else "not worse"
    return f"{'To be promoted' if verdict == PROMOTE else 'Waits for approval'}: {shown} than {version}"


def _side_by_side(compared: Mapping[str, Any], timing: Mapping[str, Any], task: Task) -> dict[str, Any]:
    difference, latency = compared["difference"], timing.get("latency") or {}
    classes = [{**row, "name": row["label"]} for row in compared["classes"] if row["support"]]
    slices = [{**row, "name": row["value"]} for row in compared["slices"]]
    return {
        "difference": difference,
        "strip": interval(*(difference[name] for name in ("low", "value", "high"))),
        "metrics": [
            {"name": metric.heading, **{side: compared["metrics"][side][metric.name] for side in _SIDES}}
            for metric in task.metrics
            if metric.decides
        ],
        "part": task.part,
        "primary": task.metrics[0],
        "sizes": compared["sizes"],
        "latency": latency,
        "slices": [(column, rows[:ROWS], len(rows)) for column, rows in _by_column(slices).items()],
        "classes": sorted(classes, key=lambda row: row["challenger"] - row["champion"])[:ROWS],
        "all_classes": len(classes),
    }


def _by_column(rows: Sequence[dict[str, Any]]) -> dict[str, list[dict[str, Any]]]:
    columns: dict[str, list[dict[str, Any]]] = {}
    for row in rows:
        columns.setdefault(row["column"], []).append(row)
    return columns


def _balance(classes: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """Returns the classes whose share has changed most, with their shares."""
    before, after = (max(sum(row[side] for row in classes), 1) for side in ("before", "after"))
    rows = [
        {**row, "name": row["label"], "champion": row["before"] / before, "challenger": row["after"] / after}
        for row in classes
    ]
    return sorted(rows, key=lambda row: -abs(row["challenger"] - row["champion"]))[:BALANCE_ROWS]
