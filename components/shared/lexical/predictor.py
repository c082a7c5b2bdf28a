"""A model of words alone: raw text in, probabilities out. Copied beside registered models."""

import json
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from safetensors.numpy import load_file, save_file

from .vectorizer import Vectorizer

VOCABULARY, WEIGHTS = "lexical.json", "lexical.safetensors"
_AT_ONCE = 1024  # texts, so that memory stays bounded


class Predictor:
    """Predicts from raw text.

    A model's folder holds `model.json` (task, labels, inputs), `lexical.json` (terms) and `lexical.safetensors`
    (`weight` [columns, classes] and `bias` [classes]).
    """

    def __init__(self, folder: Path) -> None:
        told = json.loads((folder / "model.json").read_text("utf-8"))
        self.labels: list[str] = told["labels"]
        self.inputs: list[str] = told["inputs"]
        self.vectorizer = load_vectorizer(folder)
        weights = load_file(folder / WEIGHTS)
        self.weight, self.bias = (weights[name].astype(np.float32) for name in ("weight", "bias"))

    def probabilities(self, rows: Sequence[Sequence[str | bytes]], batch_size: int = _AT_ONCE) -> np.ndarray:
        """Returns probabilities [rows, classes], float32.

        Args:
            rows: Each holds one text for each input.
            batch_size: How many at once.
        """
        parts = [np.zeros((0, len(self.labels)), np.float32)]
        for start in range(0, len(rows), batch_size):
            texts = list(zip(*rows[start : start + batch_size], strict=True))
            logits = self.vectorizer.columns(texts) @ self.weight + self.bias
            powers = np.exp(logits - logits.max(1, keepdims=True))
            parts.append((powers / powers.sum(1, keepdims=True)).astype(np.float32))
        return np.concatenate(parts)


def load_vectorizer(folder: Path) -> Vectorizer:
    """Returns the vectorizer of a model's folder."""
    return Vectorizer.from_json(json.loads((folder / VOCABULARY).read_text("utf-8")))


def save_vectorizer(vectorizer: Vectorizer, folder: Path) -> None:
    """Writes `lexical.json`."""
    (folder / VOCABULARY).write_text(json.dumps(vectorizer.to_json(), ensure_ascii=False), "utf-8")


def save_weights(weight: np.ndarray, bias: np.ndarray, folder: Path) -> None:
    """Writes `lexical.safetensors`.

    Args:
        weight: [columns, classes]; kept in float16, whose error is far below that of any weight.
        bias: [classes].
        folder: Of the model.
    """
    kept: dict[str, np.ndarray] = {
        "weight": np.ascontiguousarray(weight, np.float16),
        "bias": np.ascontiguousarray(bias, np.float32),
    }
    save_file(kept, folder / WEIGHTS)
