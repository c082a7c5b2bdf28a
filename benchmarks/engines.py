"""The sides of benchmarks/engine.py: each fine-tunes the same encoder on the same texts, and tells where time went.

    python benchmarks/engines.py SIDE WORK.json OUT.json        (benchmarks/engine.py calls it, each in its own process)

- trainer: transformers' Trainer as run_glue.py calls it: batches of 8, padded to `max_length`, 5e-5.
- trainer-tuned: batches of 32 of like length, padded to the longest, bfloat16 where the machine has it (TF32 on a GPU),
  128 a batch in evaluation, no look for NaN, Graft's learning rate.
- embeddings: the encoder as it is, the mean of its tokens' vectors in sorted batches, and the better on validation of
  scikit-learn's LogisticRegression and LinearSVC on these: nothing of the encoder learns.
- graft: ingest, transform and finetune at the same strategy and epochs, without words beside the network.

With `partial` the embeddings and all but the last third of the blocks are frozen, with `probe` all but the head, on all
sides.
"""

import json
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

sys.path[:0] = [str(Path(__file__).parent.parent), str(Path(__file__).parent)]


@dataclass(frozen=True)
class Job:
    """What all sides do.

    Attributes:
        folder: Of `train.jsonl`, `validation.jsonl` and `test.jsonl`: `text` and `label`.
        encoder: A folder in the hub's layout.
        pretrained: Whether its weights are there; else they are drawn.
        strategy: "full", "partial" or "probe".
        epochs: Passes over the training examples.
        max_length: Tokens of a text, at most.
        learning_rate: Of Graft and of the tuned Trainer.
        seed: Of head, order and dropout.
    """

    folder: str
    encoder: str
    pretrained: bool
    strategy: str
    epochs: int
    max_length: int
    learning_rate: float
    seed: int

    def rows(self, split: str) -> tuple[list[str], list[str]]:
        """Returns texts and labels of a split."""
        lines = (Path(self.folder) / f"{split}.jsonl").read_text("utf-8").splitlines()
        rows = [json.loads(line) for line in lines]
        return [row["text"] for row in rows], [row["label"] for row in rows]


class Parts(dict[str, float]):
    """Seconds of each part."""

    @contextmanager
    def of(self, name: str) -> Iterator[None]:
        """Counts what happens within the block."""
        began = time.perf_counter()
        yield
        self[name] = self.get(name, 0.0) + time.perf_counter() - began


def trainer(job: Job, parts: Parts) -> float:
    """As run_glue.py does it by default; returns test accuracy."""
    return _train(job, parts, {"learning_rate": 5e-5}, pad=True)


def trainer_tuned(job: Job, parts: Parts) -> float:
    """As somebody does it who knows Trainer."""
    with parts.of("import"):
        import torch
    device = torch.cuda.is_available()
    options = {
        "per_device_train_batch_size": 32, "per_device_eval_batch_size": 128, "learning_rate": job.learning_rate,
        "bf16": has_bfloat16(), "use_cpu": not device,
        "logging_nan_inf_filter": False,
        "train_sampling_strategy": "group_by_length", **({"tf32": True} if device else {}),
    }  # fmt: skip
    return _train(job, parts, options, pad=False)


def has_bfloat16() -> bool:
    """Whether the device has units for it."""
    import torch

    known = {} if torch.cuda.is_available() else torch.cpu.get_capabilities()
    return bool(torch.cuda.is_available() or known.get("avx512_bf16") or known.get("amx_bf16"))


def _train(job: Job, parts: Parts, options: dict[str, Any], pad: bool) -> float:
    with parts.of("import"):
        from transformers import (
            AutoConfig,
            AutoModelForSequenceClassification,
            AutoTokenizer,
            DataCollatorWithPadding,
            Trainer,
            TrainingArguments,
        )
    labels = sorted(set(job.rows("train")[1]))
    with parts.of("tokenize"):
        tokenizer = AutoTokenizer.from_pretrained(job.encoder)
        sets = {}
        for split in ("train", "test"):
            texts, names = job.rows(split)
            padding = "max_length" if pad else False
            encoded = tokenizer(texts, truncation=True, max_length=job.max_length, padding=padding)
            rows = (dict(zip(encoded, values, strict=True)) for values in zip(*encoded.values(), strict=True))
            sets[split] = [{**row, "labels": labels.index(name)} for row, name in zip(rows, names, strict=True)]
    with parts.of("load"):
        kind = AutoModelForSequenceClassification
        model = (
            kind.from_pretrained(job.encoder, num_labels=len(labels))
            if job.pretrained
            else kind.from_config(AutoConfig.from_pretrained(job.encoder, num_labels=len(labels)))
        )
        _freeze(model, job.strategy)
    with tempfile.TemporaryDirectory() as folder:
        told = {"seed": job.seed, "num_train_epochs": job.epochs, "report_to": [], "disable_tqdm": True}
        arguments = TrainingArguments(folder, save_strategy="no", **told, **options)
        loop = Trainer(model, arguments, train_dataset=sets["train"], data_collator=DataCollatorWithPadding(tokenizer))
        with parts.of("train"):
            loop.train()
        with parts.of("save"):
            loop.save_model(folder)
        loop.args.train_sampling_strategy = "random"  # else predictions come in another order than the examples
        with parts.of("evaluate"):
            found = loop.predict(sets["test"]).predictions.argmax(1)
    return float((found == [row["labels"] for row in sets["test"]]).mean())


def _freeze(model: Any, strategy: str) -> None:
    """Freezes what the strategy does: all below the last third of the blocks, or all but the head."""
    encoder = model.base_model
    if strategy == "probe":
        encoder.requires_grad_(False)
    elif strategy == "partial":
        blocks = encoder.encoder.layer
        for module in (encoder.embeddings, *blocks[: len(blocks) - max(1, round(len(blocks) / 3))]):
            module.requires_grad_(False)


def embeddings(job: Job, parts: Parts) -> float:
    """As somebody does it who trains no network."""
    with parts.of("import"):
        import joblib
        from sklearn.linear_model import LogisticRegression
        from sklearn.svm import LinearSVC
        from transformers import AutoModel, AutoTokenizer
    with parts.of("load"):
        tokenizer, model = AutoTokenizer.from_pretrained(job.encoder), AutoModel.from_pretrained(job.encoder).eval()
    found = {
        split: (_embedded(job.rows(split)[0], tokenizer, model, job, parts), job.rows(split)[1]) for split in SPLITS
    }
    with parts.of("train"):
        fits = [each.fit(*found["train"]) for each in (LogisticRegression(max_iter=1000), LinearSVC())]
        best = max(fits, key=lambda fit: fit.score(*found["validation"]))
    with parts.of("save"), tempfile.TemporaryDirectory() as folder:
        model.save_pretrained(folder)
        tokenizer.save_pretrained(folder)
        joblib.dump(best, Path(folder) / "classifier.joblib")
    with parts.of("evaluate"):
        return float(best.score(*found["test"]))


def _embedded(texts: list[str], tokenizer: Any, model: Any, job: Job, parts: Parts) -> np.ndarray:
    """Returns the normalised mean of the vectors of each text's tokens, [texts, width]."""
    import torch

    with parts.of("tokenize"):
        ids = tokenizer(texts, truncation=True, max_length=job.max_length)["input_ids"]
    vectors = np.zeros((len(texts), model.config.hidden_size), np.float32)
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    autocast = torch.autocast(device.type, torch.bfloat16, enabled=has_bfloat16())
    with parts.of("embed"), torch.inference_mode(), autocast:
        model.to(device)
        for places in np.array_split(np.argsort([len(own) for own in ids], kind="stable"), -(-len(ids) // 64)):
            batch = tokenizer.pad({"input_ids": [ids[place] for place in places]}, return_tensors="pt").to(device)
            there = batch["attention_mask"][..., None]
            states = (model(**batch).last_hidden_state * there).sum(1) / there.sum(1)
            vectors[places] = torch.nn.functional.normalize(states.float(), dim=1).cpu().numpy()
    return vectors


def graft(job: Job, parts: Parts) -> float:
    """The steps from the files to a saved model, which then sees the test split."""
    with parts.of("import"):
        import components.finetune.finetune  # noqa: F401
        from components.finetune.settings import FinetuneSettings
        from components.ingest.ingest import IngestSettings, ingest
        from components.transform.transform import TransformSettings, transform
    name = job.encoder if job.pretrained else f"random:{job.encoder}"
    with tempfile.TemporaryDirectory() as scratch:
        snapshot, features, model = (Path(scratch) / part for part in ("snapshot", "features", "model"))
        with parts.of("ingest"):
            # Short texts are much alike: which of them stand in two splits is not what is measured here.
            ingest(snapshot, IngestSettings(job.folder, ["text"], "label", near_duplicates=1.0, max_rejects=1.0))
        with parts.of("tokenize"):
            transform(snapshot, features, TransformSettings(name, max_length=job.max_length))
        settings = FinetuneSettings(
            name, strategy=job.strategy, epochs=job.epochs, patience=job.epochs, batch_size=32, lexical="false",
            learning_rate=job.learning_rate, seed=job.seed,
        )  # fmt: skip
        learn(parts, features, model, settings)
        with parts.of("evaluate"):
            return accuracy_of(features, model, "transformers")


def timm_epochs(
    network: Any, loader: Any, outputs: Callable[[Any], Any], optimizer: Any, schedule: Any, epochs: int, device: Any
) -> Iterator[int]:
    """Trains as timm's train.py does; yields when an epoch is over, and which."""
    import torch

    done = 0
    for epoch in range(epochs):
        network.train()
        for pixels, labels in loader:
            torch.nn.functional.cross_entropy(outputs(pixels).float(), labels.to(device)).backward()
            optimizer.step()
            optimizer.zero_grad()
            done += 1
            schedule.step_update(done)
        yield epoch


def timm_accuracy(network: Any, loader: Any, outputs: Callable[[Any], Any], device: Any) -> float:
    """Returns what part of a loader's pictures is answered right."""
    import torch

    right: list[bool] = []
    with torch.inference_mode():
        network.eval()
        for pixels, labels in loader:
            right += (outputs(pixels).argmax(1) == labels.to(device)).tolist()
    return float(np.mean(right))


def learn(parts: Parts, features: Path, model: Path, settings: Any) -> None:
    """Runs finetune, and tells its steps of training apart."""
    from components.finetune.finetune import finetune

    with parts.of("finetune"):
        finetune(features, model, settings)
    history = json.loads((model / "notes/history.json").read_text("utf-8"))
    parts["train"] = history["seconds"]
    parts["load, validate, save"] = parts.pop("finetune") - parts["train"]


def accuracy_of(features: Path, model: Path, family: str) -> float:
    """Returns a saved model's accuracy on the test split of the features."""
    import torch

    from components.finetune.learning.device import autocast, lay_out, precision_of
    from components.finetune.learning.examples import Examples
    from components.finetune.learning.learners import Direct, logits_of
    from components.shared import backbones
    from components.shared.artifacts.artifact import open_artifact
    from components.shared.artifacts.features import FeatureSplit

    kind, device = backbones.family(family), torch.device("cuda" if torch.cuda.is_available() else "cpu")
    network = kind.from_model(model)
    lay_out(network, device)
    split = FeatureSplit(open_artifact(features, "features"), "test")
    examples = Examples.whole(split, kind, kind.padding_of(model), device, network.head.targets)
    precision = precision_of("auto", device, network)
    logits = logits_of(network, Direct(examples), 64, lambda: autocast(device, precision))
    return float((logits.argmax(1) == split.labels).mean())


SIDES: dict[str, Callable[[Job, Parts], float]] = {
    "trainer": trainer, "trainer-tuned": trainer_tuned, "embeddings": embeddings, "graft": graft,
}  # fmt: skip
SPLITS = ("train", "validation", "test")


def main(side: str, description: Path, out: Path) -> None:
    """Lets a side work, and writes where time went."""
    began, parts = time.perf_counter(), Parts()
    job = Job(**json.loads(description.read_text("utf-8")))
    accuracy = SIDES[side](job, parts)
    total = time.perf_counter() - began
    parts["other"] = total - float(np.sum(list(parts.values())))
    out.write_text(json.dumps({"accuracy": accuracy, "parts": parts, "total": total}), "utf-8")


if __name__ == "__main__":
    main(sys.argv[1], Path(sys.argv[2]), Path(sys.argv[3]))
