"""Entities: strict F1 as counted by hand, kinds of errors, baselines that learn."""

from pathlib import Path

import numpy as np
import pytest

from components.shared.baselines import Labelled, Terms
from components.shared.statistics import measure, paired_gain
from components.shared.tasks.scoring import Scored
from components.shared.tasks.token_classification.baselines import text_baselines
from components.shared.tasks.token_classification.metrics import ENTITY_F1, METRICS
from components.shared.tasks.token_classification.scoring import NOTHING, Span, TokenScoring, objects_of

SCORING, SPEC = TokenScoring(), {"labels": ["LOC", "PER"]}
THERE: list[list[Span]] = [
    [(0, 4, "PER"), (10, 15, "LOC")],
    [(3, 9, "LOC"), (12, 20, "LOC")],
    [],
    [(0, 2, "PER")],
]
FOUND: list[list[Span]] = [
    [(0, 4, "PER"), (10, 15, "PER")],  # the second is of another type
    [(3, 8, "LOC")],  # ends too early; the other is missed
    [(1, 2, "LOC")],  # made up
    [(0, 2, "PER")],
]


def test_entities_are_counted_strictly() -> None:
    statistics = SCORING.score(objects_of(FOUND), objects_of(THERE), SPEC)
    assert measure(METRICS, statistics) == pytest.approx(
        {
            "entity_f1": 2 * 2 / (5 + 5),
            "type_f1": (0 + 2 * 2 / (3 + 2)) / 2,  # LOC: none of 2 found and 3 there; PER: 2 of 3 found and 2 there
            "precision": 2 / 5,
            "recall": 2 / 5,
            "exact_match": 1 / 4,
        }
    )
    assert statistics["kinds"].sum(0).tolist() == [1, 1, 1, 1]


def test_page_tells_types_and_kinds_of_errors(tmp_path: Path) -> None:
    from components.evaluate.page.report import _environment
    from components.shared.tasks.token_classification import TASK

    statistics = SCORING.score(objects_of(FOUND), objects_of(THERE), SPEC)
    told = SCORING.details(Scored(statistics, SPEC, tmp_path))
    assert told["errors"] == {"another type": 1, "other borders": 1, "missed": 1, "made up": 1}
    assert [(row["label"], row["support"]) for row in told["classes"]] == [("LOC", 3), ("PER", 2)]
    (section,) = SCORING.sections(told, folds=False)
    environment = _environment(TASK)
    draw = environment.get_template("charts.html.j2").module
    page = environment.get_template(f"task/{section.template}").render(section=section, draw=draw)
    assert "made up" in page
    assert "<bdi>PER</bdi>" in page


def test_the_text_with_most_errors_comes_first() -> None:
    statistics = SCORING.score(objects_of(FOUND), objects_of(THERE), SPEC)
    assert SCORING.worst(statistics)[:3].tolist() == [1, 2, 1]
    assert np.isnan(SCORING.worst(statistics)[3])
    shown = SCORING.view(statistics, 1, SPEC)
    lacking = [("LOC", 0, 3, 9), ("LOC", 0, 12, 20)]
    assert shown.said == [("found", [("LOC", 0, 3, 8)]), ("but marked", lacking)]
    assert list(shown.marks) == [(0, (3, 9), "right"), (0, (12, 20), "right"), (0, (3, 8), "found")]


def test_what_a_champion_finds_of_a_type_that_is_gone_is_wrong() -> None:
    old = objects_of([[(0, 4, "OLD")], [], [], []])
    told = SCORING.score(old, objects_of(THERE), SPEC, {"labels": ["OLD"]})
    assert (told["found"].sum(), told["types_found"].sum(), told["hits"].sum()) == (1, 0, 0)


def test_snapshot_and_answers_are_read_alike() -> None:
    answers = [[{"start": s, "end": e, "label": label} for s, e, label in spans] for spans in THERE]
    targets = SCORING.targets(answers, SPEC)
    statistics = SCORING.score(targets, targets, SPEC)
    assert ENTITY_F1.value(statistics)[0] == 1
    columns = {name: column.to_pylist() for name, column in SCORING.columns(targets, statistics, SPEC).items()}
    assert SCORING.read(columns, SPEC).tolist() == THERE
    equal = SCORING.targets([answers[0], answers[1]], SPEC)  # lists of equal length stay lists
    assert equal.shape == (2,)
    assert SCORING.fault(targets, 4, SPEC) is None
    assert SCORING.fault(targets, 5, SPEC) == "gave no entities of 5 texts"


def made(count: int, seed: int) -> tuple[list[str], np.ndarray]:
    """Sentences with a person after a title, or a place after "to"; some names are new in each."""
    draw = np.random.default_rng(seed)
    texts, spans = [], []
    for _ in range(count):
        name = "".join(draw.choice(list("aeioubdgklmn"), 5)).capitalize()
        person = bool(draw.integers(2))
        start = "Yesterday Dr. " if person else "We sailed to "
        texts.append(f"{start}{name} and stayed.")
        spans.append([(len(start), len(start) + 5, "PER" if person else "LOC")])
    return texts, objects_of(spans)


def test_baselines_find_names_that_they_know_and_names_that_they_do_not() -> None:
    (texts, spans), (other, truth) = made(150, 0), made(60, 1)
    mixed, wanted = [*other[:30], *texts[:30]], objects_of([*truth[:30], *spans[:30]])
    train, nothing = Labelled([texts], spans), Labelled([[]], spans[:0])
    for validation in (nothing, Labelled([other[30:]], truth[30:])):
        told = {entry.name: entry for entry in text_baselines(train, validation, [mixed], Terms(0))}
        assert set(told) == {"Gazetteer", "Linear model of tokens"}
        scores = {
            name: SCORING.score(entry.predictions, wanted, SPEC)["right"].reshape(2, 30).mean(1)
            for name, entry in told.items()
        }
        assert scores["Gazetteer"][1] == 1  # it knows them all
        assert scores["Gazetteer"][0] < 0.2
        assert scores["Linear model of tokens"][0] > 0.9
    constant = SCORING.constant(spans, {}, SPEC, 60)
    assert constant.name == NOTHING
    nobody = SCORING.score(constant.predictions, wanted, SPEC)
    best = SCORING.score(told["Linear model of tokens"].predictions, wanted, SPEC)
    assert paired_gain(ENTITY_F1, best, nobody, seed=0).low > 0.8
