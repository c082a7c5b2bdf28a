"""What Arrow makes of plain text is what Python makes of it, line by line; anything else is left to Python."""

import random
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest

from components.shared.errors import InputError
from components.shared.sources import quick, text
from components.shared.sources.quick import parse_delimited, parse_objects
from components.shared.sources.readers import delimited, objects
from components.shared.sources.rows import Row, read_rows
from components.shared.storage.storage import list_files

CSV = [
    "a",
    "b",
    "x y",
    ",",
    ",",
    ",",
    "\n",
    "\n",
    "\r\n",
    '"',
    '"',
    '""',
    '"a,b"',
    '"two\nlines"',
    "é",
    "\r",
    "\0",
    " ",
]
JSON = [
    '{"text": "a", "label": "x"}', '{"label": "y", "text": "b\\u00e9\\ud83d\\ude00"}', '{"text": "c"}',
    '{"text": null, "label": "x"}', '{"text": "d", "label": "x", "more": [1, {"deep": {}}], "label2": 1e5}',
    '{"text": "e", "label": "x"} ', ' {"text": "f", "label": "x"}', '{"text": 1, "label": "x"}', "", "  ", "[1]",
    '{"text": "g", "label": "x"}{"text": "h", "label": "x"}', '{"text": "i",', '"label": "x"}', '{"text": "\\ud800"}',
    '{"text": "\\udc00", "label": "x"}', '{"text": "j", "text": "k", "label": "x"}', '{"text": "l", "label": NaN}',
    '{"text": "m", "label": ["x"]}', '{"text": "n", "label": {"x": 1}}', '{"text": "o\tp", "label": "x"}',
    '{"text": "q", "label": true}', '{"text": "\\u0000", "label": "x"}', "\r", '{"text": "r", "label": "x",}',
    '{"text": "s", "accept": ["x"], "options": [], "label": "x"}', "{}", '{"text": "\x7f", "label": "\\/x"}',
    '{"text": "\\x", "label": "x"}', "{'text': 't', 'label': 'x'}", '{"text": "u", "label": "x"}\0',
]  # fmt: skip


def rows(path: Path) -> list[Row] | str:
    """The rows, or why there are none."""
    try:
        return list(read_rows(list_files(str(path)), ["text", "label"], {}))
    except InputError as error:
        return str(error)


def slowly(path: Path, monkeypatch: pytest.MonkeyPatch) -> list[Row] | str:
    """The rows, read by Python alone."""
    with monkeypatch.context() as patch:
        patch.setattr(delimited, "parse_delimited", lambda *_: None)
        patch.setattr(objects, "parse_objects", lambda *_: None)
        return rows(path)


@pytest.fixture
def parsed(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """How many rows Arrow parsed, time after time; blocks are small, as those of a file of gigabytes are."""
    counts = []

    def counting(parse: Any) -> Any:
        def counted(*arguments: Any) -> Any:
            found = parse(*arguments)
            counts.append(len(found.lines) if found else 0)
            return found

        return counted

    monkeypatch.setattr(text, "_BLOCK", 40)
    monkeypatch.setattr(objects, "_PEEK", 1)
    monkeypatch.setattr(delimited, "parse_delimited", counting(quick.parse_delimited))
    monkeypatch.setattr(objects, "parse_objects", counting(quick.parse_objects))
    return counts


def test_delimited_text_of_any_kind(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, parsed: list[int]) -> None:
    draw, path = random.Random(0), tmp_path / "d.csv"
    for number in range(120):
        texts = ["word", "two words", '"a, b"', 'a "b" c'] if number % 3 else ["".join(draw.choices(CSV, k=3))]
        lines = [f"{draw.choice(texts)},{draw.choice('ab')}\n" for _ in range(draw.randint(1, 60))]
        some = draw.sample(range(len(lines)), k=min(len(lines), number % 4))
        for at in some:
            lines[at] = "".join(draw.choices(CSV, k=draw.randint(0, 8))) + "\n" * draw.randint(0, 2)
        path.write_bytes(b"text,label\n" + "".join(lines).encode() + b"bad \xff,a\n" * (number % 7 == 0) + b"end,a")
        assert rows(path) == slowly(path, monkeypatch), path.read_bytes()
    assert sum(parsed) > 500


def test_json_lines_of_any_kind(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, parsed: list[int]) -> None:
    draw, path = random.Random(0), tmp_path / "d.jsonl"
    for number in range(120):
        lines = draw.choices(JSON[: 5 if number % 2 else len(JSON)], k=draw.randint(1, 30))
        path.write_text("\n".join([JSON[0], *lines]), newline="")
        assert rows(path) == slowly(path, monkeypatch), lines
    assert sum(parsed) > 200


def test_numbers_for_labels(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, parsed: list[int]) -> None:
    path = tmp_path / "d.jsonl"
    lines = ['{"text": "a", "label": %s}' % value for value in [1, 2, 3, 10**18, -4, 0, 5, 2.0, 10**30, "null", 7]]  # noqa: UP031
    path.write_text("\n".join(lines * 20))
    assert rows(path) == slowly(path, monkeypatch)
    assert sum(parsed) > 20


def test_a_field_of_several_lines_is_one_row_at_its_last_line() -> None:
    found = parse_delimited('one,a\n"two\n\nlines",b\n\nthree,c\n', ",", '"', 2, [0, 1])
    assert found is not None
    assert (found.lines.tolist(), found.length, found.spread.tolist()) == ([0, 3, 5], 6, [1])
    assert found.columns[0].to_pylist() == ["one", "two\n\nlines", "three"]


@pytest.mark.parametrize("odd", ['a "quoted,b\n', "a\n", "a,b,c\n", '"open,b\n', "a\rb,c\n", "\0\na,b\n", "\udcff,b\n"])
def test_what_is_not_plain_is_left_to_python(odd: str) -> None:
    assert parse_delimited(f"one,a\n{odd}", ",", '"', 2, [0, 1]) is None


def test_an_object_nested_ten_thousand_deep_is_left_to_python() -> None:
    deep = '{"text": "a", "more": ' + "[" * 10_000 + "]" * 10_000 + "}\n"
    assert parse_objects(deep, {"text": pa.string()}) is None
