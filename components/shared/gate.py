"""The promotion gate: whether a challenger becomes champion, and why. A pure function of what evaluation found."""

import dataclasses
import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypeGuard

from components.shared.errors import InputError, did_you_mean, quote_all
from components.shared.statistics import Gain, Metric, written
from components.shared.tasks import Task, metric_of
from components.shared.tasks.task import Composite

APPROVALS = ("automatic", "manual")
PROMOTE, REFUSE, AWAIT_APPROVAL = "promote", "refuse", "await approval"
BETTER, WORDS_SUFFICE, NOTHING_LEARNED = "better", "the backbone adds nothing", "nothing was learned"
"""Of the verdicts over the baselines those that the gate asks for, or refuses."""
NOTE = "notes/decision.json"
"""Where an evaluation tells the decision: `verdict`, `reasons`, and the `champion` it was compared with."""

Found = Mapping[str, Any]
_RANGES = {"max_latency_ratio": (0, math.inf), "min_examples": (1, math.inf), "max_task_drop": (0, math.inf)}
_IN_UNITS = ("min_gain", "min_value", "max_class_drop", "max_slice_drop")
"""Rules in the unit of a metric."""
_MOST_DROPS = 5  # that are told one by one
_ROUNDING = 1e-9  # 0.8 - 0.7 is a hair more than 0.1
_GAIN = [field.name for field in dataclasses.fields(Gain)]
_RULE_OF_THREE = 3  # of n examples none is lost: at 95 % up to 3/n of all are (Hanley & Lippman-Hand, JAMA 1983)


@dataclass(frozen=True)
class Rules:
    """What a challenger must show; None: not asked for.

    Attributes:
        metric: By which champion and challenger are compared, one of the task's that decide; "": its primary one.
        min_gain: In the metric's unit, above 0 is better. None: the interval of the gain lies above 0 and, for a share
            of right examples, McNemar's exact test agrees (the bootstrap alone would call 4 gains and no loss better,
            which chance brings in one of 8 cases). A number from 0 on: and the gain is at least that. A negative
            number, -m: the interval lies above -m, "not worse than m", for such a share on at least 3/m test examples:
            fewer cannot show it, even if none is lost.
        min_value: The least of the metric on the test split; the most, where less is better.
        max_class_drop: The most that a class may lose of its recall, a part of the task's metric of parts.
        max_slice_drop: The most of the task's primary metric that a slice may lose.
        max_task_drop: Where the task is made of others, the most of its own metric that any of them may lose; None:
            none may be shown to be worse, its whole interval below 0.
        must_beat_baseline: Whether the strongest baseline must be beaten; a model of words alone, which has no backbone
            that would have to pay, must not be worse than it. A model at chance is refused in any case.
        max_latency_ratio: The most time of a batch, as a multiple of the champion's.
        min_examples: Fewer test examples show nothing.
        approval: "automatic", or "manual": what passes waits for a person.

    Raises:
        InputError: A value is none that there may be.
    """

    metric: str = ""
    min_gain: float | None = None
    min_value: float | None = None
    max_class_drop: float | None = None
    max_slice_drop: float | None = None
    max_task_drop: float | None = None
    must_beat_baseline: bool = True
    max_latency_ratio: float | None = None
    min_examples: int = 30
    approval: str = "automatic"

    def __post_init__(self) -> None:
        if self.approval not in APPROVALS:
            near = did_you_mean(str(self.approval), APPROVALS)
            raise InputError(f"promotion.approval is {self.approval!r}; allowed: {quote_all(APPROVALS)}.{near}")
        for name in (*_RANGES, *_IN_UNITS):
            if reason := reason_to_refuse(name, getattr(self, name), _RANGES.get(name, (-math.inf, math.inf))):
                raise InputError(f"promotion.{name} is {getattr(self, name)!r}; {reason} was expected.")
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


def rules_of(promotion: Found, task: Task | None = None) -> Rules:
    """Returns the rules that a job's section `promotion` sets; None there: the default.

    Args:
        promotion: The section.
        task: What is learned: metrics, and what they can be, are checked by it. None: it is not known yet.

    Raises:
        InputError: A name or a value is none that there may be.
    """
    names = [field.name for field in dataclasses.fields(Rules)]
    for name in promotion:
        if name not in names:
            raise InputError(f"promotion.{name} is no rule; there are {quote_all(names)}.{did_you_mean(name, names)}")
    given = {name: value for name, value in promotion.items() if value is not None}
    if task is None:
        return Rules(**given)
    given["metric"] = metric_of(task, given.get("metric", "")).name
    if "max_task_drop" in given and not isinstance(task, Composite):
        raise InputError(f"promotion.max_task_drop is for several tasks in one model, and {task.name} is one.")
    for name, allowed in ranges(task, given["metric"]).items():
        if reason := reason_to_refuse(name, given.get(name), allowed):
            raise InputError(f"promotion.{name} is {given[name]!r}; {reason} was expected.")
    return Rules(**given)


def ranges(task: Task, metric: str) -> dict[str, tuple[float, float]]:
    """Returns what the rules that are in the unit of a metric can be."""
    low, high = metric_of(task, metric).bounds
    first = task.metrics[0].bounds
    part = (0.0, 1.0)
    return {
        "min_gain": (low - high, high - low),
        "min_value": (low, high),
        "max_class_drop": part,
        "max_slice_drop": (0.0, first[1] - first[0]),
    }


def reason_to_refuse(name: str, value: Any, allowed: tuple[float, float]) -> str:
    """Returns what was expected of a rule instead of a value: "a number from 0 to 1"; "" where it can be that."""
    low, high = allowed
    if (value is None and getattr(Rules, name) is None) or (_number(value) and low <= value <= high):
        return ""
    if math.isinf(low):
        return "a number"
    return f"a number from {low:g} to {high:g}" if high < math.inf else f"a number from {low:g} on"


def decide(evaluation: Found, rules: Rules, task: Task) -> Decision:
    """Decides about a challenger. A number that is missing or NaN never speaks for it, nor does a tie.

    Args:
        evaluation: What `evaluation.json` holds; `champion` in it is the comparison with the champion, with `latency`,
            None: there is no champion yet. Its `failure` says why they could not be compared, or ""; `same_model`
            whether the challenger is the champion.
        rules: What must be shown.
        task: What was learned.
    """
    compared: Found | None = evaluation.get("champion")
    rules = dataclasses.replace(rules, metric=metric_of(task, rules.metric).name)
    against = list(_objections(evaluation, compared, rules, task))
    if against:
        return Decision(REFUSE, tuple(against))
    reasons = [_praise(evaluation, compared, rules, metric_of(task, rules.metric))]
    if rules.approval == "manual":
        return Decision(AWAIT_APPROVAL, (*reasons, "A person has to approve it: graft models promote."))
    return Decision(PROMOTE, tuple(reasons))


def _objections(evaluation: Found, compared: Found | None, rules: Rules, task: Task) -> Iterator[str]:
    """Yields all that speaks against a promotion."""
    metric, first = metric_of(task, rules.metric), task.metrics[0]
    if compared and compared.get("same_model"):
        yield f"It is the champion, version {compared['version']}: training gave the same model again."
        return
    yield from _of_itself(evaluation, rules, metric)
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
        measured = next((found.title for found in task.metrics if found.name == compared["metric"]), compared["metric"])
        yield f"They were compared by {measured}, but {metric.title} decides (promotion.metric)."
        return
    yield from _of_gain(compared, rules, metric)
    yield from _of_members(compared, rules.max_task_drop, task)
    yield from _of_drops(task.part[0], task.part[1], compared["classes"], rules.max_class_drop, "max_class_drop")
    slices, most = compared["slices"], rules.max_slice_drop
    yield from _of_drops("slice", first.title, slices, most, "max_slice_drop", first.direction)
    yield from _of_latency(compared, rules.max_latency_ratio)


def _of_itself(evaluation: Found, rules: Rules, metric: Metric) -> Iterator[str]:
    value, least = evaluation["metrics"].get(metric.name), rules.min_value
    if not _number(value):
        yield f"Its {metric.title} is not a number."
    elif least is not None and metric.direction * (value - least) < 0:
        side = "below" if metric.direction > 0 else "above"
        yield (
            f"Its {metric.title} of {written(metric, value)} is {side} the {least:g} that is asked for "
            "(promotion.min_value)."
        )
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


def _of_gain(compared: Found, rules: Rules, metric: Metric) -> Iterator[str]:
    difference = compared["difference"]
    if not all(_number(difference[name]) for name in ("value", "low", "high")):
        yield f"Its difference to the champion (version {compared['version']}) is not a number."
        return
    gain = rules.min_gain or 0.0
    yield from _of_margin(compared, -gain, metric) if gain < 0 else _of_better(compared, gain, metric)


def _of_members(compared: Found, most: float | None, task: Task) -> Iterator[str]:
    """Yields which of the tasks that a task is made of became worse than the champion, each by its own metric."""
    rows = {row["name"]: row for row in compared.get("members", [])}
    for part in task.members if isinstance(task, Composite) else ():
        row = rows.get(part.name)
        if row is None or not all(_number(row["difference"][name]) for name in ("value", "low", "high")):
            yield f"The {part.metric.title} of {part.name!r} beside the champion's is not a number."
            continue
        told = _numbers({**compared, **row}, part.metric)
        if most is None and row["difference"]["high"] < 0:
            yield f"It is worse than the champion at {part.name!r}: {told}."
        elif most is not None and row["difference"]["value"] < -most - _ROUNDING:
            yield f"It loses more than {most:g} at {part.name!r} (promotion.max_task_drop): {told}."


def _of_margin(compared: Found, margin: float, metric: Metric) -> Iterator[str]:
    """Yields what speaks against "not worse than the margin"."""
    difference = compared["difference"]
    if not difference["low"] > -margin:
        told = _numbers(compared, metric)
        yield f"It may be worse than the champion by more than {margin:g} (promotion.min_gain): {told}."
    elif metric.hits and difference["examples"] * margin < _RULE_OF_THREE - _ROUNDING:
        least = math.ceil(min(_RULE_OF_THREE / margin, 1e12) - _ROUNDING)
        yield (
            f"{difference['examples']:,} test examples cannot show that it is not worse than the champion by more than "
            f"{margin:g} (promotion.min_gain); at least {least:,} are needed."
        )


def _of_better(compared: Found, least: float, metric: Metric) -> Iterator[str]:
    """Yields what speaks against "better"."""
    difference, told = compared["difference"], _numbers(compared, metric)
    unshown = f"It was not shown to be better than the champion: {told}."
    if difference["value"] == 0:
        yield f"It is no better than the champion: {told}. A tie is not promoted."
    elif difference["value"] < 0:
        yield f"It is worse than the champion: {told}."
    elif not difference["low"] > 0:
        yield f"{unshown} The interval includes 0."
    elif not _agrees(compared, metric):
        yield f"{unshown} McNemar's exact test does not agree{_p_of(difference)}."
    elif difference["value"] < least:
        yield f"It gains less than the {least:g} that is asked for (promotion.min_gain): {told}."


def _agrees(compared: Found, metric: Metric) -> bool:
    """Whether the exact test agrees that the challenger is better; it tells of shares of right examples alone."""
    difference = compared["difference"]
    p_value = difference.get("p_value")
    return not metric.proportion or (_number(p_value) and p_value < 1 - difference["confidence"])


def _p_of(difference: Found) -> str:
    return f" (p = {difference['p_value']:.3f})" if _number(difference.get("p_value")) else ""


def _of_drops(
    kind: str, metric: str, rows: Sequence[Found], most: float | None, rule: str, direction: int = 1
) -> Iterator[str]:
    """Yields what fell by too much, the deepest falls first; of many only how many more there are."""
    if most is None:
        return
    falls = [(_drop_of(row, direction), row) for row in rows if row["support"]]
    fallen = [(drop, row) for drop, row in falls if not drop <= most + _ROUNDING]
    how = "fell" if direction > 0 else "rose"
    for _, row in sorted(fallen, key=lambda found: -found[0])[:_MOST_DROPS]:
        name = row.get("label", f"{row.get('column')} = {row.get('value')}")
        yield (
            f"The {metric} of {kind} {name!r} {how} from {_shown(row['champion'])} to {_shown(row['challenger'])}, by "
            f"more than {most:g} (promotion.{rule}), on {row['support']:,} test examples."
        )
    if (more := len(fallen) - _MOST_DROPS) > 0:
        yield f"So did that of {more:,} more (promotion.{rule})."


def _drop_of(row: Found, direction: int) -> float:
    """Returns by how much a part became worse; without numbers it may be any."""
    known = _number(row["champion"]) and _number(row["challenger"])
    return float(direction * (row["champion"] - row["challenger"])) if known else math.inf


def _of_latency(compared: Found, most: float | None) -> Iterator[str]:
    if most is None:
        return
    ratio = (compared.get("latency") or {}).get("ratio")
    if not _number(ratio) or ratio > most:
        told = f"{ratio:.2f} times as long as the champion's" if _number(ratio) else "a time that is not a number"
        yield f"A batch takes {told}; {most:g} times is allowed (promotion.max_latency_ratio)."


def _praise(evaluation: Found, compared: Found | None, rules: Rules, metric: Metric) -> str:
    if compared is None:
        return f"There is no champion yet. {evaluation['sentence']}"
    shown = compared["difference"]["low"] > 0 and _agrees(compared, metric)
    told = _numbers(compared, metric)
    if (rules.min_gain or 0.0) < 0 and not shown:
        return f"It is not worse than the champion by more than {-(rules.min_gain or 0.0):g}: {told}."
    return f"It is better than the champion: {told}."


def _numbers(compared: Found, metric: Metric) -> str:
    gain = Gain(**{name: compared["difference"].get(name) for name in _GAIN})
    ours, theirs = _shown(compared["challenger"], metric), _shown(compared["champion"], metric)
    return (
        f"{metric.title} {ours} against {theirs} of version {compared['version']}, {gain.words(metric)}, on "
        f"{gain.examples:,} {compared.get('what', 'test examples')}"
    )


def _shown(value: Any, metric: Metric | None = None) -> str:
    if not _number(value):
        return "no number"
    return written(metric, value) if metric else f"{value:.3f}"


def _number(value: Any) -> TypeGuard[float]:
    return isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)
