"""An evaluation as `evaluate` writes it, cut down to what `register` reads."""

from pathlib import Path

from components.shared.artifact import open_artifact, write_artifact

REPORT = "<!doctype html><title>What the model learned</title>"


def write_evaluation(model: Path, folder: Path, accuracy: float = 0.9) -> Path:
    """Writes an evaluation of a model and returns the folder."""
    metrics = {"accuracy": accuracy, "macro_f1": accuracy - 0.01, "ece": None}
    baselines = {"TF-IDF": {"accuracy": 0.5}}
    content = {
        "metrics": metrics,
        "baselines": baselines,
        "verdict": "better",
        "sentence": "The model is better than the best baseline.",
    }
    with write_artifact(folder, "evaluation", {}, open_artifact(model, "model").lineage()) as draft:
        draft.write_json("evaluation.json", content)
        (draft.path / "notes").mkdir()
        (draft.path / "notes/report.html").write_text(REPORT)
    return folder
