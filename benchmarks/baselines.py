"""The page's baselines against the recipe that everybody knows, on the same examples; and what they cost on many rows.

The recipe: TfidfVectorizer(sublinear_tf=True, stop_words="english", min_df=2), LinearSVC(class_weight="balanced").
Sets, made of what is installed: which of 20 services does this documentation belong to, evenly and with classes of very
different size; does this description belong to this operation (pairs, for which the recipe joins both texts).

    python benchmarks/baselines.py           accuracy, macro-F1 and seconds of each, and the best against the recipe
    python benchmarks/baselines.py 1000000   seconds and memory of the baselines on a snapshot of so many rows
"""

import resource
import sys
import tempfile
import time
from collections.abc import Iterable, Sequence
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.svm import LinearSVC

sys.path[:0] = [str(Path(__file__).parent.parent), str(Path(__file__).parent.parent / "examples")]

import make_aws_operations as demo  # noqa: E402

from components.evaluate.baselines import fit_baselines  # noqa: E402
from components.shared import metrics  # noqa: E402
from components.shared.artifacts.artifact import open_artifact, write_artifact  # noqa: E402
from components.shared.baselines import Labelled, Terms  # noqa: E402
from components.shared.baselines.texts import text_baselines  # noqa: E402
from components.shared.statistics import Statistics, paired_gain  # noqa: E402
from components.shared.tasks.classification.metrics import ACCURACY  # noqa: E402

Rows = Sequence[dict[str, str]]
_WORDS = 40  # of a text of the snapshot of many rows


def main() -> None:
    """Compares on each set."""
    operations = sorted(set(demo.read_operations()))
    services, pairs = by_split(demo.make_services(operations)), by_split(demo.make_pairs(operations))
    compare("services", services, ["documentation"], "service")
    compare("services, uneven", {name: uneven(rows) for name, rows in services.items()}, ["documentation"], "service")
    compare("pairs", pairs, ["operation", "description"], "label")


def by_split(rows: Iterable[tuple[str, dict[str, str]]]) -> dict[str, Rows]:
    """Returns the rows of each split."""
    found: dict[str, list[dict[str, str]]] = {"train": [], "validation": [], "test": []}
    for split, row in rows:
        found[split].append(row)
    return dict(found)


def uneven(rows: Rows) -> Rows:
    """Keeps of each class a part: of the first all, of the last a twentieth."""
    names = sorted({row["service"] for row in rows})
    kept = {name: 20 ** (-place / (len(names) - 1)) for place, name in enumerate(names)}
    draw = np.random.default_rng(0).random(len(rows))
    return [row for row, number in zip(rows, draw, strict=True) if number < kept[row["service"]]]


def compare(name: str, splits: dict[str, Rows], inputs: Sequence[str], label: str) -> None:
    """Prints a line for the recipe and one for each baseline."""
    labels = sorted({row[label] for row in splits["train"]})
    parts = {
        split: Labelled(
            [[row[c] for row in rows] for c in inputs], np.array([labels.index(row[label]) for row in rows])
        )
        for split, rows in splits.items()
    }
    truth = parts["test"].labels
    print(f"{name}: {len(parts['train']):,} training and {len(truth):,} test examples, {len(labels)} classes")
    predicted, seconds = recipe(parts["train"], parts["test"])
    tell("the recipe", truth, predicted, len(labels), seconds)
    found = {}
    for baseline in text_baselines(parts["train"], parts["validation"], parts["test"].inputs, Terms(len(labels))):
        found[baseline.name] = baseline.predictions.argmax(1)
        tell(f"{baseline.name} ({baseline.what})", truth, found[baseline.name], len(labels), baseline.seconds)
    best = max(found, key=lambda key: float((found[key] == truth).mean()))
    gain = paired_gain(ACCURACY, *(Statistics({"right": side == truth}) for side in (found[best], predicted)), 0)
    print(f"  {best} against the recipe: {gain.value:+.3f} ({gain.low:+.3f} to {gain.high:+.3f})\n", flush=True)


def recipe(train: Labelled, test: Labelled) -> tuple[np.ndarray, float]:
    """Returns what the recipe predicts, and its seconds."""
    began = time.perf_counter()
    texts, unseen = ([" ".join(row) for row in zip(*part.inputs, strict=True)] for part in (train, test))
    words = TfidfVectorizer(sublinear_tf=True, stop_words="english", min_df=2)
    model = LinearSVC(class_weight="balanced", random_state=0).fit(words.fit_transform(texts), train.labels)
    return model.predict(words.transform(unseen)), time.perf_counter() - began


def tell(name: str, truth: np.ndarray, predicted: np.ndarray, classes: int, seconds: float) -> None:
    """Prints one line."""
    confusion = metrics.confusion_matrix(truth, predicted, classes)
    scores = f"{metrics.accuracy(confusion):.3f} / {metrics.macro_f1(confusion):.3f}"
    print(f"  {scores}  {seconds:6.1f} s  {name}", flush=True)


def many(rows: int) -> None:
    """Prints what the baselines cost on a snapshot of many rows."""
    with tempfile.TemporaryDirectory() as scratch:
        snapshot, labels = _snapshot(Path(scratch) / "snapshot", rows), np.arange(rows // 10) % 20
        began, before = time.perf_counter(), _memory()
        found = fit_baselines(open_artifact(snapshot, "snapshot"), labels, 50_000, 100_000, seed=0)
        spent = time.perf_counter() - began
        print(
            f"{rows:,} rows: {spent:.0f} s, {before:,.0f} MiB before, {_memory():,.0f} MiB at the most {found.failure}"
        )
        for name, told in found.told.items():
            print(f"  {name}: {told['examples']:,} examples, {told['bytes'] / 1e6:.1f} MB")


def _snapshot(folder: Path, rows: int) -> Path:
    draw, words = np.random.default_rng(0), np.array([f"word{number}" for number in range(200_000)])
    sizes = {"train": rows - 2 * (rows // 10), "validation": rows // 10, "test": rows // 10}
    names = [f"class {number:02}" for number in range(20)]
    with write_artifact(folder, "snapshot", {}) as draft:
        for split, size in sizes.items():
            schema = pa.schema({"id": pa.string(), "input_1": pa.string(), "label": pa.string()})
            with pq.ParquetWriter(draft.path / f"{split}-00000.parquet", schema) as writer:
                for start in range(0, size, 20_000):
                    count = min(20_000, size - start)
                    chosen = words[(len(words) * draw.random((count, _WORDS)) ** 4).astype(int)]
                    texts = [" ".join(row) + f" sign{n % 20}" for n, row in enumerate(chosen, start)]
                    labels = [names[n % 20] for n in range(start, start + count)]
                    ids = [f"{n:016x}" for n in range(start, start + count)]
                    writer.write_table(pa.table({"id": ids, "input_1": texts, "label": labels}, schema))
        classes = {split: dict.fromkeys(names, size // 20) for split, size in sizes.items()}
        told = {"task": "text-classification", "inputs": ["text"], "labels": names, "rows": sizes, "classes": classes}
        draft.write_json("snapshot.json", told)
    return folder


def _memory() -> float:
    """Returns the most memory that this process has taken so far, in MiB."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


if __name__ == "__main__":
    many(int(sys.argv[1])) if len(sys.argv) > 1 else main()
