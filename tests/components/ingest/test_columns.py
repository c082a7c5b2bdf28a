"""Ingest works by columns: what it does to many rows at once is what is done to one."""

from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from components.ingest import shards
from components.ingest.shards import ShardWriter
from components.shared.sources.buckets import Buckets, Example, columns_of
from components.shared.sources.checked import gathered
from components.shared.sources.identity import identity
from components.shared.sources.source import Source, SourceSettings
from components.shared.tasks.classification.target import Classes

TEXTS = [
    ("a", "spam", ""),
    ("b", "ham", ""),
    ("a", "spam", ""),
    ("c", "spam", ""),
    ("c", "ham", ""),
    ("b", "ham", "test"),
]


def example(number: int, text: str, label: str, split: str) -> Example:
    return Example(identity([text]), split, label, f"data.csv:{number}", "data.csv", (text,))


def buckets(folder: Path, bits: int) -> Buckets:
    found = Buckets(folder, [pa.string()], 0, bits, Classes())
    for number, told in enumerate(TEXTS):
        found.add(columns_of([example(number, *told)]))
    return found


@pytest.mark.parametrize("bits", [0, 8])
def test_a_bucket_keeps_of_each_input_what_has_precedence(tmp_path: Path, bits: int) -> None:
    kept, groups = {}, 0
    found = buckets(tmp_path, bits)
    for bucket in map(found.open, found.paths()):
        places = [
            f"{place}:{line}"
            for place, line in zip(*(bucket.column(name).to_pylist() for name in ("place", "line")), strict=True)
        ]
        for number in range(len(bucket.sizes)):
            rows = bucket.examples(number)
            kept[rows[0].inputs[0]] = places[bucket.kept[number]] if bucket.kept[number] >= 0 else None
        groups += len(bucket.sizes)
    assert groups == 3
    assert kept == {"a": "data.csv:0", "b": "data.csv:5", "c": None}  # the first, the test's, and neither of two labels


@pytest.mark.parametrize("bits", [0, 3])
def test_groups_come_sorted_and_in_the_order_of_the_rows(tmp_path: Path, bits: int) -> None:
    found = list(buckets(tmp_path, bits).groups())
    assert [group[0].id for group in found] == sorted({identity([text]) for text, _, _ in TEXTS})
    assert all([row.place for row in group] == sorted(row.place for row in group) for group in found)


def test_rows_that_are_checked_at_once_are_those_that_are_checked_one_by_one(tmp_path: Path) -> None:
    lines = ["text,label", "one,a", ",a", "two,b", "zwölf,a", "three,", 'four,"b "', "five,a,more", "\ufeff,b", "  ,a"]
    (tmp_path / "data.csv").write_bytes("\n".join(lines).encode() + b"\nbad \xff,a\n")
    source = Source(SourceSettings(str(tmp_path / "data.csv"), ["text"], "label"))
    files = source.files()
    (many,) = source.checked(files)
    (one,) = gathered(source.examples(files))
    assert (many.read, list(many.refused)) == (one.read, list(one.refused))
    assert many.read == 10
    assert len(many.refused) == 5
    assert [plain(column) for column in many.examples] == [plain(column) for column in one.examples]


def test_where_a_shards_groups_end_depends_on_its_examples_alone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(shards, "GROUP_ROWS", 5)
    monkeypatch.setattr(shards, "GROUP_BYTES", 30)
    monkeypatch.setattr(shards, "SHARD_ROWS", 10)
    texts = np.array([f"{'long ' * 6 * (number % 7 == 0)}{number}" for number in range(40)], object)
    sizes = np.array([len(text) for text in texts])

    def read(rows: np.ndarray) -> list[pa.Array]:
        return [pa.array(column[rows], pa.string()) for column in (texts, texts, texts)]

    written = []
    for step in (1, 7, 40):
        folder = tmp_path / str(step)
        folder.mkdir()
        with ShardWriter(folder, "train", [pa.string()], 0, pa.string()) as writer:
            for start in range(0, 40, step):
                rows = np.arange(start, min(40, start + step))
                writer.add(rows, sizes[rows], read)
        written.append([path.read_bytes() for path in sorted(folder.iterdir())])
    assert written[0] == written[1] == written[2]
    first = pq.ParquetFile(tmp_path / "40" / "train-00000.parquet").metadata
    assert [first.row_group(number).num_rows for number in range(first.num_row_groups)] == [1, 5, 2, 5]


def plain(column: object) -> list[object]:
    return column.to_pylist() if isinstance(column, pa.Array) else list(column)  # type: ignore[call-overload, no-any-return]
