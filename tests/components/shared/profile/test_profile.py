"""What a profile tells of data that people have, and what it says to write in the job."""

import json
import random
from pathlib import Path
from typing import Any

import pytest

from components.ingest.ingest import IngestSettings, ingest
from components.shared.artifacts.artifact import open_artifact
from components.shared.profile.profile import NOTE, profile
from components.shared.profile.ruler import ruler_of
from components.shared.sources.source import SourceSettings
from tests.cases import picture
from tests.conftest import write_csv

WORDS = ["ash", "birch", "cedar", "elm", "fir", "hazel", "larch", "maple", "oak", "pine", "rowan", "spruce", "yew"]


def texts(count: int, seed: int = 0) -> list[str]:
    draw = random.Random(seed)
    return [" ".join(draw.choice(WORDS) for _ in range(8)) for _ in range(count)]


def rows(count: int, seed: int = 0) -> list[dict[str, str]]:
    return [{"text": text, "label": "ab"[number % 2]} for number, text in enumerate(texts(count, seed))]


def told(found: dict[str, Any]) -> str:
    """All warnings with their mends."""
    return "\n".join(f"{warning['what']} -> {warning['mend']}" for warning in found["warnings"])


def test_clean_data_has_no_warnings(tmp_path: Path) -> None:
    write_csv(tmp_path / "d/train.csv", rows(300))
    write_csv(tmp_path / "d/test.csv", rows(60, 1))
    found = profile(SourceSettings(str(tmp_path / "d")))
    assert (found["read"], found["whole"], found["warnings"]) == (360, True, [])
    assert found["splits"] == {"test": 60, "train": 300}
    assert found["classes"] == [["a", {"test": 30, "train": 150}], ["b", {"test": 30, "train": 150}]]
    assert [len(shown) for shown in found["examples"].values()] == [3, 3]
    assert found["scripts"] == {"Latin": 1.0}
    json.dumps(found, allow_nan=False)


def test_a_messy_table(tmp_path: Path) -> None:
    content = [
        {**row, "id": f"T-{n}", "queue": f"q-{row['label']}", "split": "train", "empty": ""}
        for n, row in enumerate(rows(400))
    ]
    content += [{**content[0], "text": "", "id": "x"}] * 8 + [{**content[0], "label": "b", "id": "y"}]
    content += [{**content[n], "text": f"{content[n]['text']} more", "label": "A "} for n in range(10)]
    content += [{**content[0], "text": "only once", "label": "rare"}]
    found = profile(SourceSettings(str(write_csv(tmp_path / "d.csv", content))))
    words = told(found)
    assert "Classes differ in nothing but case, blanks or punctuation: 'A' and 'a'. -> data.normalize_labels" in words
    assert "1 of 4 classes have fewer than 5 training examples: 'rare' (1)." in words
    assert (
        "8 of 420 rows cannot be used: 8 empty input (first: d.csv:402). -> mend the rows, or data.max_rejects" in words
    )
    assert "'a' has 200 examples" in words
    assert found["duplicates"]["contradictions"] == 1
    assert {(odd["column"], odd["kind"]) for odd in found["odd"]} >= {
        ("id", "id"),
        ("split", "split"),
        ("empty", "sparse"),
    }


def test_a_column_that_tells_the_label_is_named(tmp_path: Path) -> None:
    content = [{**row, "queue": f"q-{row['label']}", "agent": str(n % 3)} for n, row in enumerate(rows(200))]
    found = profile(SourceSettings(str(write_csv(tmp_path / "d.csv", content)), ["text"], "label"))
    assert [(odd["column"], odd["kind"]) for odd in found["odd"]] == [("queue", "leak")]


def test_the_answer_in_the_question_is_told(tmp_path: Path) -> None:
    content = [
        {"text": f"[{'sale' if n % 2 else 'loan'}] {t}", "label": "sale" if n % 2 else "loan"}
        for n, t in enumerate(texts(300))
    ]
    assert "100% of the texts hold the name of their own class" in told(
        profile(SourceSettings(str(write_csv(tmp_path / "d.csv", content))))
    )


def test_inputs_in_two_splits_exactly_and_nearly(tmp_path: Path) -> None:
    train = rows(200)
    near = [{**row, "text": f"{row['text'].upper()}, 17!"} for row in train[:6]]
    write_csv(tmp_path / "d/train.csv", train)
    write_csv(tmp_path / "d/test.csv", [*rows(50, 1), *train[10:13], *near])
    found = profile(SourceSettings(str(tmp_path / "d")))
    assert (found["duplicates"]["leaks"], found["duplicates"]["near_leaks"]) == (3, 6)
    assert "6 inputs have a near-duplicate in another split" in told(found)


def test_lengths_are_those_of_the_backbones_tokenizer_where_it_lies_here(tmp_path: Path, backbone: Path) -> None:
    content = [
        {"text": row["text"] * (20 if n % 5 == 0 else 1), "label": row["label"]} for n, row in enumerate(rows(300))
    ]
    settings = SourceSettings(str(write_csv(tmp_path / "d.csv", content)))
    estimated, counted = profile(settings)["lengths"], profile(settings, ruler_of(str(backbone), 64))
    assert (estimated["source"], estimated["max_length"], estimated["cut"]) == ("", 512, 0.0)
    assert counted["lengths"]["source"] == f"the tokenizer of {backbone}"
    assert counted["lengths"]["cut"] == pytest.approx(0.2)
    assert "20% of the texts are longer than 64 tokens" in told(counted)
    assert ruler_of("no/such-backbone").count is None


def test_of_much_data_a_fair_part_is_looked_at(tmp_path: Path) -> None:
    for name in ("big", "small"):
        write_csv(tmp_path / f"d/{name}.csv", rows(900 if name == "big" else 100, len(name)))
    found = profile(SourceSettings(str(tmp_path / "d")), rows=200)
    assert not found["whole"]
    assert 195 <= found["read"] <= 200


def test_other_scripts_call_for_another_backbone(tmp_path: Path) -> None:
    draw = random.Random(0)
    russian = [
        {
            "text": " ".join(
                draw.sample(["очень", "хороший", "товар", "быстро", "приехал", "спасибо", "магазину", "всем"], 6)
            )
            + f" {n}",
            "label": "ab"[n % 2],
        }
        for n in range(250)
    ]
    found = profile(SourceSettings(str(write_csv(tmp_path / "d.csv", russian))))
    assert found["scripts"] == {"Cyrillic": 1.0}
    assert "multilingual" in told(found)


def tree(folder: Path, count: int) -> Path:
    """Pictures of two classes; those of one are larger."""
    for label, side in (("cat", 20), ("dog", 24)):
        (folder / label).mkdir(parents=True)
        for number in range(count):
            (folder / label / f"{number:03}.png").write_bytes(picture(side, side, (number, side, 0)))
    return folder


def test_pictures(tmp_path: Path) -> None:
    found = profile(SourceSettings(str(tree(tmp_path, 40)), task="image-classification"))
    assert found["pictures"]["sizes"] == {"20 x 20": 40, "24 x 24": 40}
    assert found["pictures"]["modes"] == {"RGB": 80}
    assert "The size of a picture tells its class" in told(found)
    assert found["examples"]["cat"][0].startswith("cat/")


def test_of_many_pictures_some_are_opened_and_all_are_counted(tmp_path: Path) -> None:
    found = profile(SourceSettings(str(tree(tmp_path, 40)), task="image-classification"), rows=10)
    assert (found["read"], found["whole"]) == (10, False)
    assert found["classes"] == [["cat", {"": 40}], ["dog", {"": 40}]]


def test_each_snapshot_keeps_its_profile_outside_of_its_digest(tmp_path: Path, snapshot: Path) -> None:
    kept = open_artifact(snapshot, "snapshot").read_json(NOTE)
    assert kept["read"] == 400
    assert set(kept["splits"]) == {"train", "validation", "test"}
    assert kept["lengths"]["examples"] == 400
    source = write_csv(tmp_path / "d.csv", rows(100))
    first, second = (ingest(tmp_path / name, IngestSettings(str(source))) for name in ("one", "two"))
    assert first.digest == second.digest
    assert (tmp_path / "one" / NOTE).read_bytes() == (tmp_path / "two" / NOTE).read_bytes()
