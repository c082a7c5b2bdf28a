"""Many rows are checked as one is: with labels, slices, groups and times."""

import csv
import json
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from components.shared.errors import InputError
from components.shared.sources.checked import Checked, gathered
from components.shared.sources.source import Source, SourceSettings

LONG = "x" * 2000
ROWS: list[dict[str, Any]] = [
    {"text": "one", "label": "a", "who": "u1", "when": "2026-01-01", "where": "x"},
    {"text": "", "label": "a", "who": "u1", "when": "2026-01-01", "where": "x"},
    {"text": " \u2003", "label": "a", "who": "u1", "when": "2026-01-01", "where": "x"},
    {"text": "two", "label": "", "who": "u1", "when": "2026-01-01", "where": "x"},
    {"text": "three", "label": LONG, "who": "u1", "when": "2026-01-01", "where": "x"},
    {"text": "\u00a0four", "label": " b ", "who": "", "when": "2026-01-02T10:00", "where": ""},
    {"text": "fünf", "label": "b", "who": LONG, "when": "2026-01-02", "where": "y"},
    {"text": "六", "label": "b", "who": "u2", "when": "yesterday", "where": "y"},
    {"text": "seven", "label": "b", "who": "u2", "when": "", "where": LONG},
    {"text": "y" * 150, "label": "b", "who": "u2", "when": "2026-01-03", "where": "y"},
    {"text": "ä" * 60, "label": "b", "who": "u2", "when": "2026-01-03", "where": "1.0"},
]


def write(path: Path) -> Path:
    if path.suffix == ".parquet":
        pq.write_table(pa.Table.from_pylist(ROWS), path)
    elif path.suffix == ".jsonl":
        path.write_text("\n".join(map(json.dumps, ROWS)))
    else:
        with path.open("w", newline="") as file:
            rows = csv.DictWriter(file, list(ROWS[0]))
            rows.writeheader()
            rows.writerows(ROWS)
    return path


def plain(checked: Checked) -> list[list[Any]]:
    return [column.to_pylist() if isinstance(column, pa.Array) else list(column) for column in checked.examples]


@pytest.mark.parametrize("told", [{}, {"slices": ["where"], "group": "who", "time": "when"}])
@pytest.mark.parametrize("suffix", ["csv", "jsonl", "parquet"])
def test_as_one_by_one(tmp_path: Path, suffix: str, told: dict[str, Any]) -> None:
    settings = SourceSettings(str(write(tmp_path / f"d.{suffix}")), ["text"], "label", max_characters=100, **told)
    source = Source(settings)
    files = source.files()
    (many,) = source.checked(files)
    (one,) = gathered(source.examples(files))
    assert (many.read, many.labels, list(many.refused)) == (one.read, one.labels, list(one.refused))
    assert many.read == len(ROWS)
    assert len(many.refused) == (8 if told else 5)
    assert plain(many) == plain(one)


def test_several_labels_in_a_row_are_told_with_their_place(tmp_path: Path) -> None:
    (tmp_path / "d.csv").write_text('text,label\none,a\n,"[""a"", ""b""]"\ntwo,"[""a"", ""c""]"\n')
    source = Source(SourceSettings(str(tmp_path / "d.csv"), ["text"], "label"))
    with pytest.raises(InputError, match=r"d.csv:4: the label column 'label' holds several labels"):
        list(source.checked(source.files()))


def test_dates_and_numbers_are_not_mixed(tmp_path: Path) -> None:
    (tmp_path / "d.csv").write_text("text,label,when\none,a,2026-01-01\ntwo,b,2026-01-01\nthree,b,17\n")
    source = Source(SourceSettings(str(tmp_path / "d.csv"), ["text"], "label", time="when"))
    with pytest.raises(InputError, match=r"d.csv:4: the column 'when' holds both dates and numbers \('17'"):
        list(source.checked(source.files()))
