"""Retrieval from a table of pairs to a served model, one step after the other."""

from pathlib import Path

import mlflow
import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq

from components.evaluate.evaluate import EvaluateSettings, evaluate
from components.finetune.finetune import finetune
from components.finetune.settings import FinetuneSettings
from components.ingest.ingest import IngestSettings, ingest
from components.register.package import write_package
from components.shared import tasks
from components.shared.artifacts.artifact import open_artifact
from components.transform.transform import TransformSettings, transform
from tests.conftest import NUMBERS

KINDS = ("snapshot", "features", "model", "evaluation")


def test_from_pairs_to_a_served_model(backbone: Path, tmp_path: Path) -> None:
    rows = [
        {"query": row["input_1"], "passage": row["input_2"], "score": row["label"]}
        for row in tasks.get("text-retrieval").sample(300, 1)
    ]
    pq.write_table(pa.Table.from_pylist(rows), tmp_path / "pairs.parquet")
    paths = [tmp_path / kind for kind in KINDS]
    settings = IngestSettings(str(tmp_path / "pairs.parquet"), ["query", "passage"], "score", task="text-retrieval")
    ingest(paths[0], settings)
    transform(paths[0], paths[1], TransformSettings(str(backbone)))
    training = {**NUMBERS, "epochs": 5, "learning_rate": 3e-3, "strategy": "probe-then-full"}
    finetune(paths[1], paths[2], FinetuneSettings(str(backbone), **training), paths[0])
    evaluate(*paths, EvaluateSettings())
    told = open_artifact(paths[3], "evaluation").read_json("evaluation.json")
    frozen = next(values for name, values in told["baselines"].items() if name.startswith("Frozen backbone"))
    assert told["metrics"]["ndcg_at_10"] > max(0.8, frozen["ndcg_at_10"])
    assert told["baselines"]["BM25"]["ndcg_at_10"] > 0.9
    assert "Ranks" in (paths[3] / "notes/report.html").read_text("utf-8")
    write_package(open_artifact(paths[2], "model"), tmp_path / "package", "0" * 32)
    served = mlflow.pyfunc.load_model(str(tmp_path / "package"))
    pair = {"query": "pan oven salt", "passage": "the old oven near salt and a pan"}
    found = served.predict(pd.DataFrame([pair, {"query": pair["passage"], "passage": pair["query"]}]))
    assert list(found.columns) == ["embedding", "passage_embedding", "score"]
    vectors = np.array(found["embedding"].tolist())
    np.testing.assert_allclose(np.linalg.norm(vectors, axis=1), 1, atol=1e-5)
    np.testing.assert_allclose(vectors[1], found["passage_embedding"][0], atol=1e-5)  # either side, the same vector
    assert found["score"][0] > 0.5
