"""Numbers: metrics as SciPy and scikit-learn have them, baselines that learn, a verdict, a gate, and a page."""

from typing import Any

import numpy as np
import pytest
from scipy import stats
from sklearn import metrics as reference

from components.evaluate.baselines import Baselines
from components.evaluate.verdict import Learnt, compare
from components.shared import gate
from components.shared.baselines import Labelled, Terms
from components.shared.errors import InputError
from components.shared.statistics import Statistics, interval_of, measure, paired_gain
from components.shared.tasks.regression import TASK
from components.shared.tasks.regression.metrics import METRICS, PEARSON, RMSE, SPEARMAN, statistics_of
from components.shared.tasks.regression.scoring import MEAN
from components.shared.tasks.scoring import Scored

DRAW = np.random.default_rng(0)
TARGETS = np.round(DRAW.normal(50, 10, 400))  # with ties


def predicted(noise: float, seed: int = 1) -> np.ndarray:
    """Predictions that are the farther off the more noise there is."""
    return TARGETS + np.random.default_rng(seed).normal(0, noise, len(TARGETS))


def found(noise: float, seed: int = 1) -> Statistics:
    return TASK.scoring.score(predicted(noise, seed), TARGETS, {})


def test_metrics_agree_with_scipy_and_scikit_learn() -> None:
    values, told = predicted(8.0), measure(METRICS, found(8.0))
    assert told == pytest.approx(
        {
            "pearson": stats.pearsonr(values, TARGETS).statistic,
            "spearman": stats.spearmanr(values, TARGETS).statistic,
            "rmse": reference.root_mean_squared_error(TARGETS, values),
            "mae": reference.mean_absolute_error(TARGETS, values),
            "r2": reference.r2_score(TARGETS, values),
        }
    )


@pytest.mark.parametrize("metric", METRICS, ids=lambda metric: metric.name)
def test_weights_are_as_good_as_repeated_examples(metric: Any) -> None:
    weights = DRAW.integers(0, 4, (3, len(TARGETS)))
    values, statistics = predicted(8.0), found(8.0)
    repeated = [metric.value(statistics_of(np.repeat(values, row), np.repeat(TARGETS, row)))[0] for row in weights]
    np.testing.assert_allclose(metric.value(statistics, weights), repeated, rtol=1e-9)


def test_correlation_of_large_numbers_that_differ_little_is_exact() -> None:
    shifted = statistics_of(predicted(8.0) + 1e9, TARGETS + 1e9)
    assert PEARSON.value(shifted)[0] == pytest.approx(PEARSON.value(found(8.0))[0], abs=1e-6)


def test_a_constant_has_no_correlation() -> None:
    constant = statistics_of(np.full(len(TARGETS), 0.1 + 0.2), TARGETS)
    assert PEARSON.value(constant)[0] == SPEARMAN.value(constant)[0] == 0


def test_interval_of_pearson_is_about_that_of_fisher() -> None:
    values = predicted(8.0)
    expected = stats.pearsonr(values, TARGETS).confidence_interval()
    interval = interval_of(PEARSON, found(8.0), seed=0)
    assert (interval.low, interval.high) == pytest.approx((expected.low, expected.high), abs=0.02)


def test_less_error_is_a_gain() -> None:
    gain = paired_gain(RMSE, found(4.0), found(8.0, 2), seed=0)
    assert gain.low > 0
    assert paired_gain(RMSE, found(8.0), found(8.0), seed=0).value == 0


def compared(metric: str = "", **rivals: Statistics) -> dict[str, Any]:
    """What is told of a model beside the mean of all, and some rivals."""
    mean = TASK.scoring.constant(TARGETS, {}, {}, len(TARGETS))
    constant = TASK.scoring.score(mean.predictions, TARGETS, {})
    baselines = Baselines({MEAN: constant, **rivals}, "", 400, 400, constant=MEAN)
    rules = gate.rules_of({"metric": metric}, TASK)
    chosen = next(entry for entry in METRICS if entry.name == rules.metric)
    return compare(rivals.pop("model", found(5.0)), baselines, Learnt(family="transformers"), TASK, chosen, seed=0)


def test_verdict_names_the_metric_and_the_gate_reads_it() -> None:
    told = compared(ridge=found(12.0, 2))
    assert told["verdict"] == "better"
    assert "Pearson correlation 0." in told["sentence"]
    told = compared("rmse", ridge=found(12.0, 2))
    assert (told["best_baseline"], told["verdict"]) == (MEAN, "better")  # 10 off, where ridge is 12
    assert "root mean squared error 4.569 against 9.962 (Mean of the training examples)" in told["sentence"]
    assert "a gain of +" in told["sentence"]
    metrics = {**measure(METRICS, found(5.0)), "log_loss": 0.0}
    content = {**told, "metrics": metrics, "champion": None}
    assert gate.decide(content, gate.rules_of({"metric": "rmse"}, TASK), TASK).verdict == gate.PROMOTE
    refused = gate.decide(content, gate.rules_of({"metric": "rmse", "min_value": 2.0}, TASK), TASK)
    assert "is above the 2 that is asked for" in refused.reasons[0]


def test_who_learned_nothing_is_found_out() -> None:
    noise = TASK.scoring.score(np.random.default_rng(7).normal(50, 10, 400), TARGETS, {})
    told = compared(model=noise)
    assert told["verdict"] == "nothing was learned"


def test_gate_compares_with_a_champion_in_the_metrics_unit() -> None:
    ours, theirs = found(4.0), found(8.0, 2)
    difference = vars(paired_gain(RMSE, ours, theirs, seed=0))
    champion = {
        "version": "3", "metric": "rmse", "test_digest": "a", "challenger_test_digest": "a", "champion": 8.0,
        "challenger": 4.0, "difference": difference, "classes": [],
        "slices": [{"column": "c", "value": "v", "support": 9, "champion": 0.9, "challenger": 0.7}],
    }  # fmt: skip
    content = {"metrics": measure(METRICS, ours), "verdict": "better", "sentence": ".", "champion": champion,
               "difference": {"examples": 400}}  # fmt: skip
    told = gate.decide(content, gate.rules_of({"metric": "rmse", "min_gain": 1.0}, TASK), TASK)
    assert told.verdict == gate.PROMOTE
    assert told.reasons[0].startswith("It is better than the champion: root mean squared error 4.000 against 8.000 of ")
    fallen = gate.decide(content, gate.rules_of({"metric": "rmse", "max_slice_drop": 0.1}, TASK), TASK)
    assert "The Pearson correlation of slice 'c = v' fell from 0.900 to 0.700" in fallen.reasons[0]


def test_rules_are_checked_by_what_the_metric_can_be() -> None:
    assert gate.rules_of({"metric": "rmse", "min_gain": 40}, TASK).min_gain == 40
    with pytest.raises(InputError, match=r"min_value is 3; a number from -1 to 1 was expected"):
        gate.rules_of({"min_value": 3}, TASK)
    with pytest.raises(InputError, match=r"promotion.metric is 'accuracy'; allowed: 'pearson'"):
        gate.rules_of({"metric": "accuracy"}, TASK)


def scores_of(count: int) -> tuple[list[str], np.ndarray]:
    """Texts whose number of good words, less the bad ones, is their score."""
    draw = np.random.default_rng(3)
    words = np.array(["good", "fine", "bad", "poor", "the", "a", "of"])
    value = np.array([1.0, 0.5, -1.0, -0.5, 0.0, 0.0, 0.0])
    chosen = draw.integers(0, len(words), (count, 8))
    return [" ".join(words[row]) for row in chosen], value[chosen].sum(1)


def test_baselines_learn_and_give_numbers() -> None:
    texts, values = scores_of(300)
    train, held = (Labelled([texts[part]], values[part]) for part in (slice(0, 200), slice(200, 240)))
    told = {entry.name: entry for entry in TASK.baselines(train, held, [texts[240:]], Terms(0))}
    assert set(told) == {"Ridge on words", "Ridge on characters"}
    for baseline in told.values():
        assert TASK.scoring.fault(baseline.predictions, 60, {}) is None
        assert stats.pearsonr(baseline.predictions, values[240:]).statistic > 0.9
        assert (baseline.examples, baseline.bytes > 0, baseline.seconds > 0) == (200, True, True)
    assert TASK.scoring.fault(np.array([np.nan]), 1, {}) == "gave no 1 finite numbers"


def test_pairs_have_their_cosine_too() -> None:
    texts, _ = scores_of(200)
    others = [texts[n] if n % 2 else texts[(n + 7) % 200] for n in range(200)]
    values = np.array([1.0 if n % 2 else 0.0 for n in range(200)])
    inputs = [texts, others]
    train = Labelled([column[:150] for column in inputs], values[:150])
    nothing = Labelled([[], []], values[:0])
    told = {entry.name: entry for entry in TASK.baselines(train, nothing, [c[150:] for c in inputs], Terms(0))}
    assert set(told) == {"Cosine of both texts", "Ridge on words", "Ridge on characters"}
    assert stats.pearsonr(told["Cosine of both texts"].predictions, values[150:]).statistic > 0.8


def test_folds_are_put_together_and_what_finetune_kept_is_read() -> None:
    places = [np.arange(400) % 2 == side for side in (0, 1)]
    values = predicted(5.0)
    np.testing.assert_array_equal(TASK.scoring.cross([values[p] for p in places], places, TARGETS, {}), values)
    kept = TASK.scoring.kept({"value": values}, found(5.0), {})
    np.testing.assert_array_equal(kept["squared_error"], found(5.0)["squared_error"])


def test_the_largest_errors_come_first(tmp_path: Any) -> None:
    statistics = found(5.0)
    place = int(np.nanargmax(TASK.scoring.worst(statistics)))
    shown = TASK.scoring.view(statistics, place, {})
    assert shown.said[1] == ("but labelled", f"{TARGETS[place]:.4g}")
    details = TASK.scoring.details(Scored(statistics, {}, tmp_path))
    assert sum(details["residuals"]["counts"]) == 400
    assert len(details["scatter"]) == 400


def test_page_draws_scatter_and_residuals(tmp_path: Any) -> None:
    from components.evaluate.page.report import _environment, _grouped

    content = TASK.scoring.details(Scored(found(5.0), {}, tmp_path))
    (group,) = _grouped(TASK.scoring.sections(content, False))
    page = _environment(TASK)
    drawn = [
        page.get_template(section["template"]).render(section=section, evaluation={"examples": 400})
        for section in group
    ]
    assert drawn[0].count("<circle") == 400
    assert drawn[1].count("<rect") == 21
    assert "on average" in drawn[1]
