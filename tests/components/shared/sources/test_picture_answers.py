"""Labels and numbers of pictures as people have them: tables beside, COCO, VOC, archives, each with what must come.

Many of these stopped other tools (by repository and number of the report): empty sets (geti 5428, darwin-py 568,
mmdetection 900), annotations of nothing (geti 551), labels in one cell by blanks (fastai_dev 41), rows whose picture is
missing (datasets 4311), one picture in several rows (PICD_ImageComposition 1), a label that training has not (fastai
956).
"""

import json
from pathlib import Path
from typing import Any

import pytest

from components.ingest.ingest import IngestSettings, ingest
from components.shared.errors import InputError
from components.shared.profile.reading import read
from components.shared.profile.table import task_of
from components.shared.sources.source import SourceSettings
from tests.components.shared.sources.test_cases import Files, examples, tarred, write, zipped
from tests.components.shared.sources.test_trees import picture, tree, voc

SETS, NUMBERS = "image-multi-label-classification", "image-regression"
NAMES = [f"{n}.png" for n in range(12)]
CELLS = [["cat"], ["cat", "dog"], ["dog"], []]


def lines(rows: list[dict[str, Any]]) -> str:
    return "".join(json.dumps(row) + "\n" for row in rows)


def table(head: str, *rows: str) -> str:
    return "\n".join([head, *rows]) + "\n"


def coco(**annotation: Any) -> str:
    images = [{"id": n, "file_name": name} for n, name in enumerate(NAMES)]
    found = [{"image_id": n, "category_id": {"cat": 1, "dog": 2}[label]}
             for n in range(len(NAMES)) for label in CELLS[n % 4]]  # fmt: skip
    categories = [{"id": 1, "name": "cat"}, {"id": 2, "name": "dog"}]
    annotations = [*found, *([annotation] if annotation else [])]
    return json.dumps({"images": images, "annotations": annotations, "categories": categories})


def answers(source: Path, task: str, **settings: Any) -> tuple[list[str], list[str]]:
    """What is told of the pictures, in their order, and why others are left out."""
    reading = read(SourceSettings(str(source), task=task, **settings))
    settings = {"inputs": reading.inputs, "label": reading.label, **settings}
    found, rejected, _ = examples(source, task=task, **settings)
    return [example.label for example in found], [reason for _, reason in rejected]


def cells(sep: str) -> list[str]:
    return [sep.join(CELLS[n % 3]) for n in range(12)]


FOUND: dict[str, tuple[Files, dict[str, Any]]] = {
    "lists": (
        {"metadata.jsonl": lines([{"file_name": name, "labels": CELLS[n % 4]} for n, name in enumerate(NAMES)])},
        {},
    ),
    "lists as text": (
        {"labels.csv": table("filename;tags;note", *(f"{name};{CELLS[n % 4]};x" for n, name in enumerate(NAMES)))},
        {},
    ),
    "0 and 1": (
        {"labels.csv": table("img,cat,dog,bird", *(f"{name},{int('cat' in CELLS[n % 4])},{int('dog' in CELLS[n % 4])},0"
                                                  for n, name in enumerate(NAMES)))},
        {},
    ),
    "COCO": ({"annotations/instances.json": coco()}, {}),
    "COCO with an annotation of nothing": (
        {"a.json": coco(image_id=3, category_id=None, bbox=[])}, {}
    ),
    "VOC": ({f"a/{n}.xml": voc(name, *CELLS[n % 4]) for n, name in enumerate(NAMES)}, {}),
}  # fmt: skip


@pytest.mark.parametrize("case", FOUND)
def test_sets_are_recognised_and_read(case: str, tmp_path: Path) -> None:
    files, settings = FOUND[case]
    source = write(tmp_path, {**tree(*NAMES), **files})
    assert task_of(SourceSettings(str(source))) == SETS
    found, rejected = answers(source, SETS, **settings)
    assert rejected == []
    assert sorted(found) == sorted(json.dumps(CELLS[n % 4]) for n in range(12))


@pytest.mark.parametrize(("sep", "column"), [("|", "tags"), (" ", "labels"), (", ", "objects")])
def test_labels_in_one_cell_are_recognised_and_parted(sep: str, column: str, tmp_path: Path) -> None:
    rows = [f'{name.removesuffix(".png")},"{cell}"' for name, cell in zip(NAMES, cells(sep), strict=True)]
    source = write(
        tmp_path, {**tree(*(f"train/{name}" for name in NAMES)), "all.csv": table(f"image_name,{column}", *rows)}
    )
    assert task_of(SourceSettings(str(source))) == SETS
    found, _ = answers(source, SETS, task_args={"delimiter": sep.strip() or " "})
    assert sorted(set(found)) == ['["cat", "dog"]', '["cat"]', '["dog"]']


def test_a_picture_of_one_class_each_stays_a_classification(tmp_path: Path) -> None:
    source = write(tmp_path, {**tree(*NAMES), **{f"{n}.xml": voc(name, "ab"[n % 2]) for n, name in enumerate(NAMES)}})
    assert task_of(SourceSettings(str(source))) == "image-classification"


def test_captions_tell_no_labels(tmp_path: Path) -> None:
    told = {"images": [{"id": 0, "file_name": "0.png"}], "annotations": [{"image_id": 0, "caption": "a cat"}]}
    source = write(tmp_path, {**tree("0.png"), "captions.json": json.dumps(told)})
    assert answers(source, SETS, label="labels") == ([], ["missing label"])


NUMBER: dict[str, tuple[str, dict[str, Any], list[str], list[str]]] = {
    "a number of any name": (
        table("file_name,age", *(f"{name},{20 + n * 3 // 4}" for n, name in enumerate(NAMES))),
        {}, [f"{20 + n * 3 // 4}.0" for n in range(12)], [],
    ),
    "a score": (
        table("path,score,note", *(f"{name},{n / 4},x" for n, name in enumerate(NAMES))),
        {}, [str(n / 4) for n in range(12)], [],
    ),
    "a decimal comma": (
        table("file_name;score", *(f"{name};{n},5" for n, name in enumerate(NAMES))),
        {"task_args": {"decimal": ","}}, [f"{n}.5" for n in range(12)], [],
    ),
    "a decimal comma, unasked": (
        table("file_name;score", "0.png;1,5", "1.png;2,25", "2.png;3,75"),
        {}, [], [f"label is a number with a decimal comma; task_args: decimal takes it ({n!r})"
                 for n in ("1,5", "2,25", "3,75")],
    ),
    "no number": (
        table("file_name,score", "0.png,1.5", "1.png,NaN", "2.png,", "3.png,2.5", "4.png,inf", "5.png,3.5"),
        {"label": "score"}, ["1.5", "2.5", "3.5"], ["label is no finite number", "missing label", "missing label"],
    ),
    "pictures that are not there": (
        table("file_name,score", "0.png,1.5", "x.png,2", ",3", "1.png,2.5"),
        {}, ["1.5", "2.5"], ["empty input", "no such image (x.png)"],
    ),
}  # fmt: skip


@pytest.mark.parametrize("case", NUMBER)
def test_numbers_are_read_or_it_is_said_why_not(case: str, tmp_path: Path) -> None:
    text, settings, numbers, reasons = NUMBER[case]
    source = write(tmp_path, {**tree(*NAMES), "labels.csv": text})
    found, rejected = answers(source, NUMBERS, **settings)
    assert (found, sorted(rejected)) == (numbers, reasons)


def test_a_number_beside_pictures_is_a_regression(tmp_path: Path) -> None:
    for case, expected in (("a number of any name", NUMBERS), ("a score", NUMBERS)):
        source = write(tmp_path / case.replace(" ", "-"), {**tree(*NAMES), "labels.csv": NUMBER[case][0]})
        assert task_of(SourceSettings(str(source))) == expected
    few = table("file_name,stars", *(f"{name},{n % 3}" for n, name in enumerate(NAMES)))
    assert (
        task_of(SourceSettings(str(write(tmp_path / "few", {**tree(*NAMES), "a.csv": few})))) == "image-classification"
    )


@pytest.mark.parametrize("task", [SETS, NUMBERS])
def test_folders_are_no_answers(task: str, tmp_path: Path) -> None:
    source = write(tmp_path, tree("cat/1.png", "dog/2.png"))
    with pytest.raises(InputError, match="a folder can tell no more than one class. Expected a table beside them"):
        answers(source, task)


def test_folders_beside_a_table_are_folders(tmp_path: Path) -> None:
    files = tree("2024/1.png", "2025/2.png", "b/../up.png")
    source = write(tmp_path, {**files, "t/labels.csv": table("file_name,score", "../2024/1.png,0.5", "2.png,1.5")})
    assert answers(source, NUMBERS) == (["0.5", "1.5"], [])


@pytest.mark.parametrize(("label", "task"), [("score", NUMBERS), ("", NUMBERS), ("labels", SETS)])
def test_tables_in_archives_tell_them(label: str, task: str, tmp_path: Path) -> None:
    told = [{"file_name": f"{n}.png", label or "score": [0.5, 1.5] if task == NUMBERS else CELLS} for n in range(2)]
    rows = [{name: value[n] if isinstance(value, list) else value for name, value in row.items()}
            for n, row in enumerate(told)]  # fmt: skip
    source = write(tmp_path, {"d.zip": zipped({**tree("d/0.png", "d/1.png"), "d/metadata.jsonl": lines(rows)})})
    found, rejected = answers(source, task, **({"label": label} if label else {}))
    assert rejected == []
    assert found == (["0.5", "1.5"] if task == NUMBERS else ['["cat"]', '["cat", "dog"]'])


@pytest.mark.parametrize("pack", [zipped, tarred], ids=["zip", "tar"])
@pytest.mark.parametrize("inside", [True, False], ids=["inside", "beside"])
def test_archives_are_recognised_by_their_tables(pack: Any, inside: bool, tmp_path: Path) -> None:
    pictures = tree(*(f"images/{name}" for name in NAMES))
    sets = lines([{"file_name": f"images/{name}", "tags": CELLS[n % 4]} for n, name in enumerate(NAMES)])
    numbers = table("path,age", *(f"images/{name},{n / 4}" for n, name in enumerate(NAMES)))
    classes = table("path,label", *(f"images/{name},{'xy'[n % 2]}" for n, name in enumerate(NAMES)))
    for told, task, label in ((sets, SETS, "tags"), (numbers, NUMBERS, "age"), (classes, "image-classification", "")):
        files = {"metadata.jsonl" if told is sets else "labels.csv": told}
        own = tmp_path / (label or "classes")
        source = write(own, {"d.zip" if pack is zipped else "d.tar": pack(pictures | (files if inside else {}))})
        write(own, {} if inside else files)
        assert task_of(SourceSettings(str(source))) == task
        if label:
            assert read(SourceSettings(str(source), task=task)).label == label
            found, rejected = answers(source, task)
            assert (len(found), rejected) == (12, [])
    folders = write(tmp_path / "folders", {"d.tar": pack(tree("cat/0.png", "dog/1.png") | {"ages.csv": numbers})})
    assert task_of(SourceSettings(str(folders))) == "image-classification"


def test_archives_without_such_a_table_are_refused(tmp_path: Path) -> None:
    source = write(tmp_path, {"d.zip": zipped(tree("cat/0.png", "dog/1.png"))})
    with pytest.raises(InputError, match="no table in it or beside it tells 'score' of them"):
        answers(source, NUMBERS, label="score")
    with pytest.raises(InputError, match="one column is read. Unpack"):
        answers(source, SETS, label='["a", "b"]')


def snapshot(folder: Path, files: Files, task: str, label: str, **settings: Any) -> Any:
    source = write(folder / "data", files)
    return ingest(folder / "snapshot", IngestSettings(str(source), ["file_name"], label, task=task, **settings))


def test_one_picture_in_several_rows_agrees_or_is_set_aside(tmp_path: Path) -> None:
    files = {f"{n}.png": picture(n) for n in range(60)}
    rows = [{"file_name": f"{n}.png", "labels": CELLS[n % 4]} for n in range(60)]
    again = [{"file_name": "1.png", "labels": ["dog", "cat", "dog"]}, {"file_name": "2.png", "labels": ["cat"]}]
    settings = {"near_duplicates": 1.0, "max_rejects": 0.1}
    report = snapshot(tmp_path / "a", {**files, "metadata.jsonl": lines([*rows, *again])}, SETS, "labels", **settings)
    assert (sum(report.rows.values()), report.duplicates) == (59, 1)
    assert "same input with different labels" in (tmp_path / "a/snapshot/notes/rejects.csv").read_text("utf-8-sig")
    numbers = [f"{n}.png,{n / 8}" for n in range(60)]
    told = table("file_name,score", *numbers, "1.png,0.125", "2.png,0.5", "3.png,0.385")
    settings["task_args"] = {"tolerance": 0.05}
    report = snapshot(tmp_path / "b", {**files, "metadata.csv": told}, NUMBERS, "score", **settings)
    assert (sum(report.rows.values()), report.duplicates) == (59, 2)


def test_a_label_that_training_has_not_is_told(tmp_path: Path) -> None:
    names = [f"{split}/{n}.png" for split in ("train", "valid", "test") for n in range(8)]
    rows = [
        {"file_name": name, "labels": CELLS[n % 4] + ["emu"] * (name == "valid/3.png")} for n, name in enumerate(names)
    ]
    with pytest.raises(InputError, match="1 of 3 labels have no training example: 'emu'"):
        snapshot(tmp_path, {**tree(*names), "metadata.jsonl": lines(rows)}, SETS, "labels", near_duplicates=1.0)
