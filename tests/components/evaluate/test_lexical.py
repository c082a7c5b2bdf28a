"""Models that know words, as they are evaluated: alone, and beside a backbone."""

from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest

from components.evaluate.evaluate import EvaluateReport, EvaluateSettings, evaluate
from components.finetune.finetune import finetune
from components.finetune.settings import FinetuneSettings
from components.shared.prediction import load_artifact
from tests.components.register.evaluations import write_evaluation
from tests.conftest import TRAINING


def train(features: Path, snapshot: Path, backbone: Path, folder: Path, **options: str) -> Path:
    finetune(features, folder, FinetuneSettings(str(backbone), **{**TRAINING, **options}), snapshot)
    return folder


@pytest.mark.parametrize("options", [{"strategy": "lexical"}, {"strategy": "probe", "lexical": "true"}])
def test_the_page_and_the_metrics_are_those_of_raw_text(
    options: dict[str, str], snapshot: Path, features: Path, backbone: Path, tmp_path: Path
) -> None:
    model = train(features, snapshot, backbone, tmp_path / "model", **options)
    report: EvaluateReport = evaluate(snapshot, features, model, tmp_path / "evaluation", EvaluateSettings())
    assert report.metrics["accuracy"] > 0.9
    assert "<title>" in report.report.read_text()
    rows = pq.read_table(tmp_path / "evaluation/predictions.parquet").to_pylist()
    found = load_artifact(model).probabilities([(row["input_1"],) for row in rows])
    np.testing.assert_allclose(found, [row["probabilities"] for row in rows], atol=1e-5)


def test_a_champion_of_words_alone_is_compared_with(
    registry: str, snapshot: Path, features: Path, backbone: Path, model: Path, tmp_path: Path
) -> None:
    from components.promote.promote import PromoteSettings, promote
    from components.register.register import RegisterSettings, register

    words = train(features, snapshot, backbone, tmp_path / "words", strategy="lexical")
    decision = {"verdict": "promote", "reasons": [], "champion": ""}
    evaluation = write_evaluation(words, tmp_path / "evaluation", decision=decision)
    register(words, evaluation, tmp_path / "version", RegisterSettings("words"))
    promote(tmp_path / "version", evaluation, tmp_path / "promotion", PromoteSettings("words"))
    settings = EvaluateSettings(champion="words")
    report = evaluate(snapshot, features, model, tmp_path / "compared", settings)
    assert report.champion == "1"
    told = (tmp_path / "compared/evaluation.json").read_text()
    assert '"failure": ""' in told
