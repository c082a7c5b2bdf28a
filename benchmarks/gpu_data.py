"""Data that need no download, no tokenizer and nothing of Hugging Face's hub: drawn tokens and drawn pictures.

What an example is can be read from it, so that all sides can be asked how well they learned; the shapes are those of
real sets. What is drawn depends on a seed alone.
"""

import json
import sys
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
from PIL import Image

sys.path.insert(0, str(Path(__file__).parent.parent))  # Graft need not be installed

from components.shared.artifacts.artifact import open_artifact, write_artifact
from components.shared.artifacts.features import FeatureSplit

SPLITS = ("train", "validation", "test")
CLASSES = {"text": 2, "image": 8}
_SPREAD = 0.5  # of the logarithm of a text's length
_TOLD = 0.2  # of a text's tokens say which class it is
_OWN = 40  # tokens of each class that say it
_FIRST, _LAST, _UNUSED = 101, 102, 1000
_CHUNK = 256  # examples of a batch on disk


@dataclass(frozen=True)
class Size:
    """How large networks and pictures are.

    Attributes:
        bert: What BERT's configuration differs in from BERT-base's.
        vit: Arguments of timm's ViT-B/16.
        side: Pixels.
        token_flops: Of learning from one token, without attention.
        image_flops: Of learning from one picture.
    """

    bert: dict[str, Any] = field(default_factory=dict)
    vit: dict[str, Any] = field(default_factory=dict)
    side: int = 224
    token_flops: float = 0.512e9
    image_flops: float = 105e9

    def bert_config(self) -> dict[str, Any]:
        """Returns the content of BERT's `config.json`."""
        return {"model_type": "bert", "architectures": ["BertModel"], **self.bert}


_TINY_BERT = {"hidden_size": 64, "num_hidden_layers": 2, "num_attention_heads": 2, "intermediate_size": 128}
_TINY_VIT = {"depth": 2, "embed_dim": 48, "num_heads": 3}
SIZES = {"full": Size(), "tiny": Size(_TINY_BERT, _TINY_VIT, 32, 6 * 65e3, 6 * 55e3 * 5)}


def write_backbone(folder: Path, size: Size) -> str:
    """Writes BERT's shape; returns the name of a backbone with drawn weights."""
    folder.mkdir()
    (folder / "config.json").write_text(json.dumps(size.bert_config()))
    return f"random:{folder}"


def write_texts(folder: Path, counts: dict[str, int], mean: float, longest: int, seed: int = 0) -> None:
    """Writes features of texts in two classes.

    Args:
        folder: Of the artifact.
        counts: Examples of each split.
        mean: Tokens of a text, on average.
        longest: Tokens, at most.
        seed: Of the draw.
    """
    draw = np.random.default_rng(seed)
    ranks = np.arange(_UNUSED, 30_000)
    chance = 1.0 / (10 + np.arange(len(ranks)))  # Zipf's law
    own = draw.choice(ranks, (CLASSES["text"], _OWN), replace=False)

    def batch(first: int, count: int) -> dict[str, Any]:
        lengths = np.exp(np.log(mean) - _SPREAD**2 / 2 + _SPREAD * draw.standard_normal(count))
        lengths = np.clip(lengths.round().astype(np.int32), 5, longest)
        labels = draw.integers(0, CLASSES["text"], count).astype(np.int32)
        ids = draw.choice(ranks, int(lengths.sum()), p=chance / chance.sum()).astype(np.int32)
        told = draw.random(len(ids)) < _TOLD
        ids[told] = own[np.repeat(labels, lengths)[told], draw.integers(0, _OWN, int(told.sum()))]
        ends = np.concatenate(([0], np.cumsum(lengths))).astype(np.int32)
        ids[ends[:-1]], ids[ends[1:] - 1] = _FIRST, _LAST
        values = pa.ListArray.from_arrays(pa.array(ends), pa.array(ids))
        return {"input_ids": values, "length": lengths, "label": labels}

    _write(folder, "text", "transformers", counts, batch, {"max_length": longest})


def write_pictures(folder: Path, counts: dict[str, int], side: int, seed: int = 0) -> None:
    """Writes features of pictures, decoded: stripes of a width and a colour that are the class, and noise.

    Args:
        folder: Of the artifact.
        counts: Examples of each split.
        side: Pixels.
        seed: Of the draw.
    """
    draw = np.random.default_rng(seed)
    row_bytes = side * side * 3

    def batch(first: int, count: int) -> dict[str, Any]:
        labels = draw.integers(0, CLASSES["image"], count).astype(np.int32)
        values = np.empty((count, row_bytes), np.uint8)
        for row, label in zip(values, labels.tolist(), strict=True):
            row[:] = _picture(label, side, draw).reshape(-1)
        pixels = pa.FixedSizeListArray.from_arrays(pa.array(values.reshape(-1)), row_bytes)
        return {"pixels": pixels, "length": np.ones(count, np.int32), "label": labels}

    half = [0.5] * 3
    preprocessing = {"size": side, "resize": side, "crop": "squash", "interpolation": "bicubic"}
    _write(folder, "image", "timm", counts, batch, {}, {**preprocessing, "mean": half, "std": half})


def _picture(label: int, side: int, draw: np.random.Generator) -> np.ndarray:
    """Draws one picture, uint8 [side, side, 3]; small noise is blown up, so that JPEG has something to do, not all."""
    across = np.arange(side) / side * 2 * np.pi * (3 + 3 * (label % 4))
    waves = 40 * np.sin(across + draw.random() * 6.28)
    stripes = waves.astype(np.int16).astype(np.uint8)[None, :, None]  # below 0 wraps around; the sum does not
    colour = np.array([140, 110, 90] if label < 4 else [90, 110, 140], np.uint8)
    small = colour + draw.integers(0, 60, (-(-side // 8), -(-side // 8), 3), np.uint8)
    made: np.ndarray = small.repeat(8, 0).repeat(8, 1)[:side, :side] + stripes
    return made


def _write(
    folder: Path, kind: str, family: str, counts: dict[str, int], batch: Any, settings: dict[str, Any],
    preprocessing: dict[str, Any] | None = None,
) -> None:  # fmt: skip
    with write_artifact(folder, "features", settings) as draft:
        for split in SPLITS:
            tables = []
            for first in range(0, counts[split], _CHUNK):
                columns = batch(first, min(_CHUNK, counts[split] - first))
                ids = [f"{split}-{first + number}" for number in range(len(columns["label"]))]
                tables.append(pa.table({"id": ids, **columns}))
            schema, file = tables[0].schema, str(draft.path / f"{split}.arrow")
            with pa.OSFile(file, "wb") as sink, pa.ipc.new_file(sink, schema) as writer:
                for table in tables:
                    writer.write_table(table)
        labels = [f"class {number}" for number in range(CLASSES[kind])]
        column = "input_ids" if kind == "text" else "pixels"
        told = {"task": f"{kind}-classification", "inputs": [kind], "labels": labels, "rows": counts}
        draft.write_json("features.json", {**told, "columns": [column], "family": family})
        if preprocessing:
            draft.write_json("preprocessing.json", preprocessing)


def write_files(features: Path, folder: Path, side: int, cores: int) -> None:
    """Writes the pictures of features as JPEG files, a folder a class, as timm reads them."""
    for split in ("train", "test"):
        rows = read(features, split)
        pixels = rows.take(np.arange(len(rows)))["pixels"]
        for label in range(CLASSES["image"]):
            (folder / split / str(label)).mkdir(parents=True)

        def save(number: int, split: str = split, rows: FeatureSplit = rows, pixels: Any = pixels) -> None:
            file = folder / split / str(rows.labels[number]) / f"{number}.jpg"
            Image.fromarray(pixels[number].reshape(side, side, 3)).save(file, quality=90)

        with ThreadPoolExecutor(cores) as pool:
            list(pool.map(save, range(len(rows))))


def read(features: Path, split: str) -> FeatureSplit:
    """Opens a split of features that were written a moment ago."""
    return FeatureSplit(open_artifact(features, "features", verify=False), split)
