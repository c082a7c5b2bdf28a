"""Near-duplicates of texts and of pictures."""

import io
import random
import time
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest

from components.ingest.near import NearDuplicates, sketch, united

DRAW = random.Random(0)
WORDS = ["".join(DRAW.choices("abcdefghijklmnopqrst", k=DRAW.randint(3, 9))) for _ in range(2000)]


def sentence(length: int = 20) -> str:
    return " ".join(DRAW.choices(WORDS, k=length))


def clusters(folder: Path, columns: list[pa.Array], labels: list[int] | None = None) -> list[int]:
    """The cluster of each input."""
    found = NearDuplicates(folder / "near", columns[0].type, 0.75)
    half = len(columns[0]) // 2
    for part in (slice(0, half), slice(half, None)):
        found.add(sketch([column[part] for column in columns]))
    count = len(columns[0])
    return united(count, found.pairs(np.array(labels or [0] * count))).tolist()


@pytest.mark.parametrize(
    ("text", "near"),
    [
        ("Please reset my password, I cannot log in today.", "please RESET my password - I cannot log in today"),
        ("Ärger mit der Rechnung vom März: sie stimmt nicht", "ÄRGER mit der Rechnung vom März, sie stimmt nicht!"),
        ("the parcel I ordered weeks and weeks ago never came", "The parcel I ordered weeks and weeks ago never comes"),
        ("取引が拒否されました。カードを確認してください。", "取引が拒否されました、カードを確認してください。"),
    ],
)  # fmt: skip
@pytest.mark.case(11)
def test_the_same_in_other_dress_is_near(tmp_path: Path, text: str, near: str) -> None:
    assert clusters(tmp_path, [pa.array([text, sentence(), sentence(), near])]) == [0, 1, 2, 0]


def test_what_is_too_short_to_compare_is_like_nothing(tmp_path: Path) -> None:
    assert clusters(tmp_path, [pa.array([":)", ":(", "ok", "no", "", "a", "b", "!"])]) == list(range(8))


def test_another_class_is_no_leak(tmp_path: Path) -> None:
    text = sentence()
    assert clusters(tmp_path, [pa.array([text, text.upper()])], [0, 1]) == [0, 1]


def test_of_pairs_both_count(tmp_path: Path) -> None:
    first, second, other = sentence(), sentence(), sentence()
    columns = [pa.array([first, first, first.title()]), pa.array([second, other, second])]
    assert clusters(tmp_path, columns) == [0, 1, 0]


def test_five_percent_of_twenty_thousand_are_found_in_a_moment(tmp_path: Path) -> None:
    texts = [sentence(25) for _ in range(19_000)]
    for text in texts[:1000]:
        words = text.split()
        words[DRAW.randrange(25)] = "other"
        texts.append(" ".join(words))
    began = time.perf_counter()
    found = clusters(tmp_path, [pa.array(texts)])
    assert time.perf_counter() - began < 20
    assert sum(found[number] == found[19_000 + number] for number in range(1000)) > 950
    assert len(set(found[:19_000])) == 19_000


def photo(seed: int, size: int = 96, quality: int = 90) -> bytes:
    """A picture of a few soft patches, as JPEG."""
    from PIL import Image

    draw = np.random.default_rng(seed)
    patches = Image.fromarray(draw.integers(0, 255, (6, 6, 3)).astype(np.uint8))
    file = io.BytesIO()
    patches.resize((size, size), Image.Resampling.BICUBIC).save(file, "JPEG", quality=quality)
    return file.getvalue()


@pytest.mark.case(11)
def test_a_picture_in_another_size_and_quality_is_near(tmp_path: Path) -> None:
    pictures = [photo(number) for number in range(40)] + [photo(3, 64, 70), photo(7, 128, 50), b"no image"]
    found = clusters(tmp_path, [pa.array(pictures, pa.binary())])
    assert found[40:] == [3, 7, 42]
    assert found[:40] == list(range(40))
