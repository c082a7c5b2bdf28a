"""How long fine-tuning takes: Graft beside transformers' Trainer and scikit-learn on embeddings, part by part.

All sides see the same examples as often, from the same weights, each in a process of its own, one after the other, and
answer the same test texts. Prints a table of seconds, what Graft's total is less, and test accuracy.

    python benchmarks/engine.py                                  MiniLM, 3 epochs, texts as long as AG News' (52 tokens)
    python benchmarks/engine.py --lengths sst2,agnews,imdb       13, 52 and 285 tokens on average
    python benchmarks/engine.py --strategy partial --epochs 5    the last third of the blocks
    python benchmarks/engine.py --strategy probe --sides embeddings,graft     the encoder as it is
    python benchmarks/engine.py --encoder bert-base              BERT-base's shape, weights drawn (on a GPU)
    python benchmarks/engine.py --seeds 5                        is quality within the noise of seeds?
"""

import argparse
import dataclasses
import json
import random
import subprocess
import sys
import tempfile
from collections import defaultdict
from pathlib import Path
from typing import Any

import numpy as np
import plot
from corpus import documentation, encoder_folder
from engines import SIDES, Job

_LENGTHS = {"sst2": (13, 128), "agnews": (52, 128), "imdb": (285, 512)}
"""Tokens of a text on average, and at the most."""
_TOKENS = 1.45  # of a word of these texts
_SPREAD = 0.5  # of the logarithm of a text's length
_CLASSES = 24


def main(given: argparse.Namespace) -> None:
    """Compares all sides at all lengths."""
    told: dict[str, Any] = {}
    with tempfile.TemporaryDirectory() as scratch:
        encoder, pretrained = _encoder(given.encoder, Path(scratch))
        for name in given.lengths.split(","):
            mean, longest = _LENGTHS[name]
            folder = Path(scratch) / name
            counts = write_texts(folder, mean / _TOKENS, given.examples)
            print(f"\n### {name}: about {mean} tokens, {counts}, {given.strategy}, {given.epochs} epochs\n", flush=True)
            job = Job(
                str(folder), str(encoder), pretrained, given.strategy, given.epochs, longest, given.learning_rate, 42
            )
            seeds = [dataclasses.replace(job, seed=42 + number) for number in range(given.seeds)]
            sides = [side for side in given.sides.split(",") if pretrained or side != "embeddings"]
            runs = {side: [_run(side, each, Path(scratch)) for each in seeds] for side in sides}
            told[f"{name}, {given.strategy}, {given.epochs} epochs"] = runs
            tell(runs)
            keep(told, given)


def keep(told: dict[str, Any], given: argparse.Namespace) -> None:
    """Writes figures, and draws them, where that is asked for."""
    if given.json:
        given.json.write_text(json.dumps(told, indent=1), "utf-8")
    if given.plot:
        plot.write(given.plot, told)


def write_texts(folder: Path, words: float, examples: int) -> dict[str, int]:
    """Writes documentation of operations into so many services, cut to lengths as they vary in real sets.

    Args:
        folder: Gets `train.jsonl`, `validation.jsonl`, `test.jsonl`.
        words: Of a text, on average.
        examples: Of all splits; fewer where there are not so many texts.

    Returns:
        How many each split has.
    """
    draw = random.Random(0)
    found: dict[str, list[str]] = defaultdict(list)
    seen: set[str] = set()
    for service, _, text in documentation():
        length = max(3, round(words * draw.lognormvariate(-(_SPREAD**2) / 2, _SPREAD)))
        own = text.split()
        cut = " ".join(own[:length])
        if len(own) >= min(length, 0.5 * words) and cut not in seen:
            found[service].append(cut)
            seen.add(cut)
    largest = sorted(found, key=lambda service: (-len(found[service]), service))[:_CLASSES]
    rows = [{"text": text, "label": service} for service in largest for text in found[service]]
    rows = draw.sample(rows, min(len(rows), examples))
    cuts = [round(0.7 * len(rows)), round(0.75 * len(rows))]
    splits = dict(zip(("train", "validation", "test"), np.split(np.array(rows, object), cuts), strict=True))
    folder.mkdir()
    for split, members in splits.items():
        (folder / f"{split}.jsonl").write_text("".join(json.dumps(row) + "\n" for row in members), "utf-8")
    return {split: len(members) for split, members in splits.items()}


def _encoder(name: str, scratch: Path) -> tuple[Path, bool]:
    """Returns where an encoder lies, and whether it has weights; of bert-base its shape, with MiniLM's tokenizer."""
    if name != "bert-base":
        return (Path(name) if name else encoder_folder()), True
    folder = scratch / "bert-base"
    folder.mkdir()
    for file in ("tokenizer.json", "tokenizer_config.json", "vocab.txt", "special_tokens_map.json"):
        if (encoder_folder() / file).exists():
            (folder / file).write_bytes((encoder_folder() / file).read_bytes())
    (folder / "config.json").write_text('{"model_type": "bert", "architectures": ["BertModel"]}')
    return folder, False


def _run(side: str, job: Job, scratch: Path) -> dict[str, Any]:
    description, result = scratch / "job.json", scratch / "result.json"
    description.write_text(json.dumps(dataclasses.asdict(job)))
    command = [sys.executable, str(Path(__file__).with_name("engines.py")), side, str(description), str(result)]
    ended = subprocess.run(command, capture_output=True, text=True)
    if ended.returncode:
        sys.exit(f"{side} failed:\n{ended.stdout[-1500:]}{ended.stderr[-3000:]}")
    told: dict[str, Any] = json.loads(result.read_text("utf-8"))
    result.unlink()
    return told


def tell(sides: dict[str, list[dict[str, Any]]]) -> None:
    """Prints a Markdown table of the sides: medians of seconds, means of accuracy."""
    names = list(dict.fromkeys(part for runs in sides.values() for run in runs for part in run["parts"]))
    print(f"| side | total | {' | '.join(names)} | graft is faster by | test accuracy |")
    print(f"| --- | {'--- | ' * (len(names) + 3)}")
    middle = {side: float(np.median([run["total"] for run in runs])) for side, runs in sides.items()}
    for side, runs in sides.items():
        parts = [float(np.median([run["parts"].get(name, 0.0) for run in runs])) for name in names]
        accuracies = [run["accuracy"] for run in runs]
        spread = f" ± {np.std(accuracies, ddof=1):.3f}" if len(runs) > 1 else ""
        cells = [f"{seconds:.1f}" if seconds else "" for seconds in (middle[side], *parts)]
        times = f"{middle[side] / middle['graft']:.2f}" if "graft" in middle else ""
        print(f"| {side} | {' | '.join(cells)} | {times} | {np.mean(accuracies):.3f}{spread} |", flush=True)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--lengths", default="agnews", help=", ".join(_LENGTHS))
    parser.add_argument("--sides", default=",".join(SIDES))
    parser.add_argument("--strategy", default="full", choices=["full", "partial", "probe"])
    parser.add_argument("--epochs", type=int, default=3)
    parser.add_argument("--examples", type=int, default=4000)
    parser.add_argument("--learning-rate", type=float, default=2e-4)
    parser.add_argument("--encoder", default="", help="a folder, or bert-base; MiniLM if left out")
    parser.add_argument("--seeds", type=int, default=1)
    parser.add_argument("--json", type=Path)
    parser.add_argument("--plot", type=Path, help="an SVG of seconds by part")
    main(parser.parse_args())
