"""The promotion gate: whether a challenger becomes champion, and why. A pure function of what evaluation found."""

import dataclasses
import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypeGuard

from components.shared.errors import InputError, did_you_mean, quote_all

METRICS = ("accuracy", "macro_f1")
APPROVALS = ("automatic", "manual")
PROMOTE, REFUSE, AWAIT_APPROVAL = "promote", "refuse", "await approval"
BETTER, WORDS_SUFFICE, NOTHING_LEARNED = "better", "the backbone adds nothing", "nothing was learned"
"""Of the verdicts over the baselines those that the gate asks for, or refuses."""
NOTE = "notes/decision.json"
"""Where an evaluation tells the decision: `verdict`, `reasons`, and the `champion` it was compared with."""

Found = Mapping[str, Any]
_NAMES = {"accuracy": "accuracy", "macro_f1": "macro-F1"}
_RANGES = {
    "min_gain": (-1, 1),
    "min_value": (0, 1),
    "max_class_drop": (0, 1),
    "max_slice_drop": (0, 1),
    "max_latency_ratio": (0, math.inf),
    "min_examples": (1, math.inf),
}
_MOST_DROPS = 5  # that are told one by one
_ROUNDING = 1e-9  # 0.8 - 0.7 is a hair more than 0.1
_RULE_OF_THREE = 3  # of n examples none is lost: at 95 % up to 3/n of all are (Hanley & Lippman-Hand, JAMA 1983)


@dataclass(frozen=True)
class Rules:
    """What a challenger must show; None: not asked for.

    Attributes:
        metric: By which champion and challenger are compared: "accuracy" or "macro_f1".
        min_gain: None: the interval of the difference lies above 0 and, for accuracy, McNemar's exact test agrees (the
            bootstrap alone would call 4 gains and no loss better, which chance brings in one of 8 cases). A number
            from 0 on: and the difference is at least that. A negative number, -m: the interval lies above -m, "not
            worse than m", on at least 3/m test examples: fewer cannot show it, even if none is lost.
        min_value: Of the metric, on the test split.
        max_class_drop: The most recall that a class may lose.
        max_slice_drop: The most accuracy that a slice may lose.
        must_beat_baseline: Whether the strongest baseline must be beaten; a model of words alone, which has no backbone
            that would have to pay, must not be worse than it. A model at chance is refused in any case.
        max_latency_ratio: The most time of a batch, as a multiple of the champion's.
        min_examples: Fewer test examples show nothing.
        approval: "automatic", or "manual": what passes waits for a person.

    Raises:
        InputError: A value is none that there may be.
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
                near = did_you_mean(str(value), allowed)
                raise InputError(f"promotion.{name} is {value!r}; allowed: {quote_all(allowed)}.{near}")
        for name, (low, high) in _RANGES.items():
            value = getattr(self, name)
            optional = getattr(type(self), name) is None and value is None
            if not optional and not (_number(value) and low <= value <= high):
                wanted = f"a number from {low} to {high}" if high < math.inf else f"a number from {low} on"
                raise InputError(f"promotion.{name} is {value!r}; {wanted} was expected.")
        if not isinstance(self.must_beat_baseline, bool):
            raise InputError(
                f"promotion.must_beat_baseline is {self.must_beat_baseline!r}; true or false was expected."
            )


@dataclass(frozen=True)
class Decision:
    """What becomes of a challenger.

    Attributes:
        verdict: "promote", "refuse" or "await approval".
        reasons: Sentences: of a refusal all that speak against it, else what speaks for it.
    """

    verdict: str
    reasons: tuple[str, ...]


def rules_of(promotion: Found) -> Rules:
    """Returns the rules that a job's section `promotion` sets; None there: the default.

    Raises:
        InputError: A name or a value is none that there may be.
    """
    names = [field.name for field in dataclasses.fields(Rules)]
    for name in promotion:
        if name not in names:
            raise InputError(f"promotion.{name} is no rule; there are {quote_all(names)}.{did_you_mean(name, names)}")
    return Rules(**{name: value for name, value in promotion.items() if value is not None})


def decide(evaluation: Found, rules: Rules) -> Decision:
    """Decides about a challenger. A number that is missing or NaN never speaks for it, nor does a tie.

    Args:
        evaluation: What `evaluation.json` holds; `champion` in it is the comparison with the champion, with `latency`,
            None: there is no champion yet. Its `failure` says why they could not be compared, or ""; `same_model`
            whether the challenger is the champion.
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
    if compared and compared.get("same_model"):
        yield f"It is the champion, version {compared['version']}: training gave the same model again."
        return
    yield from _of_itself(evaluation, rules)
    if compared is None:
        return
    if compared.get("failure"):
        yield (
            f"It could not be compared with the champion (version {compared['version']}): {compared['failure']}. If it "
            "is to take its place, a person has to say so: graft models promote."
        )
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
    if not _number(evaluation["metrics"].get("log_loss", 0.0)):
        yield "Its probabilities are not numbers."
    if evaluation["verdict"] == NOTHING_LEARNED:  # whatever the rules: no champion by chance
        yield evaluation["sentence"]
    elif rules.must_beat_baseline and evaluation["verdict"] not in (BETTER, WORDS_SUFFICE):
        yield f"It did not beat every baseline (promotion.must_beat_baseline): {evaluation['sentence']}"
    examples = evaluation["difference"]["examples"]
    if not examples >= rules.min_examples:
        told = evaluation.get("measured") or {}
        vain = f" A cross-validation of all was not made: {told['reason']}." if told.get("reason") else ""
        what = "examples" if "folds" in told else "test examples"
        yield f"{examples} {what} show nothing; at least {rules.min_examples} are asked for.{vain}"


def _of_gain(compared: Found, rules: Rules) -> Iterator[str]:
    difference = compared["difference"]
    if not all(_number(difference[name]) for name in ("value", "low", "high")):
        yield f"Its difference to the champion (version {compared['version']}) is not a number."
        return
    gain = rules.min_gain or 0.0
    yield from _of_margin(compared, -gain) if gain < 0 else _of_better(compared, gain)


def _of_margin(compared: Found, margin: float) -> Iterator[str]:
    """Yields what speaks against "not worse than the margin"."""
    difference = compared["difference"]
    if not difference["low"] > -margin:
        told = _numbers(compared)
        yield f"It may be worse than the champion by more than {margin:g} (promotion.min_gain): {told}."
    elif difference["examples"] * margin < _RULE_OF_THREE - _ROUNDING:
        least = math.ceil(min(_RULE_OF_THREE / margin, 1e12) - _ROUNDING)
        yield (
            f"{difference['examples']:,} test examples cannot show that it is not worse than the champion by more than "
            f"{margin:g} (promotion.min_gain); at least {least:,} are needed."
        )


def _of_better(compared: Found, least: float) -> Iterator[str]:
    """Yields what speaks against "better"."""
    difference, told = compared["difference"], _numbers(compared)
    unshown = f"It was not shown to be better than the champion: {told}."
    if difference["value"] == 0:
        yield f"It is no better than the champion: {told}. A tie is not promoted."
    elif difference["value"] < 0:
        yield f"It is worse than the champion: {told}."
    elif not difference["low"] > 0:
        yield f"{unshown} The interval includes 0."
    elif not _agrees(compared):
        yield f"{unshown} McNemar's exact test does not agree{_p_of(difference)}."
    elif difference["value"] < least:
        yield f"It gains less than the {least:g} that is asked for (promotion.min_gain): {told}."


def _agrees(compared: Found) -> bool:
    """Whether the exact test agrees that the challenger is better; it tells of right and wrong, not of macro-F1."""
    difference = compared["difference"]
    p_value = difference.get("p_value")
    return compared["metric"] != "accuracy" or (_number(p_value) and p_value < 1 - difference["confidence"])


def _p_of(difference: Found) -> str:
    return f" (p = {difference['p_value']:.3f})" if _number(difference.get("p_value")) else ""


def _of_drops(kind: str, metric: str, rows: Sequence[Found], most: float | None) -> Iterator[str]:
    """Yields what fell by too much, the deepest falls first; of many only how many more there are."""
    if most is None:
        return
    fallen = [(drop, row) for row in rows if row["support"] and not (drop := _drop_of(row)) <= most + _ROUNDING]
    for _, row in sorted(fallen, key=lambda found: -found[0])[:_MOST_DROPS]:
        name = row.get("label", f"{row.get('column')} = {row.get('value')}")
        yield (
            f"The {metric} of {kind} {name!r} fell from {_shown(row['champion'])} to {_shown(row['challenger'])}, by "
            f"more than {most:g} (promotion.max_{kind}_drop), on {row['support']:,} test examples."
        )
    if (more := len(fallen) - _MOST_DROPS) > 0:
        yield f"So did that of {more:,} more (promotion.max_{kind}_drop)."


def _drop_of(row: Found) -> float:
    """Returns by how much a class or slice fell; without numbers it may be any."""
    known = _number(row["champion"]) and _number(row["challenger"])
    return float(row["champion"] - row["challenger"]) if known else math.inf


def _of_latency(compared: Found, most: float | None) -> Iterator[str]:
    if most is None:
        return
    ratio = (compared.get("latency") or {}).get("ratio")
    if not _number(ratio) or ratio > most:
        told = f"{ratio:.2f} times as long as the champion's" if _number(ratio) else "a time that is not a number"
        yield f"A batch takes {told}; {most:g} times is allowed (promotion.max_latency_ratio)."


def _praise(evaluation: Found, compared: Found | None, rules: Rules) -> str:
    if compared is None:
        return f"There is no champion yet. {evaluation['sentence']}"
    shown = compared["difference"]["low"] > 0 and _agrees(compared)
    if (rules.min_gain or 0.0) < 0 and not shown:
        return f"It is not worse than the champion by more than {-(rules.min_gain or 0.0):g}: {_numbers(compared)}."
    return f"It is better than the champion: {_numbers(compared)}."


def _numbers(compared: Found) -> str:
    difference = compared["difference"]
    ours, theirs = _shown(compared["challenger"]), _shown(compared["champion"])
    return (
        f"{_NAMES[compared['metric']]} {ours} against {theirs} of version {compared['version']}, a difference of "
        f"{difference['value']:+.3f} with a {difference['confidence']:.0%} interval of {difference['low']:+.3f} to "
        f"{difference['high']:+.3f}, on {difference['examples']:,} {compared.get('what', 'test examples')}"
    )


def _shown(value: Any) -> str:
    return f"{value:.3f}" if _number(value) else "no number"


def _number(value: Any) -> TypeGuard[float]:
    return isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)
