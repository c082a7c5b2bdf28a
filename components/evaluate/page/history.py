"""All versions of a model over time: how good each was on its own day, on how much data, and what became of it."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from components.shared.charts import Mark, timeline
from components.shared.errors import InputError
from components.shared.gate import AWAIT_APPROVAL, PROMOTE, REFUSE, Decision
from components.shared.registry import registry
from components.shared.registry.registry import CHAMPION, PREVIOUS, Version
from components.shared.statistics import Metric, wilson

VERSIONS = 30  # the newest
_DECISIONS = {PROMOTE: "to be promoted", REFUSE: "refused", AWAIT_APPROVAL: "awaits approval"}


@dataclass(frozen=True)
class Point:
    """One version; numbers that its tags don't tell are None.

    Attributes:
        name: Its number, or "this".
        created: Its day.
        value: Of the task's primary metric, on the test split of its day.
        low: Of the interval of that.
        high: Likewise.
        examples: It was trained on.
        drift: How often a classifier rightly tells its inputs from those of the champion of its time.
        look: "now", "champion", "promoted" or "other".
        outcome: What became of it.
        reasons: Why.
    """

    name: str
    created: str
    value: float | None
    low: float | None
    high: float | None
    examples: float | None
    drift: float | None
    look: str
    outcome: str
    reasons: str


def known_versions(name: str) -> list[Version]:
    """Returns the versions of a registered model, newest first; none where there is no such model yet."""
    try:
        return registry.show_model(name)
    except InputError:
        return []


def history(
    versions: Sequence[Version], decision: Decision, content: Mapping[str, Any], digest: str, metric: Metric
) -> dict[str, Any] | None:
    """Returns the charts and the rows of all versions and of this model; None where it is the first.

    Args:
        versions: Of the registered model, newest first.
        decision: About this model.
        content: What `evaluation.json` holds.
        digest: Of this model: where it was registered before, it is no version of its own.
        metric: The task's primary one.
    """
    others = [version for version in versions if version.tags.get("model_digest") != digest]
    if not others:
        return None
    points = [*(_point(version, metric) for version in reversed(others[:VERSIONS])), _this(decision, content, metric)]
    names = [point.name for point in points]
    values = [Mark(point.value, point.look, _told(point), point.low, point.high) for point in points]
    examples = [Mark(point.examples, point.look, _told(point)) for point in points]
    drift = [Mark(point.drift, point.look, _told(point)) for point in points]
    charts = [
        (f"Test {metric.title}, with 95 % interval", timeline(names, values, 0.1, highest=metric.bounds[1])),
        ("Training examples", timeline(names, examples, 1.0, bars=True)),
        ("Drift of the inputs", timeline(names, drift, 0.1, highest=1.0)),
    ]
    return {"points": points[::-1], "charts": [chart for chart in charts if chart[1]], "all": len(others) + 1}


def _point(version: Version, metric: Metric) -> Point:
    tags, name = version.tags, f"test_{metric.name}"
    value, tested = _number(tags, name), _number(tags, "test_examples")
    ends = [_number(tags, f"{name}_{end}") for end in ("low", "high")]
    return Point(
        name=version.version,
        created=version.created[:10],
        value=value,
        **_interval(metric, value, tested, ends),
        examples=_number(tags, "train_examples"),
        drift=_number(tags, "drift_score"),
        look=_look(version),
        outcome=_outcome(version),
        reasons=tags.get("reasons", ""),
    )


def _this(decision: Decision, content: Mapping[str, Any], metric: Metric) -> Point:
    value = content["metrics"][metric.name]
    return Point(
        name="this",
        created="",
        value=value,
        **_interval(metric, value, content["examples"], content.get("intervals", {}).get(metric.name, [])),
        examples=content["rows"]["train"],
        drift=(content["changes"].get("drift") or {}).get("score"),
        look="now",
        outcome=_DECISIONS[decision.verdict],
        reasons=" ".join(decision.reasons),
    )


def _interval(
    metric: Metric, value: float | None, examples: float | None, ends: Sequence[float | None]
) -> dict[str, float | None]:
    """Returns the ends of an interval: those of a share of right examples follow from how many there were."""
    if metric.proportion and value is not None and examples and 0 <= value <= 1:
        low, high = wilson(value, examples)
        return {"low": low, "high": high}
    known = len(ends) == 2 and not metric.proportion
    return {"low": ends[0] if known else None, "high": ends[1] if known else None}


def _look(version: Version) -> str:
    if CHAMPION in version.aliases:
        return "champion"
    return "promoted" if PREVIOUS in version.aliases or "promoted_at" in version.tags else "other"


def _outcome(version: Version) -> str:
    for alias in (CHAMPION, PREVIOUS):
        if alias in version.aliases:
            return alias
    if "promoted_at" in version.tags:
        return "was champion"
    decision = version.tags.get("decision", "")
    return "not promoted" if decision == PROMOTE else _DECISIONS.get(decision, "–")


def _told(point: Point) -> str:
    name = "this model" if point.name == "this" else f"version {point.name}"
    return f"{name}: {point.outcome}"


def _number(tags: Mapping[str, str], name: str) -> float | None:
    """People write tags, too."""
    try:
        value = float(tags[name])
    except (KeyError, ValueError):
        return None
    return value if math.isfinite(value) else None
