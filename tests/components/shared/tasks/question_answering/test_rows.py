"""Questions as files have them: SQuAD's articles, paragraphs alone, and tables of several makes."""

import csv
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from components.shared.profile import reading
from components.shared.sources.source import Source, SourceSettings

TASK = "question-answering"
CONTEXTS = [
    f"Ship {n} 👩\u200d🔬 of captain Ada{n} left\r\nat noon. It had {n + 3} barrels of salt." for n in range(40)
]
QUESTIONS = [f"Who left with the ship {n}?" for n in range(40)]
ANSWERS = [(f"captain Ada{n}", context.index("captain")) for n, context in enumerate(CONTEXTS)]
ROWS = list(zip(QUESTIONS, CONTEXTS, ANSWERS, strict=True))


def write_csv(path: Path, header: list[str], rows: list[Any]) -> Path:
    with path.open("w", newline="", encoding="utf-8") as file:
        csv.writer(file).writerows([header, *rows])
    return path


def paragraphs(**told: Any) -> list[dict[str, Any]]:
    return [
        {
            "context": context,
            "qas": [{"question": question, "answers": [{"text": text, "answer_start": start}], **told}],
        }
        for question, context, (text, start) in ROWS
    ]


def as_articles(folder: Path) -> Path:
    (folder / "a.json").write_text(json.dumps({"version": "1.1", "data": [{"title": "a", "paragraphs": paragraphs()}]}))
    return folder / "a.json"


def as_paragraphs(folder: Path) -> Path:
    (folder / "a.json").write_text(json.dumps(paragraphs(id="1", is_impossible=False)))
    return folder / "a.json"


def as_one_answer(folder: Path) -> Path:
    questions = [[{"question": question, "answer": text}] for question, _, (text, _) in ROWS]
    own = [{"context": context, "qas": asked} for context, asked in zip(CONTEXTS, questions, strict=True)]
    (folder / "a.json").write_text(json.dumps({"data": [{"paragraphs": own}]}))
    return folder / "a.json"


def as_pandas(folder: Path) -> Path:
    cells = [f"{{'text': array([{text!r}], dtype=object), 'answer_start': array([{at}])}}" for text, at in ANSWERS]
    return write_csv(
        folder / "a.csv", ["question", "context", "answers"], list(zip(QUESTIONS, CONTEXTS, cells, strict=True))
    )


def as_columns(folder: Path) -> Path:
    header = ["question", "context", "answer_start", "answer_text"]
    return write_csv(folder / "a.csv", header, [(q, context, at, text) for q, context, (text, at) in ROWS])


def as_flat(folder: Path) -> Path:
    rows = [
        {"question": q, "context": context, "answers.text": [text], "answers.answer_start": [at]}
        for q, context, (text, at) in ROWS
    ]
    (folder / "a.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    return folder / "a.jsonl"


WRITERS = [as_articles, as_paragraphs, as_one_answer, as_pandas, as_columns, as_flat]


@pytest.mark.parametrize("write", WRITERS, ids=lambda write: write.__name__)
def test_whatever_wrote_questions_they_are_the_same(write: Callable[[Path], Path], tmp_path: Path) -> None:
    source = str(write(tmp_path))
    found = reading.read(SourceSettings(source, task=TASK))
    assert found.inputs == ["question", "context"]
    settings = SourceSettings(source, found.inputs, found.label, task=TASK)
    examples = [example for _, example in Source(settings).examples(Source(settings).files())]
    assert [example if isinstance(example, str) else "" for example in examples] == [""] * 40
    told = [(*example.inputs, json.loads(example.label)) for example in examples if not isinstance(example, str)]
    assert told == [(q, context, [[at, text]]) for q, context, (text, at) in ROWS]


def test_plausible_answers_are_none(tmp_path: Path) -> None:
    plausible = [{"text": "Ship", "answer_start": 0}]
    rows = paragraphs(is_impossible=True, plausible_answers=plausible)
    for row in rows:
        row["qas"][0]["answers"] = []
    (tmp_path / "a.json").write_text(json.dumps({"data": [{"title": "a", "paragraphs": rows}]}))
    settings = SourceSettings(str(tmp_path / "a.json"), ["question", "context"], "answers", task=TASK)
    examples = [example for _, example in Source(settings).examples(Source(settings).files())]
    assert {example if isinstance(example, str) else example.label for example in examples} == {"[]"}


def test_an_answer_in_other_words_than_its_text_is_rejected(tmp_path: Path) -> None:
    rows = [(q, context.replace("Ada", "<b>Ada</b>"), text) for q, context, (text, _) in ROWS]
    source = write_csv(tmp_path / "a.csv", ["question", "context", "answer"], rows)
    settings = SourceSettings(str(source), ["question", "context"], "answer", task=TASK)
    examples = [example for _, example in Source(settings).examples(Source(settings).files())]
    assert examples[3] == "answer does not stand in the text ('captain Ada3')"
