"""Answers in a text: however they are written, up to the tokens that they begin and end with."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from components.shared.errors import InputError
from components.shared.tasks.question_answering.encoder import AnswerEncoder
from components.shared.tasks.question_answering.places import located
from components.shared.tasks.question_answering.target import ANSWERED, Answers, Options
from components.shared.tasks.strata import NONE
from components.shared.tasks.target import Asked
from tests.components.shared.tasks.tokenizers import ALPHABET, KINDS, folder_of

TASK = "question-answering"
CONTEXT = "Zoë met Ada 👩\u200d🔬 in São Paulo; Ada left."
PAULO = CONTEXT.index("São Paulo")


def read(value: Any, context: str = CONTEXT, options: Options = Options()) -> Any:  # noqa: B008
    return Answers(options).reader(Asked(["answers"], TASK)).read(value, "a:1", ["Where?", context])


@pytest.mark.parametrize(
    "value",
    [
        {"text": ["São Paulo"], "answer_start": [PAULO]},
        {"text": ["São Paulo", "São Paulo"], "answer_start": [PAULO, PAULO]},
        [{"text": "São Paulo", "answer_start": PAULO}],
        {"text": "São Paulo", "answer_start": PAULO},
        {"text": [" São Paulo "], "answer_start": [PAULO - 1]},
        {"text": ["São Paulo"], "answer_start": [PAULO + 2]},  # stands once: mended
        {"text": ["São Paulo"], "answer_start": np.array([PAULO])},
        json.dumps({"text": ["São Paulo"], "answer_start": [PAULO]}),
        "São Paulo",
        "{'text': ['São Paulo'], 'answer_start': [" + str(PAULO) + "]}",
        "{'text': array(['São Paulo'], dtype=object), 'answer_start': array([" + str(PAULO) + "])}",  # pandas' to_csv
    ],
)
def test_answers_are_written_in_many_ways(value: Any) -> None:
    assert read(value) == (json.dumps([[PAULO, "São Paulo"]], ensure_ascii=False), None)


TWICE = "Zoë 👩\u200d🔬 met Ada;\r\nlater\r\nAda left. Ada\r\nLovelace."
"""An answer that stands several times, so that its start decides; after what is counted in several ways."""
SECOND = TWICE.index("Ada left")


@pytest.mark.parametrize(
    ("text", "start", "expected"),
    [
        ("Ada", SECOND, (SECOND, "Ada")),
        ("Ada", SECOND - 1, (SECOND, "Ada")),  # SQuAD 1.0 has some hundred of these
        ("Ada", SECOND + 2, (SECOND, "Ada")),
        ("Ada", len(TWICE[:SECOND].encode()), (SECOND, "Ada")),  # bytes
        ("Ada", len(TWICE[:SECOND].encode("utf-16-le")) // 2, (SECOND, "Ada")),  # as JavaScript and Java count
        ("Ada", len(TWICE[:SECOND].replace("\r\n", "\n")), (SECOND, "Ada")),  # as a browser counts line ends
        (" Ada", SECOND - 2, (SECOND, "Ada")),
        ("Ada", f"{SECOND}.0", (SECOND, "Ada")),
        ("Ada\nLovelace", 0, (TWICE.index("Ada\r\nLov"), "Ada\r\nLovelace")),
    ],
)
def test_a_start_may_count_something_else(text: str, start: Any, expected: tuple[int, str]) -> None:
    assert located(TWICE, text, start) == expected


def test_an_answer_that_stands_nowhere_near_is_rejected() -> None:
    assert located(TWICE, "Ada", 9) == "answer does not stand where it says ('Ada' at 9)"
    assert located("<b>Ada</b> met", "Ada met", 3) == "answer does not stand in the text ('Ada met')"


def test_text_and_start_may_be_two_columns() -> None:
    reader = Answers().reader(Asked(["answer_start", "answer_text"], TASK))
    assert reader.read(["-1", ""], "a:1", ["Who?", CONTEXT]) == ("[]", None)
    assert reader.read([0, None], "a:1", ["Who?", CONTEXT]) == (None, "missing label")
    found, _ = reader.read([CONTEXT.rindex("Ada"), "Ada"], "a:1", ["Who?", CONTEXT])
    assert found == json.dumps([[CONTEXT.rindex("Ada"), "Ada"]])
    assert reader.cells(found) == [CONTEXT.rindex("Ada"), "Ada"]
    with pytest.raises(InputError, match="data.label names 'a', 'b'; of answers one column was expected, or two"):
        Answers().reader(Asked(["a", "b"], TASK))


@pytest.mark.parametrize(
    "value",
    ["[]", {"text": [""], "answer_start": [-1]}, [], {"text": [], "answer_start": []},
     '{"text": [], "answer_start": []}'],
)  # fmt: skip
def test_no_answer_is_an_answer(value: Any) -> None:
    assert read(value) == ("[]", None)
    assert Answers().strata("[]", {}) == (NONE,)


@pytest.mark.parametrize(
    ("value", "reason"),
    [
        (None, "missing label"),
        ("", "missing label"),
        ("Lima", "answer does not stand in the text ('Lima')"),
        ({"text": ["Ada"], "answer_start": [1]}, "answer does not stand where it says ('Ada' at 1)"),
        ({"text": ["Ada"], "answer_start": ["x"]}, "answer's start is no number ('x')"),
        ({"text": [" "], "answer_start": [3]}, "an answer is empty"),
        ({"text": [7], "answer_start": [3]}, "answer is no text (int)"),
        (7, "answer is no text (int)"),
    ],
)
def test_a_row_is_rejected_for_a_reason(value: Any, reason: str) -> None:
    assert read(value) == (None, reason)


def test_empty_cells_are_no_answer_where_the_job_says_so() -> None:
    assert read("", options=Options(empty_is_none=True)) == ("[]", None)


def test_the_same_question_again_has_all_of_its_answers() -> None:
    target = Answers()
    one, other, none = '[[8, "Ada"]]', '[[0, "Zoë"]]', "[]"
    merged = target.merge([one, other, one])
    assert merged == '[[0, "Zoë"], [8, "Ada"]]'
    assert target.merge([one, none]) is None
    assert "Ada" not in target.told(merged)
    assert target.merge([target.told(other), target.told(one)]) == target.told(merged)
    assert target.strata(target.told(one), {}) == (ANSWERED,)
    array = pa.array([target.value(merged)], target.type)
    assert target.text(array.to_pylist()[0]) == merged


@pytest.fixture(scope="module")
def encoders(tmp_path_factory: pytest.TempPathFactory) -> dict[str, AnswerEncoder]:
    return {kind: AnswerEncoder(folder_of(kind, tmp_path_factory.mktemp(kind)), 40) for kind in KINDS}


texts = st.lists(st.sampled_from([word for word in ALPHABET if len(word) < 20]), min_size=1, max_size=30).map(" ".join)


@pytest.mark.parametrize("kind", KINDS)
@settings(max_examples=120)
@given(question=texts, context=texts, data=st.data())
def test_any_answer_of_whole_tokens_is_given_back(
    kind: str, encoders: dict[str, AnswerEncoder], question: str, context: str, data: st.DataObject
) -> None:
    encoder, target = encoders[kind], Answers()
    names = encoder.schema.names
    bare = dict(zip(names, encoder.encode([[question], [context]]), strict=True))
    assert bare["length"].to_numpy().max() <= 40
    windows = list(zip(bare["starts"].to_pylist(), bare["ends"].to_pylist(), strict=True))
    tokens = sorted({pair for window in windows for pair in zip(*window, strict=True) if pair[0] >= 0})
    if not tokens:
        return
    a = data.draw(st.integers(0, len(tokens) - 1))
    b = data.draw(st.integers(a, min(len(tokens) - 1, a + 4)))
    text = context[tokens[a][0] : tokens[b][1]]
    answers = pa.array([[{"text": text, "start": tokens[a][0]}]], target.type)
    full = dict(zip([*names, "start", "end", "window"], encoder.encode([[question], [context]], answers), strict=True))
    found = 0
    for (starts, ends), start, end in zip(windows, full["start"].to_pylist(), full["end"].to_pylist(), strict=True):
        if (start, end) != (0, 0):
            assert context[starts[start] : ends[end]] == text
            found += 1
        else:
            known = [pair for pair in zip(starts, ends, strict=True) if pair[0] >= 0]
            assert not (known[0][0] <= tokens[a][0] and known[-1][1] >= tokens[b][1]) if known else True
    size = b - a + 1 if kind == "pieces" else len(text.encode())
    assert found or size > 6  # tokens that windows have in common


@pytest.mark.parametrize("kind", KINDS)
def test_a_question_that_is_too_long_leaves_room_for_the_context(kind: str, encoders: dict[str, AnswerEncoder]) -> None:
    encoder = encoders[kind]
    arrays = dict(zip(encoder.schema.names, encoder.encode([["why " * 400], ["because " * 20]]), strict=True))
    assert all(sum(start >= 0 for start in row) > 4 for row in arrays["starts"].to_pylist())


def test_what_has_no_answer_points_to_the_first_token(encoders: dict[str, AnswerEncoder], tmp_path: Path) -> None:
    encoder = encoders["pieces"]
    answers = pa.array([[]], Answers.type)
    *_, starts, ends, _ = encoder.encode([["Who?"], ["Ada met Zoë"]], answers)
    assert (starts.to_pylist(), ends.to_pylist()) == ([0], [0])
    encoder.save(tmp_path)
    assert "OnlySecond" in (tmp_path / "tokenizer.json").read_text()
