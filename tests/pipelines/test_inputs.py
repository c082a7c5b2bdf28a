"""What `graft predict` takes: texts or a file of rows for a text model; image files, folders, Parquet for the other."""

import json
import os
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from components.shared import tasks
from components.shared.errors import InputError
from pipelines.command.cli import main
from pipelines.command.inputs import Input, read_inputs
from tests.components.register.image_models import picture, write_image_model

SHADES = {"a.png": 30, "b.jpg": 220, "c": 60}  # what a file holds decides, not its name


@pytest.fixture(scope="module")
def image_model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_image_model(tmp_path_factory.mktemp("image") / "model")


@pytest.fixture
def pictures(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder `pictures` in the working directory."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "pictures").mkdir()
    for name, shade in SHADES.items():
        (tmp_path / "pictures" / name).write_bytes(picture(shade, "JPEG" if name == "b.jpg" else "PNG"))
    return tmp_path / "pictures"


def images(*given: object) -> list[Input]:
    batches = read_inputs([str(source) for source in given], ["image"], pa.binary())
    return [item for batch in batches for item in batch]


def texts(*given: object, columns: tuple[str, ...] = ("text",)) -> list[Input]:
    batches = read_inputs([str(source) for source in given], list(columns), pa.string())
    return [item for batch in batches for item in batch]


def predicted(capsys: pytest.CaptureFixture[str], *arguments: object) -> list[dict[str, Any]]:
    assert main(["predict", *map(str, arguments)]) == 0
    return [json.loads(line) for line in capsys.readouterr().out.splitlines()]


@pytest.mark.usefixtures("pictures")
def test_image_files_are_predicted_in_order(image_model: Path, capsys: pytest.CaptureFixture[str]) -> None:
    rows = predicted(capsys, image_model, "pictures/b.jpg", "pictures/a.png")
    assert [(row["input"], row["label"]) for row in rows] == [("pictures/b.jpg", "light"), ("pictures/a.png", "dark")]
    assert rows[0]["confidence"] == rows[0]["probabilities"]["light"] > 0.5


@pytest.mark.usefixtures("pictures")
def test_a_folder_of_images(image_model: Path, capsys: pytest.CaptureFixture[str]) -> None:
    rows = predicted(capsys, image_model, "pictures")
    assert [(Path(row["input"]).name, row["label"]) for row in rows] == [
        ("a.png", "dark"),
        ("b.jpg", "light"),
        ("c", "dark"),
    ]


def test_parquet_with_a_column_of_images(pictures: Path, image_model: Path, capsys: pytest.CaptureFixture[str]) -> None:
    column = [file.read_bytes() for file in sorted(pictures.iterdir())]
    pq.write_table(pa.table({"number": [1, 2, 3], "image": column}), "rows.parquet")
    rows = predicted(capsys, image_model, "rows.parquet", "pictures/b.jpg")
    assert [row["label"] for row in rows] == ["dark", "light", "dark", "light"]
    assert [row["input"] for row in rows] == [*(f"rows.parquet:{n}" for n in (1, 2, 3)), "pictures/b.jpg"]


def test_parquet_as_hugging_face_writes_it(tmp_path: Path) -> None:
    table = pa.table({"image": [{"bytes": picture(30), "path": "a.png"}]})
    pq.write_table(table, tmp_path / "rows.parquet")
    assert images(tmp_path / "rows.parquet") == [Input((picture(30),), "rows.parquet:1")]


def test_a_name_that_is_no_utf8(tmp_path: Path) -> None:
    (tmp_path / os.fsdecode(b"caf\xe9.png")).write_bytes(picture(30))
    (item,) = images(tmp_path)
    assert item.place == str(tmp_path / "caf?.png")


def test_images_in_s3(s3: Any, pictures: Path) -> None:
    for file in pictures.iterdir():
        s3.upload_file(str(file), "bucket", f"new/{file.name}")
    found = images("s3://bucket/new/", "s3://bucket/new/a.png")
    assert [item.place for item in found] == [f"s3://bucket/new/{name}" for name in (*SHADES, "a.png")]
    assert found[0].values == found[3].values == ((pictures / "a.png").read_bytes(),)


def test_many_images_come_in_batches(tmp_path: Path) -> None:
    for number in range(70):
        (tmp_path / f"{number}.png").write_bytes(picture(number))
    batches = list(read_inputs([str(tmp_path)], ["image"], pa.binary()))
    assert sum(map(len, batches)) == 70
    assert max(map(len, batches)) <= 32


@pytest.mark.usefixtures("pictures")
def test_what_is_no_image_is_named() -> None:
    Path("cut.png").write_bytes(picture(9)[:-900])
    Path("rows.csv").write_text("image\npictures/a.png\n")
    with pytest.raises(InputError, match="cut.png is no image that can be read: truncated file"):
        images("pictures/a.png", "cut.png")
    with pytest.raises(InputError, match="rows.csv is no image .*: no image .* The model takes image files"):
        images("rows.csv")
    with pytest.raises(InputError, match="no file or folder 'a red boat'"):
        images("a red boat")
    pq.write_table(pa.table({"image": ["pictures/a.png"]}), "rows.parquet")
    with pytest.raises(InputError, match="rows.parquet:1 is no image that can be read: "):
        images("rows.parquet")
    with pytest.raises(InputError, match="rows.parquet has no column 'picture'"):
        list(read_inputs(["rows.parquet"], ["picture"], pa.binary()))


@pytest.mark.usefixtures("pictures")
def test_a_missing_file_is_told_before_anything_is_predicted(
    image_model: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["predict", str(image_model), "pictures/a.png", "pictures/z.png"]) == 2
    out, err = capsys.readouterr()
    assert out == ""
    assert "no file or folder 'pictures/z.png'" in err


def test_texts() -> None:
    assert texts("salt in the soup") == [Input(("salt in the soup",))]
    assert texts("a mast", "a sail", columns=("left", "right")) == [Input(("a mast", "a sail"))]
    assert texts("ends with a.png") == [Input(("ends with a.png",))]  # there is no such file
    assert texts("long " * 1000) == [Input(("long " * 1000,))]
    with pytest.raises(InputError, match="takes 1 inputs .'text'.; 2 were given"):
        texts("a mast", "a sail")


def test_a_file_of_texts(tmp_path: Path) -> None:
    (tmp_path / "rows.jsonl").write_text('{"text": "a mast"}\n{"text": "a sail"}\n')
    assert texts(tmp_path / "rows.jsonl") == [Input(("a mast",)), Input(("a sail",))]


@pytest.mark.usefixtures("pictures")
def test_an_image_is_no_text() -> None:
    with pytest.raises(InputError, match="takes texts .'text'., and 'pictures/a.png' is a file"):
        texts("pictures/a.png")


def test_words_in_a_file_are_read_as_the_task_reads_them(tmp_path: Path) -> None:
    """A model of entities learned from lists of words: they are joined by what its job says."""
    rows = [{"tokens": ["New", "York", "calls"]}, {"tokens": "as one text"}]
    (tmp_path / "rows.jsonl").write_text("\n".join(map(json.dumps, rows)))
    task = tasks.get("token-classification", {"joiner": "_"})
    (batch,) = read_inputs([str(tmp_path / "rows.jsonl")], ["tokens"], pa.string(), task.read_inputs)
    assert [given.values for given in batch] == [("New_York_calls",), ("as one text",)]
    with pytest.raises(InputError, match="an input is missing or no text"):
        list(read_inputs([str(tmp_path / "rows.jsonl")], ["tokens"], pa.string()))
