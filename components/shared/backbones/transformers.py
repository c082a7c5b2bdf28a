"""Text encoders of the `transformers` library: the network with its head, its batches, prediction from raw text.

This file needs nothing else of graft: `register` puts it beside the weights, and the registered model runs on it.
A model's folder holds `config.json` (the encoder's), `tokenizer.json` (truncation set), `model.safetensors` (encoder
and head) and `model.json` (task, labels, inputs, pooling).
"""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from safetensors.torch import load_model, save_model
from tokenizers import Tokenizer
from torch import Tensor, nn
from transformers import AutoConfig, AutoModel
from transformers.utils.logging import disable_progress_bar


class Network(nn.Module):
    """An encoder, its pooling and a linear head."""

    def __init__(self, encoder: Any, pooling: str, outputs: int) -> None:
        super().__init__()
        config = encoder.config
        self.encoder, self.pooling = encoder, pooling
        if pooling == "mean" and getattr(encoder, "pooler", None) is not None:
            encoder.pooler = None  # would be saved and never used
        dropout = getattr(config, "classifier_dropout", None)
        self.dropout = nn.Dropout(getattr(config, "hidden_dropout_prob", 0.1) if dropout is None else dropout)
        self.head = nn.Linear(config.hidden_size, outputs)
        nn.init.normal_(self.head.weight, std=0.02)
        nn.init.zeros_(self.head.bias)

    def forward(self, **batch: Tensor) -> Tensor:
        """Takes `input_ids` and `attention_mask` [batch, tokens]; returns logits [batch, outputs]."""
        encoded = self.encoder(**batch)
        hidden = encoded.last_hidden_state
        if self.pooling == "mean":
            mask = batch["attention_mask"].unsqueeze(-1).to(hidden.dtype)
            pooled = (hidden * mask).sum(1) / mask.sum(1)
        else:
            pooled = getattr(encoded, "pooler_output", None)
            pooled = hidden[:, 0] if pooled is None else pooled
        logits: Tensor = self.head(self.dropout(pooled))
        return logits

    def save(self, folder: Path) -> None:
        """Writes the weights and the encoder's configuration."""
        save_model(self, str(folder / "model.safetensors"))
        self.encoder.config.save_pretrained(folder)

    def describe(self) -> dict[str, object]:
        """Returns what `from_model` must know beside the configuration."""
        return {"pooling": self.pooling, "pooler": getattr(self.encoder, "pooler", None) is not None}


def from_backbone(folder: Path, pooling: str, outputs: int) -> Network:
    """Returns the pretrained encoder of a backbone's folder with a new head (drawn from torch's global generator)."""
    disable_progress_bar()  # type: ignore[no-untyped-call]
    encoder, loading = AutoModel.from_pretrained(
        folder, dtype=torch.float32, use_safetensors=True, trust_remote_code=False, local_files_only=True,
        output_loading_info=True,
    )  # fmt: skip
    if any(key.startswith("pooler.") for key in loading["missing_keys"]):
        encoder.pooler = None  # not pretrained: the first token itself is the better summary
    return Network(encoder, pooling, outputs)


def from_model(folder: Path) -> Network:
    """Returns the trained network of a model's folder, in evaluation mode, on the CPU."""
    told = json.loads((folder / "model.json").read_text("utf-8"))
    config = AutoConfig.from_pretrained(folder, trust_remote_code=False, local_files_only=True)
    encoder = AutoModel.from_config(config, dtype=torch.float32, trust_remote_code=False)  # type: ignore[no-untyped-call]
    if not told["pooler"]:
        encoder.pooler = None
    network = Network(encoder, told["pooling"], len(told["labels"]))
    load_model(network, str(folder / "model.safetensors"))
    return network.eval()


def collate(columns: Mapping[str, Sequence[np.ndarray]], padding: int) -> dict[str, Tensor]:
    """Pads a batch to its longest example.

    Args:
        columns: `input_ids` and perhaps `token_type_ids`: for each example, its numbers.
        padding: The id of the padding token.

    Returns:
        int64 tensors of shape [examples, longest]: the columns, and `attention_mask`.
    """
    lengths = np.array([len(row) for row in columns["input_ids"]])
    mask = np.arange(lengths.max()) < lengths[:, None]
    batch = {"attention_mask": torch.from_numpy(mask.astype(np.int64))}
    for name, rows in columns.items():
        padded = np.full(mask.shape, padding if name == "input_ids" else 0, np.int64)
        padded[mask] = np.concatenate(rows)
        batch[name] = torch.from_numpy(padded)
    return batch


def padding_of(folder: Path) -> int:
    """Returns the id of the padding token, 0 where the backbone names none (it is masked out)."""
    return json.loads((folder / "config.json").read_text("utf-8")).get("pad_token_id") or 0


class Predictor:
    """Predicts from raw text with a model's folder."""

    def __init__(self, folder: Path, device: str | None = None) -> None:
        told = json.loads((folder / "model.json").read_text("utf-8"))
        self.labels: list[str] = told["labels"]
        self.inputs: list[str] = told["inputs"]
        self.columns: list[str] = told["columns"]
        self.device = device or ("cuda" if torch.cuda.is_available() else "cpu")
        self.network = from_model(folder).to(self.device)
        self.tokenizer = Tokenizer.from_file(str(folder / "tokenizer.json"))
        self.padding = padding_of(folder)

    def probabilities(self, rows: Sequence[Sequence[str]], batch_size: int = 64) -> np.ndarray:
        """Returns probabilities [rows, classes], float32, of rows that hold one text for each input."""
        if not rows:
            return np.zeros((0, len(self.labels)), np.float32)
        texts = [row[0] if len(self.inputs) == 1 else tuple(row) for row in rows]
        encodings = self.tokenizer.encode_batch(texts)
        columns = {
            "input_ids": [np.array(encoding.ids) for encoding in encodings],
            "token_type_ids": [np.array(encoding.type_ids) for encoding in encodings],
        }
        used = {name: columns[name] for name in self.columns}
        return predict(self.network, used, self.padding, batch_size)


@torch.inference_mode()
def predict(network: Network, columns: Mapping[str, Sequence[np.ndarray]], padding: int, batch_size: int) -> np.ndarray:
    """Returns probabilities [examples, classes], float32: the longest examples first, in batches of like length."""
    device = next(network.parameters()).device
    order = np.argsort([-len(row) for row in columns["input_ids"]], kind="stable")
    found = np.zeros((len(order), network.head.out_features), np.float32)
    for start in range(0, len(order), batch_size):
        chosen = order[start : start + batch_size]
        batch = collate({name: [rows[i] for i in chosen] for name, rows in columns.items()}, padding)
        logits = network(**{name: tensor.to(device) for name, tensor in batch.items()})
        found[chosen] = logits.float().softmax(-1).cpu().numpy()
    return found
