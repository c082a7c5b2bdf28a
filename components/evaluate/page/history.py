"""All versions of a model over time: how accurate each was on its own day, on how much data, and what became of it."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from statistics import NormalDist
from typing import Any

from components.evaluate.page.charts import Mark, timeline
from components.shared import registry
from components.shared.errors import InputError
from components.shared.gate import AWAIT_APPROVAL, PROMOTE, REFUSE, Decision
from components.shared.registry import CHAMPION, PREVIOUS, Version

VERSIONS = 30  # the newest
_NORMAL = NormalDist().inv_cdf(0.975)  # of a 95 % interval
_DECISIONS = {PROMOTE: "to be promoted", REFUSE: "refused", AWAIT_APPROVAL: "awaits approval"}


@dataclass(frozen=True)
class Point:
    """One version; numbers that its tags don't tell are None.

    Attributes:
        name: Its number, or "this".
        created: Its day.
        accuracy: On the test split of its day.
        low: Of the interval of that.
        high: Likewise.
        examples: It was trained on.
        drift: The accuracy of a classifier that tells its inputs from those of the champion of its time.
        look: "now", "champion", "promoted" or "other".
        outcome: What became of it.
        reasons: Why.
    """

    name: str
    created: str
    accuracy: float | None
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
    versions: Sequence[Version], decision: Decision, content: Mapping[str, Any], digest: str
) -> dict[str, Any] | None:
    """Returns the charts and the rows of all versions and of this model; None where it is the first.

    Args:
        versions: Of the registered model, newest first.
        decision: About this model.
        content: What `evaluation.json` holds.
        digest: Of this model: where it was registered before, it is no version of its own.
    """
    others = [version for version in versions if version.tags.get("model_digest") != digest]
    if not others:
        return None
    points = [*(_point(version) for version in reversed(others[:VERSIONS])), _this(decision, content)]
    names = [point.name for point in points]
    accuracy = [Mark(point.accuracy, point.look, _told(point), point.low, point.high) for point in points]
    examples = [Mark(point.examples, point.look, _told(point)) for point in points]
    drift = [Mark(point.drift, point.look, _told(point)) for point in points]
    charts = [
        ("Test accuracy, with 95 % interval", timeline(names, accuracy, 0.1, highest=1.0)),
        ("Training examples", timeline(names, examples, 1.0, bars=True)),
        ("Drift of the inputs", timeline(names, drift, 0.1, highest=1.0)),
    ]
    return {"points": points[::-1], "charts": [chart for chart in charts if chart[1]], "all": len(others) + 1}


def wilson(accuracy: float, examples: float) -> tuple[float, float]:
    """Returns the 95 % interval of a fraction (Wilson, JASA 1927), which stays between 0 and 1."""
    square = _NORMAL**2 / examples
    middle = (accuracy + square / 2) / (1 + square)
    reach = _NORMAL / (1 + square) * math.sqrt(accuracy * (1 - accuracy) / examples + square / (4 * examples))
    return max(middle - reach, 0.0), min(middle + reach, 1.0)


def _point(version: Version) -> Point:
    tags = version.tags
    accuracy, tested = _number(tags, "test_accuracy"), _number(tags, "test_examples")
    return Point(
        name=version.version,
        created=version.created[:10],
        accuracy=accuracy,
        **_interval(accuracy, tested),
        examples=_number(tags, "train_examples"),
        drift=_number(tags, "drift_score"),
        look=_look(version),
        outcome=_outcome(version),
        reasons=tags.get("reasons", ""),
    )


def _this(decision: Decision, content: Mapping[str, Any]) -> Point:
    accuracy = content["metrics"]["accuracy"]
    return Point(
        name="this",
        created="",
        accuracy=accuracy,
        **_interval(accuracy, content["examples"]),
        examples=content["rows"]["train"],
        drift=(content["changes"].get("drift") or {}).get("score"),
        look="now",
        outcome=_DECISIONS[decision.verdict],
        reasons=" ".join(decision.reasons),
    )


def _interval(accuracy: float | None, examples: float | None) -> dict[str, float | None]:
    if accuracy is None or not examples or not 0 <= accuracy <= 1:
        return {"low": None, "high": None}
    low, high = wilson(accuracy, examples)
    return {"low": low, "high": high}


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
