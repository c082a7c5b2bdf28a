"""What the networks of all families have in common: a backbone, one vector an example, a linear head; their batches.

This file and those that it imports need nothing else of graft: `register` puts copies of them beside the weights, and
the registered model runs on them.
"""

import os
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import torch
from safetensors.torch import load_model, save_model
from torch import Tensor, nn

from .pixels import open_image
from .preprocessing import Preprocessing


class Network(nn.Module):
    """A backbone (`encoder`), dropout and a linear `head`; a family says how the backbone becomes one vector.

    Attributes:
        pooling: How it does.
        unit: Whether vectors are brought to length 1 before the head.
    """

    pooling = "auto"
    unit = False

    def __init__(self, encoder: nn.Module, width: int, labels: Sequence[str], dropout: float) -> None:
        super().__init__()
        self.encoder = encoder
        self.dropout = nn.Dropout(dropout)
        self.head = nn.Linear(width, len(labels))
        nn.init.normal_(self.head.weight, std=0.02)
        nn.init.zeros_(self.head.bias)

    def pooled(self, **batch: Tensor) -> Tensor:
        """Returns one vector an example, float [batch, width]."""
        raise NotImplementedError

    def summaries(self, **batch: Tensor) -> dict[str, Tensor]:
        """Returns all vectors that one pass can make of an example, by pooling; the network's own is the first."""
        return {self.pooling: self.pooled(**batch)}

    def choose(self, pooling: str, unit: bool) -> None:
        """Sets how an example becomes one vector: `pooling` is one of those of `summaries`."""
        self.pooling, self.unit = pooling, unit

    def classify(self, vectors: Tensor) -> Tensor:
        """Takes pooled vectors [batch, width]; returns logits [batch, classes]."""
        seen = nn.functional.normalize(vectors) if self.unit else vectors
        logits: Tensor = self.head(self.dropout(seen))
        return logits

    def forward(self, **batch: Tensor) -> Tensor:
        """Takes a batch as `collate` makes it; returns logits [batch, classes]."""
        return self.classify(self.pooled(**batch))

    def save(self, folder: Path) -> None:
        """Writes the weights and the backbone's configuration."""
        save_model(self, str(folder / "model.safetensors"))
        self.save_configuration(folder)

    def load(self, folder: Path) -> None:
        """Reads the weights that `save` wrote."""
        load_model(self, str(folder / "model.safetensors"))

    def save_configuration(self, folder: Path) -> None:
        """Writes `config.json`: what the backbone is made from."""
        raise NotImplementedError

    def describe(self) -> dict[str, Any]:
        """Returns what `model.json` must tell beside, so that the family's `from_model` can make it again."""
        raise NotImplementedError


def keep_rows(head: nn.Linear, labels: Sequence[str], weights: Mapping[str, Tensor], known: Sequence[str]) -> None:
    """Gives a head the rows of those labels that an older head knows; the others stay as they are.

    Args:
        head: The new head, [labels, width].
        labels: Its labels.
        weights: Of the older network: `head.weight` and `head.bias`.
        known: The older head's labels.
    """
    if weights["head.weight"].shape[1] != head.in_features:
        return
    rows = {label: number for number, label in enumerate(known)}
    with torch.no_grad():
        for number, label in enumerate(labels):
            if label in rows:
                head.weight[number] = weights["head.weight"][rows[label]]
                head.bias[number] = weights["head.bias"][rows[label]]


class Normalize(nn.Module):
    """Pixels as they are stored into what a vision backbone eats: the middle square, normalised by mean and deviation.

    It runs where the backbone runs: what travels to a GPU is one byte a value.
    """

    mean: Tensor
    std: Tensor

    def __init__(self, preprocessing: Preprocessing) -> None:
        super().__init__()
        self.size = preprocessing.size
        self.register_buffer("mean", 255 * torch.tensor(preprocessing.mean).view(1, 3, 1, 1), persistent=False)
        self.register_buffer("std", 255 * torch.tensor(preprocessing.std).view(1, 3, 1, 1), persistent=False)

    def forward(self, pixels: Tensor) -> Tensor:
        """Takes [batch, side, side, 3], 0 to 255; returns float32 [batch, 3, size, size]."""
        start = round((pixels.shape[1] - self.size) / 2)
        middle = pixels[:, start : start + self.size, start : start + self.size]
        return (middle.permute(0, 3, 1, 2).float() - self.mean) / self.std


def collate(columns: Mapping[str, Sequence[np.ndarray]], padding: int) -> dict[str, Tensor]:
    """Makes a batch out of features.

    Args:
        columns: For each column a list of arrays, one an example: `input_ids` and perhaps `token_type_ids`; or
            `pixels` (uint8, side x side x 3 of them); or `encoded` (the bytes of a JPEG file).
        padding: The id of the padding token.

    Returns:
        Of texts, `attention_mask` and the columns, padded to the longest: int64 [examples, longest]. Of images,
        `pixels`: uint8 [examples, side, side, 3].
    """
    if "input_ids" in columns:
        return _pad(columns, padding)
    return {"pixels": torch.from_numpy(_squares(columns))}


@torch.inference_mode()
def predict(network: Network, columns: Mapping[str, Sequence[np.ndarray]], padding: int, batch_size: int) -> np.ndarray:
    """Returns probabilities [examples, classes], float32: the longest examples first, in batches of like length."""
    device = next(network.parameters()).device
    rows = next(iter(columns.values()))
    costs = [-len(row) for row in rows] if "input_ids" in columns else np.zeros(len(rows))
    order = np.argsort(costs, kind="stable")
    found = np.zeros((len(order), network.head.out_features), np.float32)
    for start in range(0, len(order), batch_size):
        chosen = order[start : start + batch_size]
        batch = collate({name: [values[i] for i in chosen] for name, values in columns.items()}, padding)
        logits = network(**{name: tensor.to(device) for name, tensor in batch.items()})
        found[chosen] = logits.float().softmax(-1).cpu().numpy()
    return found


def _pad(columns: Mapping[str, Sequence[np.ndarray]], padding: int) -> dict[str, Tensor]:
    if any(len(row) == 0 for row in columns["input_ids"]):
        columns = _never_empty(columns, padding)
    lengths = np.array([len(row) for row in columns["input_ids"]])
    mask = np.arange(lengths.max()) < lengths[:, None]
    batch = {"attention_mask": torch.from_numpy(mask.astype(np.int64))}
    for name, rows in columns.items():
        padded = np.full(mask.shape, padding if name == "input_ids" else 0, np.int64)
        padded[mask] = np.concatenate(rows)
        batch[name] = torch.from_numpy(padded)
    return batch


def _never_empty(columns: Mapping[str, Sequence[np.ndarray]], padding: int) -> dict[str, list[np.ndarray]]:
    """An example without a token (an empty text, and a tokenizer that adds none) is one padding token that is seen.

    So its answer is the same whatever stands beside it.
    """
    alone = {name: np.array([padding if name == "input_ids" else 0]) for name in columns}
    return {name: [row if len(row) else alone[name] for row in rows] for name, rows in columns.items()}


def _squares(columns: Mapping[str, Sequence[np.ndarray]]) -> np.ndarray:
    if "pixels" in columns:
        flat = np.stack(columns["pixels"])
        side = round((flat.shape[1] / 3) ** 0.5)
        return flat.reshape(-1, side, side, 3)
    with ThreadPoolExecutor(os.cpu_count()) as pool:  # PIL decodes without holding Python's lock
        return np.stack(list(pool.map(lambda row: np.asarray(open_image(row.tobytes())), columns["encoded"])))
