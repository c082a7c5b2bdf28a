"""Features and a backbone into a model."""

import contextlib
import dataclasses
import importlib.metadata
import math
import shutil
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from components.finetune.curves import Curves
from components.finetune.settings import FinetuneSettings
from components.finetune.training import History, Hyperparameters, fit
from components.shared import backbones
from components.shared.artifact import Artifact, Draft, open_artifact, write_artifact
from components.shared.features import FeatureSplit
from components.shared.step import Progress

# What prediction needs, told in the manifest: `register` pins these versions without having torch itself.
_REQUIREMENTS = ("mlflow", "numpy", "pandas", "safetensors", "tokenizers", "torch", "transformers")


@dataclass(frozen=True)
class FinetuneReport:
    """What `finetune` did: the model's digest, its MLflow run, and validation of the epoch that was kept."""

    digest: str
    run_id: str
    best_epoch: int
    validation: dict[str, float]
    examples_per_second: float


def finetune(features: Path, model: Path, settings: FinetuneSettings) -> FinetuneReport:
    """Trains a backbone with a new head on features.

    The artifact holds `model.safetensors`, `config.json`, `tokenizer.json` and `model.json`: all that prediction from
    raw input needs. As a note: `history.json`. On a CPU the same features, settings and seed give the same bytes
    (with the same number of threads).

    Args:
        features: The folder of the features to read.
        model: The folder to write.
        settings: The backbone and how it is trained.

    Raises:
        InputError: A setting or the backbone is wrong, or the loss is no longer a number.
        ServiceError: The hub, the store or MLflow failed, or the disk is full.
    """
    source = open_artifact(features, "features")
    stored = dataclasses.asdict(settings)
    torch.manual_seed(settings.seed)
    with tempfile.TemporaryDirectory(prefix="graft-finetune-") as scratch:
        folder = backbones.fetch(settings.backbone, Path(scratch))
        with (
            write_artifact(model, "model", stored, source.lineage()) as draft,
            Curves(settings.experiment, stored) as curves,
        ):
            history = _train(source, folder, draft, settings, curves)
            draft.producer |= {"mlflow_run_id": curves.run_id, "requirements": _requirements()}
    best = history.epochs[history.best_epoch - 1]
    return FinetuneReport(
        digest=draft.digest,
        run_id=curves.run_id,
        best_epoch=history.best_epoch,
        validation={name: best[name] for name in ("validation_loss", "accuracy", "macro_f1")},
        examples_per_second=history.examples_per_second,
    )


def _train(source: Artifact, folder: Path, draft: Draft, settings: FinetuneSettings, curves: Curves) -> History:
    told = source.read_json("features.json")
    family = backbones.family(told["family"])
    pooling = backbones.pooling_of(folder) if settings.pooling == "auto" else settings.pooling
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    torch.use_deterministic_algorithms(device.type == "cpu")
    network = family.from_backbone(folder, pooling, len(told["labels"])).to(device)
    precision = _precision(settings.precision, device)
    splits = (FeatureSplit(source, "train"), FeatureSplit(source, "validation"))
    hyperparameters = Hyperparameters(
        **{field.name: getattr(settings, field.name) for field in dataclasses.fields(Hyperparameters)}
    )
    steps_an_epoch = -(-len(splits[0]) // settings.batch_size)
    progress = Progress("finetune", settings.epochs * steps_an_epoch)
    progress.update(0, f"{len(splits[0]):,} examples, {_name(device)}, {precision}, {pooling} pooling")
    history = fit(
        network,
        family,
        family.padding_of(folder),
        splits,
        hyperparameters,
        lambda: _autocast(device, precision),
        lambda event, entry: _tell(event, entry, progress, curves, settings),
    )
    progress.update(progress.total, f"kept epoch {history.best_epoch} of {len(history.epochs)}")
    _save(network.cpu(), source, draft)
    notes: dict[str, Any] = {"device": _name(device), "precision": precision, "pooling": pooling}
    notes["parameters"] = sum(parameter.numel() for parameter in network.parameters())
    draft.write_json("notes/history.json", {**dataclasses.asdict(history), **notes})
    return history


def _save(network: Any, source: Artifact, draft: Draft) -> None:
    """Writes weights and configuration, and of the features what encoded them: all that prediction needs."""
    network.save(draft.path)
    for name in source.files:
        if name != "features.json" and not name.endswith(".arrow"):
            shutil.copyfile(source.file(name), draft.path / name)
    told = source.read_json("features.json")
    kept = {name: told[name] for name in ("task", "family", "inputs", "labels", "columns")}
    draft.write_json("model.json", {**kept, **network.describe()})


def _tell(event: str, entry: dict[str, float], progress: Progress, curves: Curves, settings: FinetuneSettings) -> None:
    step = int(entry["step"])
    if event == "step":
        epoch = f"epoch {min(math.ceil(entry['epoch']), settings.epochs)}/{settings.epochs}"
        rate = progress.rate(step) * settings.batch_size
        progress.update(step, f"{epoch} · loss {entry['loss']:.3f} · {rate:.0f} examples/s")
        curves.log({name: entry[name] for name in ("loss", "learning_rate", "gradient_norm")}, step, "train/")
    else:
        names = {"validation_loss": "loss", "accuracy": "accuracy", "macro_f1": "macro_f1"}
        curves.log({short: entry[name] for name, short in names.items()}, step, "validation/")
        progress.line(
            f"epoch {entry['epoch']:.0f}: training loss {entry['train_loss']:.4f}, validation loss "
            f"{entry['validation_loss']:.4f}, accuracy {entry['accuracy']:.4f}, macro-F1 {entry['macro_f1']:.4f}"
        )


def _precision(wanted: str, device: torch.device) -> str:
    """bfloat16 only where the hardware has it: without, a CPU is three times slower with it than in float32."""
    if wanted != "auto":
        return wanted
    if device.type == "cuda":
        return "bfloat16" if torch.cuda.is_bf16_supported() else "float32"
    capabilities = torch.cpu.get_capabilities()
    return "bfloat16" if capabilities.get("avx512_bf16") or capabilities.get("amx_bf16") else "float32"


def _autocast(device: torch.device, precision: str) -> contextlib.AbstractContextManager[Any]:
    if precision == "float32":
        return contextlib.nullcontext()
    return torch.autocast(device.type, torch.bfloat16)


def _requirements() -> dict[str, str]:
    """Returns the versions that the model was trained with; "+cpu" and the like name a build, not a version."""
    return {name: importlib.metadata.version(name).partition("+")[0] for name in _REQUIREMENTS}


def _name(device: torch.device) -> str:
    if device.type == "cuda":
        return torch.cuda.get_device_name()
    return f"CPU, {torch.get_num_threads()} threads"
