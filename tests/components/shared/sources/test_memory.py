"""Each reader reads a file several times larger than the memory that it may take."""

import itertools
import json
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import openpyxl
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from components.shared.sources.readers import readers

pytestmark = pytest.mark.faults  # half a gigabyte, written and read

MAY_TAKE = 32  # MiB, beyond what the first rows took
SIZE = 48  # MiB of text

READ = """
import json, resource, sys
import pyarrow
from components.shared.sources.rows import read_rows
from components.shared.storage.storage import list_files

pyarrow.set_cpu_count(1)  # the stack of each thread would count
pyarrow.set_io_thread_count(1)
columns = json.loads(sys.argv[3])
next(read_rows(list_files(sys.argv[1]), columns, {}))  # what is imported, and stacks of threads
held = int(next(line for line in open("/proc/self/status") if line.startswith("VmData")).split()[1]) << 10
resource.setrlimit(resource.RLIMIT_DATA, (held + int(sys.argv[2]),) * 2)
rows = read_rows(list_files(sys.argv[1]), columns, {})
rows = list(rows) if sys.argv[4:] else rows
faults = [row.fault for row in rows]
print(len(faults), sum(fault is not None for fault in faults), sep=",")
"""


ROWS = (SIZE << 20) // 30_000


def texts() -> Iterator[tuple[str, str]]:
    """Rows of 30,000 characters, none like the other."""
    for number in range(ROWS):
        yield f"{number} " + "word " * 6_000, "ab"[number % 2]


def write_arrow(path: Path, make: Callable[..., Any]) -> None:
    schema = pa.schema([("text", pa.string()), ("label", pa.string())])
    rows = texts()
    with make(path, schema) as writer:
        while some := list(itertools.islice(rows, 100)):
            columns = zip(*some, strict=True)
            writer.write_batch(pa.record_batch([pa.array(column) for column in columns], schema=schema))


def write_csv(path: Path) -> None:
    with path.open("w") as file:
        file.write("text,label\n")
        file.writelines(f"{text},{label}\n" for text, label in texts())


def write_json(path: Path) -> None:
    """One array in one line."""
    with path.open("w") as file:
        file.write("[")
        for text, label in texts():
            file.write(json.dumps({"text": text, "label": label}) + ", ")
        file.write('{"text": "last", "label": "a"}]')


def write_excel(path: Path) -> None:
    book = openpyxl.Workbook(write_only=True)
    sheet = book.create_sheet("data")
    sheet.append(["text", "label"])
    for row in texts():
        sheet.append(row)
    book.save(path)


def write_conll(path: Path) -> None:
    """A word a line, each text a sentence."""
    with path.open("w") as file:
        for text, label in texts():
            file.writelines(f"{word} B-{label}\n" for word in text.split())
            file.write("\n")


def write_lines(path: Path, line: str, begin: str = "", end: str = "") -> None:
    with path.open("w") as file:
        file.write(begin)
        file.writelines(line.format(text, label) for text, label in texts())
        file.write(end)


WRITERS: dict[str, Callable[[Path], None]] = {
    "CSV": write_csv,
    "JSON": write_json,
    "Parquet": lambda path: write_arrow(path, pq.ParquetWriter),
    "Arrow": lambda path: write_arrow(path, lambda path, schema: pa.ipc.new_file(str(path), schema)),
    "Excel": write_excel,
    "CoNLL": write_conll,
    "fastText": lambda path: write_lines(path, "__label__{1} {0}\n"),
    "XML": lambda path: write_lines(
        path, "<row><text>{}</text><label>{}</label></row>", "<?xml version='1.0'?><data>", "</data>"
    ),
}
COLUMNS = {".conll": ["tokens", "ner_tags"]}


def run(path: Path, *held: str) -> subprocess.CompletedProcess[str]:
    """Reads a file in a process that may take `MAY_TAKE`."""
    columns = json.dumps(COLUMNS.get(path.suffix, ["text", "label"]))
    command = [sys.executable, "-c", READ, str(path), str(MAY_TAKE << 20), columns, *held]
    plain = {**os.environ, "ARROW_DEFAULT_MEMORY_POOL": "system", "MALLOC_ARENA_MAX": "1"}  # no reserves
    return subprocess.run(command, capture_output=True, text=True, check=False, env=plain)


def read(path: Path) -> tuple[int, int]:
    """Rows and faults."""
    done = run(path)
    assert done.returncode == 0, done.stderr[-600:]
    rows, faults = done.stdout.split(",")
    return int(rows), int(faults)


@pytest.mark.parametrize("name", [reader.name for reader in readers()])
@pytest.mark.case(16, 19)
def test_a_file_larger_than_memory(name: str, tmp_path: Path) -> None:
    reader = next(reader for reader in readers() if reader.name == name)
    path = tmp_path / f"d{reader.suffixes[0]}"
    WRITERS[name](path)
    rows, faults = read(path)
    assert rows in (ROWS, ROWS + 1)
    assert not faults


def test_who_holds_all_rows_has_too_little(tmp_path: Path) -> None:
    write_csv(tmp_path / "d.csv")
    assert "MemoryError" in run(tmp_path / "d.csv", "held").stderr


@pytest.mark.parametrize("name", ["d.csv", "d.jsonl"])
@pytest.mark.case(16)
def test_a_line_larger_than_memory(name: str, tmp_path: Path) -> None:
    begin, end = ("text,label\n", "\nlast,a\n") if name == "d.csv" else ('{"text": "x", "label": "a"}\n{"', '"}\n')
    with (tmp_path / name).open("w") as file:
        file.write(begin)
        for _ in range(SIZE):
            file.write("x" * (1 << 20))
        file.write(end)
    assert read(tmp_path / name) == (2, 1)
