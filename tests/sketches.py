"""Tasks whose heads are tried, and features for them, made by hand of sentences about kitchens and ships."""

import random
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from tokenizers import Tokenizer

from components.shared import tasks
from components.shared.artifacts.artifact import write_artifact
from components.shared.artifacts.snapshot import SPLITS
from components.shared.tasks.multi_label import answers as multi_label
from components.shared.tasks.regression import answers as regression
from components.shared.tasks.token_classification import answers as token_classification
from components.shared.tasks.token_classification.pieces import words_of

KINDS = {
    "kitchen": ["pan", "oven", "salt", "knife", "soup", "flour"],
    "ship": ["sail", "mast", "deck", "anchor", "harbour", "tide"],
}
_FILLER = ["the", "a", "small", "old", "red", "then", "near", "under", "with", "by", "some", "this"]
COUNTS = {"train": 240, "validation": 60, "test": 60}


@dataclass(frozen=True)
class Sketch:
    """As much of a task as training, registering and prediction ask for."""

    name: str
    package: str
    prediction: pa.Schema
    input_type: pa.DataType = field(default_factory=pa.string)
    input_counts: tuple[int, ...] = (1,)

    def read_inputs(self, values: Sequence[Any]) -> Sequence[Any]:
        """Returns what columns hold as inputs, which they are."""
        return values


@dataclass(frozen=True)
class Learned:
    """What is learned of a text, and how features tell it.

    Attributes:
        sketch: The task.
        labels: Of its spec.
        target: What else its spec holds.
        column: Of the target, and its type.
        of: Takes a text and its encoding; returns the value of the column.
    """

    sketch: Sketch
    labels: list[str]
    target: dict[str, Any]
    column: tuple[str, pa.DataType]
    of: Callable[[str, Any], Any]


def _topics(text: str, _: Any) -> list[int]:
    return [number for number, words in enumerate(KINDS.values()) if set(words) & set(text.split())]


def _number(text: str, _: Any) -> float:
    return 100.0 + 10 * sum(word in KINDS["kitchen"] for word in text.split())


def _tags(text: str, encoding: Any) -> list[int]:
    (starts, ends), tags, before = words_of([encoding])[0], [], 0
    for start, end in zip(starts.tolist(), ends.tolist(), strict=True):
        kind = next((n for n, words in enumerate(KINDS.values()) if start >= 0 and text[start:end] in words), None)
        inside = 0 if kind is None else (2 + 2 * kind if before in (1 + 2 * kind, 2 + 2 * kind) else 1 + 2 * kind)
        tags.append(inside if start >= 0 else -100)
        before = inside if start >= 0 else before
    return tags


_PACKAGE = "components.shared.tasks"
LEARNED = {
    "multi-label": Learned(
        Sketch("sketch-multi-label", f"{_PACKAGE}.multi_label", multi_label.PREDICTION),
        list(KINDS), {}, ("labels", pa.list_(pa.int32())), _topics,
    ),
    "regression": Learned(
        Sketch("sketch-regression", f"{_PACKAGE}.regression", regression.PREDICTION),
        [], {"mean": 110.0, "deviation": 10.0}, ("value", pa.float64()), _number,
    ),
    "tokens": Learned(
        Sketch("sketch-tokens", f"{_PACKAGE}.token_classification", token_classification.PREDICTION),
        list(KINDS), {}, ("tags", pa.list_(pa.int32())), _tags,
    ),
}  # fmt: skip


def sentences(count: int, seed: int) -> list[str]:
    """Returns sentences with none to three words about kitchens and ships."""
    draw, every = random.Random(seed), [word for words in KINDS.values() for word in words]
    found = []
    for number in range(count):
        words = draw.choices(_FILLER, k=6) + draw.choices(every, k=draw.randrange(4))
        draw.shuffle(words)
        found.append(" ".join([*words, str(number)]))
    return found


def texts_of(split: str) -> list[str]:
    """Returns the sentences of a split."""
    return sentences(COUNTS[split], list(SPLITS).index(split))


def write_features(learned: Learned, backbone: Path, folder: Path) -> Path:
    """Writes features of the sentences, as transform does."""
    tokenizer = Tokenizer.from_file(str(backbone / "tokenizer.json"))
    tokenizer.enable_truncation(64)
    name, kind = learned.column
    with write_artifact(folder, "features", {"max_length": 64, "pixel_gib": 1.0}) as draft:
        for split in SPLITS:
            texts = texts_of(split)
            encodings = tokenizer.encode_batch(texts)
            words = [words_of([encoding])[0] for encoding in encodings]
            columns: Mapping[str, Any] = {
                "id": [f"{split}{number}" for number in range(len(texts))],
                "input_ids": pa.array([encoding.ids for encoding in encodings], pa.list_(pa.int32())),
                "length": np.array([len(encoding.ids) for encoding in encodings], np.int32),
                "starts": pa.array([starts for starts, _ in words], pa.list_(pa.int32())),
                "ends": pa.array([ends for _, ends in words], pa.list_(pa.int32())),
                name: pa.array([learned.of(*pair) for pair in zip(texts, encodings, strict=True)], kind),
            }
            table = pa.table(columns)
            with pa.OSFile(str(draft.path / f"{split}.arrow"), "wb") as file, pa.ipc.new_file(file, table.schema) as to:
                to.write_table(table)
        tokenizer.save(str(draft.path / "tokenizer.json"))
        told = {"task": learned.sketch.name, "inputs": ["text"], "labels": learned.labels, "target": learned.target}
        told |= {
            "rows": COUNTS,
            "columns": ["input_ids"],
            "targets": [name],
            "decoding": ["starts", "ends"],
            "family": "transformers",
        }
        draft.write_json("features.json", told)
    return folder


def register(patch: pytest.MonkeyPatch, names: Sequence[str] = tuple(LEARNED)) -> None:
    """Makes the tasks known, for as long as a patch holds."""
    tasks.names()
    for name in names:
        patch.setitem(tasks._TASKS, LEARNED[name].sketch.name, LEARNED[name].sketch)  # type: ignore[arg-type]
