"""`graft init` and `graft profile`: looking at data before a run, and a job file that runs as it stands."""

import json
import shutil
from pathlib import Path
from typing import Any

import pytest

from components.ingest.ingest import IngestSettings, ingest
from components.shared import tasks
from components.shared.errors import InputError
from pipelines.command import available, cli
from pipelines.command.available import choose
from pipelines.command.draft import name_of
from pipelines.jobs.job import load_job
from tests.backbones import make_timm_backbone
from tests.components.shared.profile.test_profile import rows, tree
from tests.conftest import pairs, write_csv


@pytest.fixture(autouse=True)
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(available, "_PACKAGES", ())  # whatever is installed here


@pytest.fixture
def minilm(tmp_path: Path, backbone: Path) -> str:
    shutil.copytree(backbone, tmp_path / ".graft/demo/minilm")
    return ".graft/demo/minilm"


def init(*words: str) -> None:
    arguments = cli.parser().parse_args(["init", *words])
    arguments.act(arguments)


def ingested(job_file: Path, folder: Path) -> Any:
    """What the first step makes of the job."""
    job = load_job(job_file)
    fields = {**job.data.model_dump(), "task": job.task}
    return ingest(folder, IngestSettings(**fields))


def test_a_table_of_texts_becomes_a_job_that_runs(
    tmp_path: Path, minilm: str, capsys: pytest.CaptureFixture[str]
) -> None:
    write_csv(tmp_path / "my tickets/part.csv", [{"text": row["text"], "team": row["label"]} for row in rows(300)])
    init("my tickets", "-o", "job.yaml")
    job = load_job(tmp_path / "job.yaml")
    assert (job.model, job.task, job.backbone) == ("my-tickets", "text-classification", minilm)
    assert (job.data.inputs, job.data.label, job.data.source) == (["text"], "team", "my tickets")
    assert ingested(tmp_path / "job.yaml", tmp_path / "s").read == 300
    text = (tmp_path / "job.yaml").read_text()
    assert "it lies under .graft" in text.lower()
    assert "#   graft run job.yaml" in text
    assert "strategy" not in job.model_fields_set
    assert "next: graft run job.yaml" in capsys.readouterr().out


def test_given_splits_rows_that_cannot_be_used_and_what_is_odd_are_told(tmp_path: Path, minilm: str) -> None:
    train = [*rows(300), *[{"text": "", "label": "a"}] * 9, {"text": "a line\nand another", "label": "b\x07\u2028c"}]
    write_csv(tmp_path / "d/train.csv", train)
    write_csv(tmp_path / "d/test.csv", rows(60, 1))
    init("d")
    job, text = load_job(tmp_path / "job.yaml"), (tmp_path / "job.yaml").read_text()
    assert job.data.max_rejects == pytest.approx(0.03, abs=0.011)
    assert "Splits are given by the files' names (test 60, train 301), and kept." in text
    assert "test_fraction" not in text
    assert "9 of 370 rows cannot be used: 9 empty input" in text


def test_what_a_run_would_refuse_is_refused_and_rows_without_label_are_held(tmp_path: Path, minilm: str) -> None:
    several = [{"text": row["text"], "label": "a|b" if n < 6 else "ab"[n % 2]} for n, row in enumerate(rows(90))]
    write_csv(tmp_path / "several.csv", several)
    with pytest.raises(InputError, match=r"1 labels in 'label' are several in one cell \(6 rows\), such as 'a\|b'"):
        init("several.csv", "-o", "a.yaml")
    write_csv(tmp_path / "some.csv", [{**row, "label": row["label"] * (n % 9 > 0)} for n, row in enumerate(rows(90))])
    init("some.csv", "-o", "b.yaml")
    job = load_job(tmp_path / "b.yaml")
    assert (job.data.unlabelled, job.data.max_rejects) == ("hold", 0.01)


def test_a_pair_and_pictures(tmp_path: Path, minilm: str) -> None:
    write_csv(
        tmp_path / "pairs.csv",
        [{"premise": r["left"], "hypothesis": r["right"], "label": r["label"]} for r in pairs(60)],
    )
    init("pairs.csv", "-o", "a.yaml")
    job = load_job(tmp_path / "a.yaml")
    assert (job.model, job.data.inputs) == ("pairs", ["premise", "hypothesis"])
    tree(tmp_path / "animals", 30)
    init("animals", "-o", "b.yaml")
    job = load_job(tmp_path / "b.yaml")
    assert (job.task, job.backbone) == ("image-classification", "random:timm/resnet18")
    make_timm_backbone("resnet10t", tmp_path / ".graft/demo/net")
    assert choose("image-classification", {}, Path(".graft")).name == ".graft/demo/net"


DRAFTED = {
    "lists": ({"tags": ["a", "b"]}, "multi-label-classification", "has any number of 2 labels, or none"),
    "one text": ({"labels": "a|b a b"}, "multi-label-classification", "has any number of 2 labels, or none"),
    "numbers": ({"score": 0.25}, "text-regression", "has a number"),
    "spans": (
        {"entities": [{"start": 0, "end": 3, "label": "X"}]},
        "token-classification",
        "holds entities of 1 types",
    ),
}


@pytest.mark.parametrize(("column", "task", "said"), DRAFTED.values(), ids=DRAFTED)
def test_other_answers_than_classes_are_proposed_as_what_they_are(
    tmp_path: Path, column: dict[str, Any], task: str, said: str, minilm: str, capsys: pytest.CaptureFixture[str]
) -> None:
    """Numbers, lists and spans are known by themselves; texts with a delimiter once their task is named."""
    name, value = next(iter(column.items()))
    answers = (
        [n / 7 for n in range(60)] if name == "score" else value.split() * 20 if name == "labels" else [value, []] * 30
    )
    content = [{"text": row["text"], name: answer} for row, answer in zip(rows(60), answers, strict=True)]
    (tmp_path / "d.jsonl").write_text("\n".join(map(json.dumps, content)))
    init("d.jsonl", *(["--task", task] if name == "labels" else []))
    written, job = (tmp_path / "job.yaml").read_text(), load_job(tmp_path / "job.yaml")
    assert (job.task, job.data.inputs, job.data.label) == (task, ["text"], name)
    assert job.task_args == ({"delimiter": "|"} if name == "labels" else {})
    assert said in written
    assert "classes" not in written.replace("rare_classes", "")
    cli.main(["profile", "job.yaml"])
    assert ("Numbers" if name == "score" else tasks.get(task).target.kinds[1]) in capsys.readouterr().out


def test_what_is_there_is_not_written_over(tmp_path: Path, minilm: str) -> None:
    source = str(write_csv(tmp_path / "d.csv", rows(60)))
    (tmp_path / "job.yaml").write_text("mine")
    with pytest.raises(InputError, match="exists already, and is left as it is"):
        init(source)
    assert (tmp_path / "job.yaml").read_text() == "mine"
    init(source, "--force")
    assert load_job(tmp_path / "job.yaml").model == "d"


@pytest.mark.parametrize(
    ("column", "message"),
    [
        ({"tags": "[]"}, "has no label in 60 rows; at least one is needed"),
        ({"score": "0.5"}, "holds one number in all rows"),
        ({"label": "same"}, "has one class, 'same'"),
    ],
)
def test_data_that_no_task_fits_ends_in_a_sentence(tmp_path: Path, column: dict[str, str], message: str) -> None:
    content = [
        {"text": row["text"], **{name: value.format(1000 + n) for name, value in column.items()}}
        for n, row in enumerate(rows(60))
    ]
    write_csv(tmp_path / "d.csv", content)
    assert cli.main(["init", "d.csv"]) == 2
    with pytest.raises(InputError, match=message):
        init("d.csv")
    assert not (tmp_path / "job.yaml").exists()


def test_without_any_backbone_the_file_says_so(tmp_path: Path) -> None:
    chosen = choose("text-classification", {"Cyrillic": 1.0}, tmp_path)
    assert (chosen.name, chosen.here) == ("intfloat/multilingual-e5-small", False)
    assert "the run fails until it does" in chosen.why


@pytest.mark.parametrize(
    ("source", "name"),
    [
        ("tickets", "tickets"),
        ("./data/My Reviews.csv.gz", "my-reviews"),
        ("s3://bucket/raw/2026/", "2026"),
        ("hf://owner/name", "name"),
        ("reviews/train.csv", "reviews"),
        ("数据.csv", "model"),
    ],
)
def test_the_model_is_called_as_its_data(source: str, name: str) -> None:
    assert name_of(source) == name


def test_graft_profile_draws_and_writes_json(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    content = [{**row, "agent": str(n % 7)} for n, row in enumerate(rows(100))]
    write_csv(tmp_path / "d.csv", content)
    assert cli.main(["profile", "d.csv", "--json", "out/profile.json"]) == 0
    printed = capsys.readouterr().out
    for part in ("2 classes", "Lengths in tokens", "Columns", "Examples", "More than once", "What to look at", "█"):
        assert part in printed
    assert json.loads((tmp_path / "out/profile.json").read_text())["class_count"] == 2


def test_graft_profile_takes_a_job(tmp_path: Path, minilm: str, capsys: pytest.CaptureFixture[str]) -> None:
    write_csv(tmp_path / "d.csv", rows(100))
    init("d.csv")
    assert cli.main(["profile", "job.yaml"]) == 0
    assert f"counted by the tokenizer of {minilm}" in capsys.readouterr().out
