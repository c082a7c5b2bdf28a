"""Raw inputs as columns of a linear model: the words of texts, the gradients of pictures. Copied beside models.

A model's folder holds how its columns are made as JSON, and, where it has no backbone, their weights as safetensors.
"""

import importlib
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, ClassVar, Protocol

import numpy as np
from safetensors.numpy import load_file, save_file
from scipy.sparse import csr_matrix

_MAKERS = {
    "lexical": (".lexical.vectorizer", "Vectorizer"),
    "gradients": (".gradients.look", "Look"),
    "lexical of tokens": (".lexical.tokens", "TokenTerms"),
}
"""What makes columns, by kind, and level where that is another: each model brings those files alone that it needs."""
Extras = Mapping[str, Sequence[Any]]
"""What a task's encoder, or `Head.extras`, tells of rows beside what a network is fed with."""
_AT_ONCE = 1024  # inputs, so that memory stays bounded


class Columns(Protocol):
    """Makes columns of raw inputs."""

    kind: ClassVar[str]
    """"lexical" or "gradients"."""
    level: ClassVar[str]
    """What has columns: "pooled", an example, or "tokens", each of its tokens."""

    @property
    def width(self) -> int:
        """How many columns there are."""

    def columns(self, inputs: Sequence[Sequence[Any]], extras: Extras | None = None) -> csr_matrix:
        """Returns float32 [examples, width], or at the level of tokens [tokens of all rows, width].

        Args:
            inputs: For each input its values: texts, or image files.
            extras: At the level of tokens what is told of the rows of features, see `Head.extras`; else nothing.
        """

    def to_json(self) -> dict[str, Any]:
        """Returns all that it is made of."""


class Predictor:
    """Predicts from raw input, without a backbone.

    A model's folder holds `model.json` (task, labels, inputs, `family`: the kind of columns), the kind's JSON and its
    safetensors (`weight` [columns, classes] and `bias` [classes]). Where answers are no classes `model.json` tells
    `head`, the folder of the task whose `answers.py` decodes what the model gives, and the safetensors hold what else
    that needs.
    """

    def __init__(self, folder: Path) -> None:
        told = json.loads((folder / "model.json").read_text("utf-8"))
        self.labels: list[str] = told["labels"]
        self.inputs: list[str] = told["inputs"]
        self.columns: Columns = _load(told["family"], folder)
        weights = load_file(folder / f"{told['family']}.safetensors")
        self.weight, self.bias = (weights.pop(name).astype(np.float32) for name in ("weight", "bias"))
        self.head: str | None = told.get("head")
        self.spec, self.kept = {"labels": self.labels, **told.get("target", {})}, weights

    def predict(self, rows: Sequence[Sequence[str | bytes]], batch_size: int = _AT_ONCE) -> dict[str, list[Any]]:
        """Returns the columns of the task's prediction, one value for each row, see `probabilities`."""
        if self.head is not None:
            answers: Any = importlib.import_module(f".tasks.{self.head}.answers", __package__)
            columns: dict[str, list[Any]] = answers.decode(self.logits(rows, batch_size), self.spec, self.kept)
            return columns
        from .tasks.classification.answers import columns_of

        return columns_of(self.probabilities(rows, batch_size), self.labels)

    def probabilities(self, rows: Sequence[Sequence[str | bytes]], batch_size: int = _AT_ONCE) -> np.ndarray:
        """Returns probabilities [rows, classes], float32.

        Args:
            rows: Each holds one value for each input: a text, or an image as the bytes or the path of its file.
            batch_size: How many at once.

        Raises:
            ImageError: An image cannot be read.
        """
        logits = self.logits(rows, batch_size)
        powers = np.exp(logits - logits.max(1, keepdims=True))
        return np.asarray(powers / powers.sum(1, keepdims=True), np.float32)

    def logits(self, rows: Sequence[Sequence[str | bytes]], batch_size: int = _AT_ONCE) -> np.ndarray:
        """Returns what the model gives, float32 [rows, outputs], see `probabilities`."""
        parts = [np.zeros((0, len(self.bias)), np.float32)]
        for start in range(0, len(rows), batch_size):
            inputs = list(zip(*rows[start : start + batch_size], strict=True))
            parts.append(self.columns.columns(inputs) @ self.weight + self.bias)
        return np.concatenate(parts)


def load_columns(folder: Path) -> Columns | None:
    """Returns what makes the columns of a model's folder; None where there is nothing of the kind."""
    return next((_load(kind, folder) for kind in ("lexical", "gradients") if (folder / f"{kind}.json").exists()), None)


def save_columns(columns: Columns, folder: Path) -> None:
    """Writes `lexical.json` or `gradients.json`."""
    (folder / f"{columns.kind}.json").write_text(json.dumps(columns.to_json(), ensure_ascii=False), "utf-8")


def save_weights(
    kind: str, weight: np.ndarray, bias: np.ndarray, folder: Path, others: Mapping[str, np.ndarray] | None = None
) -> None:
    """Writes `lexical.safetensors` or `gradients.safetensors`.

    Args:
        kind: Of the columns.
        weight: [columns, classes]; kept in float16, whose error is far below that of any weight.
        bias: [classes].
        folder: Of the model.
        others: What else its answers are made by, by name.
    """
    kept: dict[str, np.ndarray] = {
        "weight": np.ascontiguousarray(weight, np.float16),
        "bias": np.ascontiguousarray(bias, np.float32),
        **(others or {}),
    }
    save_file(kept, folder / f"{kind}.safetensors")


def _load(kind: str, folder: Path) -> Columns:
    told = json.loads((folder / f"{kind}.json").read_text("utf-8"))
    module, name = _MAKERS[f"{kind} of {told['level']}" if "level" in told else kind]
    maker: Any = getattr(importlib.import_module(module, __package__), name)
    columns: Columns = maker.from_json(told)
    return columns
