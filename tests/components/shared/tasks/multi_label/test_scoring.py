"""Several labels an example: metrics as scikit-learn has them, champions of other labels, baselines that learn."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from sklearn import metrics as reference

from components.shared.baselines import Labelled, Terms
from components.shared.statistics import Statistics, measure, paired_gain
from components.shared.tasks.multi_label.baselines import text_baselines
from components.shared.tasks.multi_label.metrics import MACRO_F1, METRICS, MICRO_F1
from components.shared.tasks.multi_label.scoring import MultiLabelScoring
from components.shared.tasks.scoring import Scored

SCORING, SPEC = MultiLabelScoring(), {"labels": ["a", "b", "c", "d"]}
DRAW = np.random.default_rng(0)
TRUTH = DRAW.random((300, 4)) < [0.5, 0.3, 0.1, 0.0]  # nobody has the last one


def predictions(noise: float) -> np.ndarray:
    """Probabilities that know something of the truth, with ties, and what is given from one half on."""
    probabilities = np.round(np.clip(TRUTH * 0.6 + 0.2 + DRAW.normal(0, noise, TRUTH.shape), 0, 1), 2)
    return np.stack([probabilities >= 0.5, probabilities], axis=1)


def found(noise: float) -> tuple[np.ndarray, Statistics]:
    made = predictions(noise)
    return made, SCORING.score(made, TRUTH, SPEC)


def test_metrics_agree_with_scikit_learn() -> None:
    made, statistics = found(0.25)
    given, told = made[:, 0] > 0, measure(METRICS, statistics)
    assert told["micro_f1"] == pytest.approx(reference.f1_score(TRUTH, given, average="micro"))
    occurs = TRUTH.any(0) | given.any(0)
    assert told["macro_f1"] == pytest.approx(reference.f1_score(TRUTH[:, occurs], given[:, occurs], average="macro"))
    assert told["exact_match"] == pytest.approx(reference.accuracy_score(TRUTH, given))
    expected = reference.average_precision_score(TRUTH[:, :3], made[:, 1, :3].astype(np.float32), average="macro")
    assert told["mean_average_precision"] == pytest.approx(expected)


@pytest.mark.parametrize("metric", METRICS, ids=lambda metric: metric.name)
def test_weights_are_as_good_as_repeated_examples(metric: Any) -> None:
    made, statistics = found(0.25)
    weights = DRAW.integers(0, 4, (3, len(TRUTH)))
    repeated = [
        metric.value(SCORING.score(np.repeat(made, row, axis=0), np.repeat(TRUTH, row, axis=0), SPEC))[0]
        for row in weights
    ]
    np.testing.assert_allclose(metric.value(statistics, weights), repeated, rtol=1e-9)


def test_a_better_model_gains() -> None:
    (_, good), (_, poor) = found(0.1), found(0.5)
    for metric in (MICRO_F1, MACRO_F1):
        gain = paired_gain(metric, good, poor, seed=0)
        assert 0 < gain.low < gain.value < gain.high


def test_what_a_champion_does_not_know_is_missing_and_what_is_gone_is_wrong() -> None:
    truth = np.array([[True, True, False, False]])
    made = np.array([[[1.0, 1.0], [0.9, 0.8]]])  # of labels "a" and "old"
    told = SCORING.score(made, truth, SPEC, {"labels": ["a", "old"]})
    assert [int(told[name][0]) for name in ("hits", "given", "there")] == [1, 2, 2]
    assert not told["right"][0]
    same = SCORING.score(predictions(0.2), TRUTH, SPEC, SPEC)
    assert len(same) == len(TRUTH)


def test_columns_are_read_back() -> None:
    made, statistics = found(0.3)
    columns = {name: column.to_pylist() for name, column in SCORING.columns(made, statistics, SPEC).items()}
    np.testing.assert_allclose(SCORING.read(columns, SPEC), made, atol=1e-6)
    assert SCORING.fault(made, 300, SPEC) is None
    assert "gave no labels" in str(SCORING.fault(made, 299, SPEC))
    again = SCORING.kept({name: np.array(column, object) for name, column in columns.items()}, statistics, SPEC)
    np.testing.assert_array_equal(again["hits"], statistics["hits"])


def test_constant_gives_the_labels_that_most_have() -> None:
    constant = SCORING.constant(TRUTH, {}, SPEC, 5)
    assert constant.predictions.shape == (5, 2, 4)
    assert constant.predictions[0, 0].tolist() in ([1, 0, 0, 0], [1, 1, 0, 0])
    best = max(
        reference.f1_score(TRUTH, np.tile(np.arange(4) < count, (300, 1)), average="micro") for count in range(1, 5)
    )
    told = SCORING.score(SCORING.constant(TRUTH, {}, SPEC, 300).predictions, TRUTH, SPEC)
    assert MICRO_F1.value(told)[0] == pytest.approx(best)


def test_mistakes_and_labels_are_told(tmp_path: Path) -> None:
    _, statistics = found(0.3)
    place = int(np.nanargmax(SCORING.worst(statistics)))
    shown = SCORING.view(statistics, place, SPEC)
    assert [word for word, _ in shown.said] == ["predicted", "but labelled"]
    assert np.isnan(SCORING.worst(statistics)[statistics["right"]]).all()
    told = SCORING.details(Scored(statistics, SPEC, tmp_path))
    expected = reference.precision_recall_fscore_support(TRUTH, statistics["labels_given"], zero_division=0)
    for name, values in zip(("precision", "recall", "f1", "support"), expected, strict=True):
        assert [row[name] for row in told["classes"]] == pytest.approx(values)
    parts = SCORING.breakdown(statistics, SPEC)
    assert parts.values[:3] == pytest.approx(expected[2][:3])
    assert np.isnan(parts.values[3])


def test_baselines_learn_which_words_speak_for_which_label() -> None:
    words = {"soup": 0, "pan": 0, "sail": 1, "mast": 1, "rain": 2, "wind": 2, "the": 3, "of": 3}
    chosen = DRAW.choice(sorted(words), (240, 4))
    truth = np.zeros((240, 3), bool)
    for row, texts in zip(truth, chosen, strict=True):
        row[[words[word] for word in texts if words[word] < 3]] = True
    texts = [" ".join(row) for row in chosen]
    train, held = (Labelled([texts[part]], truth[part]) for part in (slice(0, 150), slice(150, 190)))
    nothing = Labelled([[]], truth[:0])
    for validation in (held, nothing):
        told = {entry.name: entry for entry in text_baselines(train, validation, [texts[190:]], Terms(3))}
        assert set(told) == {
            f"{model} on {what}" for model in ("Logistic regression", "Linear SVM") for what in ("words", "characters")
        }
        for baseline in told.values():
            statistics = SCORING.score(baseline.predictions, truth[190:], {"labels": list("abc")})
            assert MICRO_F1.value(statistics)[0] > 0.9
