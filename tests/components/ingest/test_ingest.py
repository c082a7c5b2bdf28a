import csv
import gzip
import json
import random
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from components.ingest.ingest import IngestSettings, ingest
from components.shared.artifacts.artifact import open_artifact
from components.shared.artifacts.snapshot import SPLITS, read_batches
from components.shared.errors import InputError
from tests.conftest import write_csv

WORDS = ["ash", "birch", "cedar", "elm", "fir", "hazel", "larch", "maple", "oak", "pine"]


def rows(count: int, seed: int = 0) -> list[dict[str, Any]]:
    """Distinct texts of two classes."""
    draw = random.Random(seed)
    return [
        {"text": f"{' '.join(draw.sample(WORDS, 4))} {seed} {number}", "label": "ab"[number % 2]}
        for number in range(count)
    ]


def write_jsonl(path: Path, content: list[dict[str, Any]]) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("".join(json.dumps(row) + "\n" for row in content), "utf-8")
    return path


def run(source: Path, snapshot: Path, **settings: Any) -> Any:
    return ingest(snapshot, IngestSettings(str(source), ["text"], "label", **settings))


def read(snapshot: Path) -> dict[str, dict[str, str]]:
    """Label by text, for each split."""
    artifact = open_artifact(snapshot, "snapshot")
    found: dict[str, dict[str, str]] = {}
    for split in SPLITS:
        batches = [batch.to_pydict() for batch in read_batches(artifact, split)]
        found[split] = {t: label for b in batches for t, label in zip(b["input_1"], b["label"], strict=True)}
    return found


def rejects(snapshot: Path) -> list[dict[str, str]]:
    with (snapshot / "notes/rejects.csv").open(encoding="utf-8-sig", newline="") as file:
        return list(csv.DictReader(file))


def test_every_format_gives_the_same_snapshot(tmp_path: Path) -> None:
    content = rows(300)
    write_csv(tmp_path / "csv/data.csv", content)
    write_jsonl(tmp_path / "jsonl/data.jsonl", content[::-1])
    (tmp_path / "parquet").mkdir()
    pq.write_table(pa.Table.from_pylist(content[:100]), tmp_path / "parquet/a.parquet")
    pq.write_table(pa.Table.from_pylist(content[100:]), tmp_path / "parquet/b.parquet")
    (tmp_path / "gzip").mkdir()
    with gzip.open(tmp_path / "gzip/x.csv.gz", "wb") as file:
        file.write((tmp_path / "csv/data.csv").read_bytes())
    formats = ["csv", "jsonl", "parquet", "gzip"]
    digests = {name: run(tmp_path / name, tmp_path / f"snapshot-{name}").digest for name in formats}
    assert len(set(digests.values())) == 1
    assert sum(len(part) for part in read(tmp_path / "snapshot-csv").values()) == 300


def test_an_example_stays_in_its_split_as_data_is_added(tmp_path: Path) -> None:
    write_csv(tmp_path / "old/a.csv", rows(300))
    write_csv(tmp_path / "new/a.csv", rows(300) + rows(300, seed=1))
    run(tmp_path / "old", tmp_path / "s1")
    run(tmp_path / "new", tmp_path / "s2")
    old, new = read(tmp_path / "s1"), read(tmp_path / "s2")
    for split in SPLITS:
        assert old[split].items() <= new[split].items()
    assert 30 < len(new["test"]) < 90
    assert 30 < len(new["validation"]) < 90


def test_given_splits_are_kept_and_the_missing_one_comes_out_of_training(tmp_path: Path) -> None:
    write_csv(tmp_path / "d/train.csv", rows(300))
    write_csv(tmp_path / "d/test.csv", rows(50, seed=1))
    run(tmp_path / "d", tmp_path / "s")
    found = read(tmp_path / "s")
    assert set(found["test"]) == {row["text"] for row in rows(50, seed=1)}
    assert 15 < len(found["validation"]) < 50
    assert set(found["validation"]) | set(found["train"]) == {row["text"] for row in rows(300)}


def test_splits_can_be_given_another_meaning_and_lie_in_folders(tmp_path: Path) -> None:
    write_csv(tmp_path / "d/train/part-1.csv", rows(200))
    write_csv(tmp_path / "d/validation/part-1.csv", rows(50, seed=1))
    run(tmp_path / "d", tmp_path / "s", splits={"validation": "test"})
    assert set(read(tmp_path / "s")["test"]) == {row["text"] for row in rows(50, seed=1)}


@pytest.mark.case(16)
def test_rows_that_cannot_be_used_are_set_aside_with_their_reason(tmp_path: Path) -> None:
    good = rows(2000)
    path = write_csv(tmp_path / "d.csv", good)
    with path.open("ab") as file:
        file.write(b"   ,a\r\n")  # line 2002
        file.write(b"broken \xff\xfe bytes,a\r\n")
        file.write(b"no label,\r\n")
        file.write(b"too,many,fields\r\n")
        file.write(b"few\r\n")
        file.write("ä".encode() * 500 + b",a\r\n")
    report = run(path, tmp_path / "s", max_characters=400)
    assert report.rejected == {
        "empty input": 1,
        "invalid UTF-8": 1,
        "missing label": 1,
        "too many fields": 1,
        "too few fields": 1,
        "input longer than 400 characters": 1,
    }
    assert report.read == 2006
    assert rejects(tmp_path / "s")[0] == {
        "file": "d.csv",
        "line": "2002",
        "reason": "empty input",
        "text": "   ",
        "label": "a",
    }
    assert sum(len(part) for part in read(tmp_path / "s").values()) == 2000


@pytest.mark.case(10, 11)
def test_duplicates_contradictions_and_leaks(tmp_path: Path) -> None:
    train, test = rows(1000), rows(100, seed=1)
    contradiction = {**train[5], "label": "b" if train[5]["label"] == "a" else "a"}
    write_csv(tmp_path / "d/train.csv", [*train, train[0], train[0], contradiction, test[3]])
    write_csv(tmp_path / "d/test.csv", test)
    report = run(tmp_path / "d", tmp_path / "s")
    assert report.duplicates == 2
    assert report.rejected == {"same input with different labels": 2, "input stands in the test split too": 1}
    found = read(tmp_path / "s")
    assert test[3]["text"] in found["test"]
    assert test[3]["text"] not in found["train"]
    assert not any(train[5]["text"] in part for part in found.values())


@pytest.mark.case(16)
def test_too_many_rejects_end_the_step_and_leave_nothing(tmp_path: Path) -> None:
    path = write_csv(tmp_path / "d.csv", [*rows(100), *({"text": "", "label": "a"} for _ in range(5))])
    with pytest.raises(InputError, match=r"5 of 105 rows cannot be used \(4.8%; allowed: 1.0%\)(?s:.*)d.csv:102"):
        run(path, tmp_path / "s")
    assert not (tmp_path / "s").exists()
    assert run(path, tmp_path / "s", max_rejects=0.05).rejected == {"empty input": 5}


@pytest.mark.case(12)
def test_columns_that_were_exchanged_are_refused(tmp_path: Path) -> None:
    exchanged = [{"text": row["label"], "label": f"{row['text']} {n}"} for n, row in enumerate(rows(200))]
    path = write_csv(tmp_path / "d.csv", exchanged)
    with pytest.raises(InputError, match="The label column 'label' has 200 different values in 200 rows, such as"):
        run(path, tmp_path / "s")
    assert not (tmp_path / "s").exists()


@pytest.mark.case(12)
def test_known_labels_reject_others(tmp_path: Path) -> None:
    path = write_csv(tmp_path / "d.csv", [*rows(400), {"text": "typo", "label": "aa"}])
    assert run(path, tmp_path / "s", labels=["a", "b"]).rejected == {"unknown label": 1}


def test_whole_numbers_are_classes_whatever_their_type(tmp_path: Path) -> None:
    content = [{"text": row["text"], "label": float(number % 2)} for number, row in enumerate(rows(100))]
    run(write_jsonl(tmp_path / "d.jsonl", content), tmp_path / "s")
    assert open_artifact(tmp_path / "s", "snapshot").read_json("snapshot.json")["labels"] == ["0", "1"]


def test_memory_is_bounded_by_parting_the_examples(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = write_csv(tmp_path / "d.csv", [*rows(500), rows(500)[7]])
    whole = run(path, tmp_path / "whole")
    monkeypatch.setattr("components.shared.sources.source._BUCKET_BYTES", 1000)  # many buckets, and the same bytes
    parted = run(path, tmp_path / "parted")
    assert (parted.digest, parted.duplicates) == (whole.digest, 1)


class TestRefusals:
    """Bad input: the message names what is wrong, and nothing is left behind."""

    def refuse(self, tmp_path: Path, source: Path, message: str, **settings: Any) -> None:
        with pytest.raises(InputError, match=message):
            run(source, tmp_path / "s", **settings)
        assert not (tmp_path / "s").exists()

    def test_no_such_path(self, tmp_path: Path) -> None:
        self.refuse(tmp_path, tmp_path / "nowhere", "There is no file or folder")

    def test_folder_without_files(self, tmp_path: Path) -> None:
        (tmp_path / "d").mkdir()
        self.refuse(tmp_path, tmp_path / "d", "holds no data: found no file")

    def test_unknown_file_type(self, tmp_path: Path) -> None:
        (tmp_path / "d.docx").write_bytes(b"PK\0")
        self.refuse(tmp_path, tmp_path / "d.docx", r"found 'd.docx'. .docx is not read. Save it as text. Expected .csv")

    @pytest.mark.case(13)
    def test_empty_file(self, tmp_path: Path) -> None:
        (tmp_path / "d.csv").touch()
        self.refuse(tmp_path, tmp_path / "d.csv", "d.csv is empty")

    @pytest.mark.case(13)
    def test_only_a_header(self, tmp_path: Path) -> None:
        (tmp_path / "d.csv").write_text("text,label\n")
        self.refuse(tmp_path, tmp_path / "d.csv", "d.csv holds no rows")

    @pytest.mark.parametrize("suffix", ["csv", "jsonl", "parquet"])
    def test_unknown_column(self, tmp_path: Path, suffix: str) -> None:
        content = [{"txt": row["text"], "label": row["label"]} for row in rows(10)]
        path = tmp_path / f"d.{suffix}"
        if suffix == "parquet":
            pq.write_table(pa.Table.from_pylist(content), path)
        else:
            {"csv": write_csv, "jsonl": write_jsonl}[suffix](path, content)
        self.refuse(tmp_path, path, "no column 'text'; it has 'txt', 'label'. Did you mean 'txt'")

    def test_truncated_gzip(self, tmp_path: Path) -> None:
        whole = gzip.compress(write_csv(tmp_path / "d.csv", rows(5000)).read_bytes())
        (tmp_path / "d.csv.gz").write_bytes(whole[: len(whole) // 2])
        self.refuse(tmp_path, tmp_path / "d.csv.gz", r"damaged or truncated gzip file \(it broke off: ")

    def test_damaged_parquet(self, tmp_path: Path) -> None:
        (tmp_path / "d.parquet").write_bytes(b"PAR1 and no more")
        self.refuse(tmp_path, tmp_path / "d.parquet", "no readable Parquet file")

    def test_label_column_full_of_floats(self, tmp_path: Path) -> None:
        content = [{"text": row["text"], "label": f"{number / 7:.3f}"} for number, row in enumerate(rows(200))]
        path = write_csv(tmp_path / "d.csv", content)
        self.refuse(tmp_path, path, r"holds numbers such as \d+\.\d+ \(200 different ones\)")

    @pytest.mark.case(13)
    def test_one_class(self, tmp_path: Path) -> None:
        path = write_csv(tmp_path / "d.csv", [{**row, "label": "a"} for row in rows(100)])
        self.refuse(tmp_path, path, r"has 1 class \('a'\); at least two")

    @pytest.mark.case(13)
    def test_class_without_training_example(self, tmp_path: Path) -> None:
        write_csv(tmp_path / "d/train.csv", rows(200))
        write_csv(tmp_path / "d/test.csv", [*rows(50, seed=1), {"text": "new", "label": "c"}])
        self.refuse(tmp_path, tmp_path / "d", "1 of 3 classes have no training example: 'c'")

    def test_mixed_splits(self, tmp_path: Path) -> None:
        write_csv(tmp_path / "d/train.csv", rows(10))
        write_csv(tmp_path / "d/more.csv", rows(10, seed=1))
        self.refuse(tmp_path, tmp_path / "d", "mixes given splits")

    def test_quote_that_is_never_closed(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr("components.shared.sources.readers.delimited._FIELD_LIMIT", 1000)
        path = write_csv(tmp_path / "d.csv", rows(200))
        path.write_text(path.read_text().replace("text,label\n", 'text,label\n"open'))
        self.refuse(tmp_path, path, "Is a quote never closed")

    @pytest.mark.case(16)
    def test_a_text_of_a_million_characters_is_rejected_alone(self, tmp_path: Path) -> None:
        path = write_csv(tmp_path / "d.csv", [*rows(200), {"text": "x" * 1_000_000, "label": "a"}])
        assert run(path, tmp_path / "s").rejected == {"input longer than 100000 characters": 1}
        assert len(rejects(tmp_path / "s")[0]["text"]) == 32_000  # what a spreadsheet takes

    def test_wrong_number_of_inputs(self, tmp_path: Path) -> None:
        path = write_csv(tmp_path / "d.csv", rows(10))
        with pytest.raises(InputError, match="takes 1 or 2 input columns; data.inputs names 3"):
            ingest(tmp_path / "s", IngestSettings(str(path), ["a", "b", "c"], "label"))
