"""`graft retrain`, as somebody would use it day by day: every step a process of its own."""

import json
import random
from collections import Counter
from pathlib import Path
from typing import Any

import pytest

from components.shared import tasks
from components.shared.artifacts.artifact import open_artifact
from components.shared.artifacts.snapshot import read_batches
from tests.conftest import NUMBERS, write_csv
from tests.pipelines.test_run import graft, write_job
from tests.servers import webhook_server


def rows(count: int, seed: int) -> list[dict[str, str]]:
    sample = tasks.get("text-classification").sample(count, seed=seed)
    return [{"text": row["input_1"], "topic": row["label"], "source": "ab"[n % 2]} for n, row in enumerate(sample)]


def galleys(count: int) -> list[dict[str, str]]:
    """Texts of a class that is new: a kitchen on a ship."""
    draw = random.Random(5)
    words = (["soup", "oven", "flour", "pan"], ["mast", "tide", "deck", "anchor"])
    texts = (" ".join(draw.choice(kind) for kind in words * 3) for _ in range(count))
    return [{"text": f"{text} {number}", "topic": "galley", "source": "b"} for number, text in enumerate(texts)]


class Diary:
    """A model whose data grows in a folder."""

    def __init__(self, folder: Path, backbone: Path, webhook: str) -> None:
        self.folder, self.environment = folder, {"GRAFT_NOTIFY_URL": webhook}
        self.job = write_job(
            folder / "job.yaml", "data", str(backbone), training={**NUMBERS, "epochs": 8, "patience": 8},
            evaluation={"slices": ["source"]}, promotion={"min_gain": -0.5, "must_beat_baseline": False},
        )  # fmt: skip

    def retrain(self, *options: str) -> dict[str, Any]:
        command = ["retrain", "job.yaml", "--json", "result.json", *options]
        done = graft(*command, folder=self.folder, environment=self.environment)
        assert done.returncode == 0, done.stderr
        result: dict[str, Any] = json.loads((self.folder / "result.json").read_text())
        assert result["reason"] in done.stdout
        return result


@pytest.fixture(scope="module")
def days(tmp_path_factory: pytest.TempPathFactory, backbone: Path) -> dict[str, Any]:
    """The results of a few days, one after the other."""
    folder = tmp_path_factory.mktemp("diary")
    data = folder / "data"
    with webhook_server() as webhook:
        diary = Diary(folder, backbone, webhook.address)
        write_csv(data / "monday.csv", rows(400, seed=1))
        results = {"first": diary.retrain()}
        (data / "monday.csv").rename(data / "renamed.csv")
        results["renamed"] = diary.retrain()
        write_csv(data / "tuesday.csv", rows(200, seed=2) + galleys(100))
        results["new"] = diary.retrain("--set", "retrain.start_from=better")
        results["again"] = diary.retrain()
        results["forced"] = diary.retrain("--force", "--set", "promotion.min_gain=0.9", "--set", "retrain.replay=0.25")
    results |= {"folder": folder, "notices": [notice["text"] for notice in webhook.taken]}
    return results


def test_a_notice_tells_of_each_promotion_and_refusal_and_not_of_days_without_news(days: dict[str, Any]) -> None:
    first, new, forced = days["notices"]
    assert first.startswith("topics: version 1 is the champion. ")
    assert new.startswith("topics: version 2 is the champion")
    assert "version 3" in forced
    assert days["forced"]["reason"].split(":")[0] in forced


def test_the_first_day_trains_and_promotes(days: dict[str, Any]) -> None:
    first = days["first"]
    assert (first["version"], first["changed"], first["promoted"]) == ("1", True, True)
    assert set(first["aliases"]) == {"champion", "challenger"}
    assert set(first["seconds"]) > {"detect", "ingest", "finetune", "promote"}


def test_nothing_new_means_nothing_happens(days: dict[str, Any]) -> None:
    for day in ("renamed", "again"):
        result = days[day]
        assert (result["changed"], result["promoted"], result["report"]) == (False, False, "")
        assert "Nothing has changed since version" in result["reason"]
        assert set(result["seconds"]) == {"detect", "notify", "total"}
    assert (days["renamed"]["version"], days["again"]["version"]) == ("1", "2")


def test_new_data_goes_on_from_the_champion(days: dict[str, Any]) -> None:
    new = days["new"]
    assert (new["version"], new["promoted"], new["changed"]) == ("2", True, True)
    assert "against" in new["reason"]
    model = open_artifact(Path(new["artifacts"]["model"]), "model")
    assert model.settings["backbone"] == model.settings["known"]
    assert model.settings["backbone"].endswith("/1")
    starts = model.read_json("notes/history.json")["starts"]
    assert [row["start"] for row in starts] == ["champion", "backbone"]
    assert max(starts, key=lambda row: (row["accuracy"], -row["validation_loss"]))["kept"]  # the classes are even
    evaluation = json.loads((Path(new["artifacts"]["evaluation"]) / "evaluation.json").read_text())
    assert evaluation["changes"]["examples"]["new"] == 300
    assert evaluation["champion"]["version"] == "1"
    told = {(row["column"], row["value"]): row["support"] for row in evaluation["champion"]["slices"]}
    assert {column for column, _ in told} == {"source", "data"}
    assert told["data", "old"] > told["data", "new"] > 0


def test_a_new_label_is_learned_beside_the_old_ones(days: dict[str, Any]) -> None:
    evaluation = json.loads((Path(days["new"]["artifacts"]["evaluation"]) / "evaluation.json").read_text())
    assert evaluation["changes"]["labels"] == {"new": ["galley"], "vanished": []}
    recalls = {row["label"]: (row["champion"], row["challenger"]) for row in evaluation["champion"]["classes"]}
    assert recalls["galley"][0] == 0.0  # the champion knows no such class
    assert recalls["galley"][1] > 0.5
    assert all(challenger > 0.5 for _, challenger in recalls.values())


def test_an_example_that_was_in_test_stays_in_test(days: dict[str, Any]) -> None:
    tests = []
    for day in ("first", "new"):
        snapshot = open_artifact(Path(days[day]["artifacts"]["snapshot"]), "snapshot")
        tests.append({id_ for batch in read_batches(snapshot, "test") for id_ in batch.column("id").to_pylist()})
    assert tests[0] < tests[1]


def test_a_forced_training_that_gains_too_little_is_refused(days: dict[str, Any]) -> None:
    forced = days["forced"]
    assert (forced["version"], forced["changed"], forced["promoted"]) == ("3", True, False)
    assert forced["aliases"] == ["challenger"]


def test_replay_takes_a_part_of_the_old_examples_of_each_class(days: dict[str, Any]) -> None:
    snapshot = open_artifact(Path(days["forced"]["artifacts"]["snapshot"]), "snapshot")
    labels = Counter(label for batch in read_batches(snapshot, "train") for label in batch["label"].to_pylist())
    model = open_artifact(Path(days["forced"]["artifacts"]["model"]), "model")
    trained = model.read_json("notes/history.json")["examples"]
    assert trained == sum(-(-count // 4) for count in labels.values())


def test_the_registry_tells_the_history(days: dict[str, Any]) -> None:
    shown = graft("models", "show", "topics", folder=days["folder"])
    assert shown.returncode == 0, shown.stderr
    for part in ("@champion", "@previous", "refuse", "compared_with"):
        assert part in shown.stdout
