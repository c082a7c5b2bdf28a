"""Pairs however they are written: triplets, lists of passages, pairs alone, judgements of a corpus."""

import csv
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from components.shared import tasks
from components.shared.errors import InputError
from components.shared.profile import reading
from components.shared.sources.source import Source, SourceSettings

TASK = "text-retrieval"
WORDS = ["pan", "oven", "salt", "knife", "soup", "flour", "sail", "mast", "deck", "anchor"]
ROWS = [(f"what is the number {n} of a {WORDS[n % 10]}", f"the {WORDS[n % 10]} has {n} of them") for n in range(40)]
WRONG = [passage for _, passage in (*ROWS[1:], ROWS[0])]


def write_csv(path: Path, rows: list[Any]) -> Path:
    with path.open("w", newline="", encoding="utf-8") as file:
        csv.writer(file).writerows(rows)
    return path


def write_lines(path: Path, rows: list[dict[str, Any]]) -> Path:
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), "utf-8")
    return path


def triplets(folder: Path) -> Path:
    rows = [(*pair, wrong) for pair, wrong in zip(ROWS, WRONG, strict=True)]
    return write_csv(folder / "a.csv", [("anchor", "positive", "negative"), *rows])


def quadruplets(folder: Path) -> Path:
    rows = [(*pair, wrong, "") for pair, wrong in zip(ROWS, WRONG, strict=True)]
    return write_csv(folder / "a.csv", [("anchor", "positive", "negative_1", "negative_2"), *rows])


def lists(folder: Path) -> Path:
    rows = zip(ROWS, WRONG, strict=True)
    return write_lines(folder / "a.jsonl", [{"query": q, "pos": [p], "neg": [wrong]} for (q, p), wrong in rows])


def beir(folder: Path) -> Path:
    write_lines(folder / "corpus.jsonl", [{"_id": f"d{n}", "title": "", "text": p} for n, (_, p) in enumerate(ROWS)])
    write_lines(folder / "queries.jsonl", [{"_id": f"q{n}", "text": q} for n, (q, _) in enumerate(ROWS)])
    (folder / "qrels").mkdir()
    lines = [f"q{n}\td{n}\t1\nq{n}\td{(n + 1) % 40}\t0\n" for n in range(40)]
    (folder / "qrels" / "train.tsv").write_text("query-id\tcorpus-id\tscore\n" + "".join(lines), "utf-8")
    return folder


def read(source: Path, inputs: list[str], label: str) -> tuple[list[tuple[Any, ...]], list[str]]:
    """Returns the pairs of a source, each with its answer, and why other rows are none."""
    settings = SourceSettings(str(source), inputs, label, task=TASK)
    found = [example for _, example in Source(settings).examples(Source(settings).files())]
    reasons = [one for one in found if isinstance(one, str)]
    return [(*one.inputs, one.label) for one in found if not isinstance(one, str)], reasons


@pytest.mark.parametrize("write", [triplets, quadruplets, lists, beir], ids=lambda write: write.__name__)
def test_a_query_with_what_it_must_not_find_is_two_pairs(write: Callable[[Path], Path], tmp_path: Path) -> None:
    source = write(tmp_path)
    if write is lists:
        inputs, label = ["query", "pos"], "neg"
    else:
        found = reading.read(SourceSettings(str(source), task=TASK))
        inputs, label = found.inputs, found.label
    pairs, reasons = read(source, inputs, label)
    expected = {(q, p, "1") for q, p in ROWS} | {(q, wrong, "0") for (q, _), wrong in zip(ROWS, WRONG, strict=True)}
    assert (set(pairs), len(pairs), reasons) == (expected, 80, [])


def test_pairs_without_a_score_belong_together(tmp_path: Path) -> None:
    source = write_csv(tmp_path / "a.csv", [("query", "answer"), *ROWS])
    found = reading.read(SourceSettings(str(source), task=TASK))
    assert (found.inputs, found.label) == (["query", "answer"], "")
    pairs, _ = read(source, found.inputs, found.label)
    assert pairs == [(*pair, "1") for pair in ROWS]


def test_other_tasks_read_such_rows_as_they_are(tmp_path: Path) -> None:
    settings = SourceSettings(str(triplets(tmp_path)), ["anchor"], "negative", task="text-classification")
    found = [example for _, example in Source(settings).examples(Source(settings).files())]
    assert len(found) == 40


def test_a_judgement_of_what_is_not_there_is_rejected(tmp_path: Path) -> None:
    beir(tmp_path)
    (tmp_path / "qrels" / "dev.tsv").write_text("q1 0 d1 1\nq1 0 d99 1\n", "utf-8")  # as TREC has them
    pairs, reasons = read(tmp_path, ["query", "passage"], "score")
    assert len(pairs) == 81
    assert reasons == ["there is no passage 'd99' in corpus.jsonl"]
    (tmp_path / "qrels" / "dev.tsv").write_text("q1,d1,1\n", "utf-8")
    with pytest.raises(
        InputError, match=r"qrels/dev.tsv:1: 'q1,d1,1' is no judgement; query-id, corpus-id and a score"
    ):
        read(tmp_path, ["query", "passage"], "score")


def test_judgements_change_with_their_corpus(tmp_path: Path) -> None:
    beir(tmp_path)
    settings = SourceSettings(str(tmp_path), ["query", "passage"], "score", task=TASK)
    (before,) = Source(settings).files()
    write_lines(tmp_path / "corpus.jsonl", [{"_id": f"d{n}", "text": f"{p}!"} for n, (_, p) in enumerate(ROWS)])
    (after,) = Source(settings).files()
    assert before.stamp != after.stamp
    pairs, _ = read(tmp_path, ["query", "passage"], "score")
    assert pairs[0][1].endswith("!")


@pytest.mark.parametrize("name", ["negative", "neg", "hard_negatives", "negative_2", "hard_neg"])
def test_what_must_not_be_found_is_told_by_its_column(name: str) -> None:
    task: Any = tasks.get(TASK)
    assert task.unfolded({"q": "a", "p": "b"}, {name: "c"}) == [(("a", "b"), [1.0]), (("a", "c"), [0.0])]
    assert task.unfolded({"q": "a", "p": "b"}, {name: None}) == [(("a", "b"), [1.0])]
    assert task.unfolded({"q": "a", "p": "b"}, {"score": 0.2}) is None
    assert task.unfolded({"q": "a", "p": '["b", "d"]'}, {"score": 1}) == [(("a", "b"), [1]), (("a", "d"), [1])]
