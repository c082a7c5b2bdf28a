"""The sides of benchmarks/gpu.py: each learns from the same drawn data, and tells seconds, rate and quality.

    python benchmarks/gpu_sides.py SIDE JOB.json OUT.json        (benchmarks/gpu.py calls it, each in its own process)

- trainer: transformers' Trainer as run_glue.py calls it: batches of 8, padded to the longest allowed, float32.
- trainer-tuned: batches of 32 of like length padded to their longest, bfloat16 and TF32, fused AdamW, processes that
  make batches, 128 a batch in evaluation, no look for NaN.
- timm: what train.py does with `--amp --amp-dtype bfloat16 --channels-last --pin-mem`: its loader, changes of pictures,
  optimizer and schedule, pictures from JPEG files; `timm-memory` gives its prefetcher the decoded pictures instead, and
  changes none.
- graft: `components.finetune.finetune`, the step itself, from features.
"""

import json
import os
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from engines import Parts, timm_accuracy, timm_epochs
from gpu_data import CLASSES, SIZES, read


@dataclass(frozen=True)
class Job:
    """What all sides of a row do.

    Attributes:
        kind: "text" or "image".
        size: In `SIZES`.
        features: The folder of the artifact.
        files: A folder of JPEG files, for timm.
        backbone: As Graft names it.
        epochs: Passes over the training examples.
        batch_size: Of all sides but the defaults'.
        longest: Tokens of a text, at most.
        learning_rate: Of all sides but the defaults'.
        options: Further settings of Graft's side.
        profile: Where the profile of ten of Graft's steps goes; "": nowhere.
    """

    kind: str
    size: str
    features: str
    files: str
    backbone: str
    epochs: int
    batch_size: int
    longest: int
    learning_rate: float
    options: dict[str, str] = field(default_factory=dict)
    profile: str = ""

    def units(self, split: str) -> int:
        """Returns how many tokens, or pictures, a split has."""
        return int(read(Path(self.features), split).lengths.sum())


@dataclass
class Told:
    """What a side has to tell, beside the seconds of its parts.

    Attributes:
        accuracy: On the test split.
        marks: When an epoch was over.
    """

    accuracy: float
    marks: list[float]


def trainer(job: Job, parts: Parts) -> Told:
    """As run_glue.py does it by default."""
    return _trainer(job, parts, {"learning_rate": 5e-5}, pad=True)


def trainer_tuned(job: Job, parts: Parts) -> Told:
    """As somebody does it who knows Trainer."""
    import torch

    cuda = torch.cuda.is_available()
    options = {
        "per_device_train_batch_size": job.batch_size, "per_device_eval_batch_size": 128, "bf16": cuda, "tf32": cuda,
        "learning_rate": job.learning_rate, "logging_nan_inf_filter": False, "optim": "adamw_torch_fused",
        "train_sampling_strategy": "group_by_length", "logging_steps": 100,
        "dataloader_num_workers": 4 if cuda else 0, "dataloader_persistent_workers": cuda,
    }  # fmt: skip
    return _trainer(job, parts, options, pad=False)


def _trainer(job: Job, parts: Parts, options: dict[str, Any], pad: bool) -> Told:
    with parts.of("import"):
        import torch
        from transformers import BertConfig, BertForSequenceClassification, Trainer, TrainerCallback, TrainingArguments

    class Marks(TrainerCallback):  # type: ignore[misc]
        """Looks at the clock when an epoch is over."""

        def __init__(self) -> None:
            self.times: list[float] = []

        def on_epoch_end(self, *args: Any, **kwargs: Any) -> None:
            self.times.append(_now())

    def collate(rows: list[dict[str, Any]]) -> dict[str, Any]:
        width = job.longest if pad else max(len(row["input_ids"]) for row in rows)
        ids = np.zeros((len(rows), width), np.int64)
        for line, row in zip(ids, rows, strict=True):
            line[: len(row["input_ids"])] = row["input_ids"]
        there = np.arange(width) < np.array([[len(row["input_ids"])] for row in rows])
        batch = {"input_ids": ids, "attention_mask": there.astype(np.int64), "labels": [row["labels"] for row in rows]}
        return {name: torch.tensor(values) for name, values in batch.items()}

    with parts.of("load"):
        sets = {split: _rows(job, split) for split in ("train", "test")}
        config = {**SIZES[job.size].bert_config(), "num_labels": CLASSES["text"]}
        torch.manual_seed(42)
        model = BertForSequenceClassification(BertConfig(**config))
    marks, cpu = Marks(), not torch.cuda.is_available()
    with tempfile.TemporaryDirectory() as folder:
        told = {"seed": 42, "num_train_epochs": job.epochs, "report_to": [], "disable_tqdm": True, "use_cpu": cpu}
        arguments = TrainingArguments(folder, save_strategy="no", remove_unused_columns=False, **told, **options)
        loop = Trainer(model, arguments, train_dataset=sets["train"], data_collator=collate, callbacks=[marks])
        with parts.of("train"):
            loop.train()
            _now()
        with parts.of("save"):
            loop.save_model(folder)
        loop.args.train_sampling_strategy = "random"  # else predictions come in another order than the examples
        with parts.of("evaluate"):
            found = loop.predict(sets["test"]).predictions.argmax(1)
    return Told(float((found == [row["labels"] for row in sets["test"]]).mean()), marks.times)


def _rows(job: Job, split: str) -> list[dict[str, Any]]:
    rows = read(Path(job.features), split)
    ids = rows.take(np.arange(len(rows)))["input_ids"]
    return [{"input_ids": own, "labels": int(label)} for own, label in zip(ids, rows.labels, strict=True)]


def timm_files(job: Job, parts: Parts) -> Told:
    """As train.py does it, tuned."""
    return _timm(job, parts, from_files=True)


def timm_memory(job: Job, parts: Parts) -> Told:
    """The same from decoded pictures."""
    return _timm(job, parts, from_files=False)


def _timm(job: Job, parts: Parts, from_files: bool) -> Told:
    with parts.of("import"):
        import timm
        import torch
        from timm.optim import create_optimizer_v2
        from timm.scheduler import CosineLRScheduler
    size, device = SIZES[job.size], torch.device("cuda" if torch.cuda.is_available() else "cpu")
    if device.type == "cuda":  # as train.py does
        torch.backends.cuda.matmul.allow_tf32 = torch.backends.cudnn.benchmark = True
    torch.manual_seed(42)
    with parts.of("load"):
        loaders = {split: _timm_loader(job, split, device, from_files) for split in ("train", "test")}
        arguments = {"num_classes": CLASSES["image"], "img_size": size.side, **size.vit}
        network = timm.create_model("vit_base_patch16_224", **arguments).to(device, memory_format=torch.channels_last)
        optimizer = create_optimizer_v2(network, opt="adamw", lr=job.learning_rate, weight_decay=0.01)
        steps = job.epochs * len(loaders["train"])
        schedule = CosineLRScheduler(optimizer, steps, warmup_t=max(1, steps // 10), t_in_epochs=False)

    def outputs(pixels: Any) -> Any:
        with torch.autocast(device.type, torch.bfloat16, enabled=device.type == "cuda"):
            return network(pixels.to(device, memory_format=torch.channels_last))

    with parts.of("train"):
        epochs = timm_epochs(network, loaders["train"], outputs, optimizer, schedule, job.epochs, device)
        marks = [_now() for _ in epochs]
    with parts.of("evaluate"):
        accuracy = timm_accuracy(network, loaders["test"], outputs, device)
    with parts.of("save"):
        torch.save(network.state_dict(), Path(job.features).parent / "timm.pt")
    return Told(accuracy, marks)


def _timm_loader(job: Job, split: str, device: Any, from_files: bool) -> Any:
    """Returns timm's loader of files, or its prefetcher before decoded pictures."""
    import torch
    from timm.data import create_dataset, create_loader
    from timm.data.loader import PrefetchLoader, fast_collate

    side, cuda, learns = SIZES[job.size].side, device.type == "cuda", split == "train"
    workers = len(os.sched_getaffinity(0)) if cuda else 1
    shared = {"num_workers": workers, "pin_memory": cuda}
    if from_files:
        source = create_dataset("", f"{job.files}/{split}")
        options = {**shared, "is_training": learns, "device": device}
        return create_loader(source, (3, side, side), job.batch_size, **options)
    rows = read(Path(job.features), split)
    pixels = rows.take(np.arange(len(rows)))["pixels"]
    pictures = [
        (np.ascontiguousarray(own.reshape(side, side, 3).transpose(2, 0, 1)), int(label))
        for own, label in zip(pixels, rows.labels, strict=True)
    ]
    loader: Any = torch.utils.data.DataLoader(
        pictures, job.batch_size, shuffle=learns, drop_last=learns, collate_fn=fast_collate, **shared,
        persistent_workers=True,
    )  # fmt: skip
    return PrefetchLoader(loader, device=device)


def graft(job: Job, parts: Parts) -> Told:
    """Runs the step from features to a saved model, which then sees the test split."""
    with parts.of("import"):
        from components.finetune.finetune import finetune
        from components.finetune.settings import FinetuneSettings
        from components.shared import backbones

        family = "transformers" if job.kind == "text" else "timm"
        backbones.family(family)
    from engines import accuracy_of
    from gpu_profile import profiled, watched

    args = {"img_size": SIZES[job.size].side, **SIZES[job.size].vit} if job.kind == "image" else {}
    settings = FinetuneSettings(
        job.backbone, args, strategy="full", epochs=job.epochs, patience=job.epochs, batch_size=job.batch_size,
        learning_rate=job.learning_rate, lexical="false", gradients="false", **job.options,
    )  # fmt: skip
    with tempfile.TemporaryDirectory() as scratch:
        model = Path(scratch) / "model"
        with watched() as marks, profiled(job.profile), parts.of("finetune"):
            finetune(Path(job.features), model, settings)
        history = json.loads((model / "notes/history.json").read_text("utf-8"))
        parts["train"] = history["seconds"]
        parts["load, validate, save"] = parts.pop("finetune") - parts["train"]
        with parts.of("evaluate"):
            return Told(accuracy_of(Path(job.features), model, family), marks)


def _now() -> float:
    """Returns the time when the device has done what it was given."""
    import torch

    if torch.cuda.is_available():
        torch.cuda.synchronize()
    return time.perf_counter()


SIDES: dict[str, Callable[[Job, Parts], Told]] = {
    "graft": graft, "trainer-tuned": trainer_tuned, "trainer": trainer, "timm": timm_files, "timm-memory": timm_memory,
}  # fmt: skip


def main(side: str, description: Path, out: Path) -> None:
    """Lets a side work, and writes where time went.

    The rate is that of all epochs but the first, in which memory is taken, kernels are chosen and graphs are captured;
    Graft's holds the validation that each of its epochs ends with.
    """
    began, parts = time.perf_counter(), Parts()
    job = Job(**json.loads(description.read_text("utf-8")))
    told = SIDES[side](job, parts)
    imports = parts.pop("import")
    total = time.perf_counter() - began - imports
    units, marks = job.units("train"), told.marks
    rate = units * (len(marks) - 1) / (marks[-1] - marks[0]) if len(marks) > 1 else 0.0
    import torch

    memory = torch.cuda.max_memory_allocated() / 2**30 if torch.cuda.is_available() else 0.0
    parts["other"] = total - sum(parts.values())
    found = {"total": total, "parts": parts, "rate": rate, "accuracy": told.accuracy, "memory_gib": memory}
    found["import"] = imports
    out.write_text(json.dumps(found), "utf-8")


if __name__ == "__main__":
    main(sys.argv[1], Path(sys.argv[2]), Path(sys.argv[3]))
