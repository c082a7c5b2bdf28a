"""Answers: scored as SQuAD's own script does, with and without an answer; baselines that look for words."""

import numpy as np
import pytest

from components.shared.baselines import Labelled, Terms
from components.shared.statistics import measure, paired_gain
from components.shared.tasks.question_answering.baselines import text_baselines
from components.shared.tasks.question_answering.metrics import ANSWER_F1, METRICS, scores_of
from components.shared.tasks.question_answering.objective import Objective
from components.shared.tasks.question_answering.scoring import NOTHING, AnswerScoring, objects_of

SCORING = AnswerScoring()


@pytest.mark.parametrize(
    ("answer", "references", "expected"),  # as SQuAD 2.0's evaluate-v2.0.py has them
    [
        ("The Denver Broncos!", ["Denver Broncos"], (True, 1.0)),
        ("Denver", ["Denver Broncos", "the Broncos"], (False, 2 / 3)),
        ("in the  blue house", ["a blue house"], (False, 0.8)),
        ("", [], (True, 1.0)),
        ("something", [], (False, 0.0)),
        ("", ["x"], (False, 0.0)),
        ("the", ["a"], (True, 1.0)),  # nothing is left of both
        ("ja ja nein", ["ja nein nein"], (False, 2 / 3)),
    ],
)
def test_answers_are_scored_as_squad_does(answer: str, references: list[str], expected: tuple[bool, float]) -> None:
    assert scores_of(answer, references) == pytest.approx(expected)


def test_questions_with_and_without_an_answer_are_told_apart() -> None:
    targets = SCORING.targets([[{"text": "a red ship", "start": 0}], [{"text": "soup", "start": 3}], [], []], {})
    statistics = SCORING.score(objects_of(["red ship", "salt", "", "salt"]), targets, {})
    assert measure(METRICS, statistics) == pytest.approx(
        {"answer_f1": 0.5, "exact_match": 0.5, "answered_f1": 0.5, "unanswered_right": 0.5}
    )
    parts = SCORING.breakdown(statistics, {})
    assert (parts.support.tolist(), parts.values.tolist()) == ([2, 2], [0.5, 0.5])
    assert np.isnan(SCORING.worst(statistics)).tolist() == [True, False, True, False]
    assert SCORING.view(statistics, 3, {}).said == [("answered", "salt"), ("where right is", "that there is none")]


def test_without_questions_that_have_none_that_share_is_not_defined() -> None:
    statistics = SCORING.score(objects_of(["x"]), objects_of([["x"]]), {})
    assert measure(METRICS, statistics)["unanswered_right"] is None
    assert np.isnan(SCORING.breakdown(statistics, {}).values[1])


def questions(count: int, seed: int) -> Labelled:
    """What some parameters set, asked of a text of several; of every fourth the text says nothing."""
    draw = np.random.default_rng(seed)
    names = [f"{first}{second}" for first in ("max", "min", "total", "spare") for second in ("Size", "Count", "Age")]
    inputs: list[list[str]] = [[], []]
    answers = []
    for number in range(count):
        chosen = draw.permutation(names)[:5]
        values = [f"{value} units" for value in draw.permutation(np.arange(100, 999))[:5].tolist()]
        told = list(zip(chosen[:4], values, strict=False))
        text = " ".join(f"The parameter {name} is set to {value} by default." for name, value in told)
        asked = number % 4
        inputs[0].append(f"To what is {chosen[4] if asked == 3 else told[asked][0]} set?")
        inputs[1].append(text)
        answers.append([] if asked == 3 else [told[asked][1]])
    return Labelled(inputs, objects_of(answers))


def test_baselines_find_what_is_near_the_words_of_the_question() -> None:
    train, held, test = questions(80, 0), questions(40, 1), questions(60, 2)
    nothing = Labelled([[], []], train.labels[:0])
    for validation in (held, nothing):
        told = {entry.name: entry for entry in text_baselines(train, validation, test.inputs, Terms(0))}
        assert set(told) == {"Best sentence", "Best window of 2 words"}
        for entry in told.values():
            assert SCORING.fault(entry.predictions, 60, {}) is None
        scored = {name: SCORING.score(entry.predictions, test.labels, {}) for name, entry in told.items()}
        sentence = measure(METRICS, scored["Best sentence"])
        assert (sentence["answered_f1"] or 0) > 0.3  # nine words, of which two are right
    constant = SCORING.constant(train.labels, {}, {}, 60)
    assert constant.name == NOTHING
    nobody = SCORING.score(constant.predictions, test.labels, {})
    assert ANSWER_F1.value(nobody)[0] == 0.25
    assert paired_gain(ANSWER_F1, scored["Best sentence"], nobody, seed=0).low > 0


def test_of_a_long_text_few_windows_without_an_answer_are_learned_from() -> None:
    """Every window with an answer, and two others of each question; of short texts, which have one window, all."""
    windows = [0, *range(30), 0, *range(5)]
    ends = np.zeros(len(windows), int)
    ends[[0, 12, 13]] = 4
    picked = Objective({"unanswerable": True}).picked({"window": windows, "end": ends}, seed=1)
    assert picked[[0, 12, 13, 31]].all()
    assert [int(picked[low:high].sum()) for low, high in ((0, 1), (1, 31), (31, 32), (32, 37))] == [1, 4, 1, 2]
    assert Objective({}).picked({"window": [0] * 9, "end": [0] * 9}, seed=1).all()
