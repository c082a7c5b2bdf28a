"""Files as people have them, one a case, each with what must come of it."""

import bz2
import contextlib
import csv
import datetime
import gzip
import io
import json
import lzma
import random
import tarfile
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import openpyxl
import pandas as pd
import pyarrow as pa
import pyarrow.feather
import pyarrow.parquet as pq
import pytest

from components.shared.errors import InputError
from components.shared.sources.buckets import Example
from components.shared.sources.readers import readers
from components.shared.sources.source import Source, SourceSettings

TEXTS = [("a mast, and a sail", "ship"), ("salt in the soup", "kitchen"), ('he said "aye"', "ship")]
ROWS = [{"text": text, "label": label} for text, label in TEXTS]

Files = dict[str, bytes | str]


def write(folder: Path, files: Files) -> Path:
    for name, content in files.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content.encode() if isinstance(content, str) else content)
    return folder


def examples(source: Path | str, **settings: Any) -> tuple[list[Example], list[tuple[str, str]], Source]:
    """The examples of a source, its rejects (place and reason), and itself."""
    given = {"inputs": ["text"], "label": "label", **settings}
    opened = Source(SourceSettings(str(source), **given))
    found = list(opened.examples(opened.files()))
    good = [example for _, example in found if isinstance(example, Example)]
    return good, [(row.place, reason) for row, reason in found if isinstance(reason, str)], opened


def delimited(delimiter: str = ",", encoding: str = "utf-8", rows: list[Any] = ROWS, **options: Any) -> bytes:
    file = io.StringIO(newline="")
    writer = csv.DictWriter(file, rows[0], delimiter=delimiter, **options)
    writer.writeheader()
    writer.writerows(rows)
    return file.getvalue().encode(encoding)


def tsv(rows: list[Any] = ROWS) -> str:
    return "text\tlabel\n" + "".join(f"{row['text']}\t{row['label']}\n" for row in rows)


def table(write: Callable[[pa.Table, Any], Any], rows: list[Any] = ROWS) -> bytes:
    file = io.BytesIO()
    write(pa.Table.from_pylist(rows), file)
    return file.getvalue()


def arrow_file(data: pa.Table, file: Any) -> None:
    with pa.ipc.new_file(file, data.schema) as writer:
        writer.write_table(data)


def workbook(sheets: dict[str, list[list[Any]]]) -> bytes:
    book = openpyxl.Workbook()
    book.remove(book.active)
    for title, rows in sheets.items():
        sheet = book.create_sheet(title)
        for row in rows:
            sheet.append(row)
    file = io.BytesIO()
    book.save(file)
    return file.getvalue()


def zipped(files: Files) -> bytes:
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in files.items():
            archive.writestr(name, content)
    return file.getvalue()


def tarred(files: Files, mode: Any = "w") -> bytes:
    file = io.BytesIO()
    with tarfile.open(fileobj=file, mode=mode) as archive:
        for name, content in files.items():
            data = content.encode() if isinstance(content, str) else content
            member = tarfile.TarInfo(name)
            member.size = len(data)
            archive.addfile(member, io.BytesIO(data))
    return file.getvalue()


def zstd(data: bytes) -> bytes:
    return bytes(pa.compress(data, "zstd", asbytes=True))


def chosen(label: str) -> dict[str, Any]:
    return {"from_name": "kind", "to_name": "text", "type": "choices", "value": {"choices": [label]}}


def labelled(text: str, label: str, key: str = "annotations") -> dict[str, Any]:
    """A task as label-studio exports it."""
    return {"id": 1, "data": {"text": text}, key: [{"id": 7, "was_cancelled": False, "result": [chosen(label)]}]}


def framed(frame: pd.DataFrame, **options: Any) -> str:
    return str(frame.to_json(**options))


def cats(label: str) -> dict[str, float]:
    return {name: float(name == label) for name in ("ship", "kitchen")}


R_LINES = ['"a mast, and a sail","ship"', '"salt in the soup","kitchen"', '"he said ""aye""","ship"']
BARE = [(text.replace('"', "'"), label) for text, label in TEXTS]
SHEET = [["text", "label"], *map(list, TEXTS)]
JSONL = "".join(json.dumps(row) + "\n" for row in ROWS)
FRAME = pd.DataFrame(ROWS)
CSV = delimited()

WHOLE: dict[str, Files] = {
    "csv": {"d.csv": CSV},
    "byte order mark": {"d.csv": b"\xef\xbb\xbf" + CSV},
    "line ends of an old Mac": {"d.csv": CSV.replace(b"\r\n", b"\r")},
    "line ends of Unix": {"d.csv": CSV.replace(b"\r\n", b"\n")},
    "semicolons": {"d.csv": delimited(";")},
    "bars": {"d.csv": delimited("|")},
    "tabs in a .csv": {"d.csv": delimited("\t")},
    "commas in a .tsv": {"d.tsv": CSV},
    "everything quoted": {"d.csv": delimited(quoting=csv.QUOTE_ALL)},
    "quoted tsv": {"d.tsv": delimited("\t", quoting=csv.QUOTE_ALL)},
    "minimally quoted tsv": {"d.tsv": delimited("\t")},
    "tsv without quoting": {"d.tsv": tsv()},
    "TSV in capitals": {"D.TSV": tsv()},
    "UTF-16 with a mark": {"d.csv": delimited(encoding="utf-16")},
    "UTF-16 without": {"d.csv": delimited(encoding="utf-16-le")},
    "UTF-16 big": {"d.csv": delimited(encoding="utf-16-be")},
    "UTF-16 tabs, as Excel saves Unicode text": {"d.txt": delimited("\t", encoding="utf-16")},
    "blanks around the header": {"d.csv": CSV.replace(b"text,label", b" text , label ")},
    "json lines": {"d.jsonl": JSONL},
    "json lines called .json": {"d.json": JSONL},
    "ndjson": {"d.ndjson": JSONL},
    "json lines in UTF-16": {"d.jsonl": JSONL.encode("utf-16")},
    "json array in a line": {"d.json": json.dumps(ROWS)},
    "json array, indented": {"d.json": json.dumps(ROWS, indent=2)},
    "json array in a .jsonl": {"d.jsonl": json.dumps(ROWS)},
    "data in a mapping": {"d.json": json.dumps({"version": "1", "data": ROWS, "more": {"a": [1]}})},
    "data in a mapping, indented": {"d.json": json.dumps({"version": {"n": 1}, "data": ROWS}, indent=1)},
    "objects one after the other": {"d.json": "\n".join(json.dumps(row, indent=1) for row in ROWS)},
    "columns": {"d.json": json.dumps({name: [row[name] for row in ROWS] for name in ROWS[0]})},
    "pandas.to_json": {"d.json": framed(FRAME)},
    "pandas, split": {"d.json": framed(FRAME, orient="split")},
    "pandas, table": {"d.json": framed(FRAME, orient="table", index=False)},
    "pandas, records": {"d.json": framed(FRAME, orient="records")},
    "parquet": {"d.parquet": table(pq.write_table)},
    "parquet by another name": {"d": table(pq.write_table)},
    "arrow": {"d.arrow": table(arrow_file)},
    "feather": {"d.feather": table(pyarrow.feather.write_feather)},
    "feather 1": {"d.feather": table(lambda data, file: pyarrow.feather.write_feather(data, file, version=1))},
    "excel": {"d.xlsx": workbook({"data": SHEET})},
    "excel with empty rows": {"d.xlsx": workbook({"data": [[], [None, None], SHEET[0], [], *SHEET[1:]]})},
    "gzip": {"d.csv.gz": gzip.compress(CSV)},
    "gzip by content": {"d.csv": gzip.compress(CSV)},
    "bzip2": {"d.csv.bz2": bz2.compress(CSV)},
    "xz": {"d.jsonl.xz": lzma.compress(JSONL.encode())},
    "zstd": {"d.jsonl.zst": zstd(JSONL.encode())},
    "gzipped parquet": {"d.parquet.gz": gzip.compress(table(pq.write_table))},
    "zip": {"d.zip": zipped({"__MACOSX/._d.csv": b"x", "data/d.csv": CSV, "README.md": "# d"})},
    "zip of gzip": {"d.zip": zipped({"d.csv.gz": gzip.compress(CSV)})},
    "zip of a workbook": {"d.zip": zipped({"d.xlsx": workbook({"data": SHEET})})},
    "zip in a zip": {"d.zip": zipped({"e.zip": zipped({"d.jsonl": JSONL})})},
    "tar": {"d.tar": tarred({"./data/d.csv": CSV, "LICENSE": "free"})},
    "tar.gz": {"d.tar.gz": tarred({"d.jsonl": JSONL}, "w:gz")},
    "tar.zst": {"d.tar.zst": zstd(tarred({"d.parquet": table(pq.write_table)}))},
    "a stray beside": {
        "d.jsonl": JSONL,
        "dataset_infos.json": json.dumps({"default": {"features": {}}}),
        "LICENSE": "",
    },
    "label-studio": {"d.json": json.dumps([labelled(*pair) for pair in TEXTS])},
    "label-studio's first years": {"d.json": json.dumps([labelled(*pair, "completions") for pair in TEXTS])},
    "label-studio's storage, a file a task": {f"{n}": json.dumps(labelled(*pair)) for n, pair in enumerate(TEXTS)},
    "label-studio's storage, a file an annotation": {
        f"{n}.json": json.dumps({"id": n, "result": [chosen(label)], "task": {"id": n, "data": {"text": text}}})
        for n, (text, label) in enumerate(TEXTS)
    },
    "label-studio, min": {"d.json": json.dumps([{"id": 1, **row, "annotator": 1, "lead_time": 2.5} for row in ROWS])},
    "label-studio, CSV": {"d.csv": delimited(rows=[{"annotation_id": 7, "annotator": 1, **row} for row in ROWS])},
    "doccano": {"d.jsonl": "".join(json.dumps({"id": 1, "text": t, "label": [n]}) + "\n" for t, n in TEXTS)},
    "doccano's first years": {
        "d.jsonl": "".join(json.dumps({"text": t, "annotations": [{"label": n, "user": 1}]}) + "\n" for t, n in TEXTS)
    },
    "doccano's or any fastText": {"d.txt": "".join(f"__label__{label} {text}\n" for text, label in TEXTS)},
    "fastText by name": {"d.fasttext": "".join(f"__label__{label} , {text}\n" for text, label in TEXTS)},
    "spaCy": {"d.jsonl": "".join(json.dumps({"text": t, "cats": cats(n)}) + "\n" for t, n in TEXTS)},
    "spaCy's pairs": {"d.json": json.dumps([[text, {"cats": cats(label)}] for text, label in TEXTS])},
    "Vertex AI": {
        "d.jsonl": "".join(
            json.dumps({"text": t, "classificationAnnotation": {"displayName": n}}) + "\n" for t, n in TEXTS
        )
    },
    "rows by name": {"d.json": json.dumps({f"id{n}": row for n, row in enumerate(ROWS)})},
    "pandas, index": {"d.json": json.dumps({f"a{n}": row for n, row in enumerate(ROWS)}, indent=1)},
    "rows in a mapping in a mapping": {"d.json": json.dumps({"nlu": {"examples": ROWS, "synonyms": []}})},
    "texts by class": {"d.json": json.dumps({"ship": [TEXTS[0][0], TEXTS[2][0]] * 2, "kitchen": [TEXTS[1][0]]})},
    "xml": {
        "d.xml": "<?xml version='1.0'?>\n<data>"
        + "".join(f"<row><index>1</index><text>{t}</text><label>{n}</label></row>\n" for t, n in TEXTS)
        + "</data>"
    },
    "xml, attributes": {
        "d.xml": "<?xml version='1.0'?>\n<!-- c --><d>"
        + "".join(f"<s label='{n}'>\n<text>{t}</text></s>" for t, n in TEXTS)
        + "</d>"
    },
    "excel with titles": {
        "d.xlsx": workbook({"data": [["Complaints"], ["exported", datetime.date(2026, 1, 2)], [], *SHEET]})
    },
    "excel, away from the corner": {"d.xlsx": workbook({"data": [[], *[[None, None, *row] for row in SHEET]]})},
    "excel with an empty sheet first": {"d.xlsx": workbook({"Sheet1": [], "Sheet2": SHEET})},
    "excel with notes first": {"d.xlsx": workbook({"README": [["Our labels"], ["see data"]], "data": SHEET})},
    "excel open elsewhere": {"d.xlsx": workbook({"data": SHEET}), "~$d.xlsx": b"\x06Ana" + bytes(99)},
    "csv with a declared delimiter": {"d.csv": b"sep=;\r\n" + delimited(";")},
    "csv with comments": {"d.csv": b"# exported today\n# by Ana\n\n" + CSV},
    "csv with a title": {"d.csv": b"Complaints,\r\n,\r\n" + CSV},
    "csv with a delimiter too many": {"d.csv": CSV.replace(b"\r\n", b",\r\n").replace(b"label,", b"label")},
    "csv in single quotes": {"d.csv": delimited(quotechar="'", quoting=csv.QUOTE_ALL)},
    "csv with escaped quotes": {"d.csv": delimited(doublequote=False, escapechar="\\", quoting=csv.QUOTE_ALL)},
    "R, write.csv": {"d.csv": '"","text","label"\n' + "".join(f'"{n}",{line}\n' for n, line in enumerate(R_LINES, 1))},
    "R, write.table with commas": {
        "d.csv": '"text","label"\n' + "".join(f'"{n}",{line}\n' for n, line in enumerate(R_LINES, 1))
    },
    "R, write.table": {
        "d.txt": '"text" "label"\n' + "".join(f'"{n}" "{t}" "{label}"\n' for n, (t, label) in enumerate(BARE, 1))
    },
    "pandas with its index": {"d.csv": FRAME.to_csv()},
    "Spark's folder": {"d.csv/part-00000-ab.csv": CSV, "d.csv/_SUCCESS": "", "d.csv/.part-00000-ab.csv.crc": "x"},
    "Kaggle's sample beside": {"d.csv": CSV, "sample_submission.csv": "id,label\n1,ship\n"},
    "save_to_disk in a zip": {
        "d.zip": zipped(
            {"d/data-00000-of-00001.arrow": table(arrow_file), "d/state.json": "{}", "d/dataset_info.json": "{}"}
        )
    },
    "prodigy": {
        "d.jsonl": "".join(
            json.dumps({"text": t, "options": [{"id": n}, {"id": "x"}], "accept": [n], "answer": "accept"}) + "\n"
            for t, n in TEXTS
        )
    },
}
"""Files that hold the same three rows."""


@pytest.mark.parametrize("case", WHOLE)
def test_the_same_rows_come_out_of_every_file(case: str, tmp_path: Path) -> None:
    source = write(tmp_path / "d", WHOLE[case])
    (only,) = list(source.iterdir()) if len(WHOLE[case]) == 1 else [source]
    found, rejected, _ = examples(only)
    assert not rejected
    expected = {"R, write.table": BARE, "texts by class": [TEXTS[0], TEXTS[2], TEXTS[0], TEXTS[2], TEXTS[1]]}
    assert [(example.inputs[0], example.label) for example in found] == expected.get(case, TEXTS)


def test_every_reader_has_a_case() -> None:
    """A reader that is new needs a file above: its first ending is looked for."""
    names = [name.lower() for files in WHOLE.values() for name in files]
    for reader in readers():
        assert any(name.endswith(reader.suffixes[0]) for name in names), reader.name


PLAIN = [{"text": f"a plain text of number {number}", "label": "ab"[number % 2]} for number in range(120)]


def test_a_tsv_whose_texts_hold_quotes_keeps_all_rows(tmp_path: Path) -> None:
    rows = [dict(row) for row in PLAIN]
    rows[20]["text"] = '"To be' + rows[20]["text"]
    rows[40]["text"] += ' or "not" to be'
    rows[60]["text"] += '"'
    found, rejected, _ = examples(write(tmp_path, {"d.tsv": tsv(rows)}))
    assert [example.inputs[0] for example in found] == [row["text"] for row in rows]
    assert not rejected


def test_a_quote_that_swallows_lines_is_told_line_by_line(tmp_path: Path) -> None:
    lines = [f"{row['text']},{row['label']}" for row in PLAIN]
    lines[20] = '"' + lines[20]
    lines[40] = 'or "not" to be,a'
    found, rejected, _ = examples(write(tmp_path, {"d.csv": "text,label\n" + "\n".join(lines) + "\n"}))
    assert len(found) == 120 - 21
    assert [place for place, _ in rejected] == [f"d.csv:{line}" for line in range(22, 43)]
    assert {reason for _, reason in rejected} == {"a quoted field swallows 19 lines (from line 22)"}


def test_a_quote_that_is_never_closed(tmp_path: Path) -> None:
    lines = [f"{row['text']},{row['label']}" for row in PLAIN]
    lines[100] = '"' + lines[100]
    found, rejected, _ = examples(write(tmp_path, {"d.csv": "text,label\n" + "\n".join(lines) + "\n"}))
    assert (len(found), len(rejected)) == (100, 20)


def test_texts_of_several_lines_stay_whole(tmp_path: Path) -> None:
    text = "Dear sir,\nI have, again,\nno hot water, and no heat\nyours, A"
    rows = [*PLAIN[:20], {"text": text, "label": "b"}]
    found, rejected, _ = examples(write(tmp_path, {"d.csv": delimited(rows=rows)}))
    assert found[-1].inputs[0] == text
    assert not rejected


@pytest.mark.parametrize(
    ("encoding", "text"),
    [
        ("cp1252", "Das wäre größer – l’été à la française"),
        ("cp1251", "Привет, как дела у вас сегодня? Очень хорошо, спасибо"),
        ("gb18030", "你好,今天天气很好,我们去公园吧"),
        ("shift_jis", "こんにちは、今日はいい天気ですね"),
    ],
)
def test_an_encoding_is_found_and_told(encoding: str, text: str, tmp_path: Path) -> None:
    rows = [{"text": f"{text} {number}", "label": "ab"[number % 2]} for number in range(20)]
    found, _, source = examples(write(tmp_path, {"d.csv": delimited(rows=rows, encoding=encoding)}))
    assert [example.inputs[0] for example in found] == [row["text"] for row in rows]
    assert source.told == [f"d.csv is read as text in {encoding}"]


def test_what_is_said_overrules_what_is_found(tmp_path: Path) -> None:
    source = write(tmp_path, {"d.csv": "text~label\nœuf~a\nnæst~b\n".encode("latin-1", "replace")})
    found, _, _ = examples(source, encoding="latin-1", delimiter="~")
    assert [example.label for example in found] == ["a", "b"]
    with pytest.raises(InputError, match=r"data.encoding is 'latn1'.* Did you mean 'latin-1'"):
        examples(source, encoding="latn1", delimiter="~")
    with pytest.raises(InputError, match="data.delimiter is ';;'; one character"):
        examples(source, delimiter=";;")


def test_damage_in_a_file_of_utf8_is_no_other_encoding(tmp_path: Path) -> None:
    content = "text,label\nschön,a\ngrün,b\n".encode() + b"broken \xff\xfe,a\n"
    found, rejected, _ = examples(write(tmp_path, {"d.csv": content}))
    assert [example.inputs[0] for example in found] == ["schön", "grün"]
    assert rejected == [("d.csv:4", "invalid UTF-8")]


def test_labels_that_look_alike_are_one(tmp_path: Path) -> None:
    files: Files = {"a.csv": "text,label\nx,caf\u00e9\n", "b.csv": "text,label\ny,cafe\u0301\n"}
    found, _, _ = examples(write(tmp_path, files))
    assert {example.label for example in found} == {"caf\u00e9"}


def test_fields_within_fields(tmp_path: Path) -> None:
    rows = [{"doc": {"body": {"text": t}}, "tags": [{"name": n}]} for t, n in TEXTS]
    settings: dict[str, Any] = {"inputs": ["doc.body.text"], "label": "tags.0.name"}
    files: Files = {"d.jsonl": "".join(json.dumps(row) + "\n" for row in rows)}
    found, _, _ = examples(write(tmp_path / "j", files), **settings)
    assert [(example.inputs[0], example.label) for example in found] == TEXTS
    flat = [{"doc": {"body": {"text": t}}, "label": n} for t, n in TEXTS]
    found, _, _ = examples(write(tmp_path / "p", {"d.parquet": table(pq.write_table, flat)}), inputs=["doc.body.text"])
    assert [(example.inputs[0], example.label) for example in found] == TEXTS
    with pytest.raises(InputError, match="has no column 'doc.text'; it has .*'doc.body.text'"):
        examples(tmp_path / "j", inputs=["doc.text"], label="tags.0.name")


def test_a_sheet_of_a_workbook(tmp_path: Path) -> None:
    file = {"d.xlsx": workbook({"notes": [["x"], ["y"]], "data": [["text", "label"], ["a", 1.0], [7, True]]})}
    source = write(tmp_path, file)  # type: ignore[arg-type]
    found, _, _ = examples(source, sheet="data")
    assert [(example.inputs[0], example.label) for example in found] == [("a", "1"), ("7", "true")]
    with pytest.raises(InputError, match=r"has no sheet 'dat'; it has 'notes', 'data'. Did you mean 'data'"):
        examples(source, sheet="dat")
    assert len(examples(source)[0]) == 2  # the sheet that has the columns


@pytest.mark.parametrize(
    ("names", "expected"),
    [
        (["train.csv", "dev.csv", "test.csv"], ["validation", "test", "train"]),
        (["Train/a.csv", "val/a.csv"], ["train", "validation"]),
        (["training/a.csv", "valid_1.csv", "eval-data.csv"], ["validation", "train", "validation"]),
        (["development.csv", "valuable.csv", "tester.csv"], ["", "", ""]),
    ],
)
def test_names_that_give_splits(names: list[str], expected: list[str], tmp_path: Path) -> None:
    files: Files = {name: f"text,label\n{name},a\n" for name in names}
    found, _, _ = examples(write(tmp_path, files))
    assert sorted(example.split for example in found) == sorted(expected)


def test_any_name_may_be_said_to_be_a_split(tmp_path: Path) -> None:
    files: Files = {name: f"text,label\n{name},a\n" for name in ("train.csv", "holdout.csv")}
    with pytest.raises(InputError, match=r"mixes given splits .* data.splits"):
        examples(write(tmp_path, files))
    found, _, _ = examples(tmp_path, splits={"holdout": "test"})
    assert sorted(example.split for example in found) == ["test", "train"]


def test_splits_in_an_archive(tmp_path: Path) -> None:
    source = write(tmp_path, {"d.zip": zipped({"d/train.csv": CSV, "d/dev.csv": "text,label\nb,a\n"})})
    found, _, _ = examples(source / "d.zip")
    assert [example.split for example in found] == ["train"] * 3 + ["validation"] or len(found) == 4
    assert found[0].place.startswith("d.zip:d/")


def test_what_datasets_saves_to_disk(tmp_path: Path) -> None:
    import datasets

    features = datasets.Features({"text": datasets.Value("string"), "label": datasets.ClassLabel(names=["no", "yes"])})
    part = datasets.Dataset.from_dict({"text": ["a", "b"], "label": [1, 0]}, features=features)
    part.save_to_disk(tmp_path / "one")
    datasets.DatasetDict({"train": part, "validation": part}).save_to_disk(tmp_path / "several")
    found, _, _ = examples(tmp_path / "one")
    assert [(example.inputs[0], example.label) for example in found] == [("a", "yes"), ("b", "no")]
    found, _, _ = examples(tmp_path / "several")
    assert [example.split for example in found] == ["train"] * 2 + ["validation"] * 2


def test_patterns_and_lists(tmp_path: Path) -> None:
    days: Files = {f"2026-{day}/part-{n}.csv": f"text,label\n{day} {n},a\n" for day in ("01", "02") for n in (1, 2)}
    write(tmp_path, {**days, "2025-12/part-1.csv": "text,label\nold,a\n"})
    for source, count in [
        (f"{tmp_path}/2026-*/part-*.csv", 4),
        (f"{tmp_path}/2026-*", 4),
        (f"{tmp_path}/**/part-1.csv", 3),
        (f"{tmp_path}/202[56]-?2", 3),
        (json.dumps([f"{tmp_path}/2025-12", f"{tmp_path}/2026-01/part-2.csv"]), 2),
    ]:
        found, _, opened = examples(source)
        assert len(found) == count, source
        assert len({example.place for example in found}) == count
        assert {example.file for example in found} == {file.name for file in opened.files()}
    with pytest.raises(InputError, match="No file fits"):
        examples(f"{tmp_path}/2027-*")


def test_patterns_in_object_storage(s3: Any, tmp_path: Path) -> None:
    for day in ("01", "02"):
        s3.put_object(Bucket="bucket", Key=f"raw/2026-{day}/part-1.parquet", Body=table(pq.write_table))
    s3.put_object(Bucket="bucket", Key="raw/d.zip", Body=zipped({"d.csv": CSV}))
    assert len(examples("s3://bucket/raw/2026-*/part-*.parquet")[0]) == 6
    assert len(examples("s3://bucket/raw/d.zip")[0]) == 3
    both = json.dumps(["s3://bucket/raw/2026-*/part-*.parquet", "s3://bucket/raw/d.zip", f"{tmp_path}/more"])
    write(tmp_path, {"more/e.csv": CSV})
    assert len(examples(both)[0]) == 12


@pytest.mark.parametrize("case", ["xz", "zstd", "excel", "arrow", "save_to_disk in a zip", "xml", "COCO", "texts"])
def test_formats_in_object_storage(case: str, s3: Any) -> None:
    from tests.components.shared.sources.test_trees import TREES

    files = TREES[case][0] if case == "COCO" else TEXT_TREES["tar.gz"][0] if case == "texts" else WHOLE[case]
    for name, content in files.items():
        s3.put_object(Bucket="bucket", Key=f"{case}/{name}", Body=content)
    task: dict[str, Any] = {"inputs": ["image"], "task": "image-classification"} if case == "COCO" else {}
    found, rejected, _ = examples(f"s3://bucket/{case}", **task)
    assert (len(found), rejected) == (2 if case == "COCO" else 3, [])


SPAM = [{"label": ["ham", "spam"][n % 4 == 0], "text": f"call {n} now, or {n * 7}"} for n in range(24)]

NO_HEADER: dict[str, Files] = {
    "csv": {"d.csv": delimited(rows=SPAM).partition(b"\n")[2]},
    "tsv": {"d.tsv": "".join(f"{row['label']}\t{row['text']}\n" for row in SPAM)},
    "UCI's SMS spam, without an ending": {"SMSSpamCollection": "".join(f"{r['label']}\t{r['text']}\n" for r in SPAM)},
    "json lines of arrays": {"d.jsonl": "".join(json.dumps([row["label"], row["text"]]) + "\n" for row in SPAM)},
    "an array of arrays": {"d.json": json.dumps([[row["label"], row["text"]] for row in SPAM])},
}


@pytest.mark.parametrize("case", NO_HEADER)
def test_without_a_header_no_row_is_lost(case: str, tmp_path: Path) -> None:
    found, rejected, opened = examples(write(tmp_path, NO_HEADER[case]), inputs=["column_2"], label="column_1")
    assert [(example.label, example.inputs[0]) for example in found] == [(row["label"], row["text"]) for row in SPAM]
    assert not rejected
    if "json" not in case and "array" not in case:
        assert any("has no header: its columns are called column_1, column_2" in told for told in opened.told)


@pytest.mark.parametrize("header", ["0,1", ",0", "text,label", "yes,no", "2020,2021"])
def test_a_header_that_looks_odd_is_one(header: str, tmp_path: Path) -> None:
    """pandas writes numbers; and no name above comes again in its column."""
    lines = "".join(f"some text {n},{'label' * (n == 3) or n % 2}\n" for n in range(12))
    inputs, label = (name or "" for name in header.split(","))
    if inputs:
        found, _, _ = examples(write(tmp_path, {"d.csv": f"{header}\n{lines}"}), inputs=[inputs], label=label)
        assert len(found) == 12


def test_files_put_together_have_their_header_again(tmp_path: Path) -> None:
    content = CSV + CSV.replace(b"sail", b"deck") + "\ufeff".encode() + CSV.replace(b"sail", b"bow")
    found, rejected, _ = examples(write(tmp_path, {"d.csv": content}))
    assert len(found) == 9
    assert rejected == [("d.csv:5", "the header again"), ("d.csv:9", "the header again")]


TEXT_TREES: dict[str, tuple[Files, list[str]]] = {
    "a folder a class": ({"spam/1.txt": "buy", "ham/2.txt": "hello"}, ["ham hello", "spam buy"]),
    "aclImdb": (
        {
            **{f"train/{c}/{n}_7.txt": f"{c} {n}" for c in ("pos", "neg") for n in (1, 2)},
            **{f"test/{c}/1_7.txt": f"{c} test" for c in ("pos", "neg")},
            "train/unsup/1_0.txt": "nobody knows", "imdb.vocab": "a", "README": "x", "train/urls_pos.txt": "http://x",
            "train/labeledBow.feat": "9 0:9",
        },
        ["test neg neg test", "test pos pos test", "train neg neg 1", "train neg neg 2", "train pos pos 1",
         "train pos pos 2"],
    ),
    "20 newsgroups": (
        {f"20news-bydate-{s}/{c}/{n}": f"{s} {n}" for s in ("train", "test") for n, c in enumerate(("a.b", "sci.x"))},
        ["test a.b test 0", "test sci.x test 1", "train a.b train 0", "train sci.x train 1"],
    ),
    "zip": ({"d.zip": zipped({"bbc/tech/1.txt": "chips", "bbc/sport/1.txt": "goal"})}, ["sport goal", "tech chips"]),
    "tar.gz": (
        {"d.tar.gz": tarred({"train/a/1.txt": "x", "train/b/1.txt": "y", "test/a/1.txt": "z", "README": ""}, "w:gz")},
        ["test a z", "train a x", "train b y"],
    ),
    "old encodings": (
        {"a/1.txt": "Die Gr\u00f6\u00dfe der T\u00fcr".encode("cp1252"), "b/1.txt": "Gr\u00f6\u00dfe".encode("utf-16")},
        ["a Die Gr\u00f6\u00dfe der T\u00fcr", "b Gr\u00f6\u00dfe"],
    ),
}  # fmt: skip


@pytest.mark.parametrize("case", TEXT_TREES)
def test_texts_that_are_files(case: str, tmp_path: Path) -> None:
    files, expected = TEXT_TREES[case]
    found, rejected, _ = examples(write(tmp_path, files))
    assert sorted(f"{one.split} {one.label} {one.inputs[0]}".strip() for one in found) == expected
    assert [reason for _, reason in rejected] == ["missing label"] * (case == "aclImdb")


def test_parts_of_a_file_that_are_given_splits(tmp_path: Path) -> None:
    files: Files = {
        "json": json.dumps({"train": ROWS, "dev": ROWS[:1], "info": {"n": 1}}),
        "indented": json.dumps({"train": [list(row.values()) for row in ROWS], "dev": [["a", "ship"]]}, indent=1),
        "sheets": workbook({"notes": [["x"]], "train": SHEET, "dev": SHEET[:2]}),
    }
    for name, content in files.items():
        named = {"inputs": ["column_1"], "label": "column_2"} if name == "indented" else {}
        file = "d.xlsx" if name == "sheets" else "d.json"
        found, _, _ = examples(write(tmp_path / name, {file: content}), **named)  # type: ignore[arg-type]
        assert [one.split for one in found] == ["train"] * 3 + ["validation"], name


REFUSED: dict[str, tuple[Files, str]] = {
    "a column twice": ({"d.csv": "text,label,label\na,b,c\n"}, "has 2 columns called 'label'"),
    "a column twice in parquet": (
        {"d.parquet": table(lambda d, f: pq.write_table(d.append_column("label", d["label"]), f))},
        "has 2 columns called 'label'",
    ),
    "no label in the test split": (
        {"train.csv": CSV, "test.csv": "id,text\n1,a\n"},
        r"(?s)test.csv has no column 'label'.*`graft predict MODEL test.csv`",
    ),
    "a mapping without rows": ({"d.json": json.dumps({"a": {"b": 1}}, indent=1)}, "has no column 'text'"),
    "several labels of label-studio": (
        {"d.json": json.dumps([labelled("x", "a"), {**labelled("y", "a"), "annotations": [{"result": [chosen("a"), {
            **chosen("no"), "from_name": "urgent"}]}]}])},
        r"several labels in one row, such as \{'kind': 'a', 'urgent': 'no'\}",
    ),
    "several labels in a cell of label-studio": (
        {"d.csv": 'text,label\nx,"{""choices"":[""a"",""b""]}"\n'},
        r"several labels in one row, such as \{\"choices\"",
    ),
    "several labels of fastText": ({"d.txt": "__label__a __label__b x\n"}, r"several labels .* \['a', 'b'\]"),
    "a list beside given splits": (
        {"d.json": json.dumps({"train": ROWS, "oos": ROWS})}, "mixes given splits .'d.json:train'. .*'d.json:oos'"),
    "a pointer of Git LFS": (
        {"d.parquet": "version https://git-lfs.github.com/spec/v1\noid sha256:4d\nsize 9\n"}, "git lfs pull"),
    "a page": ({"d.csv": "<!DOCTYPE html>\n<html><body>Sign in, please</body></html>"}, "d.csv is a page of the web"),
    "an old workbook": ({"d.xls": b"\xd0\xcf\x11\xe0" + bytes(99)}, ".xls is not read. Save it as .xlsx or CSV"),
    "an old workbook with a new name": ({"d.xlsx": b"\xd0\xcf\x11\xe0" + bytes(99)}, "old Office, .* Save it as .xlsx"),
    "a pickle": ({"d.pkl": b"\x80\x04"}, "may run code, and is never opened"),
    "a database": ({"d.db": b"SQLite format 3"}, "data.source: sqlite:///PATH, and data.query"),
    "texts in no folders": ({"pos.txt": "a\nb", "neg.txt": "c\nd"}, "each lies in the folder of its class"),
    "entities in xml": (
        {"d.xml": '<?xml version="1.0"?><!DOCTYPE d [<!ENTITY a "ha"><!ENTITY b "&a;&a;">]><d><r>&b;</r></d>'},
        "d.xml declares entities, which no data needs"),
    "xml nested deeply": ({"d.xml": "<?xml version='1.0'?>" + "<a>" * 10_000}, "d.xml is XML nested over 64 deep"),
    "xml cut off": ({"d.xml": "<?xml version='1.0'?><d><r><text>x</text>"}, "d.xml is no XML that can be read .no el"),
    "no labels in a test split within an archive": (
        {"d.zip": zipped({"train.csv": CSV, "test.csv": "id,text\n1,a\n"})},
        "unpack the archive, and name the labelled files in data.source",
    ),
    "a stray alone": ({"dataset_infos.json": "{}"}, "holds no data: found 'dataset_infos.json'"),
    "an array cut off": ({"d.json": json.dumps(ROWS)[:-9]}, "d.json is no JSON that can be read"),
    "json nested deeply": ({"d.json": "[" * 100_000}, "d.json is no JSON that can be read .nested too deeply"),
    "a table called json": ({"d.json": CSV}, r"d.json is no readable JSON file \(it begins with b'text,label"),
    "zeros": ({"d.csv": bytes(5000)}, "d.csv is no readable CSV file"),
    "a picture called csv": ({"d.csv": b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR"}, "d.csv is no readable CSV file"),
    "an archive without data": ({"d.zip": zipped({"readme.md": "#"})}, "holds no data: found 'readme.md'"),
    "a zip cut off": ({"d.zip": zipped({"d.csv": CSV * 99})[:-40]}, "d.zip is a damaged or truncated"),
    "xz cut off": ({"d.csv.xz": lzma.compress(CSV * 99)[:-40]}, "damaged or truncated xz file"),
    "zstd cut off": ({"d.csv.zst": zstd(CSV * 99)[:-9]}, "damaged or truncated Zstandard file"),
    "a workbook cut off": ({"d.xlsx": workbook({"data": SHEET})[:-300]}, "no Excel workbook that can be read"),
    "arrow cut off": ({"d.arrow": table(arrow_file)[:-30]}, "d.arrow is no readable Arrow file"),
    "an encrypted zip": ({"d.zip": zipped({"d.csv": CSV}).replace(b"PK\x03\x04\x14\0\0\0", b"PK\x03\x04\x14\0\x01\0")
                          .replace(b"PK\x01\x02\x14\x03\x14\0\0\0", b"PK\x01\x02\x14\x03\x14\0\x01\0")},
                         "cannot be unpacked"),
}  # fmt: skip


@pytest.mark.parametrize("case", REFUSED)
def test_what_cannot_be_read_is_told(case: str, tmp_path: Path) -> None:
    files, message = REFUSED[case]
    with pytest.raises(InputError, match=message):
        examples(write(tmp_path, files))


REJECTED: dict[str, tuple[Files, dict[str, str]]] = {
    "an endless number": (
        {"d.jsonl": JSONL + '{"text": "x", "label": "a", "id": ' + "1" * 5000 + "}\n"},
        {"d.jsonl:4": "invalid JSON"},
    ),
    "deep json": ({"d.jsonl": JSONL + '{"a":' * 10_000 + "\n"}, {"d.jsonl:4": "invalid JSON"}),
    "no object": ({"d.jsonl": JSONL + "[1]\n"}, {"d.jsonl:4": "JSON, but no object"}),
    "a broken first line": ({"d.jsonl": '{"text":\n' + JSONL}, {"d.jsonl:1": "invalid JSON"}),
    "an endless label": (
        {"d.csv": CSV + b"x," + b"y" * 2000 + b"\n"},
        {"d.csv:5": "label longer than 1,000 characters"},
    ),
    "NUL": ({"d.csv": CSV + b"x\0y\n"}, {"d.csv:5": "too few fields (1, the header has 2)"}),
    "annotators who disagree": (
        {"d.json": json.dumps([{"data": {"text": "x"}, "annotations": [{"result": []}]}])},
        {"d.json:1": "missing label"},
    ),
}


@pytest.mark.parametrize("case", REJECTED)
def test_a_row_that_cannot_be_read_is_set_aside(case: str, tmp_path: Path) -> None:
    files, expected = REJECTED[case]
    assert dict(examples(write(tmp_path, files))[1]) == expected


def test_ten_thousand_columns(tmp_path: Path) -> None:
    names = [f"c{number}" for number in range(10_000)]
    wide = [{**dict.fromkeys(names, "1"), **row} for row in ROWS]
    files: Files = {"d.csv": delimited(rows=wide), "e.jsonl": "".join(json.dumps(row) + "\n" for row in wide)}
    assert len(examples(write(tmp_path, files))[0]) == 6


def test_a_link_that_leads_out_is_told(tmp_path: Path) -> None:
    write(tmp_path, {"d/a.csv": CSV, "secret.csv": CSV.replace(b"sail", b"bow")})
    (tmp_path / "d/b.csv").symlink_to(tmp_path / "secret.csv")
    (tmp_path / "d/c.csv").symlink_to("a.csv")
    found, _, opened = examples(tmp_path / "d")
    assert len(found) == 9
    secret = str((tmp_path / "secret.csv").resolve())
    assert opened.told == [f"1 files are links that lead out of {tmp_path}/d, and are read: 'b.csv' to {secret!r}"]


PACKED: dict[str, Callable[[str, bytes], Files]] = {
    "gz": lambda name, data: {f"{name}.gz": gzip.compress(data)},
    "bz2": lambda name, data: {f"{name}.bz2": bz2.compress(data)},
    "xz": lambda name, data: {f"{name}.xz": lzma.compress(data)},
    "zst": lambda name, data: {f"{name}.zst": zstd(data)},
    "zip": lambda name, data: {"d.zip": zipped({f"d/{name}": data})},
    "tar": lambda name, data: {"d.tar": tarred({f"d/{name}": data})},
    "tar.xz": lambda name, data: {"d.tar.xz": lzma.compress(tarred({f"d/{name}": data}))},
    "zip of zst": lambda name, data: {"d.zip": zipped({f"{name}.zst": zstd(data)})},
}
FORMATS = ("csv", "tsv without quoting", "json lines", "json array in a line", "parquet", "arrow", "feather", "excel",
           "fastText by name", "xml")  # fmt: skip


@pytest.mark.parametrize("packing", PACKED)
def test_every_format_may_be_packed_in_every_way(packing: str, tmp_path: Path) -> None:
    for case in FORMATS:
        (name, content), *_ = WHOLE[case].items()
        if (packing, case) in [("zip", "xml"), ("tar", "xml"), ("tar.xz", "xml"), ("zip of zst", "xml")]:
            continue  # in an archive it may be anything's settings
        data = content.encode() if isinstance(content, str) else content
        found, rejected, _ = examples(write(tmp_path / case, PACKED[packing](name, data)))
        assert ([(one.inputs[0], one.label) for one in found], rejected) == (TEXTS, []), case


@pytest.mark.parametrize("packing", ["", *PACKED])
def test_damage_anywhere_ends_in_a_sentence_or_in_a_reject(packing: str, tmp_path: Path) -> None:
    draw = random.Random(7)
    for case in FORMATS:
        (name, content), *_ = WHOLE[case].items()
        data = content.encode() if isinstance(content, str) else content
        ((name, packed),) = (PACKED[packing](name, data) if packing else {name: data}).items()
        for _ in range(8):
            damaged = bytearray(packed)  # type: ignore[arg-type]
            for _ in range(3):
                damaged[draw.randrange(len(damaged))] = draw.randrange(256)
            with contextlib.suppress(InputError):
                examples(write(tmp_path, {name: bytes(damaged)}) / name)


def test_links_are_followed_but_not_in_a_circle(tmp_path: Path) -> None:
    write(tmp_path / "elsewhere", {"d.csv": CSV})
    (tmp_path / "d").mkdir()
    (tmp_path / "d/linked").symlink_to(tmp_path / "elsewhere")
    (tmp_path / "d/circle").symlink_to(tmp_path / "d")
    assert len(examples(tmp_path / "d")[0]) == 3
