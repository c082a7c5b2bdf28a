"""What the networks of all families have in common: a backbone, the head of a task; their batches.

This file and those that it imports need nothing else of graft: `register` puts copies of them beside the weights, and
the registered model runs on them.
"""

import importlib
import json
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from safetensors.torch import load_model, save_model
from torch import Tensor, nn

from ..columns import Columns, Extras, load_columns, save_columns
from ..cores import cores
from .head import Encoded, Head, LinearHead, Outputs
from .pixels import open_image
from .preprocessing import Preprocessing
from .segments import SEGMENTS

WIDE_IDS, WIDE_WEIGHTS, WIDE_SIZES = "wide_ids", "wide_weights", "wide_sizes"
"""Columns of a batch: which an example has beside its features (words, gradients), and how much each weighs.

Where each token has its own, they stand one after the other, and `wide_sizes` tells how many are of each."""
_WIDE = (WIDE_IDS, WIDE_WEIGHTS, WIDE_SIZES)
FIRST_HEAD = "classification"
"""Whose head a model has that does not tell it: it was the only one once."""
MakeHead = Callable[[int], Head]
"""Makes a head for vectors of a width."""


class Network(nn.Module):
    """A backbone (`encoder`), dropout and the `head` of a task; a family says what the backbone makes of a batch.

    Two things can be added, see `model.json`: with `normalized` the vector has the length √width whatever the backbone
    makes of it, so that all its numbers are about 1. And `widen` lays a branch beside it, for the words of a text or
    the gradients of a picture, whose logits are added (wide and deep, Cheng et al. 2016, 1606.07792).

    Attributes:
        pooling: How the backbone's output becomes one vector.
    """

    pooling = "auto"
    head: LinearHead  # as most are; where a head is none, nothing asks for its layer
    wide: nn.EmbeddingBag | None
    beside: Columns | None

    def __init__(self, encoder: nn.Module, width: int, head: MakeHead, dropout: float) -> None:
        super().__init__()
        self.normalized, self.wide, self.beside = False, None, None
        self.encoder = encoder
        self.dropout = nn.Dropout(dropout)
        self.head = head(width)  # type: ignore[assignment]

    def pooled(self, **batch: Tensor) -> Tensor:
        """Returns one vector an example, float [batch, width]."""
        raise NotImplementedError

    def tokens(self, **batch: Tensor) -> tuple[Tensor, Tensor]:
        """Returns one vector a token, float [batch, tokens, width], and which are there, bool [batch, tokens]."""
        raise ValueError("it gives one vector an example, and none for each token, which this task needs")

    def encode(self, **batch: Tensor) -> Encoded:
        """Returns what the backbone makes of a batch, at the level that the head asks for."""
        if self.head.level == "tokens":
            tokens, mask = self.tokens(**batch)
            return Encoded(tokens=tokens, mask=mask, segments=batch.get(SEGMENTS))
        return Encoded(pooled=self.pooled(**batch))

    def summaries(self, **batch: Tensor) -> dict[str, Tensor]:
        """Returns all vectors that one pass can make of an example, by pooling; the network's own is the first."""
        return {self.pooling: self.pooled(**batch)}

    def choose(self, pooling: str, normalized: bool) -> None:
        """Sets how an example becomes one vector: `pooling` is one of those of `summaries`."""
        self.pooling, self.normalized = pooling, normalized

    def cool(self, temperature: float) -> None:
        """Divides all logits by a temperature, for good."""
        with torch.no_grad():
            for part in (self.head.weight, self.head.bias, *([] if self.wide is None else [self.wide.weight])):
                part.div_(temperature)

    def forward(self, **batch: Tensor) -> Outputs:
        """Takes a batch as `collate` makes it; returns the head's outputs."""
        wide = {name: batch.pop(name) for name in (WIDE_IDS, WIDE_WEIGHTS) if name in batch}
        return self.answer(self.encode(**batch), **wide)

    def answer(self, encoded: Encoded, wide_ids: Tensor | None = None, wide_weights: Tensor | None = None) -> Outputs:
        """Returns the head's outputs.

        Args:
            encoded: What the backbone makes of the examples.
            wide_ids: Of a network with a branch: which columns, int64 [batch, columns] or [batch, tokens, columns].
            wide_weights: What each weighs, float32 of that shape; 0 where an example, or a token, has fewer.
        """
        ready = self._prepared(encoded)
        if self.wide is None:
            return self._outputs(ready)
        assert wide_ids is not None and wide_weights is not None, "a branch takes columns"  # noqa: PT018
        return self._outputs(ready._replace(beside=self.aside(wide_ids, wide_weights)))

    def aside(self, wide_ids: Tensor, wide_weights: Tensor) -> Tensor:
        """Returns what the branch adds, float32 [batch, outputs], or of each token [batch, tokens, outputs]."""
        assert self.wide is not None, "there is one"
        columns = wide_ids.shape[-1]
        found: Tensor = self.wide(wide_ids.view(-1, columns), per_sample_weights=wide_weights.view(-1, columns))
        return found.view(*wide_ids.shape[:-1], -1)

    def deep(self, encoded: Encoded) -> Tensor:
        """Returns the logits that the backbone alone brings: [batch, outputs], or [batch, tokens, outputs]."""
        return self._outputs(self._prepared(encoded))["logits"]

    def _prepared(self, encoded: Encoded) -> Encoded:
        """Returns what the head takes: normalised, with dropout."""
        vectors: Tensor = getattr(encoded, self.head.level)
        if self.normalized:
            vectors = nn.functional.normalize(vectors.float(), dim=-1) * vectors.shape[-1] ** 0.5
        return encoded._replace(**{self.head.level: self.dropout(vectors)})

    def _outputs(self, ready: Encoded) -> Outputs:
        outputs: Outputs = self.head(ready)
        return outputs

    def widen(self, beside: Columns, weight: Tensor | None = None) -> None:
        """Adds the branch, or replaces it.

        Args:
            beside: Makes the columns.
            weight: [columns, classes]; None: 0.
        """
        device = self.head.weight.device
        self.beside = beside
        self.wide = nn.EmbeddingBag(beside.width, self.head.out_features, mode="sum", device=device)
        with torch.no_grad():
            self.wide.weight.copy_(torch.zeros(()) if weight is None else weight)

    def narrow(self) -> None:
        """Removes the branch."""
        self.wide, self.beside = None, None

    def save(self, folder: Path) -> None:
        """Writes the weights, the backbone's configuration, and what makes the columns of the branch."""
        save_model(self, str(folder / "model.safetensors"))
        self.save_configuration(folder)
        if self.beside is not None:
            save_columns(self.beside, folder)

    def load(self, folder: Path) -> None:
        """Reads what `save` wrote."""
        self.resemble(folder)
        load_model(self, str(folder / "model.safetensors"))

    def resemble(self, folder: Path) -> None:
        """Gets what the network of a model's folder has beside backbone and head, but not its weights."""
        self.normalized = bool(json.loads((folder / "model.json").read_text("utf-8")).get("normalize"))
        if (beside := load_columns(folder)) is not None:
            self.widen(beside)

    def save_configuration(self, folder: Path) -> None:
        """Writes `config.json`: what the backbone is made from."""
        raise NotImplementedError

    def describe(self) -> dict[str, Any]:
        """Returns what `model.json` must tell beside, so that the family's `from_model` can make it again."""
        wide = {"wide": self.wide.num_embeddings} if self.wide is not None else {}
        head = {"head": self.head.kind} if self.head.kind != FIRST_HEAD else {}
        return {**({"normalize": True} if self.normalized else {}), **wide, **head}

    def adopt(self, weights: Mapping[str, Tensor], told: Mapping[str, Any]) -> None:
        """Keeps what an older head of the same kind knows; its branch has the columns of the one here.

        Args:
            weights: Of the older network: `head.…`, perhaps `wide.weight`.
            told: Its `model.json`.
        """
        own = {name.removeprefix("head."): value for name, value in weights.items() if name.startswith("head.")}
        spec = spec_of(told)
        if told.get("head", FIRST_HEAD) != self.head.kind or not self.head.adopt(own, spec):
            return
        if self.wide is not None:
            with torch.no_grad():
                for number, row in self.head.shared(spec):
                    self.wide.weight[:, number] = weights["wide.weight"][:, row]


def head_of(told: Mapping[str, Any]) -> MakeHead:
    """Returns what makes the head of a trained model.

    Args:
        told: `model.json`; `head` names the folder of its task.
    """
    module = importlib.import_module(f"..tasks.{told.get('head', FIRST_HEAD)}.head", __package__)
    made: MakeHead = partial(module.Head, spec=spec_of(told))
    return made


def spec_of(told: Mapping[str, Any]) -> dict[str, Any]:
    """Returns what data tell a head: `labels`, and what else `target` holds.

    Args:
        told: Content of `features.json` or `model.json`.
    """
    return {"labels": told["labels"], **told.get("target", {})}


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
            `pixels` (uint8, side x side x 3 of them); or `encoded` (the bytes of a JPEG file). With them perhaps those
            of a branch.
        padding: The id of the padding token.

    Returns:
        Of texts, `attention_mask` and the columns, padded to the longest: int64 [examples, longest]. Of images,
        `pixels`: uint8 [examples, side, side, 3].
    """
    wide = pad_wide(columns) if WIDE_IDS in columns else {}
    if "input_ids" in columns:
        deep = {name: rows for name, rows in columns.items() if name not in _WIDE}
        return {**_pad(deep, padding), **wide}
    return {"pixels": torch.from_numpy(_squares(columns)), **wide}


@torch.inference_mode()
def outputs_of(
    network: Network, columns: Mapping[str, Sequence[np.ndarray]], padding: int, batch_size: int
) -> dict[str, list[np.ndarray]]:
    """Returns the head's outputs, float32, of each row an array: the longest rows first, in batches of like length.

    At the level of tokens a row's array has one line for each of its tokens.
    """
    device = next(network.parameters()).device
    rows = next(iter(columns.values()))
    lengths = [len(row) if "input_ids" in columns else 0 for row in rows]
    order = np.argsort([-length for length in lengths], kind="stable")
    found: dict[str, list[np.ndarray]] = {}
    for start in range(0, len(order), batch_size):
        chosen = order[start : start + batch_size]
        batch = collate({name: [values[i] for i in chosen] for name, values in columns.items()}, padding)
        for name, values in network(**{name: tensor.to(device) for name, tensor in batch.items()}).items():
            kept = found.setdefault(name, [np.zeros(0, np.float32)] * len(order))
            for place, value in zip(chosen.tolist(), values.float().cpu().numpy(), strict=True):
                kept[place] = value[: lengths[place]] if network.head.level == "tokens" else value
    return found


def predict(network: Network, columns: Mapping[str, Sequence[np.ndarray]], padding: int, batch_size: int) -> np.ndarray:
    """Returns probabilities [examples, classes], float32, of a network whose examples have one class each."""
    logits = outputs_of(network, columns, padding, batch_size).get("logits", [])
    if not logits:
        return np.zeros((0, network.head.out_features), np.float32)
    found: np.ndarray = torch.from_numpy(np.stack(logits)).softmax(-1).numpy()
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


def wide_columns(
    beside: Columns, inputs: Sequence[Sequence[Any]], extras: Extras | None = None
) -> dict[str, list[np.ndarray]]:
    """Returns the columns that a network with a branch takes beside its features, of each row an array.

    Args:
        beside: The network's.
        inputs: For each input its values: texts, or image files.
        extras: What is told of the rows beside, see `Head.extras`.
    """
    made = beside.columns(inputs, extras)
    if beside.level != "tokens":
        cuts = made.indptr[1:-1]
        return {WIDE_IDS: np.split(made.indices, cuts), WIDE_WEIGHTS: np.split(made.data, cuts)}
    assert extras is not None, "tokens are told of"
    ends = np.cumsum([0, *(len(row) for row in extras["starts"])])  # tokens of rows
    cuts = made.indptr[ends[1:-1]]
    sizes = np.split(np.diff(made.indptr), ends[1:-1])
    return {WIDE_IDS: np.split(made.indices, cuts), WIDE_WEIGHTS: np.split(made.data, cuts), WIDE_SIZES: sizes}


def pad_wide(columns: Mapping[str, Sequence[np.ndarray]]) -> dict[str, Tensor]:
    """Makes a batch of the columns of a branch, padded with what weighs nothing; [rows, columns], or a token's beside.

    Args:
        columns: As `wide_columns` makes them.
    """
    sizes = np.array([len(row) for row in columns[WIDE_IDS]])
    if WIDE_SIZES in columns:
        tokens = np.array([len(row) for row in columns[WIDE_SIZES]])
        is_token = np.arange(max(1, int(tokens.max()))) < tokens[:, None]
        sizes = np.zeros(is_token.shape, np.int64)
        sizes[is_token] = np.concatenate(columns[WIDE_SIZES])
    there = np.arange(max(1, int(sizes.max()))) < sizes[..., None]
    ids, weights = np.zeros(there.shape, np.int64), np.zeros(there.shape, np.float32)
    ids[there], weights[there] = np.concatenate(columns[WIDE_IDS]), np.concatenate(columns[WIDE_WEIGHTS])
    return {WIDE_IDS: torch.from_numpy(ids), WIDE_WEIGHTS: torch.from_numpy(weights)}


def _squares(columns: Mapping[str, Sequence[np.ndarray]]) -> np.ndarray:
    if "pixels" in columns:
        flat = np.stack(columns["pixels"])
        side = round((flat.shape[1] / 3) ** 0.5)
        return flat.reshape(-1, side, side, 3)
    with ThreadPoolExecutor(cores()) as pool:  # PIL decodes without holding Python's lock
        return np.stack(list(pool.map(lambda row: np.asarray(open_image(row.tobytes())), columns["encoded"])))
