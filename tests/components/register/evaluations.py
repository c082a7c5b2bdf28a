"""An evaluation as `evaluate` writes it, cut down to what `register` and `promote` read."""

from pathlib import Path
from typing import Any

from components.shared.artifacts.artifact import open_artifact, write_artifact

REPORT = "<!doctype html><title>What the model learned</title>"


def write_evaluation(
    model: Path,
    folder: Path,
    accuracy: float = 0.9,
    decision: dict[str, Any] | None = None,
    inventory: dict[str, bytes] | None = None,
    **more: Any,
) -> Path:
    """Writes an evaluation of a model and returns the folder.

    Args:
        model: The folder of the model.
        folder: The folder to write.
        accuracy: Of the model.
        decision: What the gate decided; None: an older graft, that had none.
        inventory: Files that tell the data.
        more: What else `evaluation.json` holds.
    """
    metrics = {"accuracy": accuracy, "macro_f1": accuracy - 0.01, "ece": None}
    content = {
        "metrics": metrics,
        "baselines": {"TF-IDF": {"accuracy": 0.5}},
        "verdict": "better",
        "sentence": "The model is better than the best baseline.",
        **more,
    }
    with write_artifact(folder, "evaluation", {}, open_artifact(model, "model").lineage()) as draft:
        draft.write_json("evaluation.json", content)
        (draft.path / "notes/inventory").mkdir(parents=True)
        (draft.path / "notes/report.html").write_text(REPORT)
        if decision:
            draft.write_json("notes/decision.json", decision)
        for name, data in (inventory or {}).items():
            (draft.path / "notes/inventory" / name).write_bytes(data)
    return folder
