"""Prediction from raw input, texts or image files, with a model's folder. Copied beside registered models."""

import json
from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch

from .head import Head
from .network import MakeHead, Network, outputs_of, predict, wide_columns
from .panic import told_of_panic
from .pixels import open_image
from .preprocessing import Preprocessing, prepare
from .segments import SEGMENTS, segments_of

_AT_ONCE = 256  # inputs encoded, so that memory stays bounded

Rows = Sequence[Sequence[Any]]
Encode = Callable[[Rows], tuple[dict[str, list[np.ndarray]], dict[str, list[Any]]]]
"""Takes rows; returns features, and what decoding needs beside the head's outputs."""


class RawPredictor:
    """Predicts from raw input; a family's `Predictor` says how its networks are loaded.

    A model's folder holds `config.json` (the backbone's), `model.safetensors` (backbone and head), `model.json` (task,
    labels, inputs, pooling), either `tokenizer.json` (truncation set) or `preprocessing.json`, and perhaps
    `lexical.json` or `gradients.json` (what the branch beside the backbone sees).
    """

    @staticmethod
    def from_model(folder: Path, head: MakeHead | None = None) -> Network:
        """Returns the trained network of a model's folder."""
        raise NotImplementedError

    def __init__(self, folder: Path, device: str | None = None, head: MakeHead | None = None) -> None:
        """Loads the weights.

        Args:
            folder: Of the model.
            device: Where it computes; None: on a GPU, if there is one.
            head: Makes its head; None: the one that `model.json` names, in the folders of tasks beside this one.
        """
        told = json.loads((folder / "model.json").read_text("utf-8"))
        self.labels: list[str] = told.get("labels", [])
        self.inputs: list[str] = told["inputs"]
        self.columns: list[str] = told["columns"]
        self.device = device or ("cuda" if torch.cuda.is_available() else "cpu")
        self.network = self.from_model(folder, head).to(self.device)
        self.padding = padding_of(folder)
        is_text = (folder / "tokenizer.json").exists()
        self._encode = _text_encoder(folder, self.network.head) if is_text else _image_encoder(folder)

    def predict(self, rows: Rows, batch_size: int = 64) -> dict[str, list[Any]]:
        """Returns the columns of the task's prediction, one value for each row.

        Args:
            rows: Each holds one value for each input: a text, or an image as the bytes or the path of its file.
            batch_size: How many go through the network at once.

        Raises:
            ImageError: An image cannot be read.
            TokenizerError: The tokenizer broke down on a text.
        """
        found: dict[str, list[Any]] = self._decode({}, {"inputs": []})
        for part, used, extras in self._features(rows):
            outputs = outputs_of(self.network, used, self.padding, batch_size)
            for name, values in self._decode(outputs, {**extras, "inputs": list(part)}).items():
                found[name] += values
        return found

    def probabilities(self, rows: Rows, batch_size: int = 64) -> np.ndarray:
        """Returns probabilities [rows, classes], float32, of a model whose examples have one class each.

        Args:
            rows: As `predict` takes them.
            batch_size: How many go through the network at once.

        Raises:
            ImageError: An image cannot be read.
        """
        parts = [predict(self.network, used, self.padding, batch_size) for _, used, _ in self._features(rows)]
        return np.concatenate([np.zeros((0, len(self.labels)), np.float32), *parts])

    def _decode(self, outputs: Mapping[str, Sequence[Any]], extras: dict[str, list[Any]]) -> dict[str, list[Any]]:
        return self.network.head.decode(defaultdict(list, outputs), defaultdict(list, extras))

    def _features(self, rows: Rows) -> Iterator[tuple[Rows, dict[str, list[np.ndarray]], dict[str, list[Any]]]]:
        """Yields some rows after others, with their features, and what decoding needs."""
        for start in range(0, len(rows), _AT_ONCE):
            part = rows[start : start + _AT_ONCE]
            columns, extras = self._encode(part)
            used = {name: columns[name] for name in (self.columns if "input_ids" in columns else columns)}
            if (beside := self.network.beside) is not None:
                used |= wide_columns(beside, list(zip(*part, strict=True)), extras)
            yield part, used, extras


def padding_of(folder: Path) -> int:
    """Returns the id of the padding token, 0 where the backbone names none (it is masked out)."""
    return json.loads((folder / "config.json").read_text("utf-8")).get("pad_token_id") or 0


def _text_encoder(folder: Path, head: Head) -> Encode:
    from tokenizers import Tokenizer

    tokenizer = Tokenizer.from_file(str(folder / "tokenizer.json"))
    shortened = head.shortener(tokenizer)

    def encode(rows: Rows) -> tuple[dict[str, list[np.ndarray]], dict[str, list[Any]]]:
        with told_of_panic():
            if head.apart > 1:
                pieces = [tokenizer.encode_batch(list(row)) for row in rows]
            else:
                encodings = tokenizer.encode_batch([row[0] if len(row) == 1 else tuple(row) for row in shortened(rows)])
                pieces = [[encoding, *(encoding.overflowing if head.windows else ())] for encoding in encodings]
        every = [piece for of_one in pieces for piece in of_one]
        columns = {
            "input_ids": [np.array(piece.ids) for piece in every],
            "token_type_ids": [np.array(piece.type_ids) for piece in every],
        }
        if head.segmented:
            columns[SEGMENTS] = [segments_of(piece) for piece in every]
        return columns, head.extras(pieces)

    return encode


def _image_encoder(folder: Path) -> Encode:
    preprocessing = Preprocessing.from_json(json.loads((folder / "preprocessing.json").read_text("utf-8")))

    def encode(rows: Rows) -> tuple[dict[str, list[np.ndarray]], dict[str, list[Any]]]:
        files = (value if isinstance(value, bytes) else Path(value).read_bytes() for (value,) in rows)
        return {"pixels": [prepare(open_image(data), preprocessing).reshape(-1) for data in files]}, {}

    return encode
