"""What a sweep over four strategies costs, against one full fine-tuning: MiniLM on real text.

Both sides are the whole step, loading and saving included, on the same features with the same seed.

    python benchmarks/sweep.py [EPOCHS] [TEXTS] [ROUNDS]
"""

import json
import statistics
import sys
import tempfile
import time
from pathlib import Path

from corpus import encoder_folder, text_features

from components.finetune.finetune import finetune
from components.finetune.settings import FinetuneSettings

SWEEP = "probe, partial, probe-then-full, full"


def main(epochs: int, texts: int, rounds: int) -> None:
    """Prints seconds of both sides and their ratio, and how each strategy did."""
    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(scratch)
        features = text_features(folder, texts)
        times: dict[str, list[float]] = {"full": [], SWEEP: []}
        for number in range(rounds):
            for strategy, seconds in times.items():
                settings = FinetuneSettings(
                    str(encoder_folder()), strategy=strategy, epochs=epochs, patience=epochs, learning_rate=1e-4
                )
                model = folder / f"{number}-{'sweep' if strategy == SWEEP else strategy}"
                began = time.perf_counter()
                finetune(features, model, settings)
                seconds.append(time.perf_counter() - began)
        sweep = json.loads((folder / "0-sweep/notes/history.json").read_text())["sweep"]
    for row in sweep:
        told = f"accuracy {row['accuracy']:.3f}, {row['steps']:.0f} steps" + (", kept" if row["kept"] else "")
        print(f"{row['strategy']:<18}{told}")
    ratios = [b / a for a, b in zip(*times.values(), strict=True)]
    print(f"full {statistics.median(times['full']):.1f} s, sweep {statistics.median(times[SWEEP]):.1f} s")
    print(f"sweep / full: median {statistics.median(ratios):.2f} of {rounds}, {min(ratios):.2f} to {max(ratios):.2f}")


if __name__ == "__main__":
    numbers = [int(argument) for argument in sys.argv[1:]]
    main(*(numbers + [3, 1000, 3][len(numbers) :]))
