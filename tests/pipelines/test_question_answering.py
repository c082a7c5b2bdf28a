"""Question answering from SQuAD's file to a served model, one step after the other."""

import json
from pathlib import Path
from typing import Any

import mlflow
import pandas as pd
import pyarrow.parquet as pq
import pytest

from components.evaluate.evaluate import EvaluateSettings, evaluate
from components.finetune.finetune import finetune
from components.finetune.settings import FinetuneSettings
from components.ingest.ingest import IngestSettings, ingest
from components.register.package import write_package
from components.shared import tasks
from components.shared.artifacts.artifact import open_artifact
from components.transform.transform import TransformSettings, transform
from tests.conftest import NUMBERS

NAME = "question-answering"
KINDS = ("snapshot", "features", "model", "evaluation")


def write_squad(path: Path, rows: list[dict[str, Any]]) -> Path:
    """Writes sample questions as SQuAD 2.0 has them."""
    contexts: dict[str, list[dict[str, Any]]] = {}
    for number, row in enumerate(rows):
        answers = [{"text": t, "answer_start": s} for t, s in zip(*row["label"].values(), strict=True)]
        told = {"id": str(number), "question": row["input_1"], "answers": answers, "is_impossible": not answers}
        contexts.setdefault(row["input_2"], []).append(told)
    paragraphs = [{"context": context, "qas": asked} for context, asked in contexts.items()]
    path.write_text(json.dumps({"version": "v2.0", "data": [{"title": "a", "paragraphs": paragraphs}]}), "utf-8")
    return path


@pytest.fixture(scope="module")
def made(backbone: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    folder = tmp_path_factory.mktemp("questions")
    source, paths = write_squad(folder / "squad.json", tasks.get(NAME).sample(400, 1)), [folder / k for k in KINDS]
    ingest(paths[0], IngestSettings(str(source), ["question", "context"], "answers", task=NAME))
    transform(paths[0], paths[1], TransformSettings(str(backbone)))
    training = {**NUMBERS, "epochs": 12, "patience": 12, "learning_rate": 3e-3, "strategy": "full"}
    finetune(paths[1], paths[2], FinetuneSettings(str(backbone), **training), paths[0])
    evaluate(*paths, EvaluateSettings())
    return dict(zip(KINDS, paths, strict=True))


def test_it_learns_what_can_be_learned(made: dict[str, Path]) -> None:
    told = open_artifact(made["evaluation"], "evaluation").read_json("evaluation.json")
    assert told["metrics"]["answer_f1"] > 0.9
    assert told["verdict"] == "better"
    assert set(told["baselines"]) >= {"Best sentence", "No answer to anything"}
    page = (made["evaluation"] / "notes/report.html").read_text("utf-8")
    assert "F1 of answers" in page


def test_questions_on_one_text_are_in_one_split_and_drawn_together(made: dict[str, Path]) -> None:
    where: dict[str, set[str]] = {}
    for split in ("train", "validation", "test"):
        for file in made["snapshot"].glob(f"{split}-*.parquet"):
            for context in pq.read_table(file)["input_2"].to_pylist():
                where.setdefault(context, set()).add(split)
    assert len(where) > 150
    assert all(len(splits) == 1 for splits in where.values())


def test_it_is_served_without_graft_and_answers_as_it_was_evaluated(made: dict[str, Path], tmp_path: Path) -> None:
    write_package(open_artifact(made["model"], "model"), tmp_path / "package", "0" * 32)
    rows = pq.read_table(made["evaluation"] / "predictions.parquet").to_pylist()
    raw = pd.DataFrame({"question": [r["input_1"] for r in rows], "context": [r["input_2"] for r in rows]})
    served = mlflow.pyfunc.load_model(str(tmp_path / "package"))
    found = served.predict(raw)
    assert list(found.columns) == ["answer", "score", "start", "end"]
    assert found["answer"].tolist() == [row["answer"] for row in rows]
    for context, answer in zip(raw["context"], found.to_dict("records"), strict=True):
        assert context[answer["start"] : answer["end"]] == answer["answer"]
    odd = [("where? " * 300, "the pan"), ("ship?", "the old " * 300 + "mast"), ("ship?", "👩\u200d🔬\r\nกรุงเทพ سلام")]
    told = served.predict(pd.DataFrame(odd, columns=["question", "context"]))
    for (_, context), answer in zip(odd, told.to_dict("records"), strict=True):
        assert context[answer["start"] : answer["end"]] == answer["answer"]
