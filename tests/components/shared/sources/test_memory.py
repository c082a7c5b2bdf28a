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

MAY_TAKE = {"Parquet": 180}  # MiB; of Parquet whole groups of rows, and what malloc keeps of them, are held
SIZES = {"Parquet": 800, "Excel": 160}  # MiB of text

READ = """
import resource, sys
from components.shared.sources.readers import Dialect, readers
from components.shared.sources.rows import read_rows
from components.shared.storage import list_files
import openpyxl, pyarrow.parquet, pyarrow.feather

pyarrow.set_cpu_count(1)  # the stack of each thread would count
pyarrow.set_io_thread_count(1)
readers()
held = int(next(line for line in open("/proc/self/status") if line.startswith("VmData")).split()[1]) << 10
resource.setrlimit(resource.RLIMIT_DATA, (held + int(sys.argv[2]),) * 2)
rows = read_rows(list_files(sys.argv[1]), ["text", "label"], {})
faults = [row.fault for row in rows]
print(len(faults), sum(fault is not None for fault in faults), sep=",")
"""


def texts(name: str) -> Iterator[tuple[str, str]]:
    """Rows of 30,000 characters, none like the other."""
    for number in range(rows_of(name)):
        yield f"{number} " + "word " * 6_000, "ab"[number % 2]


def rows_of(name: str) -> int:
    return (SIZES.get(name, 240) << 20) // 30_000


def write_arrow(path: Path, name: str, make: Callable[..., Any]) -> None:
    schema = pa.schema([("text", pa.string()), ("label", pa.string())])
    rows = texts(name)
    with make(path, schema) as writer:
        while some := list(itertools.islice(rows, 500)):
            columns = zip(*some, strict=True)
            writer.write_batch(pa.record_batch([pa.array(column) for column in columns], schema=schema))


def write_csv(path: Path) -> None:
    with path.open("w") as file:
        file.write("text,label\n")
        file.writelines(f"{text},{label}\n" for text, label in texts("CSV"))


def write_json(path: Path) -> None:
    """One array in one line."""
    with path.open("w") as file:
        file.write("[")
        for text, label in texts("JSON"):
            file.write(json.dumps({"text": text, "label": label}) + ", ")
        file.write('{"text": "last", "label": "a"}]')


def write_excel(path: Path) -> None:
    book = openpyxl.Workbook(write_only=True)
    sheet = book.create_sheet("data")
    sheet.append(["text", "label"])
    for row in texts("Excel"):
        sheet.append(row)
    book.save(path)


def write_lines(path: Path, line: str, begin: str = "", end: str = "") -> None:
    with path.open("w") as file:
        file.write(begin)
        file.writelines(line.format(text, label) for text, label in texts("lines"))
        file.write(end)


WRITERS: dict[str, Callable[[Path], None]] = {
    "CSV": write_csv,
    "JSON": write_json,
    "Parquet": lambda path: write_arrow(path, "Parquet", pq.ParquetWriter),
    "Arrow": lambda path: write_arrow(path, "Arrow", lambda path, schema: pa.ipc.new_file(str(path), schema)),
    "Excel": write_excel,
    "fastText": lambda path: write_lines(path, "__label__{1} {0}\n"),
    "XML": lambda path: write_lines(
        path, "<row><text>{}</text><label>{}</label></row>", "<?xml version='1.0'?><data>", "</data>"
    ),
}


def read(path: Path, may_take: int = 80) -> tuple[int, int]:
    """Rows and faults."""
    command = [sys.executable, "-c", READ, str(path), str(may_take << 20)]
    plain = {**os.environ, "ARROW_DEFAULT_MEMORY_POOL": "system", "MALLOC_ARENA_MAX": "1"}  # no reserves
    done = subprocess.run(command, capture_output=True, text=True, check=False, env=plain)
    assert done.returncode == 0, done.stderr[-600:]
    rows, faults = done.stdout.split(",")
    return int(rows), int(faults)


@pytest.mark.parametrize("name", [reader.name for reader in readers()])
def test_a_file_larger_than_memory(name: str, tmp_path: Path) -> None:
    reader = next(reader for reader in readers() if reader.name == name)
    path = tmp_path / f"d{reader.suffixes[0]}"
    WRITERS[name](path)
    rows, faults = read(path, MAY_TAKE.get(name, 80))
    assert rows in (rows_of(name), rows_of(name) + 1)
    assert not faults


@pytest.mark.parametrize("name", ["d.csv", "d.jsonl"])
def test_a_line_larger_than_memory(name: str, tmp_path: Path) -> None:
    begin, end = ("text,label\n", "\nlast,a\n") if name == "d.csv" else ('{"text": "x", "label": "a"}\n{"', '"}\n')
    with (tmp_path / name).open("w") as file:
        file.write(begin)
        for _ in range(240):
            file.write("x" * (1 << 20))
        file.write(end)
    assert read(tmp_path / name) == (2, 1)
