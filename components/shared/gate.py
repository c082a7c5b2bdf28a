"""The promotion gate: whether a challenger becomes champion, and why. A pure function of what evaluation found."""

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from components.shared.errors import InputError, did_you_mean, quote_all

METRICS = ("accuracy", "macro_f1")
APPROVALS = ("automatic", "manual")
PROMOTE, REFUSE, AWAIT_APPROVAL = "promote", "refuse", "await approval"

Found = Mapping[str, Any]
_NAMES = {"accuracy": "accuracy", "macro_f1": "macro-F1"}


@dataclass(frozen=True)
class Rules:
    """What a challenger must show; None: not asked for.

    Attributes:
        metric: By which champion and challenger are compared: "accuracy" or "macro_f1".
        min_gain: None: the interval of the difference lies above 0. A number from 0 on: and the difference is at least
            that. A negative number, -m: the interval lies above -m, "not worse than m".
        min_value: Of the metric, on the test split.
        max_class_drop: The most recall that a class may lose.
        max_slice_drop: The most accuracy that a slice may lose.
        must_beat_baseline: Whether every baseline must be beaten.
        max_latency_ratio: The most time of a batch, as a multiple of the champion's.
        min_examples: Fewer test examples show nothing.
        approval: "automatic", or "manual": what passes waits for a person.

    Raises:
        InputError: The metric or the approval is none that there is.
    """

    metric: str = "accuracy"
    min_gain: float | None = None
    min_value: float | None = None
    max_class_drop: float | None = None
    max_slice_drop: float | None = None
    must_beat_baseline: bool = True
    max_latency_ratio: float | None = None
    min_examples: int = 30
    approval: str = "automatic"

    def __post_init__(self) -> None:
        for name, allowed in (("metric", METRICS), ("approval", APPROVALS)):
            if (value := getattr(self, name)) not in allowed:
                near = did_you_mean(value, allowed)
                raise InputError(f"promotion.{name} is {value!r}; allowed: {quote_all(allowed)}.{near}")


@dataclass(frozen=True)
class Decision:
    """What becomes of a challenger.

    Attributes:
        verdict: "promote", "refuse" or "await approval".
        reasons: Sentences: of a refusal all that speak against it, else what speaks for it.
    """

    verdict: str
    reasons: tuple[str, ...]


def decide(evaluation: Found, rules: Rules) -> Decision:
    """Decides about a challenger. A number that is missing or NaN never speaks for it, nor does a tie.

    Args:
        evaluation: What `evaluation.json` holds; `champion` in it is the comparison with the champion, None: there is
            no champion yet.
        rules: What must be shown.
    """
    compared: Found | None = evaluation.get("champion")
    against = list(_objections(evaluation, compared, rules))
    if against:
        return Decision(REFUSE, tuple(against))
    reasons = [_praise(evaluation, compared, rules)]
    if rules.approval == "manual":
        return Decision(AWAIT_APPROVAL, (*reasons, "A person has to approve it: graft models promote."))
    return Decision(PROMOTE, tuple(reasons))


def _objections(evaluation: Found, compared: Found | None, rules: Rules) -> Iterator[str]:
    """Yields all that speaks against a promotion."""
    yield from _of_itself(evaluation, rules)
    if compared is None:
        return
    if not compared["test_digest"] or compared["test_digest"] != compared["challenger_test_digest"]:
        yield "Champion and challenger were scored on different test examples: their numbers cannot be compared."
        return
    if compared["metric"] != rules.metric:
        measured, asked = _NAMES[compared["metric"]], _NAMES[rules.metric]
        yield f"They were compared by {measured}, but {asked} decides (promotion.metric)."
        return
    yield from _of_gain(compared, rules)
    yield from _of_drops("class", "recall", compared["classes"], rules.max_class_drop)
    yield from _of_drops("slice", "accuracy", compared["slices"], rules.max_slice_drop)
    yield from _of_latency(compared, rules.max_latency_ratio)


def _of_itself(evaluation: Found, rules: Rules) -> Iterator[str]:
    value, name = evaluation["metrics"].get(rules.metric), _NAMES[rules.metric]
    if not _number(value):
        yield f"Its {name} is not a number."
    elif rules.min_value is not None and value < rules.min_value:
        yield f"Its {name} of {value:.3f} is below the {rules.min_value:g} that is asked for (promotion.min_value)."
    if rules.must_beat_baseline and evaluation["verdict"] != "better":
        yield f"It did not beat every baseline (promotion.must_beat_baseline): {evaluation['sentence']}"
    examples = evaluation["difference"]["examples"]
    if not examples >= rules.min_examples:
        yield f"{examples} test examples show nothing; at least {rules.min_examples} are asked for."


def _of_gain(compared: Found, rules: Rules) -> Iterator[str]:
    difference = compared["difference"]
    if not all(_number(difference[name]) for name in ("value", "low", "high")):
        yield f"Its difference to the champion (version {compared['version']}) is not a number."
        return
    told, floor = _numbers(compared), min(rules.min_gain or 0.0, 0.0)
    if floor < 0 and not difference["low"] > floor:
        yield f"It may be worse than the champion by more than {-floor:g} (promotion.min_gain): {told}."
    elif floor == 0 and difference["value"] == 0:
        yield f"It is no better than the champion: {told}. A tie is not promoted."
    elif floor == 0 and difference["value"] < 0:
        yield f"It is worse than the champion: {told}."
    elif floor == 0 and not difference["low"] > 0:
        yield f"It was not shown to be better than the champion: {told}. The interval includes 0."
    elif rules.min_gain and difference["value"] < rules.min_gain:
        yield f"It gains less than the {rules.min_gain:g} that is asked for (promotion.min_gain): {told}."


def _of_drops(kind: str, metric: str, rows: Sequence[Found], most: float | None) -> Iterator[str]:
    if most is None:
        return
    for row in rows:
        if not row["support"]:
            continue
        name = row.get("label", f"{row.get('column')} = {row.get('value')}")
        if not (_number(row["champion"]) and _number(row["challenger"])):
            yield f"The {metric} of {kind} {name!r} is not a number."
        elif row["champion"] - row["challenger"] > most:
            yield (
                f"The {metric} of {kind} {name!r} fell from {row['champion']:.3f} to {row['challenger']:.3f}, by more "
                f"than {most:g} (promotion.max_{kind}_drop), on {row['support']:,} test examples."
            )


def _of_latency(compared: Found, most: float | None) -> Iterator[str]:
    if most is None:
        return
    ratio = compared["latency"]["ratio"]
    if not _number(ratio) or ratio > most:
        told = f"{ratio:.2f} times as long as the champion's" if _number(ratio) else "a time that is not a number"
        yield f"A batch takes {told}; {most:g} times is allowed (promotion.max_latency_ratio)."


def _praise(evaluation: Found, compared: Found | None, rules: Rules) -> str:
    if compared is None:
        return f"There is no champion yet. {evaluation['sentence']}"
    if (rules.min_gain or 0.0) < 0 and not compared["difference"]["low"] > 0:
        return f"It is not worse than the champion by more than {-(rules.min_gain or 0.0):g}: {_numbers(compared)}."
    return f"It is better than the champion: {_numbers(compared)}."


def _numbers(compared: Found) -> str:
    difference = compared["difference"]
    ours, theirs = _shown(compared["challenger"]), _shown(compared["champion"])
    return (
        f"{_NAMES[compared['metric']]} {ours} against {theirs} of version {compared['version']}, a difference of "
        f"{difference['value']:+.3f} with a {difference['confidence']:.0%} interval of {difference['low']:+.3f} to "
        f"{difference['high']:+.3f}, on {difference['examples']:,} test examples"
    )


def _shown(value: Any) -> str:
    return f"{value:.3f}" if _number(value) else "no number"


def _number(value: Any) -> bool:
    return isinstance(value, int | float) and math.isfinite(value)
