"""Pictures as people have them: trees of any depth, tables of paths, archives, each with what must come of it."""

import base64
import csv
import io
import json
import os
import tracemalloc
import zlib
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image, PngImagePlugin

from components.shared.backbones.pixels import check_image
from components.shared.errors import InputError
from tests.components.shared.sources.test_cases import Files, delimited, examples, tarred, write, zipped


def picture(number: int = 0) -> bytes:
    file = io.BytesIO()
    Image.fromarray(np.full((4, 4, 3), number, np.uint8)).save(file, "PNG")
    return file.getvalue()


def tree(*names: str) -> Files:
    return {name: picture(number) for number, name in enumerate(names)}


def inline(number: int) -> str:
    return f"data:image/png;base64,{base64.b64encode(picture(number)).decode()}"


def labels(source: Path | str, **settings: Any) -> list[tuple[str, str]]:
    """Split and label of each picture that is taken, sorted."""
    found, rejected, _ = examples(source, inputs=["image"], task="image-classification", **settings)
    assert not rejected
    return sorted((example.split, example.label) for example in found)


def voc(name: str, *classes: str) -> str:
    """Pascal VOC's file for an image."""
    objects = "".join(f"<object><name>{c}</name><bndbox><xmin>1</xmin></bndbox></object>" for c in classes)
    return f"<annotation><folder>d</folder><filename>{name}</filename>{objects}</annotation>"


CVAT = (
    '<?xml version="1.0" encoding="utf-8"?>\n<annotations><version>1.1</version><meta><task/></meta>'
    '<image id="0" name="1.png" width="4" height="4"><tag label="cat" source="manual"></tag></image>'
    '<image id="1" name="2.png" width="4" height="4"><tag label="dog" source="manual"></tag></image></annotations>'
)
COCO = json.dumps(
    {
        "info": {"year": 2026},
        "images": [{"id": 7, "file_name": "1.png"}, {"id": 8, "file_name": "2.png"}],
        "annotations": [{"id": n, "image_id": image, "category_id": image - 6} for n, image in enumerate((7, 8, 8))],
        "categories": [{"id": 1, "name": "cat"}, {"id": 2, "name": "dog"}],
    }
)

TREES: dict[str, tuple[Files, list[str]]] = {
    "a folder a class": (tree("cat/1.png", "dog/2.png"), ["cat", "dog"]),
    "a folder above": (tree("images/cat/1.png", "images/dog/2.png"), ["cat", "dog"]),
    "splits": (tree("train/cat/1.png", "test/dog/2.png"), ["test dog", "train cat"]),
    "splits of other names": (tree("Training/cat/1.png", "val/dog/2.png"), ["train cat", "validation dog"]),
    "folders above the splits": (tree("a/b/train/cat/1.png", "a/b/dev/dog/2.png"), ["train cat", "validation dog"]),
    "a folder below the splits": (
        tree("train/img/cat/1.png", "train/img/dog/2.png", "test/img/dog/3.png"),
        ["test dog", "train cat", "train dog"],
    ),
    "folders within a class": (tree("cat/sub/1.png", "cat/2.png", "dog/3.png"), ["cat", "cat", "dog"]),
    "a year within each class": (tree("lefty/2024/1.png", "toppy/2025/2.png"), ["lefty", "toppy"]),
    "the same folder within each": (tree("cat/raw/1.png", "dog/raw/2.png"), ["cat", "dog"]),
    "a class like a split below one": (tree("train/test/1.png", "train/dog/2.png"), ["train dog", "train test"]),
    "files beside": ({**tree("cat/1.png", "dog/2.png"), "cat/notes.txt": "x", "README.md": "x"}, ["cat", "dog"]),
    "metadata.csv": (
        {**tree("1.png", "2.png"), "metadata.csv": "file_name,label\n1.png,cat\n2.png,dog\n"},
        ["cat", "dog"],
    ),
    "metadata.jsonl in splits": (
        {
            **tree("train/1.png", "test/2.png"),
            "train/metadata.jsonl": '{"file_name": "1.png", "label": "cat"}\n',
            "test/metadata.jsonl": '{"file_name": "2.png", "label": "dog"}\n',
        },
        ["test dog", "train cat"],
    ),
    "metadata.csv above the splits": (
        {**tree("train/1.png", "test/2.png"), "metadata.csv": "file_name,label\ntrain/1.png,cat\ntest/2.png,dog\n"},
        ["test dog", "train cat"],
    ),
    "labels.csv beside a folder": (
        {**tree("images/1.png", "images/2.png"), "labels.csv": "filename;label\nimages/1.png;cat\nimages/2.png;dog\n"},
        ["cat", "dog"],
    ),
    "Kaggle's ids": (
        {**tree("train_images/a1.png", "train_images/b2.png"), "train.csv": "image_id,label\na1,cat\nb2,dog\n"},
        ["train cat", "train dog"],
    ),
    "label-studio's uploads": (
        {
            **tree("media/1.png"),
            "export.json": json.dumps(
                [
                    {
                        "data": {"image": "/data/upload/7/1.png"},
                        "annotations": [{"result": [{"type": "choices", "value": {"choices": ["cat"]}}]}],
                    }
                ]
            ),
        },
        ["cat"],
    ),
    "label-studio's names, and its local files": (
        {
            **tree("d/1.png", "d/2 3.png"),
            "export.json": json.dumps(
                [
                    {"data": {"image": path}, "annotations": [{"result": [{"type": "rating", "value": {"rating": n}}]}]}
                    for n, path in enumerate(("/data/upload/7/0a1b2c3d-1.png", "/data/local-files/?d=d/2%203.png"))
                ]
            ),
        },
        ["0", "1"],
    ),
    "images in the table": (
        {"d.jsonl": "".join(json.dumps({"image": inline(n), "label": "ab"[n]}) + "\n" for n in range(2))},
        ["a", "b"],
    ),
    "images in the table, bare": (
        {"d.csv": "image,label\n" + "".join(f"{inline(n).partition(',')[2]},{'ab'[n]}\n" for n in range(2))},
        ["a", "b"],
    ),
    "Kaggle's archives in archives": (
        tree("seg_train/seg_train/cat/1.png", "seg_train/seg_train/dog/2.png", "seg_test/seg_test/cat/3.png"),
        ["test cat", "train cat", "train dog"],
    ),
    "splits at the end of names": (tree("my-train/cat/1.png", "my-test/dog/2.png"), ["test dog", "train cat"]),
    "no splits at the end of names": (tree("ab_test/1.png", "x_ray/2.png"), ["ab_test", "x_ray"]),
    "Pascal VOC": (
        {
            **tree("JPEGImages/1.png", "JPEGImages/2.png"),
            "Annotations/1.xml": voc("1.png", "cat", "cat"),
            "Annotations/2.xml": voc("2.png", "dog"),
        },
        ["cat", "dog"],
    ),
    "Pascal VOC beside": (
        {**tree("1.png", "2.png"), "1.xml": voc("1.png", "cat"), "2.xml": voc("2.png", "dog")},
        ["cat", "dog"],
    ),
    "CVAT": ({**tree("images/1.png", "images/2.png"), "annotations.xml": CVAT}, ["cat", "dog"]),
    "CVAT in a zip": (
        {"d.zip": zipped({**tree("images/1.png", "images/2.png"), "annotations.xml": CVAT})},
        ["cat", "dog"],
    ),
    "COCO": ({**tree("images/1.png", "images/2.png"), "annotations/instances.json": COCO}, ["cat", "dog"]),
    "COCO in a zip": ({"d.zip": zipped({**tree("i/1.png", "i/2.png"), "a/instances.json": COCO})}, ["cat", "dog"]),
    "Roboflow": (
        {
            **tree("train/1.png", "train/2.png", "valid/1.png", "valid/2.png"),
            "train/_annotations.coco.json": COCO,
            "valid/_annotations.coco.json": COCO,
        },
        ["train cat", "train dog", "validation cat", "validation dog"],
    ),
    "a map of labels beside a table": (
        {**tree("1.png", "2.png"), "train.csv": "image_id,label\n1,cat\n2,dog\n", "names.json": '{"0": "cat"}',
         "sample_submission.csv": "image_id,label\n9,cat\n"},
        ["train cat", "train dog"],
    ),
    "zip": ({"d.zip": zipped(tree("pets/cat/1.png", "pets/dog/2.png"))}, ["cat", "dog"]),
    "zip with splits": ({"d.zip": zipped(tree("train/cat/1.png", "test/dog/2.png"))}, ["test dog", "train cat"]),
    "zip with metadata": (
        {"d.zip": zipped({**tree("d/1.png", "d/2.png"), "d/metadata.csv": "file_name,label\n1.png,cat\n2.png,dog\n"})},
        ["cat", "dog"],
    ),
    "a table beside a zip": (
        {"d.zip": zipped(tree("1.png", "2.png")), "metadata.jsonl": '{"file_name": "1.png", "label": "cat"}\n'
         '{"file_name": "2.png", "label": "dog"}\n'},
        ["cat", "dog"],
    ),
    "tar with metadata": (
        {"d.tar": tarred({**tree("1.png", "2.png"), "metadata.jsonl": '{"file_name": "2.png", "label": "dog"}\n'
                          '{"file_name": "1.png", "label": "cat"}\n'})},
        ["cat", "dog"],
    ),
    "zip with a table of ids": (
        {"d.zip": zipped({**tree("train/1.png", "train/2.png"), "labels.csv": "id,label\n1,cat\n2,dog\n"})},
        ["train cat", "train dog"],
    ),
    "webdataset": (
        {"d.tar": tarred({"0.cls": "cat", "0.png": picture(0), "1.png": picture(1), "1.cls": "dog"})},
        ["cat", "dog"],
    ),
    "webdataset with json": (
        {"train-0.tar": tarred({"0.png": picture(0), "0.json": '{"label": 3}',
                                "1.jpg": picture(1), "1.json": '{"label": 4}'}),
         "val-0.tar": tarred({"0.png": picture(2), "0.json": '{"label": 3}'})},
        ["train 3", "train 4", "validation 3"],
    ),
}  # fmt: skip


@pytest.mark.parametrize("case", TREES)
def test_the_class_of_each_picture(case: str, tmp_path: Path) -> None:
    files, expected = TREES[case]
    found = labels(write(tmp_path, files))
    assert [f"{split} {label}".strip() for split, label in found] == expected


def test_two_readings_are_both_shown(tmp_path: Path) -> None:
    source = write(tmp_path, tree("2024/cat/1.png", "2024/dog/2.png", "2025/cat/3.png"))
    with pytest.raises(InputError, match=r"(?s)class_level: 1 .*'2024', '2025'.*class_level: -1 .*'cat', 'dog'"):
        labels(source)
    assert [label for _, label in labels(source, class_level=1)] == ["2024", "2024", "2025"]
    assert [label for _, label in labels(source, class_level=-1)] == ["cat", "cat", "dog"]
    assert [label for _, label in labels(source, class_level=2)] == ["cat", "cat", "dog"]


def test_a_list_of_path_and_label_has_no_header(tmp_path: Path) -> None:
    source = write(tmp_path, {**tree("d/1.png", "d/2.png"), "d.txt": "d/1.png 0\nd/2.png 1\n"})
    found, _, opened = examples(source, inputs=["column_1"], label="column_2", task="image-classification")
    assert [example.label for example in found] == ["0", "1"]
    assert "d.txt has no header: its columns are called column_1, column_2" in opened.told


def test_several_classes_on_an_image_are_refused(tmp_path: Path) -> None:
    source = write(tmp_path, {**tree("1.png"), "1.xml": voc("1.png", "cat", "dog")})
    with pytest.raises(InputError, match=r"several labels in one row, such as \['cat', 'dog'\]"):
        labels(source)


def test_trees_in_a_list_are_read_each_by_itself(tmp_path: Path) -> None:
    write(tmp_path, tree("2024/cat/1.png", "2024/dog/2.png", "2025/cat/3.png"))
    assert [label for _, label in labels(json.dumps([f"{tmp_path}/2024", f"{tmp_path}/2025"]))] == ["cat", "cat", "dog"]
    write(tmp_path / "d", tree("cat/4.png", "dog/5.png"))
    assert [label for _, label in labels(json.dumps([f"{tmp_path}/d/cat", f"{tmp_path}/d/dog"]))] == ["cat", "dog"]


def test_what_nobody_labelled_is_no_class(tmp_path: Path) -> None:
    source = write(tmp_path, tree("train/cat/1.png", "train/dog/2.png", "train/unlabeled/3.png"))
    _, rejected, _ = examples(source, inputs=["image"], task="image-classification")
    assert rejected == [("train/unlabeled/3.png", "missing label")]


def test_new_pictures_are_sorted_in_as_all_are(tmp_path: Path) -> None:
    """Retraining reads only what is new: one folder of it tells nothing of the others."""
    from components.shared.sources.source import Source, SourceSettings

    write(tmp_path, tree("cat/sub/1.png", "dog/2.png"))
    source = Source(SourceSettings(str(tmp_path), ["image"], "label", task="image-classification"))
    (new,) = [file for file in source.files() if "sub" in file.name]
    assert [row.values["label"] for row, _ in source.examples([new])] == ["cat"]


def test_a_changed_picture_changes_its_table(tmp_path: Path) -> None:
    from components.shared.sources.source import Source, SourceSettings

    write(tmp_path, {**tree("1.png"), "metadata.csv": "file_name,label\n1.png,cat\n"})
    source = Source(SourceSettings(str(tmp_path), ["image"], "label", task="image-classification"))
    (before,) = source.files()
    assert source.files() == [before]
    (tmp_path / "1.png").write_bytes(picture(9))
    (after,) = source.files()
    assert after.name == before.name == "metadata.csv"
    assert after.stamp != before.stamp


REFUSED: dict[str, tuple[Files, str]] = {
    "a class called train": (
        tree("train/1.png", "bus/2.png", "car/3.png"),
        r"the folder 'train' was taken for a split, .* beside it lie 'bus', 'car'. If it is a class, rename",
    ),
    "a class that is lost": (
        {**tree("cat/1.png", "dog/2.png"), "owl/3.HEIC": b"x"},
        r"nothing that can be read is left of 'owl'. It holds pictures such as 'owl/3.HEIC': convert",
    ),
    "all lost": ({"cat/1.heic": b"x", "dog/2.heic": b"x"}, "It holds pictures such as 'cat/1.heic': convert"),
    "no class at all": (tree("1.png", "2.png"), "none of them in the folder of a class"),
}


@pytest.mark.parametrize("case", REFUSED)
def test_trees_that_are_refused(case: str, tmp_path: Path) -> None:
    files, message = REFUSED[case]
    with pytest.raises(InputError, match=message):
        labels(write(tmp_path, files))


def test_what_is_left_out_is_told(tmp_path: Path) -> None:
    source = write(tmp_path, {**tree("cat/1.png", "dog/2.png"), "cat/3.heic": b"x", "cat/4.heic": b"x"})
    _, _, opened = examples(source, inputs=["image"], task="image-classification")
    assert opened.told == ["left out 2 files that are no images (2 .heic), such as 'cat/3.heic'"]


def test_class_folders_may_be_links(tmp_path: Path) -> None:
    write(tmp_path / "store", tree("a1/1.png", "a2/2.png"))
    (tmp_path / "d").mkdir()
    (tmp_path / "d/cat").symlink_to(tmp_path / "store/a1")
    (tmp_path / "d/dog").symlink_to(tmp_path / "store/a2")
    assert [label for _, label in labels(tmp_path / "d")] == ["cat", "dog"]


class TestTablesOfPaths:
    def test_a_row_without_its_picture_is_set_aside(self, tmp_path: Path) -> None:
        source = write(tmp_path, {**tree("1.png"), "metadata.csv": "file_name,label\n1.png,cat\n2.png,dog\n,dog\n"})
        found, rejected, _ = examples(source, inputs=["image"], task="image-classification")
        assert [example.inputs[0] for example in found] == [picture(0)]
        assert rejected == [("metadata.csv:3", "no such image (2.png)"), ("metadata.csv:4", "empty input")]

    def test_a_table_alone_leads_to_its_neighbours(self, tmp_path: Path) -> None:
        write(tmp_path, {**tree("images/1.png"), "lists/d.csv": "path,label\n../images/1.png,cat\n"})
        assert labels(tmp_path / "lists/d.csv") == [("", "cat")]

    def test_in_object_storage_never_to_this_machine(self, s3: Any, tmp_path: Path) -> None:
        local = write(tmp_path, tree("secret.png")) / "secret.png"
        s3.put_object(Bucket="bucket", Key="other/1.png", Body=picture(1))
        s3.put_object(Bucket="bucket", Key="d/images/2.png", Body=picture(2))
        rows = [(str(local), "a"), ("../other/1.png", "b"), ("s3://bucket/other/1.png", "c"), ("images/2.png", "d")]
        table = delimited(rows=[{"path": path, "label": label} for path, label in rows], quoting=csv.QUOTE_ALL)
        s3.put_object(Bucket="bucket", Key="d/list.csv", Body=table)
        found, rejected, _ = examples("s3://bucket/d/list.csv", inputs=["image"], task="image-classification")
        assert [example.label for example in found] == ["c", "d"]
        assert len(rejected) == 2


class TestHostile:
    def test_a_png_with_much_beside_its_pixels(self) -> None:
        info = PngImagePlugin.PngInfo()
        info.add_text("note", "x" * 2_000_000, zip=True)
        info.add_text("note", "y" * 2_000_000)
        file = io.BytesIO()
        Image.new("RGB", (4, 4)).save(file, "PNG", pnginfo=info, icc_profile=os.urandom(3_000_000))
        assert check_image(file.getvalue()) is None

    @pytest.mark.case(19)
    def test_names_that_lead_out_of_an_archive(self, tmp_path: Path) -> None:
        files = tree("cat/1.png", "dog/2.png", "../cat/3.png", "/cat/4.png", "cat/../../5.png")
        assert len(labels(write(tmp_path, {"d.zip": zipped(files)}))) == 2
        assert sorted(path.name for path in tmp_path.rglob("*")) == ["d.zip"]

    @pytest.mark.case(19)
    def test_a_name_of_megabytes_in_a_tar_archive(self, tmp_path: Path) -> None:
        data = tarred({"cat/" + "x" * 2_000_000 + ".png": picture()})
        with pytest.raises(InputError, match="damaged or truncated archive .* a name of 2,000"):
            labels(write(tmp_path, {"d.tar": data}))

    def test_a_small_file_of_zeros_takes_no_memory(self, tmp_path: Path) -> None:
        size = 200 << 20
        pressed = zlib.compressobj(9, zlib.DEFLATED, 31)
        header = tarred({"cat/1.png": b""})[:512]
        assert header[124:136].strip(b"\0 0") == b""
        from tarfile import TarInfo

        member = TarInfo("cat/1.png")
        member.size = size
        packed = pressed.compress(member.tobuf())
        for _ in range(size >> 20):
            packed += pressed.compress(bytes(1 << 20))
        packed += pressed.compress(bytes(1024)) + pressed.flush()
        tracemalloc.start()
        _, rejected, _ = examples(write(tmp_path, {"d.tar.gz": packed}), inputs=["image"], task="image-classification")
        assert tracemalloc.get_traced_memory()[1] < 40 << 20
        tracemalloc.stop()
        assert rejected[0][1].startswith("no image (begins with")
