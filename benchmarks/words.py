"""What words tell, alone and beside a frozen backbone, against the recipe of scikit-learn.

botocore's documentation, its first twenty words → service (20 classes, up to 200 operations each; few-shot versions of
the same training texts). All are fitted on the same training texts and scored on the same test texts, once.

    python benchmarks/words.py [TEXTS_A_CLASS …]      (default: 8 32 200)
"""

import sys
import tempfile
import time
from collections import defaultdict
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from corpus import documentation, encoder_folder

from components.finetune.finetune import finetune
from components.finetune.settings import FinetuneSettings
from components.ingest.ingest import IngestSettings, ingest
from components.shared.prediction import load_artifact
from components.transform.transform import TransformSettings, transform

CLASSES, WORDS, TEST, VALIDATION = 20, 20, 60, 20
OURS: dict[str, dict[str, Any]] = {
    "words alone (strategy: lexical)": {"strategy": "lexical"},
    "probe without words": {"strategy": "probe", "lexical": "false"},
    "probe with words": {"strategy": "probe", "lexical": "true"},
}


def main(counts: list[int]) -> None:
    """Prints a table for each number of training texts a class."""
    texts = services()
    for count in counts:
        with tempfile.TemporaryDirectory(prefix="graft-words-") as folder:
            measure(texts, count, Path(folder))


def services() -> dict[str, list[str]]:
    """Returns the texts of the services with the most operations, each text once, in an order drawn once."""
    found: dict[str, list[str]] = defaultdict(list)
    seen: set[str] = set()
    for service, _, text in documentation():
        short = " ".join(text.split()[:WORDS])
        if short not in seen and len(short.split()) > WORDS // 4:
            seen.add(short)
            found[service].append(short)
    largest = sorted(found, key=lambda service: (-len(found[service]), service))[1 : CLASSES + 1]  # EC2 is much larger
    draw = np.random.default_rng(0)
    return {service: draw.permutation(found[service]).tolist() for service in largest}


def measure(texts: dict[str, list[str]], count: int, folder: Path) -> None:
    """Fits all on so many texts a class and prints accuracy on the test texts, and seconds."""
    parts: dict[str, list[tuple[str, str]]] = {"test": [], "validation": [], "train": []}
    for service, own in texts.items():
        few = max(4, min(VALIDATION, count // 2))
        cuts = {"test": own[:TEST], "validation": own[TEST : TEST + few], "train": own[TEST + few :][:count]}
        for split, chosen in cuts.items():
            parts[split] += [(text, service) for text in chosen]
    (folder / "data").mkdir()
    for split, own in parts.items():
        table = pa.Table.from_pylist([{"text": text, "service": service} for text, service in own])
        pq.write_table(table, folder / "data" / f"{split}.parquet")
    snapshot, features = folder / "snapshot", folder / "features"
    ingest(snapshot, IngestSettings(str(folder / "data"), ["text"], "service"))
    transform(snapshot, features, TransformSettings(str(encoder_folder())))
    lines = [recipe(parts, weights) for weights in (None, "balanced")]
    for number, (name, options) in enumerate(OURS.items()):
        model, began = folder / f"model-{number}", time.perf_counter()
        finetune(features, model, FinetuneSettings(str(encoder_folder()), **options), snapshot)
        seconds = time.perf_counter() - began
        found = load_artifact(model).predict([(text,) for text, _ in parts["test"]])
        right = [row["label"] == label for row, (_, label) in zip(found, parts["test"], strict=True)]
        lines.append((name, float(np.mean(right)), seconds))
    print(f"\n{count} texts a class: {len(parts['train'])} to train on, {len(parts['test'])} to test on")
    for name, accuracy, seconds in lines:
        print(f"  {name:<42} {accuracy:.3f}  {seconds:6.1f} s")


def recipe(parts: dict[str, list[tuple[str, str]]], weights: str | None) -> tuple[str, float, float]:
    """Fits scikit-learn's recipe; returns its name, accuracy on the test texts, and seconds."""
    from sklearn.feature_extraction.text import TfidfVectorizer
    from sklearn.pipeline import make_pipeline
    from sklearn.svm import LinearSVC

    began = time.perf_counter()
    terms = TfidfVectorizer(sublinear_tf=True, stop_words="english", min_df=2)
    model = make_pipeline(terms, LinearSVC(class_weight=weights, random_state=0))
    model.fit(*zip(*parts["train"], strict=True))
    accuracy = float(model.score(*zip(*parts["test"], strict=True)))
    return f"scikit-learn's LinearSVC{', balanced' if weights else ''}", accuracy, time.perf_counter() - began


if __name__ == "__main__":
    main([int(count) for count in sys.argv[1:]] or [8, 32, 200])
