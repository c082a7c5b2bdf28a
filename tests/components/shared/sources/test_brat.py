"""Texts with brat's annotations beside them: however they lie, and whatever was done to their line ends since."""

import json
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from components.shared.errors import InputError
from components.shared.profile import reading, table
from components.shared.sources.brat import matched, spans_of
from components.shared.sources.source import Source, SourceSettings
from tests.components.shared.tasks.tokenizers import ALPHABET

TASK = "token-classification"
TEXT = "Ada met Zoë\nin São\nPaulo 👩\u200d🔬 today"
ANNOTATIONS = """T1\tPER 0 3\tAda
T2\tPER 8 11\tZoë
T3\tLOC 15 18;19 24\tSão Paulo
T4\tMeet 4 7\tmet
E1\tMeet:T4 Who:T1 Whom:T2
A1\tNegation E1
R1\tborn_in Arg1:T1 Arg2:T3\t
*\tAlias T1 T2
N1\tReference T3 Wikipedia:174\tSão Paulo
#1\tAnnotatorNotes T1\tT9 PER 0 3 is in a note
"""
SPANS = [[0, 3, "PER"], [4, 7, "Meet"], [8, 11, "PER"], [15, 24, "LOC"]]


def write(folder: Path, files: Mapping[str, str | bytes]) -> Path:
    for name, content in files.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(content if isinstance(content, bytes) else content.encode())
    return folder


def read(source: Path, **asked: Any) -> list[tuple[str | None, str, Any]]:
    """Returns split, text and spans of each row, or why it is none, and what was told on the way."""
    data = Source(SourceSettings(str(source), ["text"], "entities", task=TASK, **asked))
    return [
        (row.split, row.place.rpartition("/")[2], found)
        if isinstance(found, str)
        else (row.split, str(found.inputs[0]), json.loads(found.label))
        for row, found in data.examples(data.files())
    ]


@pytest.mark.parametrize("ends", ["\n", "\r\n"])
def test_entities_are_the_text_bound_annotations(ends: str, tmp_path: Path) -> None:
    annotations = ANNOTATIONS.replace("\n", ends)
    files = {"a/1.txt": TEXT, "a/1.ann": annotations, "a/2.txt": "nothing here", "a/2.ann": "", "visual.conf": "[a]"}
    assert read(write(tmp_path, files)) == [(None, TEXT, SPANS), (None, "nothing here", [])]


@pytest.mark.parametrize("kind", ["zip", "gztar"])
def test_an_archive_as_brat_exports_it_is_read(kind: str, tmp_path: Path) -> None:
    files = {"all/train/1.txt": TEXT, "all/train/1.ann": ANNOTATIONS, "all/test/2.ann": "", "all/test/2.txt": "none"}
    archive = shutil.make_archive(str(tmp_path / "export"), kind, write(tmp_path / "folder", files))
    assert sorted(read(Path(archive)), key=str) == [("test", "none", []), ("train", TEXT, SPANS)]


@pytest.mark.parametrize(
    ("text", "told"),
    [
        (TEXT.replace("\n", "\r\n"), TEXT),  # saved on Windows after it was marked
        ("\ufeff" + TEXT, TEXT),
        (TEXT.encode("utf-16"), TEXT),
    ],
)
def test_line_ends_and_marks_that_came_later_move_no_entity(text: str | bytes, told: str, tmp_path: Path) -> None:
    assert read(write(tmp_path, {"1.txt": text, "1.ann": ANNOTATIONS})) == [(None, told, SPANS)]


def test_annotators_are_told_apart(tmp_path: Path) -> None:
    one, other = "T1\tPER 0 3\tAda\n", "T1\tORG 0 3\tAda\n"
    ways: list[dict[str, str | bytes]] = [
        {"1.txt": TEXT, "1.anna.ann": one, "1_bob.ann": other},
        {"texts/1.txt": TEXT, "anna/1.ann": one, "bob/1.ann": other},
        {"1.txt": TEXT, "anna/1.ann": one, "bob/1.ann": other},
        {"anna/1.txt": TEXT, "anna/1.ann": one, "bob/1.txt": TEXT, "bob/1.ann": other},
    ]
    for number, files in enumerate(ways):
        folder = write(tmp_path / f"{number}", files)
        assert read(folder) == [(None, TEXT, [[0, 3, "PER"]]), (None, TEXT, [[0, 3, "ORG"]])]
        if number < 3:
            data = Source(SourceSettings(str(folder), ["text"], "entities", task=TASK, slices=["annotator"]))
            assert [row.values["annotator"] for row, _ in data.examples(data.files())] == ["anna", "bob"]
            assert any("2 annotators ('anna', 'bob')" in sentence for sentence in data.told)
    one_of_them = Source(
        SourceSettings(f"{tmp_path}/1/[at]*/*", ["text"], "entities", task=TASK)  # anna, and the texts
    )
    assert len(list(one_of_them.examples(one_of_them.files()))) == 1


def test_files_find_their_text() -> None:
    names = ["a/1.txt", "a/1.ann", "b/2.txt", "b/2.a1", "b/2.a2", "c/3.ann", "d/1_2.txt", "d/1_2.ann", "d/1.txt"]
    assert {name: match.text for name, match in matched(names).items()} == {
        "a/1.ann": "a/1.txt",
        "b/2.a1": "b/2.txt",
        "b/2.a2": "b/2.txt",
        "d/1_2.ann": "d/1_2.txt",
    }
    assert {match.annotator for match in matched(["texts/1.txt", "annotations/1.ann"]).values()} == {""}
    assert matched(["a/1.txt", "b/1.txt", "c/1.ann"]) == {}  # of either


def test_both_files_of_bionlp_are_one(tmp_path: Path) -> None:
    files: dict[str, str | bytes] = {"1.txt": TEXT, "1.a1": "T1\tPER 0 3\tAda\n", "1.a2": "T2\tMeet 4 7\tmet"}
    assert read(write(tmp_path, files)) == [(None, TEXT, [[0, 3, "PER"], [4, 7, "Meet"]])]


def test_what_is_in_pieces_or_overlaps_is_rejected_or_taken_as_asked(tmp_path: Path) -> None:
    pieces = "T1\tPER 0 3;8 11\tAda Zoë\n"
    overlap = "T1\tX 0 7\tAda met\nT2\tY 4 7\tmet\nT3\tZ 4 11\tmet Zoë\n"
    write(tmp_path, {"1.txt": TEXT, "1.ann": pieces, "2.txt": TEXT + ".", "2.ann": overlap})
    first, second = (str(found) for *_, found in read(tmp_path))
    assert first == "a span is in pieces (0 to 3 and 8 to 11; task_args.pieces: whole takes all between, too)"
    assert second.startswith("spans overlap ([0, 7, 'X'] and [4, 7, 'Y']")
    taken = read(tmp_path, task_args={"pieces": "whole", "overlaps": "longest"})
    assert [found for *_, found in taken] == [[[0, 11, "PER"]], [[0, 7, "X"]]]
    with pytest.raises(InputError, match=r"task_args\.overlaps is 'shortest'; allowed: 'reject', 'longest'"):
        read(tmp_path, task_args={"overlaps": "shortest"})


@pytest.mark.parametrize(
    ("annotations", "reason"),
    [
        ("T1\tPER 0 3\tBob", "a span's own text does not stand where it says ('Bob' at 0)"),
        ("T1\tPER 0 999\tAda met", None),  # the end is wrong, and the text is there once
        ("T1\tPER 0 999", "a span leaves the text (0 to 999; the text has 34 characters)"),
        ("T1 PER zero three", "an annotation is none of brat's (line 1: 'T1 PER zero three')"),
        ("\nhello", "an annotation is none of brat's (line 2: 'hello')"),
    ],
)
def test_a_text_is_rejected_for_a_reason(annotations: str, reason: str | None, tmp_path: Path) -> None:
    found = read(write(tmp_path, {"1.txt": TEXT, "1.ann": annotations}))[0][2]
    assert found == reason if reason else found == [[0, 7, "PER"]]


def test_what_has_no_other_half_is_left_out_and_told(tmp_path: Path) -> None:
    files = {"1.txt": TEXT, "1.ann": ANNOTATIONS, "notes.txt": "to do", "2.ann": "", "1.txt~": "", ".stats_cache": ""}
    data = Source(SourceSettings(str(write(tmp_path, files)), ["text"], "entities", task=TASK))
    assert len(data.files()) == 1
    assert "left out 1 texts without annotations (.ann), such as 'notes.txt'" in data.told
    assert "left out 1 files of annotations without their text, such as '2.ann'" in data.told
    (tmp_path / "3.txt").write_text("a text")
    (tmp_path / "3.json").write_text('[{"text": "a", "entities": []}]')
    assert [file.name for file in data.files()] == ["3.json"]  # where a table lies beside, it is meant


def test_a_text_changes_with_its_annotations(tmp_path: Path) -> None:
    write(tmp_path, {"1.txt": TEXT, "1.ann": ANNOTATIONS, "2.txt": "a", "2.ann": ""})
    data = Source(SourceSettings(str(tmp_path), ["text"], "entities", task=TASK))
    before = [file.stamp for file in data.files()]
    (tmp_path / "1.ann").write_text("T1\tPER 0 3\tAda\n")
    after = [file.stamp for file in data.files()]
    assert before[0] != after[0]
    assert before[1] == after[1]


def test_given_splits_are_not_mixed_with_none(tmp_path: Path) -> None:
    files = {"train/1.txt": TEXT, "train/1.ann": ANNOTATIONS, "2.txt": "a", "2.ann": ""}
    with pytest.raises(InputError, match=r"mixes given splits .*'train/1\.txt'"):
        read(write(tmp_path, files))


def test_init_recognises_them(tmp_path: Path) -> None:
    files = {"1.txt": TEXT, "1.ann": ANNOTATIONS, "2.txt": "a", "2.ann": "", "readme.txt": "all"}
    folder = write(tmp_path / "corpus", files)
    assert table.task_of(SourceSettings(str(folder))) == TASK
    found = reading.read(SourceSettings(str(folder), task=TASK))
    assert (found.inputs, found.label) == (["text"], "entities")
    archive = shutil.make_archive(str(tmp_path / "export"), "zip", folder)
    assert table.task_of(SourceSettings(archive)) == TASK


pieces = st.lists(st.sampled_from(ALPHABET) | st.text(st.characters(exclude_characters="\0\r"), max_size=4))


@settings(max_examples=150)
@given(
    parts=pieces,
    data=st.data(),
    ends=st.sampled_from(["as it is", "\n", "\r\n"]),
    unit=st.sampled_from(["characters", "utf-16"]),
)
def test_any_text_gives_back_what_was_marked(
    parts: list[str], data: st.DataObject, ends: str, unit: str, tmp_path_factory: pytest.TempPathFactory
) -> None:
    text = "".join(parts)
    if ends != "as it is":  # it was marked with the other line ends, and saved with these
        text = text.replace("\r\n", "\n").replace("\n", "\r\n" if ends == "\n" else "\n")
    bounds = sorted(data.draw(st.sets(st.integers(0, len(text)), max_size=12)))
    marked = [(a, b) for a, b in zip(bounds[::2], bounds[1::2], strict=False) if text[a:b] == text[a:b].strip()]
    lines = [brat_line(number, text, *span, unit) for number, span in enumerate(marked, 1)]
    assert spans_of("\n".join(lines))[1] == ""
    saved = text if ends == "as it is" else text.replace("\r\n", "\n").replace("\n", ends)
    folder = tmp_path_factory.mktemp("brat")
    write(folder, {"1.txt": saved, "1.ann": "\n".join(lines)})
    [(_, told, found)] = read(folder)
    if not text.strip():
        return
    assert told in (saved, text)
    words = [" ".join(text[a:b].split()) for a, b in marked]
    if unit == "characters" or all(text.count(text[a:b]) == 1 for a, b in marked):
        assert [" ".join(told[a:b].split()) for a, b, _ in found] == words
    if unit == "characters" and told == text:
        assert [(a, b) for a, b, _ in found] == marked


def brat_line(number: int, text: str, start: int, end: int, unit: str) -> str:
    """A line as brat writes it: what goes on in the next line is another piece."""
    places, at = [], start
    for piece in text[start:end].split("\n"):
        if piece:
            places.append((at, at + len(piece)))
        at += len(piece) + 1

    def told(place: int) -> int:
        return place if unit == "characters" else len(text[:place].encode("utf-16-le")) // 2

    where = ";".join(f"{told(a)} {told(b)}" for a, b in places)
    return f"T{number}\tX {where}\t{text[start:end].replace(chr(10), ' ')}"
