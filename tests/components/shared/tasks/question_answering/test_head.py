"""The head of question answering: its loss, its spans, and any answer of any text given back."""

import itertools
from collections import defaultdict
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from components.shared.backbones.head import Encoded
from components.shared.tasks.question_answering.encoder import AnswerEncoder
from components.shared.tasks.question_answering.head import Head
from components.shared.tasks.question_answering.objective import Objective
from components.shared.tasks.question_answering.spans import best_span
from components.shared.tasks.question_answering.target import Answers
from tests.components.shared.tasks.tokenizers import ALPHABET, KINDS, folder_of

SPEC = {"labels": [], "unanswerable": True, "max_answer_tokens": 64}


@pytest.fixture(scope="module")
def encoders(tmp_path_factory: pytest.TempPathFactory) -> dict[str, AnswerEncoder]:
    return {kind: AnswerEncoder(folder_of(kind, tmp_path_factory.mktemp(kind)), 40) for kind in KINDS}


def encoded(encoder: AnswerEncoder, question: str, context: str, answer: tuple[int, int]) -> dict[str, list[Any]]:
    """Returns the features of one example as lists."""
    start, end = answer
    spans = [{"text": context[start:end], "start": start}] if end else []
    arrays = encoder.encode([[question], [context]], pa.array([spans], Answers.type))
    names = [*encoder.schema.names, *encoder.targets.names]
    return {name: array.to_pylist() for name, array in zip(names, arrays, strict=True)}


def sure(columns: dict[str, list[Any]]) -> list[np.ndarray]:
    """Logits of a network that knows the answer."""
    found = []
    for row, start, end in zip(columns["starts"], columns["start"], columns["end"], strict=True):
        logits = np.zeros((len(row), 2), np.float32)
        logits[start, 0] = logits[end, 1] = 30.0
        found.append(logits)
    return found


def decoded(head: Head, encoder: AnswerEncoder, question: str, context: str, logits: Any) -> dict[str, Any]:
    """Answers as a served model does: from the tokenizer's own pieces."""
    ((short, _),) = Head.shortener(encoder.tokenizer)([(question, context)])
    encoding = encoder.tokenizer.encode(short, context)
    extras = {**Head.extras([[encoding, *encoding.overflowing]]), "inputs": [(question, context)]}
    return {name: values[0] for name, values in head.decode({"logits": logits}, extras).items()}


@pytest.mark.parametrize("kind", KINDS)
@settings(max_examples=100)
@given(
    question=st.lists(st.sampled_from(ALPHABET), min_size=1, max_size=60).map(" ".join),
    context=st.lists(st.sampled_from([*ALPHABET, "y" * 2000]), min_size=1, max_size=25).map(" ".join),
    data=st.data(),
)
def test_any_answer_that_fits_a_window_is_given_back(
    kind: str, encoders: dict[str, AnswerEncoder], question: str, context: str, data: st.DataObject
) -> None:
    """Whole tokens come back as they are, without blanks at the ends; what no window holds is no answer."""
    encoder, head = encoders[kind], Head(4, SPEC)
    bare = encoded(encoder, question, context, (0, 0))
    pairs = (zip(*both, strict=True) for both in zip(bare["starts"], bare["ends"], strict=True))
    tokens = sorted({pair for row in pairs for pair in row if pair[0] >= 0})
    if not tokens:
        return
    first = data.draw(st.integers(0, len(tokens) - 1))
    last = data.draw(st.integers(first, min(len(tokens) - 1, first + 5)))
    start, end = tokens[first][0], tokens[last][1]
    columns = encoded(encoder, question, context, (start, end))
    there = any(pair != (0, 0) for pair in zip(columns["start"], columns["end"], strict=True))
    found = decoded(head, encoder, question, context, sure(columns))
    assert context[found["start"] : found["end"]] == found["answer"]
    assert found["answer"] == (context[start:end].strip() if there else "")
    assert 0.99 < found["score"] <= 1


@settings(max_examples=60)
@given(
    count=st.integers(1, 12), longest=st.integers(1, 5), seed=st.integers(0, 10_000), level=st.sampled_from([None, 0.0])
)
def test_the_best_span_is_that_of_all_spans(count: int, longest: int, seed: int, level: float | None) -> None:
    draw = np.random.default_rng(seed)
    windows, odds = [], defaultdict[tuple[int, int], float](float)
    for offset in (0, 3):  # the windows have tokens in common
        logits = draw.normal(0, 2, (count + 2, 2))
        starts = np.array([-1, -1, *(10 * np.arange(count) + 10 * offset)])
        windows.append((logits, starts, np.where(starts >= 0, starts + 9, -1)))
        for i, j in itertools.product(range(2, count + 2), repeat=2):
            if i <= j < i + longest:
                odds[(int(starts[i]), int(starts[j]) + 9)] += float(
                    np.exp(logits[i, 0] + logits[j, 1] - logits[0].sum())
                )
    total = sum(odds.values()) + (level is not None)
    found = best_span(windows, longest, level)
    expected = odds[(found.start, found.end)] if found.end else 1.0
    assert found.score == pytest.approx(expected / total)
    assert found.end > 0 or found.margin <= 0


def test_an_answer_is_not_longer_than_it_may_be() -> None:
    logits, starts = np.zeros((6, 2)), np.array([-1, 0, 1, 2, 3, 4])
    logits[1, 0] = logits[5, 1] = 9.0
    window = (logits, starts, np.where(starts >= 0, starts + 1, -1))
    assert best_span([window], 5, None)[:2] == (0, 5)
    assert best_span([window], 3, None).end - best_span([window], 3, None).start <= 3


def test_where_there_always_is_an_answer_there_is_one() -> None:
    logits, starts = np.zeros((3, 2)), np.array([-1, 0, 2])
    logits[0] = 9.0
    window = (logits, starts, np.array([-1, 1, 3]))
    assert best_span([window], 5, 0.0)[:2] == (0, 0)
    assert best_span([window], 5, None)[:2] != (0, 0)
    assert best_span([], 5, 0.0).score == 1.0


@pytest.mark.parametrize("smoothing", [0.0, 0.1])
def test_the_loss_is_cross_entropy_in_each_window_whatever_the_layout(smoothing: float) -> None:
    head, draw = Head(8, SPEC), torch.Generator().manual_seed(1)
    columns = {"start": [3, 0], "end": [4, 0], "starts": [[-1, -1, 0, 2, 4, -1], [-1, -1, 5]]}
    targets = head.targets(columns)
    vectors = torch.randn(2, 6, 8, generator=draw)
    total, count = head.loss(head(Encoded(tokens=vectors)), targets, smoothing)
    logits = head(Encoded(tokens=vectors))["logits"]
    asked = [torch.tensor([0, 2, 3, 4]), torch.tensor([0, 2])]
    wanted = [(2, 3), (0, 0)]
    expected = sum(
        torch.nn.functional.cross_entropy(logits[row, asked[row], side], torch.tensor(place), label_smoothing=smoothing)
        for row, places in enumerate(wanted)
        for side, place in enumerate(places)
    )
    assert count == 2
    torch.testing.assert_close(total, expected / 2)
    there = torch.tensor([[True] * 6, [True] * 3 + [False] * 3])
    flat = head.loss(
        head(Encoded(tokens=vectors[there])), {name: some[there] for name, some in targets.items()}, smoothing
    )
    torch.testing.assert_close(flat[0], total)
    torch.testing.assert_close(flat[1], count)


def test_validation_tells_what_the_loss_does(encoders: dict[str, AnswerEncoder]) -> None:
    """Of examples: an answer that several windows lack is found by one of them."""
    encoder, head = encoders["pieces"], Head(8, SPEC)
    context = "the pan " * 40 + "oven " + "the old " * 30
    where = context.index("oven")
    parts = [encoded(encoder, "kitchen?", context, answer) for answer in ((where, where + 4), (0, 0))]
    columns = {name: [*parts[0][name], *parts[1][name]] for name in parts[0]}
    assert len(columns["window"]) > 4
    logits = np.concatenate(sure(columns))
    objective = Objective(SPEC)
    assert objective.scores({"logits": logits}, columns)["span_f1"] == 1.0
    drawn = np.random.default_rng(0).normal(size=logits.shape).astype(np.float32)
    scores = objective.scores({"logits": drawn}, columns)
    tokens = torch.full((len(columns["starts"]), 64, 2), 0.0)
    for row, part in enumerate(np.split(drawn, np.cumsum([len(row) for row in columns["starts"]])[:-1])):
        tokens[row, : len(part)] = torch.from_numpy(part)
    targets = head.targets(columns)
    total, count = head.loss({"logits": tokens[:, : targets["kinds"].shape[1]]}, targets)
    assert scores["validation_loss"] == pytest.approx(float(total / count), rel=1e-5)
    assert objective.scores({"logits": logits[:0]}, {name: [] for name in columns})["span_f1"] != 1.0


def test_an_answer_is_given_from_the_margin_on_that_validation_chose() -> None:
    """A network that says "no answer" too often, by 5: what tells the two apart is found."""
    head, objective = Head(8, SPEC), Objective(SPEC)
    columns = defaultdict[str, list[Any]](list)
    logits = []
    for number in range(100):
        answered = number % 2 == 0
        for name, value in {
            "start": 2 * answered, "end": 2 * answered, "window": 0, "starts": [-1, 0, 3], "ends": [-1, 2, 5],
        }.items():  # fmt: skip
            columns[name].append(value)
        logits += [[0, 0], [-9, -9], [-1.0 - number / 1000 if answered else -3.0, 0]]
    outputs = {"logits": np.array(logits, np.float32)}
    assert objective.scores(outputs, columns)["span_f1"] == 0.5
    told = objective.calibrate(head, outputs, columns)
    assert -3 < told["threshold"] < -1.1
    extras = {"example": range(100), "starts": columns["starts"], "ends": columns["ends"], "inputs": [("?", "ab cd")]}
    rows = list(outputs["logits"].reshape(100, 3, 2))
    found = head.decode({"logits": rows}, {**extras, "inputs": [("?", "ab cd")] * 100})
    assert found["answer"] == ["cd", ""] * 50
    assert Objective({**SPEC, "unanswerable": False}).calibrate(head, outputs, columns) == {}


def test_the_threshold_is_kept_with_the_weights(tmp_path: Path) -> None:
    head, other = Head(8, SPEC), Head(8, SPEC)
    head.threshold.fill_(-2.5)
    other.load_state_dict(head.state_dict())
    assert float(other.threshold) == -2.5
    assert other.adopt(head.state_dict(), SPEC)
