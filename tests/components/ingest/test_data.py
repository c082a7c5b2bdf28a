"""Data as people have it, from the file to the snapshot: little, repeated, in groups, over time, oddly labelled."""

import csv
import json
import random
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest

from components.ingest.ingest import IngestReport, IngestSettings, ingest
from components.shared.artifacts.artifact import open_artifact
from components.shared.artifacts.inventory import FOLDER, open_inventory
from components.shared.artifacts.snapshot import SPLITS, accounting_of, read_batches, read_folds
from components.shared.errors import InputError
from tests.conftest import write_csv

DRAW = random.Random(0)
WORDS = ["".join(DRAW.choices("abcdefghijklmnopqrst", k=6)) for _ in range(900)]
Rows = list[dict[str, str]]


def rows(count: int, labels: str = "ab", **columns: Callable[[int], str]) -> Rows:
    """Texts that are nothing like each other, the classes in turn."""
    return [
        {"text": " ".join(DRAW.choices(WORDS, k=12)), "label": labels[number % len(labels)]}
        | {name: make(number) for name, make in columns.items()}
        for number in range(count)
    ]


class Folder:
    """A folder of data, and what becomes of it."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def ingest(self, content: Rows | None = None, name: str = "data.csv", **settings: Any) -> IngestReport:
        if content is not None:
            write_csv(self.path / "data" / name, content)
        self.snapshot = self.path / f"snapshot-{len(list(self.path.glob('snapshot-*')))}"
        return ingest(self.snapshot, IngestSettings(str(self.path / "data"), ["text"], "label", **settings))

    def splits(self) -> dict[str, set[str]]:
        """The texts of each split."""
        artifact = open_artifact(self.snapshot, "snapshot")
        return {
            split: {text for batch in read_batches(artifact, split) for text in batch["input_1"].to_pylist()}
            for split in SPLITS
        }

    def told(self) -> dict[str, Any]:
        found: dict[str, Any] = json.loads((self.snapshot / "snapshot.json").read_text())
        return found


@pytest.fixture
def folder(tmp_path: Path) -> Folder:
    return Folder(tmp_path)


class TestLittle:
    """Few examples."""

    def test_forty_examples_in_four_classes_have_three_splits_and_folds(self, folder: Folder) -> None:
        report = folder.ingest(rows(40, "abcd"))
        assert report.rows["validation"] >= 8
        assert report.rows["test"] >= 8
        assert all(count >= 2 for split in folder.told()["classes"].values() for count in split.values())
        assert report.evaluation == folder.told()["evaluation"] == "cross-validation"
        artifact = open_artifact(folder.snapshot, "snapshot")
        folds = read_folds(artifact)
        assert sorted(folds.values()) == sorted([0, 1, 2, 3, 4] * 8)
        ids = {id_ for split in SPLITS for batch in read_batches(artifact, split) for id_ in batch["id"].to_pylist()}
        assert ids == set(folds)
        assert report.warnings[0].startswith("40 examples are few")

    def test_with_enough_or_given_splits_there_are_no_folds(self, folder: Folder) -> None:
        write_csv(folder.path / "data/test.csv", rows(20))
        assert folder.ingest(rows(60), "train.csv").evaluation == "holdout"
        assert read_folds(open_artifact(folder.snapshot, "snapshot")) == {}

    @pytest.mark.case(13)
    def test_one_example_a_class_is_refused_in_words(self, folder: Folder) -> None:
        with pytest.raises(InputError, match=r"No example is left for(?s:.*)'a' 1(?s:.*)needs 3 examples"):
            folder.ingest(rows(3, "abc"))

    @pytest.mark.parametrize(
        ("rule", "labels"), [("keep", ["a", "b", "c"]), ("drop", ["a", "b"]), ("merge", ["a", "b", "other"])]
    )
    def test_a_class_of_one_does_not_go_without_a_word(self, folder: Folder, rule: str, labels: list[str]) -> None:
        report = folder.ingest([*rows(300), *rows(1, "c")], rare_classes=rule)
        assert "1 class has fewer than 5 training examples: 'c' (1)" in report.warnings[0]
        assert folder.told()["labels"] == labels
        assert report.rejected == ({"class with fewer than 5 training examples": 1} if rule == "drop" else {})


class TestNearDuplicates:
    """The same, nearly, more than once."""

    def doubled(self, content: Rows) -> Rows:
        return [{**row, "text": row["text"].replace(" ", ", ", 3).upper() + "!"} for row in content]

    def test_five_percent_stay_on_one_side(self, folder: Folder) -> None:
        content = rows(1900)
        report = folder.ingest(content + self.doubled(content[:100]))
        assert folder.told()["near_duplicates"] == {"examples": 200, "test": 0, "validation": 0}
        for first, second in zip(content[:100], self.doubled(content[:100]), strict=True):
            assert sum({first["text"], second["text"]} <= part for part in folder.splits().values()) == 1
        assert sum(report.rows.values()) == 2000

    @pytest.mark.case(11)
    def test_between_given_splits_they_are_counted_and_too_many_refused(self, folder: Folder) -> None:
        content = rows(300)
        write_csv(folder.path / "data/test.csv", [*rows(90), *self.doubled(content[:10])])
        report = folder.ingest(content, "train.csv")
        assert folder.told()["near_duplicates"]["test"] == 10
        assert "10 of 100 test" in report.warnings[0]
        with pytest.raises(InputError, match=r"10 of 100 examples(?s:.*)\(10%; allowed: 5%\)(?s:.*)data.max_overlap"):
            folder.ingest(max_overlap=0.05)

    def test_a_class_of_one_template_is_split_all_the_same(self, folder: Folder) -> None:
        template = [{"text": f"please reset the password of user {number}", "label": "c"} for number in range(100)]
        report = folder.ingest([*rows(200), *template])
        assert folder.told()["classes"]["test"]["c"] >= 2
        assert "have near-duplicates" in report.warnings[0]

    def test_they_need_not_be_looked_for(self, folder: Folder) -> None:
        content = rows(300)
        folder.ingest(content + self.doubled(content[:50]), near_duplicates=1.0)
        assert folder.told()["near_duplicates"]["examples"] == 0


class TestGroupsAndTimes:
    """Who wrote it, and when."""

    def test_no_group_is_on_two_sides(self, folder: Folder) -> None:
        content = rows(600, user=lambda n: f"user {int(n**0.5)}" if n % 50 else "")  # of 3 to 50 examples, or nobody's
        folder.ingest(content, group="user")
        user = {row["text"]: row["user"] for row in content}
        sides = [{user[text] for text in part} - {""} for part in folder.splits().values()]
        assert all(sides)
        assert sum(map(len, sides)) == len(set().union(*sides))

    @pytest.mark.case(11)
    def test_a_group_in_two_given_splits_is_refused(self, folder: Folder) -> None:
        write_csv(folder.path / "data/test.csv", rows(40, user=lambda n: f"user {n}"))
        with pytest.raises(InputError, match="1 groups of data.group stand in more than one(?s:.*)'user 7'"):
            folder.ingest(rows(90, user=lambda n: f"user {n + 100}" if n else "user 7"), "train.csv", group="user")

    def test_the_newest_are_the_test(self, folder: Folder) -> None:
        content = rows(500, when=lambda n: f"2026-01-{1 + n // 50:02d}")
        content[7]["when"] = "last week"
        report = folder.ingest(content, time="when")
        assert report.rejected == {"time in when is neither a date in ISO form nor a number": 1}
        days = {row["text"]: row["when"] for row in content}
        found = {split: {days[text] for text in part} for split, part in folder.splits().items()}
        assert (found["test"], found["validation"]) == ({"2026-01-10"}, {"2026-01-09"})

    def test_dates_and_numbers_together_are_refused(self, folder: Folder) -> None:
        with pytest.raises(InputError, match="holds both dates and numbers"):
            folder.ingest(rows(50, when=lambda n: "2026-01-01" if n else "17"), time="when")

    def test_time_has_no_effect_on_given_splits(self, folder: Folder) -> None:
        for name in ("test", "validation"):
            write_csv(folder.path / f"data/{name}.csv", rows(20, when=str))
        with pytest.raises(InputError, match="data.time has no effect"):
            folder.ingest(rows(90, when=str), "train.csv", time="when")


class TestAccounting:
    """Every row is somewhere."""

    def test_what_was_read_is_kept_rejected_a_duplicate_or_unlabelled(self, folder: Folder) -> None:
        content = rows(400)
        content += [content[0], content[1], {"text": "", "label": "a"}, *({**row, "label": ""} for row in rows(30))]
        report = folder.ingest(content, unlabelled="hold")
        told = accounting_of(open_artifact(folder.snapshot, "snapshot"))
        assert told == {"read": 433, "kept": 400, "duplicates": 2, "unlabelled": 30, "rejected": 1}
        assert report.read == sum(report.rows.values()) + report.duplicates + report.unlabelled + 1

    def test_unlabelled_rows_are_faults_unless_they_are_held(self, folder: Folder) -> None:
        with pytest.raises(InputError, match="30 missing label(?s:.*)data.unlabelled: hold"):
            folder.ingest([*rows(300), *({**row, "label": ""} for row in rows(30))])

    def test_what_was_left_out_can_be_mended_and_put_back(self, folder: Folder) -> None:
        folder.ingest([*rows(400), *({**row, "label": ""} for row in rows(3))])
        with (folder.snapshot / "notes/rejects.csv").open(encoding="utf-8-sig", newline="") as file:
            left = list(csv.DictReader(file))
        assert next((row["file"], row["line"], row["reason"]) for row in left) == ("data.csv", "402", "missing label")
        mended = folder.ingest([{**row, "label": "a"} for row in left], "mended.csv", max_rejects=0.02)
        assert sum(mended.rows.values()) == 403

    @pytest.mark.case(16)
    def test_a_slice_that_is_no_utf_8_is_a_reject(self, folder: Folder) -> None:
        path = write_csv(folder.path / "data/data.csv", rows(200, lang=lambda n: "fr"))
        path.write_bytes(path.read_bytes() + "text,a,français\r\n".encode("latin-1"))
        assert folder.ingest(slices=["lang"], encoding="utf-8").rejected == {"invalid UTF-8 in lang": 1}

    def test_labels_of_two_files_that_mean_the_same(self, folder: Folder) -> None:
        write_csv(folder.path / "data/part1.csv", rows(100, "01"))
        second = [{**row, "label": f"{row['label']}.0"} for row in rows(100, "01")]
        folder.ingest(second, "part2.csv")
        assert folder.told()["labels"] == ["0", "1"]
        composed, decomposed = ([{**row, "label": label} for row in rows(99)] for label in ("caf\u00e9", "cafe\u0301"))
        write_csv(folder.path / "data/part1.csv", composed + rows(50))
        folder.ingest(decomposed, "part2.csv")
        assert folder.told()["labels"] == ["a", "b", "caf\u00e9"]


class TestKnown:
    """A version of the registry remembers where its examples were."""

    def register(self, folder: Folder) -> str:
        """Registers a version that was trained on the newest snapshot; returns its address."""
        import mlflow

        client = mlflow.MlflowClient()
        run = client.create_run("0").info.run_id
        client.log_artifacts(run, str(folder.snapshot / FOLDER), "inventory")
        if not client.search_registered_models():
            client.create_registered_model("topics")
        return f"models:/topics/{client.create_model_version('topics', 'somewhere', run).version}"

    @pytest.mark.parametrize("old", [False, True])
    def test_nothing_moves_as_data_comes_in(self, folder: Folder, registry: str, old: bool) -> None:
        first = rows(60, "abc")
        folder.ingest(first)
        before = folder.splits()
        if old:
            legacy(folder.snapshot / FOLDER)
        known = self.register(folder)
        folder.ingest(first + rows(200, "abcd"), known=known)
        after, learned = folder.splits(), before["train"] | before["validation"]
        assert not after["test"] & learned if not old else not after["test"] & before["train"]
        if not old:
            assert all(before[split] <= after[split] for split in SPLITS)
        assert json.loads((folder.snapshot / "notes/counts.json").read_text())["remembered"] == 60
        assert all(folder.told()["classes"]["test"][label] >= 2 for label in "abcd")

    @pytest.mark.case(11)
    def test_a_near_duplicate_of_a_training_example_is_never_tested(self, folder: Folder, registry: str) -> None:
        first = rows(300)
        folder.ingest(first)
        before, known = folder.splits(), self.register(folder)
        again = [{**row, "text": row["text"].upper()} for row in first]
        folder.ingest(first + again, known=known)
        after = folder.splits()
        assert {text for text in after["test"] if text.islower()} == before["test"]
        assert {text.lower() for text in after["test"]} == before["test"]

    def test_a_version_that_does_not_tell_leaves_it_to_hashes(
        self, folder: Folder, registry: str, capsys: pytest.CaptureFixture[str]
    ) -> None:
        import mlflow

        client = mlflow.MlflowClient()
        client.create_registered_model("topics")
        client.create_model_version("topics", "somewhere")
        folder.ingest(rows(300), known="models:/topics/1")
        assert "does not tell what it was trained on: splits follow from hashes" in capsys.readouterr().out


def legacy(inventory: Path) -> None:
    """Makes an inventory one of those that tell only the given splits."""
    table = pq.read_table(inventory / "rows.parquet")
    pq.write_table(table.drop_columns(["dealt", "fold"]), inventory / "rows.parquet")


@pytest.mark.parametrize("old", [False, True])
def test_an_inventory_tells_where_each_example_was(folder: Folder, old: bool) -> None:
    folder.ingest(rows(600))
    if old:
        legacy(folder.snapshot / FOLDER)
    dealt = list(open_inventory(folder.snapshot / FOLDER).dealt(0.1, 0.1))
    artifact = open_artifact(folder.snapshot, "snapshot") if not old else None
    assert [row.id for row in dealt] == sorted({row.id for row in dealt})
    assert {row.split for row in dealt} == set(SPLITS)
    if artifact:
        found = {
            i: split for split in SPLITS for batch in read_batches(artifact, split) for i in batch["id"].to_pylist()
        }
        assert {row.id: row.split for row in dealt} == found


def test_what_a_model_of_all_examples_learned_from_is_training(folder: Folder) -> None:
    folder.ingest(rows(40))
    file = folder.snapshot / FOLDER / "inventory.json"
    file.write_text(json.dumps({**json.loads(file.read_text()), "trained_on": list(SPLITS)}))
    assert {row.split for row in open_inventory(file.parent).dealt(0.1, 0.1)} == {"train"}
