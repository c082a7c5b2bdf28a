"""The gate as a reader would question it: what is promoted, what never is, and what it says."""

import dataclasses
import math
from typing import Any

import pytest
from hypothesis import event, given, settings
from hypothesis import strategies as st

from components.shared import gate, tasks
from components.shared.errors import InputError
from components.shared.gate import AWAIT_APPROVAL, PROMOTE, REFUSE, Decision, Rules

TEST = "a" * 64
TASK = tasks.get("text-classification")


def decide(found: dict[str, Any], rules: Rules) -> Decision:
    return gate.decide(found, rules, TASK)


def rules_of(promotion: dict[str, Any]) -> Rules:
    return gate.rules_of(promotion, TASK)


def evaluation(value: float = 0.9, verdict: str = "better", **champion: Any) -> dict[str, Any]:
    """What evaluate found; keyword arguments change the comparison with the champion, which is clearly beaten."""
    compared = {
        "version": "3",
        "metric": "accuracy",
        "test_digest": TEST,
        "challenger_test_digest": TEST,
        "champion": 0.8,
        "challenger": value,
        "difference": difference(0.1, 0.05, 0.15),
        "classes": [{"label": "bug", "support": 50, "champion": 0.8, "challenger": 0.9}],
        "slices": [{"column": "language", "value": "de", "support": 50, "champion": 0.8, "challenger": 0.7}],
        "latency": {"champion": 0.1, "challenger": 0.2, "ratio": 2.0},
    }
    return {
        "metrics": {"accuracy": value, "macro_f1": value},
        "verdict": verdict,
        "sentence": "The model is better than every baseline.",
        "difference": {"examples": 200},
        "champion": {**compared, **champion},
    }


def difference(value: float, low: float, high: float) -> dict[str, Any]:
    return {"value": value, "low": low, "high": high, "confidence": 0.95, "examples": 200, "p_value": 0.001}


def refusal(found: dict[str, Any], **rules: Any) -> str:
    decision = decide(found, Rules(**rules))
    assert decision.verdict == REFUSE
    return " ".join(decision.reasons)


def test_a_challenger_that_is_shown_to_be_better_is_promoted() -> None:
    decision = decide(evaluation(), Rules())
    assert decision.verdict == PROMOTE
    assert decision.reasons == (
        "It is better than the champion: accuracy 0.900 against 0.800 of version 3, a difference of +0.100 with a 95% "
        "interval of +0.050 to +0.150, on 200 test examples.",
    )


def test_the_first_model_has_only_the_baselines_to_beat() -> None:
    first = {**evaluation(), "champion": None}
    assert decide(first, Rules()).verdict == PROMOTE
    assert "did not beat every baseline" in refusal({**first, "verdict": "not shown"})
    assert decide({**first, "verdict": "not shown"}, Rules(must_beat_baseline=False)).verdict == PROMOTE
    assert "0.900 is below the 0.95" in refusal(first, min_value=0.95)


def test_what_passes_can_wait_for_a_person() -> None:
    decision = decide(evaluation(), Rules(approval="manual"))
    assert decision.verdict == AWAIT_APPROVAL
    assert "graft models promote" in decision.reasons[-1]
    assert decide(evaluation(verdict="worse"), Rules(approval="manual")).verdict == REFUSE


@pytest.mark.parametrize(
    ("changes", "rules", "reason"),
    [
        ({"difference": difference(0.0, -0.02, 0.02)}, {}, "A tie is not promoted"),
        ({"difference": difference(-0.1, -0.2, -0.01)}, {}, "It is worse than the champion"),
        ({"difference": difference(0.01, -0.01, 0.03)}, {}, "The interval includes 0"),
        ({"difference": difference(0.01, 0.0, 0.02)}, {}, "The interval includes 0"),
        ({"difference": difference(0.01, 0.005, 0.02)}, {"min_gain": 0.02}, "less than the 0.02"),
        ({"difference": difference(0.0, -0.03, 0.03)}, {"min_gain": -0.01}, "be worse than the champion by more than"),
        ({"difference": {**difference(0.02, 0.005, 0.04), "p_value": 0.125}}, {}, "does not agree (p = 0.125)"),
        ({"difference": {**difference(0.02, 0.005, 0.04), "p_value": None}}, {}, "exact test does not agree."),
        ({"difference": difference(0.0, 0.0, 0.0)}, {"min_gain": -0.01}, "200 test examples cannot show that"),
        ({"difference": difference(0.1, math.nan, 0.2)}, {}, "is not a number"),
        ({"failure": "its files are gone"}, {}, "could not be compared with the champion (version 3): its files are"),
        ({"same_model": True}, {}, "It is the champion, version 3"),
        ({"challenger_test_digest": "b" * 64}, {}, "different test examples"),
        ({"test_digest": "", "challenger_test_digest": ""}, {}, "different test examples"),
        ({}, {"metric": "macro_f1"}, "compared by accuracy, but macro-F1 decides"),
        ({}, {"max_slice_drop": 0.05}, "slice 'language = de' fell from 0.800 to 0.700"),
        ({}, {"max_latency_ratio": 1.5}, "2.00 times as long"),
        ({"latency": {"ratio": None}}, {"max_latency_ratio": 1.5}, "not a number"),
        ({"latency": None}, {"max_latency_ratio": 1.5}, "not a number"),
        ({}, {"min_examples": 500}, "200 test examples show nothing"),
    ],
)
def test_each_rule_alone_refuses_and_says_why(changes: dict[str, Any], rules: dict[str, Any], reason: str) -> None:
    assert reason in refusal(evaluation(**changes), **rules)


def test_macro_f1_is_decided_by_its_interval_alone() -> None:
    found = evaluation(metric="macro_f1", difference={**difference(0.1, 0.05, 0.15), "p_value": 0.9})
    assert decide(found, Rules(metric="macro_f1")).verdict == PROMOTE


def test_not_worse_is_shown_by_enough_examples() -> None:
    equal = evaluation(difference=difference(0.0, 0.0, 0.0))
    decision = decide(equal, Rules(min_gain=-0.015))  # of 200 examples none is lost: at most 1.5 % of all are
    assert decision.verdict == PROMOTE
    assert "not worse than the champion by more than 0.015" in decision.reasons[0]
    assert "at least 201 are needed" in refusal(equal, min_gain=-0.01495)


def test_what_could_not_be_compared_is_said_without_numbers() -> None:
    gone = evaluation(failure="its files are gone", test_digest="", champion=None, difference=None, latency=None)
    assert "a person has to say so: graft models promote" in refusal(gone, max_latency_ratio=1.0, max_class_drop=0.1)


@pytest.mark.case(14)
def test_probabilities_that_are_no_numbers_refuse() -> None:
    found = evaluation()
    assert "probabilities are not numbers" in refusal({**found, "metrics": {**found["metrics"], "log_loss": None}})


def test_a_drop_of_just_the_most_is_allowed() -> None:
    classes = [{"label": "bug", "support": 50, "champion": 0.8, "challenger": 0.7}]
    assert decide(evaluation(classes=classes), Rules(max_class_drop=0.1)).verdict == PROMOTE


def test_a_class_that_is_forgotten_refuses() -> None:
    classes = [{"label": "bug", "support": 50, "champion": 0.8, "challenger": 0.6}]
    assert "class 'bug' fell from 0.800 to 0.600" in refusal(evaluation(classes=classes), max_class_drop=0.1)
    unseen = [{**classes[0], "support": 0, "challenger": None}]
    assert decide(evaluation(classes=unseen), Rules(max_class_drop=0.1)).verdict == PROMOTE


def test_of_many_classes_the_deepest_falls_are_told() -> None:
    classes = [{"label": f"{n}", "support": 9, "champion": 0.9, "challenger": 0.8 - n / 100} for n in range(20)]
    classes.append({"label": "unknown", "support": 1, "champion": 0.9, "challenger": math.nan})
    reasons = decide(evaluation(classes=classes), Rules(max_class_drop=0.15)).reasons
    assert [reason.split("'")[1] for reason in reasons[:-1]] == ["unknown", "19", "18", "17", "16"]
    assert "from 0.900 to no number" in reasons[0]
    assert reasons[-1] == "So did that of 10 more (promotion.max_class_drop)."


def test_all_that_speaks_against_it_is_said_at_once() -> None:
    found = evaluation(verdict="worse", difference=difference(-0.1, -0.2, -0.01))
    told = refusal(found, min_value=0.99, max_slice_drop=0.0, max_latency_ratio=1.0)
    for part in ("below the 0.99", "every baseline", "worse than the champion", "slice", "batch"):
        assert part in told


def test_a_rule_that_is_none_is_refused_with_a_hint() -> None:
    with pytest.raises(InputError, match="promotion.metric is 'acuracy'.*Did you mean 'accuracy'"):
        rules_of({"metric": "acuracy"})
    with pytest.raises(InputError, match="promotion.approval"):
        Rules(approval="maybe")


@pytest.mark.parametrize(
    ("promotion", "message"),
    [
        ({"min_gian": 0.1}, "promotion.min_gian is no rule.*Did you mean 'min_gain'"),
        ({"min_gain": math.nan}, "promotion.min_gain is nan; a number from -1 to 1 was expected"),
        ({"min_value": 95}, "promotion.min_value is 95; a number from 0 to 1 was expected"),
        ({"max_class_drop": "0.1"}, "promotion.max_class_drop is '0.1'"),
        ({"min_examples": 0}, "promotion.min_examples is 0; a number from 1 on was expected"),
        ({"must_beat_baseline": 1}, "promotion.must_beat_baseline is 1; true or false was expected"),
        ({"metric": ["accuracy"]}, "promotion.metric is"),
    ],
)
def test_a_section_of_a_job_is_checked(promotion: dict[str, Any], message: str) -> None:
    with pytest.raises(InputError, match=message):
        rules_of(promotion)


def test_what_a_section_leaves_open_has_its_default() -> None:
    assert rules_of({}) == Rules(metric="accuracy")
    assert gate.rules_of({}) == Rules()  # the task is not known yet
    assert rules_of({"min_gain": None, "min_examples": None, "metric": "macro_f1"}) == Rules(metric="macro_f1")


numbers = st.floats(-1, 1) | st.floats(0, 1) | st.sampled_from([math.nan, None])
count = st.integers(0, 999)
metric = st.sampled_from(["accuracy", "accuracy", "accuracy", "macro_f1"])
limit = st.sampled_from([None, None, 0.01, 0.1, 0.9])
any_rules = st.builds(
    Rules,
    metric=metric,
    min_gain=st.none() | st.floats(0, 0.2),
    min_value=limit,
    max_class_drop=limit,
    max_slice_drop=limit,
    must_beat_baseline=st.booleans(),
    max_latency_ratio=limit,
    approval=st.sampled_from(["automatic", "manual"]),
)
row = st.fixed_dictionaries({"support": count, "champion": numbers, "challenger": numbers})
any_difference = st.fixed_dictionaries(
    {"value": numbers, "low": numbers, "high": numbers, "p_value": st.sampled_from([0.01, 0.2, math.nan, None])}
)
any_evaluation = st.builds(  # half of each is as a good challenger's, so that not all are refused at the first rule
    evaluation,
    value=st.just(0.95) | numbers,
    verdict=st.sampled_from(["better", "better", "worse", "not shown"]),
    challenger_test_digest=st.sampled_from([TEST, TEST, TEST, "b" * 64]),
    metric=metric,
    champion=numbers,
    difference=st.just(difference(0.1, 0.05, 0.15)) | any_difference.map(lambda told: difference(0, 0, 0) | told),
    classes=st.lists(row.map(lambda found: {"label": "a", **found}), max_size=2),
    slices=st.lists(row.map(lambda found: {"column": "c", "value": "v", **found}), max_size=2),
    latency=st.fixed_dictionaries({"ratio": st.just(0.005) | numbers}),
)


@settings(max_examples=500)
@given(any_evaluation, any_rules)
def test_what_is_promoted_was_shown_to_be_better_on_the_same_examples(found: dict[str, Any], rules: Rules) -> None:
    verdict = decide(found, rules).verdict
    event(verdict)
    if verdict == REFUSE:
        return
    compared = found["champion"]
    assert compared["test_digest"] == compared["challenger_test_digest"]
    assert compared["metric"] == rules.metric
    assert compared["difference"]["low"] > 0
    assert compared["metric"] == "macro_f1" or compared["difference"]["p_value"] < 0.05
    assert compared["difference"]["value"] >= (rules.min_gain or 0.0)
    assert found["metrics"][rules.metric] >= (rules.min_value or -1.0)
    for name, most in (("classes", rules.max_class_drop), ("slices", rules.max_slice_drop)):
        seen = [told for told in compared[name] if told["support"]]
        assert most is None or all(told["champion"] - told["challenger"] <= most + 1e-9 for told in seen)


@given(any_evaluation, any_rules)
def test_a_decision_always_has_reasons_and_never_depends_on_the_approval(found: dict[str, Any], rules: Rules) -> None:
    by_itself, by_hand = (
        decide(found, dataclasses.replace(rules, approval=approval)) for approval in ("automatic", "manual")
    )
    assert by_itself.reasons
    assert all(reason.endswith((".", "0")) for reason in by_itself.reasons)
    assert (by_itself.verdict == REFUSE) == (by_hand.verdict == REFUSE)


@given(any_rules, st.sampled_from(["value", "low", "high"]), st.sampled_from([math.nan, None, math.inf]))
@pytest.mark.case(14)
def test_a_number_that_is_none_never_speaks_for_a_challenger(rules: Rules, name: str, value: float | None) -> None:
    found = evaluation(difference={**difference(0.1, 0.05, 0.15), name: value})
    assert decide(found, rules).verdict == REFUSE


@given(any_evaluation, any_rules, st.floats(0.001, 0.5))
def test_not_worse_than_a_margin_is_only_promoted_within_it(found: dict[str, Any], rules: Rules, margin: float) -> None:
    relaxed = dataclasses.replace(rules, min_gain=-margin)
    if decide(found, relaxed).verdict != REFUSE:
        assert found["champion"]["difference"]["low"] > -margin
        assert found["champion"]["difference"]["examples"] >= 2.999 / margin


def test_few_examples_are_refused_with_why_there_was_no_cross_validation() -> None:
    few = {**evaluation(), "champion": None, "difference": {"examples": 9}}
    (reason,) = decide({**few, "measured": {"reason": "it would take 40 minutes"}}, Rules()).reasons
    assert reason.startswith("9 test examples show nothing; at least 30 are asked for.")
    assert "it would take 40 minutes" in reason
    (reason,) = decide({**few, "measured": {"folds": 5, "examples": 9}}, Rules()).reasons
    assert reason == "9 examples show nothing; at least 30 are asked for."
