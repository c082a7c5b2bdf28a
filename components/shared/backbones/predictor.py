"""Prediction from raw input, texts or image files, with a model's folder. Copied beside registered models."""

import json
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch

from .network import Network, predict, wide_columns
from .panic import told_of_panic
from .pixels import open_image
from .preprocessing import Preprocessing, prepare

_AT_ONCE = 256  # inputs encoded, so that memory stays bounded


class RawPredictor:
    """Predicts from raw input; a family's `Predictor` says how its networks are loaded.

    A model's folder holds `config.json` (the backbone's), `model.safetensors` (backbone and head), `model.json` (task,
    labels, inputs, pooling), either `tokenizer.json` (truncation set) or `preprocessing.json`, and perhaps
    `lexical.json` or `gradients.json` (what the branch beside the backbone sees).
    """

    @staticmethod
    def from_model(folder: Path) -> Network:
        """Returns the trained network of a model's folder."""
        raise NotImplementedError

    def __init__(self, folder: Path, device: str | None = None) -> None:
        told = json.loads((folder / "model.json").read_text("utf-8"))
        self.labels: list[str] = told["labels"]
        self.inputs: list[str] = told["inputs"]
        self.columns: list[str] = told["columns"]
        self.device = device or ("cuda" if torch.cuda.is_available() else "cpu")
        self.network = self.from_model(folder).to(self.device)
        self.padding = padding_of(folder)
        self._encode = _text_encoder(folder) if (folder / "tokenizer.json").exists() else _image_encoder(folder)

    def probabilities(self, rows: Sequence[Sequence[str | bytes]], batch_size: int = 64) -> np.ndarray:
        """Returns probabilities [rows, classes], float32.

        Args:
            rows: Each holds one value for each input: a text, or an image as the bytes or the path of its file.
            batch_size: How many go through the network at once.

        Raises:
            ImageError: An image cannot be read.
            TokenizerError: The tokenizer broke down on a text.
        """
        parts = [np.zeros((0, len(self.labels)), np.float32)]
        for start in range(0, len(rows), _AT_ONCE):
            columns = self._encode(rows[start : start + _AT_ONCE])
            used = {name: columns[name] for name in (self.columns if "input_ids" in columns else columns)}
            if (beside := self.network.beside) is not None:
                inputs: Any = list(zip(*rows[start : start + _AT_ONCE], strict=True))
                used |= wide_columns(beside, inputs)
            parts.append(predict(self.network, used, self.padding, batch_size))
        return np.concatenate(parts)


def padding_of(folder: Path) -> int:
    """Returns the id of the padding token, 0 where the backbone names none (it is masked out)."""
    return json.loads((folder / "config.json").read_text("utf-8")).get("pad_token_id") or 0


def _text_encoder(folder: Path) -> Callable[[Sequence[Sequence[Any]]], dict[str, list[np.ndarray]]]:
    from tokenizers import Tokenizer

    tokenizer = Tokenizer.from_file(str(folder / "tokenizer.json"))

    def encode(rows: Sequence[Sequence[Any]]) -> dict[str, list[np.ndarray]]:
        with told_of_panic():
            encodings = tokenizer.encode_batch([row[0] if len(row) == 1 else tuple(row) for row in rows])
        return {
            "input_ids": [np.array(encoding.ids) for encoding in encodings],
            "token_type_ids": [np.array(encoding.type_ids) for encoding in encodings],
        }

    return encode


def _image_encoder(folder: Path) -> Callable[[Sequence[Sequence[Any]]], dict[str, list[np.ndarray]]]:
    preprocessing = Preprocessing.from_json(json.loads((folder / "preprocessing.json").read_text("utf-8")))

    def encode(rows: Sequence[Sequence[Any]]) -> dict[str, list[np.ndarray]]:
        files = (value if isinstance(value, bytes) else Path(value).read_bytes() for (value,) in rows)
        return {"pixels": [prepare(open_image(data), preprocessing).reshape(-1) for data in files]}

    return encode
