"""Checks of benchmarks/gpu.py: does Graft compute on the GPU what it computes on the CPU?

    python benchmarks/gpu_checks.py SIZE FOLDER OUT.npz      (benchmarks/gpu.py calls it, with and without the GPU)

A function in `ACROSS` runs on both devices, and its arrays are compared by name. One in `ALONE` runs on the GPU only,
compares two ways of Graft's, and gives how far they are apart. To add a check write such a function, put it into the
table, and say in `_TOLERANCES` how far what begins with its name may be apart.
"""

import dataclasses
import json
import sys
import tempfile
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from gpu_data import SIZES, read, write_backbone, write_pictures, write_texts

Arrays = dict[str, np.ndarray]
_STEPS = 40  # of training, whose losses are compared
_BATCH = 8
_TOLERANCES = {"outputs": 1e-3, "losses": 5e-3, "norms": 2e-2, "bfloat16": 5e-2, "training": 2e-2}
"""How far what is called so may be apart, as a part of the largest value, or of one where that is less."""


_ALONE = "alone, "


def prepare(folder: Path, size: str) -> None:
    """Writes the data that both devices see."""
    counts = {"train": _STEPS * _BATCH, "validation": 2 * _BATCH, "test": _BATCH}
    without_dropout = {"hidden_dropout_prob": 0.0, "attention_probs_dropout_prob": 0.0, **SIZES[size].bert}
    write_backbone(folder / "bert", dataclasses.replace(SIZES[size], bert=without_dropout))
    write_texts(folder / "texts", counts, 30, 128)
    write_pictures(folder / "pictures", counts, SIZES[size].side)


def outputs(folder: Path, size: str) -> Arrays:
    """Returns what networks in float32 make of a batch of padded texts, and of a batch of pictures."""
    return {f"outputs of {kind}": _logits(folder, size, kind) for kind in ("texts", "pictures")}


def losses(folder: Path, size: str) -> Arrays:
    """Returns the losses of the first steps of training on texts, in float32 and without dropout, and of validation."""
    told = _history(folder, precision="float32")
    norms = np.array([entry["gradient_norm"] for entry in told["steps"]])
    return {"losses of training": _losses(told), "losses of validation": _held(told), "norms of gradients": norms}


def _history(folder: Path, **options: Any) -> dict[str, Any]:
    """Trains on the texts; returns what is told of it."""
    from components.finetune.finetune import finetune
    from components.finetune.settings import FinetuneSettings

    settings = FinetuneSettings(
        f"random:{folder / 'bert'}", strategy="full", epochs=1, patience=1, batch_size=_BATCH, learning_rate=5e-5,
        lexical="false", **options,
    )  # fmt: skip
    with tempfile.TemporaryDirectory() as scratch:
        finetune(folder / "texts", Path(scratch) / "model", settings)
        told: dict[str, Any] = json.loads((Path(scratch) / "model/notes/history.json").read_text("utf-8"))
    return told


def _losses(told: dict[str, Any]) -> np.ndarray:
    return np.array([entry["loss"] for entry in told["steps"]])


def _held(told: dict[str, Any]) -> np.ndarray:
    return np.array([entry["validation_loss"] for entry in told["epochs"]])


def switches(folder: Path, size: str) -> Arrays:
    """Returns how far losses of training by graphs, or without padding, or both, are from those by neither."""
    off = {"unpadding": "false", "cuda_graphs": "false"}
    plain = _history(folder, **off)
    found = {}
    for names in (("unpadding",), ("cuda_graphs",), ("unpadding", "cuda_graphs")):
        told = _history(folder, **{**off, **dict.fromkeys(names, "auto")})
        apart = np.maximum(_apart(_losses(told), _losses(plain)), _apart(_held(told), _held(plain)))
        found[f"training with {' and '.join(names)} against neither"] = apart
    return found


def bfloat16(folder: Path, size: str) -> Arrays:
    """Returns how far outputs in bfloat16 are from those in float32."""
    found = {}
    for kind in ("texts", "pictures"):
        plain, rounded = (_logits(folder, size, kind, precision) for precision in ("float32", "bfloat16"))
        found[f"bfloat16 against float32, {kind}"] = _apart(rounded, plain)
    return found


ACROSS: tuple[Callable[[Path, str], Arrays], ...] = (outputs, losses)
ALONE: tuple[Callable[[Path, str], Arrays], ...] = (bfloat16, switches)


def _logits(folder: Path, size: str, kind: str, precision: str = "float32") -> np.ndarray:
    import torch

    from components.finetune.learning import parallel
    from components.finetune.learning.device import autocast
    from components.finetune.learning.examples import Examples
    from components.finetune.learning.learners import Direct, logits_of
    from components.shared import backbones
    from components.shared.tasks.objective import head_class

    task = "text-classification" if kind == "texts" else "image-classification"
    head = partial(head_class(task), spec={"labels": ["a", "b"]})
    family = backbones.family("transformers" if kind == "texts" else "timm")
    name = f"random:{folder / 'bert'}" if kind == "texts" else "random:timm/vit_base_patch16_224"
    args: dict[str, Any] = {"img_size": SIZES[size].side, **SIZES[size].vit} if kind == "pictures" else {}
    torch.manual_seed(0)
    with tempfile.TemporaryDirectory() as scratch:
        backbone = backbones.fetch(name, Path(scratch) / "backbone", args=args)
        network = family.from_backbone(backbone, "auto", head)
        padding = family.padding_of(backbone.folder)
    device = parallel.device()
    split = read(folder / kind, "test")
    examples = Examples.whole(split, family, padding, device, network.head.targets)
    return logits_of(network.to(device), Direct(examples), _BATCH, lambda: autocast(device, precision))


def _apart(found: np.ndarray, wanted: np.ndarray) -> np.ndarray:
    if found.shape != wanted.shape:
        return np.array(np.inf)
    return np.array(np.abs(found - wanted).max() / max(1.0, np.abs(wanted).max()))


def load(file: Path) -> Arrays:
    """Reads what a device wrote."""
    with np.load(file) as found:
        return dict(found)


def verdicts(gpu: Arrays, cpu: Arrays) -> list[dict[str, Any]]:
    """Returns of each check how far the devices are apart, and whether that is little enough."""
    found = []
    for told, values in gpu.items():
        name = told.removeprefix(_ALONE)
        apart = float(values if name != told else _apart(values, cpu[name]))
        most = next(limit for start, limit in _TOLERANCES.items() if name.startswith(start))
        found.append({"check": name, "apart": apart, "at most": most, "holds": apart <= most})
    return found


def main(size: str, folder: Path, out: Path) -> None:
    """Runs the checks on the device that is there; those on a GPU alone where it is there, or nothing else is."""
    import torch

    alone = ALONE if torch.cuda.is_available() or size == "tiny" else ()
    found = {name: values for check in ACROSS for name, values in check(folder, size).items()}
    found |= {_ALONE + name: values for check in alone for name, values in check(folder, size).items()}
    np.savez(out, **found)


if __name__ == "__main__":
    main(sys.argv[1], Path(sys.argv[2]), Path(sys.argv[3]))
