"""What a probe gains by choosing on the training examples where validation is small, beside scikit-learn.

MiniLM's vectors of documentation of operations of 24 services, dealt anew each time: 1,050 texts to learn from, 75 to
choose on, 375 to ask. All sides fit linear models on the same vectors; nothing of the encoder learns.

- scikit-learn: LogisticRegression and LinearSVC on the normalised mean of the tokens' vectors; the better on
  validation.
- by validation: Graft's probe, everything about it chosen on the 75, as it is where there are many of them.
- by folds: Graft's probe as it is here: chosen by five folds of the 1,050.

    python benchmarks/small_validation.py [DEALS]                (default: 10; ten minutes)
"""

import json
import sys
import tempfile
import warnings
from pathlib import Path
from typing import Any

import numpy as np
import torch
from corpus import encoder_folder
from engine import _LENGTHS, _TOKENS, write_texts

from components.finetune.learning.cache import States
from components.finetune.linear import choice
from components.finetune.linear.probe import Vectors, View

_PARTS = (1050, 1125, 1500)  # where the texts of a deal are cut
_ROWS = ("first", "mean", "max")
_VIEWS = [View(row, name, unit) for row, name in enumerate(_ROWS) for unit in (False, True)]


def main(deals: int) -> None:
    """Prints accuracy and macro-F1 of each side, at two lengths of texts."""
    from sklearn.metrics import f1_score

    print("| texts | side | accuracy | macro-F1 |\n| --- | --- | --- | --- |")
    for name in ("agnews", "sst2"):
        vectors, labels = embedded(name)
        found: dict[str, list[tuple[float, float]]] = {}
        for number in range(deals):
            order = np.random.default_rng(number).permutation(len(labels))[: _PARTS[-1]]
            parts = np.split(order, _PARTS[:-1])
            for side, answers in sides(vectors, labels, parts).items():
                truth = labels[parts[2]]
                both = float((answers == truth).mean()), f1_score(truth, answers, average="macro", zero_division=0)
                found.setdefault(side, []).append(both)
        for side, scores in found.items():
            means, errors = np.mean(scores, 0), np.std(scores, 0, ddof=1) / np.sqrt(len(scores))
            cells = [f"{mean:.3f} ± {error:.3f}" for mean, error in zip(means, errors, strict=True)]
            print(f"| about {_LENGTHS[name][0]} tokens | {side} | {' | '.join(cells)} |", flush=True)


def sides(vectors: np.ndarray, labels: np.ndarray, parts: list[np.ndarray]) -> dict[str, np.ndarray]:
    """Returns what each side answers about the last part."""
    few = choice._FEW
    found = {"scikit-learn": _scikit_learn(vectors[:, 1], labels, parts)}
    for side, least in (("by validation", 0), ("by folds", few)):
        choice._FEW = least
        found[side] = _probe(vectors, labels, parts)
    return found


def _scikit_learn(mean: np.ndarray, labels: np.ndarray, parts: list[np.ndarray]) -> np.ndarray:
    from sklearn.linear_model import LogisticRegression
    from sklearn.svm import LinearSVC

    unit = mean / np.linalg.norm(mean, axis=1, keepdims=True)
    train, validation, asked = parts
    models: list[Any] = [LogisticRegression(max_iter=1000), LinearSVC()]
    fits = [model.fit(unit[train], labels[train]) for model in models]
    best = max(fits, key=lambda fit: fit.score(unit[validation], labels[validation]))
    answers: np.ndarray = best.predict(unit[asked])
    return answers


def _probe(vectors: np.ndarray, labels: np.ndarray, parts: list[np.ndarray]) -> np.ndarray:
    with tempfile.TemporaryDirectory() as folder:
        states = States(Path(folder) / "states", np.full(len(vectors), len(_ROWS)), vectors.shape[2:], torch.float32)
        states.write(np.arange(len(vectors)), torch.from_numpy(vectors))
        seen = [Vectors(states, part, labels[part], torch.device("cpu")) for part in parts[:2]]
        probe = choice.fit_probe(*seen, int(labels.max()) + 1, lambda _: None, _VIEWS)
    asked = vectors[parts[2], probe.view.row]
    if probe.view.unit:
        asked = asked / np.linalg.norm(asked, axis=1, keepdims=True)
    answers: np.ndarray = (asked @ probe.weight.numpy().T + probe.bias.numpy()).argmax(1)
    return answers


def embedded(lengths: str) -> tuple[np.ndarray, np.ndarray]:
    """Returns the vectors of texts, float32 [texts, poolings, width], and their classes, int64 [texts]."""
    from transformers import AutoModel, AutoTokenizer

    with tempfile.TemporaryDirectory() as scratch:
        folder, (mean, longest) = Path(scratch) / "texts", _LENGTHS[lengths]
        write_texts(folder, mean / _TOKENS, 4000)
        rows = [row for split in ("train", "validation", "test") for row in _read(folder / f"{split}.jsonl")]
    tokenizer, model = AutoTokenizer.from_pretrained(encoder_folder()), AutoModel.from_pretrained(encoder_folder())
    ids = tokenizer([row["text"] for row in rows], truncation=True, max_length=longest)["input_ids"]
    found = np.zeros((len(rows), len(_ROWS), model.config.hidden_size), np.float32)
    with torch.inference_mode():
        for places in np.array_split(np.argsort([len(own) for own in ids], kind="stable"), -(-len(ids) // 64)):
            batch = tokenizer.pad({"input_ids": [ids[place] for place in places]}, return_tensors="pt")
            states, there = model.eval()(**batch).last_hidden_state, batch["attention_mask"][..., None]
            mean_of = (states * there).sum(1) / there.sum(1)
            highest = states.masked_fill(there == 0, -torch.inf).amax(1)
            found[places] = torch.stack([states[:, 0], mean_of, highest], 1).numpy()
    names = sorted({row["label"] for row in rows})
    return found, np.array([names.index(row["label"]) for row in rows])


def _read(path: Path) -> list[dict[str, str]]:
    return [json.loads(line) for line in path.read_text("utf-8").splitlines()]


if __name__ == "__main__":
    warnings.simplefilter("ignore")
    main(int(sys.argv[1]) if len(sys.argv) > 1 else 10)
