"""Forty examples in four classes: too few for a test split, so that a cross-validation is called for."""

import random
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from components.ingest.ingest import IngestSettings, ingest
from components.transform.transform import TransformSettings, transform
from tests.conftest import write_csv

TOPICS = {
    "kitchen": ["soup", "pan", "oven", "salt", "cook"],
    "ship": ["sail", "mast", "deck", "anchor", "sea"],
    "bank": ["loan", "money", "rate", "credit", "coin"],
    "park": ["tree", "lawn", "bench", "path", "pond"],
}
_COMMON = ["the", "a", "of", "and", "in", "on", "with", "for", "by", "is", "it", "one", "two", "big", "old", "new"]


@dataclass(frozen=True)
class Few:
    """Snapshot and features of few examples; models of them lie beside."""

    folder: Path
    backbone: Path

    @property
    def snapshot(self) -> Path:
        """The folder of the snapshot."""
        return self.folder / "snapshot"

    @property
    def features(self) -> Path:
        """The folder of the features."""
        return self.folder / "features"

    def train(self, name: str, **training: Any) -> Path:
        """Trains a model; returns its folder."""
        from components.finetune.finetune import finetune
        from components.finetune.settings import FinetuneSettings

        settings = FinetuneSettings(str(self.backbone), precision="float32", seed=7, **training)
        finetune(self.features, self.folder / name, settings, self.snapshot)
        return self.folder / name


def rows_of(count: int, noise: bool = False) -> list[dict[str, str]]:
    """Returns texts of which two words tell the topic, or none: then the labels are drawn."""
    draw, rows, names = random.Random(0), [], list(TOPICS)
    every = [word for words in TOPICS.values() for word in words]
    for number in range(count):
        topic = names[number % 4]
        words = draw.choices(_COMMON, k=6) + draw.choices(every, k=1) + draw.choices(TOPICS[topic], k=2)
        draw.shuffle(words)
        label = draw.choice(names) if noise else topic
        rows.append({"text": f"{' '.join(words)} {number}", "topic": label})
    return rows


def make_few(folder: Path, backbone: Path, rows: list[dict[str, str]]) -> Few:
    """Ingests and transforms rows."""
    source = write_csv(folder / "data.csv", rows)
    ingest(folder / "snapshot", IngestSettings(str(source), ["text"], "topic"))
    transform(folder / "snapshot", folder / "features", TransformSettings(str(backbone)))
    return Few(folder, backbone)
