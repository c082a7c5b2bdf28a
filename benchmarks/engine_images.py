"""How long fine-tuning on pictures takes: Graft beside timm's recipe or Trainer's, by default and tuned, part by part.

    python benchmarks/engine_images.py                            resnet18 at 128 x 128, 3 epochs, weights drawn
    python benchmarks/engine_images.py --backbone efficientnet_lite0 --side 224 --pictures 400
    python benchmarks/engine_images.py --backbone transformers                 a ViT of ViT-Ti's shape, beside Trainer
    python benchmarks/engine_images.py --backbone vit_base_patch16_224 --side 224 --pictures 8000     (on a GPU)

All sides see the same drawn letters, from files of PNG, each in a process of its own. timm's is what its train.py
does: its data set, its loader with its changes of pictures (which leaves out an epoch's last small batch), its
optimizer and schedule.

- trainer: transformers' Trainer as run_image_classification.py calls it: batches of 8, float32, 5e-5.
- trainer-tuned: the batches and learning rate of the others, bfloat16, a process a core that decodes.
- timm: float32, one process that decodes.
- timm-tuned: bfloat16 where the machine has it (`--amp`), `--channels-last`, a process a core that decodes.
- graft: ingest, transform and finetune with `strategy: full`.
"""

import argparse
import dataclasses
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from engine import keep, tell
from engines import Parts, accuracy_of, has_bfloat16, learn, timm_accuracy, timm_epochs

_LETTERS = "ABDEFGHKMNRTW"
_PARTS = (("train", 0.7), ("validation", 0.05), ("test", 0.25))


@dataclass(frozen=True)
class Job:
    """What all sides do.

    Attributes:
        folder: Of `train`, `validation` and `test`, a folder a class in each.
        backbone: A name of timm's; or a folder of transformers' with `config.json` alone.
        side: Pixels of a picture's side, on disk and for the network.
        epochs: Passes over the training pictures.
        batch_size: Pictures a step.
        learning_rate: Of AdamW.
    """

    folder: str
    backbone: str
    side: int
    epochs: int
    batch_size: int
    learning_rate: float


def timm_default(job: Job, parts: Parts) -> float:
    """As train.py does it on a CPU, with AdamW; returns test accuracy."""
    return _timm(job, parts, workers=1, tuned=False)


def timm_tuned(job: Job, parts: Parts) -> float:
    """With the flags that make it faster."""
    return _timm(job, parts, workers=len(os.sched_getaffinity(0)), tuned=True)


def _timm(job: Job, parts: Parts, workers: int, tuned: bool) -> float:
    with parts.of("import"):
        import timm
        import torch
        from timm.data import create_dataset, create_loader
        from timm.optim import create_optimizer_v2
        from timm.scheduler import CosineLRScheduler
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    bf16 = tuned and has_bfloat16()
    torch.manual_seed(42)
    with parts.of("load"):
        options = {"img_size": job.side} if "vit" in job.backbone else {}
        network = timm.create_model(job.backbone, num_classes=len(_LETTERS), **options).to(device)
        if tuned:
            network = network.to(memory_format=torch.channels_last)
        loaders = {
            split: create_loader(
                create_dataset("", f"{job.folder}/{split}"), (3, job.side, job.side), job.batch_size,
                is_training=split == "train", num_workers=workers, use_prefetcher=device.type == "cuda", device=device,
            )
            for split in ("train", "test")
        }  # fmt: skip
        optimizer = create_optimizer_v2(network, opt="adamw", lr=job.learning_rate, weight_decay=0.01)
        steps = job.epochs * len(loaders["train"])
        schedule = CosineLRScheduler(optimizer, steps, warmup_t=steps // 10, t_in_epochs=False)

    def outputs(pixels: Any) -> Any:
        pixels = pixels.to(device, memory_format=torch.channels_last if tuned else torch.contiguous_format)
        with torch.autocast(device.type, torch.bfloat16, enabled=bf16):
            return network(pixels)

    with parts.of("train"):
        list(timm_epochs(network, loaders["train"], outputs, optimizer, schedule, job.epochs, device))
    with parts.of("evaluate"):
        accuracy = timm_accuracy(network, loaders["test"], outputs, device)
    with parts.of("save"):
        torch.save(network.state_dict(), Path(job.folder) / "timm.pt")
    return accuracy


def trainer(job: Job, parts: Parts) -> float:
    """As run_image_classification.py does it by default."""
    return _trainer(job, parts, {})


def trainer_tuned(job: Job, parts: Parts) -> float:
    """As somebody does it who knows Trainer."""
    workers = len(os.sched_getaffinity(0))
    options = {
        "per_device_train_batch_size": job.batch_size, "per_device_eval_batch_size": 128, "bf16": has_bfloat16(),
        "learning_rate": job.learning_rate, "dataloader_num_workers": workers, "logging_nan_inf_filter": False,
    }  # fmt: skip
    return _trainer(job, parts, options)


def _trainer(job: Job, parts: Parts, options: dict[str, Any]) -> float:
    with parts.of("import"):
        import torch
        from torchvision import datasets, transforms
        from transformers import AutoConfig, AutoModelForImageClassification, Trainer, TrainingArguments

    def collate(rows: list[tuple[Any, int]]) -> dict[str, Any]:
        return {"pixel_values": torch.stack([row[0] for row in rows]), "labels": torch.tensor([row[1] for row in rows])}

    torch.manual_seed(42)
    with parts.of("load"):
        ending = [transforms.ToTensor(), transforms.Normalize([0.5] * 3, [0.5] * 3)]
        learning = [transforms.RandomResizedCrop(job.side), transforms.RandomHorizontalFlip(), *ending]
        seen = [transforms.Resize(job.side), transforms.CenterCrop(job.side), *ending]
        sets = {
            split: datasets.ImageFolder(f"{job.folder}/{split}", transforms.Compose(steps))
            for split, steps in (("train", learning), ("test", seen))
        }
        config = AutoConfig.from_pretrained(job.backbone, num_labels=len(_LETTERS))
        model = AutoModelForImageClassification.from_config(config)
    with tempfile.TemporaryDirectory() as folder:
        told = {"seed": 42, "num_train_epochs": job.epochs, "report_to": [], "disable_tqdm": True}
        told |= {"save_strategy": "no", "use_cpu": not torch.cuda.is_available(), "remove_unused_columns": False}
        loop = Trainer(model, TrainingArguments(folder, **told, **options), collate, train_dataset=sets["train"])
        with parts.of("train"):
            loop.train()
        with parts.of("save"):
            loop.save_model(folder)
        with parts.of("evaluate"):
            found = loop.predict(sets["test"])
    return float((found.predictions.argmax(1) == found.label_ids).mean())


def graft(job: Job, parts: Parts) -> float:
    """The steps from the files to a saved model, which then sees the test split."""
    with parts.of("import"):
        import components.finetune.finetune  # noqa: F401
        from components.finetune.settings import FinetuneSettings
        from components.ingest.ingest import IngestSettings, ingest
        from components.transform.transform import TransformSettings, transform
    family = "transformers" if Path(job.backbone).is_dir() else "timm"
    name, args = f"random:timm/{job.backbone}", {"img_size": job.side}
    if family == "transformers":
        name, args = f"random:{job.backbone}", {}
    with tempfile.TemporaryDirectory() as scratch:
        snapshot, features, model = (Path(scratch) / part for part in ("snapshot", "features", "model"))
        with parts.of("ingest"):
            options = {"task": "image-classification", "near_duplicates": 1.0, "max_rejects": 1.0}
            ingest(snapshot, IngestSettings(job.folder, ["image"], "label", **options))
        with parts.of("decode"):
            transform(snapshot, features, TransformSettings(name, args))
        settings = FinetuneSettings(
            name, args, strategy="full", epochs=job.epochs, patience=job.epochs, batch_size=job.batch_size,
            gradients="false", learning_rate=job.learning_rate,
        )  # fmt: skip
        learn(parts, features, model, settings)
        with parts.of("evaluate"):
            return accuracy_of(features, model, family)


SIDES: dict[str, Callable[[Job, Parts], float]] = {
    "timm": timm_default, "timm-tuned": timm_tuned, "trainer": trainer, "trainer-tuned": trainer_tuned, "graft": graft,
}  # fmt: skip


def write_vit(folder: Path, side: int) -> Path:
    """Writes what makes a ViT of ViT-Ti's shape in transformers; its weights are drawn."""
    folder.mkdir()
    shape = {"hidden_size": 192, "num_hidden_layers": 12, "num_attention_heads": 3, "intermediate_size": 768}
    config = {"model_type": "vit", "architectures": ["ViTModel"], "image_size": side, "patch_size": 16, **shape}
    (folder / "config.json").write_text(json.dumps(config))
    how = {"size": {"height": side, "width": side}, "image_mean": [0.5] * 3, "image_std": [0.5] * 3}
    (folder / "preprocessor_config.json").write_text(json.dumps({"image_processor_type": "ViTImageProcessor", **how}))
    return folder


def draw(folder: Path, pictures: int, side: int) -> None:
    """Draws letters into a folder of splits and classes."""
    sys.path[:0] = [str(Path(__file__).parent.parent / "examples")]
    import make_images as letters

    letters.draw.seed(0)
    fonts = [letters.ImageFont.truetype(str(path), 96) for path in letters.font_files()]
    for number in range(pictures):
        letter = _LETTERS[number % len(_LETTERS)]
        place, ends = number / pictures, np.cumsum([part for _, part in _PARTS])
        split = _PARTS[int(np.searchsorted(ends, place, side="right"))][0]
        target = folder / split / letter
        target.mkdir(parents=True, exist_ok=True)
        drawn = letters.draw_letter(letter, letters.draw.choice(fonts)).convert("RGB")
        drawn.resize((side, side)).save(target / f"{number}.png")


def main(given: argparse.Namespace) -> None:
    """Compares all sides."""
    with tempfile.TemporaryDirectory() as scratch:
        draw(Path(scratch) / "letters", given.pictures, given.side)
        own = given.backbone == "transformers"
        backbone = str(write_vit(Path(scratch) / "vit", given.side)) if own else given.backbone
        job = Job(
            str(Path(scratch) / "letters"), backbone, given.side, given.epochs, given.batch_size,
            given.learning_rate,
        )  # fmt: skip
        description, result = Path(scratch) / "job.json", Path(scratch) / "result.json"
        description.write_text(json.dumps(dataclasses.asdict(job)))
        told: dict[str, list[dict[str, Any]]] = {}
        sides = given.sides or ",".join(side for side in SIDES if not side.startswith("timm" if own else "trainer"))
        for side in sides.split(","):
            command = [sys.executable, __file__, "--work", side, str(description), str(result)]
            ended = subprocess.run(command, capture_output=True, text=True)
            if ended.returncode:
                sys.exit(f"{side} failed:\n{ended.stdout[-1500:]}{ended.stderr[-3000:]}")
            told[side] = [json.loads(result.read_text("utf-8"))]
        print(
            f"\n### {given.backbone}, {given.side} x {given.side}, {given.pictures} pictures, {given.epochs} epochs\n"
        )
        tell(told)
        keep({f"{given.backbone}, {given.side} x {given.side}": told}, given)


def work(side: str, description: str, out: str) -> None:
    """Lets a side work, and writes where time went."""
    began, parts = time.perf_counter(), Parts()
    accuracy = SIDES[side](Job(**json.loads(Path(description).read_text("utf-8"))), parts)
    total = time.perf_counter() - began
    parts["other"] = total - float(np.sum(list(parts.values())))
    Path(out).write_text(json.dumps({"accuracy": accuracy, "parts": parts, "total": total}), "utf-8")


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--sides", default="", help="some of " + ", ".join(SIDES))
    parser.add_argument("--backbone", default="resnet18")
    parser.add_argument("--side", type=int, default=128)
    parser.add_argument("--pictures", type=int, default=800)
    parser.add_argument("--epochs", type=int, default=3)
    parser.add_argument("--batch-size", type=int, default=32)
    parser.add_argument("--learning-rate", type=float, default=1e-3)
    parser.add_argument("--json", type=Path)
    parser.add_argument("--plot", type=Path, help="an SVG of seconds by part")
    parser.add_argument("--work", nargs=3, help=argparse.SUPPRESS)
    given = parser.parse_args()
    work(*given.work) if given.work else main(given)
