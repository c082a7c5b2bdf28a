"""Which columns are taken where a job leaves them out: the one plausible reading, or none."""

import json
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from components.ingest.ingest import IngestSettings, ingest
from components.shared.artifacts.artifact import open_artifact
from components.shared.errors import InputError
from components.shared.profile.columns import describe, listing
from components.shared.profile.reading import read, resolve
from components.shared.profile.table import task_of
from components.shared.sources.source import SourceSettings
from tests.cases import picture
from tests.components.shared.sources.test_cases import Files, zipped
from tests.components.shared.sources.test_cases import write as write_files
from tests.components.shared.sources.test_trees import tree, voc
from tests.conftest import write_csv

TEXT = "the parcel number {} never came to my house"
PAIR = {"sentence1": "a man plays the guitar {}", "sentence2": "somebody makes music {}", "label": "yes no"}


def rows(count: int = 40, **columns: Any) -> list[dict[str, Any]]:
    """Rows of columns: "{}" stands for the row's number, of several words each row has one; others are as given."""
    return [{name: value_of(value, number) for name, value in columns.items()} for number in range(count)]


def value_of(value: Any, number: int) -> Any:
    if callable(value):
        return value(number)
    if "{}" in value:
        return value.format(number)
    words = value.split()
    return words[number % len(words)]


def write(folder: Path, content: list[dict[str, Any]]) -> str:
    path = folder / "data.jsonl"
    path.write_text("".join(json.dumps(row) + "\n" for row in content), "utf-8")
    return str(path)


READ = {
    "known names": ({"text": TEXT, "label": "a b"}, ["text"], "label"),
    "whatever their case": ({"Review": TEXT, "Sentiment": "good bad"}, ["Review"], "Sentiment"),
    "a pair": (PAIR, ["sentence1", "sentence2"], "label"),
    "sentences and few values": ({"nr": lambda n: n, "what": TEXT, "team": "a b c"}, ["what"], "team"),
    "whole numbers as classes": ({"body": TEXT, "target": lambda n: n % 3}, ["body"], "target"),
    "truth values as classes": ({"body": TEXT, "spam": lambda n: n % 2 == 0}, ["body"], "spam"),
    "ratings in halves": ({"review": TEXT, "target": lambda n: n % 4 / 2}, ["review"], "target"),
    "a label and its name": ({"text": TEXT, "label": lambda n: n % 2, "label_text": "x y"}, ["text"], "label_text"),
    "splits are no classes": ({"text": TEXT, "kind": "a b", "split": "train test"}, ["text"], "kind"),
    "ids are no texts": ({"id": "T-{}", "text": TEXT, "label": "a b"}, ["text"], "label"),
}


@pytest.mark.parametrize(("columns", "inputs", "label"), READ.values(), ids=READ)
def test_one_plausible_reading_is_taken(tmp_path: Path, columns: Any, inputs: list[str], label: str) -> None:
    reading = read(SourceSettings(write(tmp_path, rows(**columns))))
    assert (reading.inputs, reading.label) == (inputs, label)


REFUSED = {
    "two labels": ({"text": TEXT, "team": "a b", "priority": "low high"}, "can be the label: 'team', 'priority'"),
    "two known labels": ({"text": TEXT, "label": "a b", "category": "x y x"}, "can be the label: 'label', 'category'"),
    "two texts": ({"title": "broken screen {}", "body": TEXT, "label": "a b"}, "can be the input: 'title', 'body'"),
    "a text and free words": ({"operation": "delete user {}", "description": TEXT, "label": "a b"}, "two as a pair"),
    "lists": (
        {"text": TEXT, "labels": lambda n: ["a", "b"][: n % 3]},
        "with task: multi-label-classification or token-class",
    ),
    "lists as text": (
        {"text": TEXT, "labels": lambda n: str(["a", "b"][: n % 3])},
        "with task: multi-label-classification",
    ),
    "measurements": ({"text": TEXT, "target": lambda n: n / 7}, "with task: text-regression they are learned"),
    "measurements of another name": ({"text": TEXT, "price": lambda n: n / 7}, "with task: text-regression they"),
    "ids as labels": ({"text": TEXT, "label": "T-{}"}, "40 different values in 40 rows such as 'T-0' and 'T-1': an id"),
    "no labels": ({"text": TEXT}, "no column that can be the label"),
    "no texts": ({"nr": lambda n: n, "label": "a b"}, "no column that holds texts"),
}


@pytest.mark.parametrize(("columns", "message"), REFUSED.values(), ids=REFUSED)
def test_otherwise_the_columns_are_shown_with_two_values_each(tmp_path: Path, columns: Any, message: str) -> None:
    with pytest.raises(InputError) as caught:
        read(SourceSettings(write(tmp_path, rows(**columns))))
    first, *listed = str(caught.value).splitlines()
    assert message in first
    assert [line.split()[0] for line in listed] == list(columns)


def test_what_the_job_names_is_kept(tmp_path: Path) -> None:
    source = write(tmp_path, rows(text=TEXT, note="a short remark {}", team="a b", priority="low high"))
    with pytest.raises(InputError, match="can be the input"):
        read(SourceSettings(source, [], "team"))
    reading = read(SourceSettings(source, ["text", "note"], "priority"))
    assert (reading.inputs, reading.label) == (["text", "note"], "priority")


def test_the_run_says_what_it_took_and_the_snapshot_is_as_if_it_had_been_named(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    source = str(write_csv(tmp_path / "data.csv", rows(200, text=TEXT, team="a b")))
    named = ingest(tmp_path / "named", IngestSettings(source, ["text"], "team"))
    capsys.readouterr()
    taken = ingest(tmp_path / "taken", IngestSettings(source))
    assert (
        "graft: note: 'text' taken for the input, 'team' for the label (of 'text', 'team')" in capsys.readouterr().out
    )
    assert taken.digest == named.digest
    assert open_artifact(tmp_path / "taken", "snapshot").settings["inputs"] == ["text"]


def test_a_message_shows_no_thousands_of_columns() -> None:
    lines = listing(describe([{f"c{number}": number for number in range(5000)}])).splitlines()
    assert (len(lines), lines[-1]) == (41, "  … 4,960 more")


def test_a_wrong_name_shows_all_columns(tmp_path: Path) -> None:
    source = str(write_csv(tmp_path / "data.csv", rows(200, text=TEXT, team="a b")))
    with pytest.raises(InputError) as caught:
        ingest(tmp_path / "s", IngestSettings(source, ["txt"], "team"))
    lines = str(caught.value).splitlines()
    assert "Did you mean 'text'?" in lines[0]
    assert [" ".join(line.split()) for line in lines[2:]] == [
        "text text 'the parcel number 0 never came to my house', 'the parcel number 1 never came to my house'",
        "team words, 2 different 'a', 'b'",
    ]


def test_pictures_in_a_table_are_known_by_what_they_are(tmp_path: Path) -> None:
    made = [{"img": picture(8, 8, (n, 0, 0)), "nr": n, "kind": "ab"[n % 2]} for n in range(40)]
    pq.write_table(pa.Table.from_pylist(made), tmp_path / "d.parquet")
    settings = SourceSettings(str(tmp_path / "d.parquet"), task="image-classification")
    assert task_of(settings) == "image-classification"
    resolved = resolve(settings)
    assert (resolved.inputs, resolved.label) == (["img"], "kind")


def test_a_tree_of_pictures_needs_no_reading(tmp_path: Path) -> None:
    (tmp_path / "cat").mkdir()
    (tmp_path / "cat/1.png").write_bytes(b"is not opened")
    settings = SourceSettings(str(tmp_path), task="image-classification")
    assert task_of(settings) == "image-classification"
    assert (read(settings).inputs, read(settings).label) == (["image"], "label")


SEEN: dict[str, tuple[Files, str, list[str], str]] = {
    "texts that are files": (
        {f"{c}/{n}.txt": TEXT.format(n) for c in ("spam", "ham") for n in range(30)},
        "text-classification", ["text"], "label",
    ),
    "texts in an archive": (
        {"d.zip": zipped({f"{c}/{n}.txt": TEXT.format(n) for c in ("spam", "ham") for n in range(30)})},
        "text-classification", ["text"], "label",
    ),
    "no header": (
        {"d.csv": "".join(f"{'ab'[n % 2]},{TEXT.format(n)}\n" for n in range(30))},
        "text-classification", ["column_2"], "column_1",
    ),
    "Pascal VOC": (
        {**tree(*(f"i/{n}.png" for n in range(8))), **{f"a/{n}.xml": voc(f"{n}.png", "ab"[n % 2]) for n in range(8)}},
        "image-classification", ["file_name"], "label",
    ),
    "an archive": ({"d.zip": zipped(tree("cat/1.png", "dog/2.png"))}, "image-classification", ["image"], "label"),
    "Kaggle's ids": (
        {**tree(*(f"train/{n}.png" for n in range(20))),
         "labels.csv": "id,breed\n" + "".join(f"{n},{'ab'[n % 2]}\n" for n in range(20)),
         "sample_submission.csv": "id,a,b\n99,0.5,0.5\n"},
        "image-classification", ["id"], "breed",
    ),
    "a picture beside texts": (
        {**tree("logo.png"), "d.csv": "text,label\n" + "".join(f"{TEXT.format(n)},{'ab'[n % 2]}\n" for n in range(30))},
        "text-classification", ["text"], "label",
    ),
}  # fmt: skip


@pytest.mark.parametrize("case", SEEN)
def test_task_and_columns_are_told_by_what_is_there(case: str, tmp_path: Path) -> None:
    files, task, inputs, label = SEEN[case]
    source = str(write_files(tmp_path, files))
    settings = SourceSettings(source, task=task_of(SourceSettings(source)))
    reading = read(settings)
    assert (settings.task, reading.inputs, reading.label) == (task, inputs, label)


UNSEEN: dict[str, tuple[Files, str]] = {
    "pictures of no class": (tree("train/cat.1.png", "train/dog.2.png"), "none of them in the folder of a class"),
    "two ways": (tree("a/x/1.png", "b/x/2.png", "b/y/3.png"), "can be read in two ways"),
    "no row": ({"d.csv": "text,label\na,b,c\nd,e,f,g\n"}, "d.csv:2: too many fields .3, the header has 2"),
    "names that are values": (
        {"d.jsonl": "".join(json.dumps({f"k{n}_{i}": 1 for i in range(500)}) + "\n" for n in range(60))},
        "has over 20,000 columns, such as .* they may be values",
    ),
}


@pytest.mark.parametrize("case", UNSEEN)
def test_what_cannot_be_told_is_said(case: str, tmp_path: Path) -> None:
    files, message = UNSEEN[case]
    source = str(write_files(tmp_path, files))
    with pytest.raises(InputError, match=message):
        read(SourceSettings(source, task=task_of(SourceSettings(source))))


@pytest.mark.parametrize(
    ("values", "kind"),
    [
        ([None, "", float("nan")], "empty"),
        (["2024-01-31", "2024-02-01T10:00"], "date"),
        (["0042", "17"], "whole number"),
        ([1.5, 2], "number"),
        ([{"a": 1}], "mapping"),
        (["a/1.jpg", "b/2.PNG"], "picture"),
        (["これはとても良い製品だと思います", "配送が遅くてがっかりしました、残念です"], "text"),
        (["New York", "Los Angeles"], "words"),
    ],
)
def test_kinds_of_columns(values: list[Any], kind: str) -> None:
    assert describe([{"c": value} for value in values])[0].kind == kind
