"""What a good engineer would do in an hour instead: each rival learns a set and predicts its test split.

    python benchmarks/rivals.py RIVAL SET.json OUT.json        (benchmarks/quality.py calls it, each in its own process)

- svm: TfidfVectorizer(sublinear_tf, stop_words="english", min_df=2), LinearSVC(class_weight="balanced"); of images HOG.
- svm-tuned: words or characters, with and without stop words, C and balance chosen on validation.
- vectors: the frozen backbone's normalised mean vector, LinearSVC, C chosen on validation.
- trainer: transformers' Trainer as run_classification.py calls it: batches of 8, padded to 128, 5e-5, 3 epochs.
- trainer-tuned: batches of 32 of like length, bfloat16 where the CPU or GPU has it, the best of three learning rates on
  validation after 3 epochs each; its time is that of all three.
- graft: the default job's steps, from the files to the evaluation.
"""

import json
import resource
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np

sys.path[:0] = [str(Path(__file__).parent.parent), str(Path(__file__).parent)]

from quality_sets import LabelledSet  # noqa: E402

_RATES = (5e-5, 1e-4, 3e-4)
Learnt = tuple[list[str], dict[str, Any]]
"""Predicted labels of the test split, and what is told beside."""


def svm(data: LabelledSet) -> Learnt:
    """The issue's recipe."""
    from sklearn.feature_extraction.text import TfidfVectorizer
    from sklearn.svm import LinearSVC

    (train, labels), (test, _) = data.rows("train"), data.rows("test")
    model = LinearSVC(class_weight="balanced")
    if data.images:
        return model.fit(_hog(train), labels).predict(_hog(test)).tolist(), {}
    words = TfidfVectorizer(sublinear_tf=True, stop_words="english", min_df=2)
    return model.fit(words.fit_transform(train), labels).predict(words.transform(test)).tolist(), {}


def svm_tuned(data: LabelledSet) -> Learnt:
    """Every choice by accuracy on validation."""
    from sklearn.feature_extraction.text import TfidfVectorizer

    (train, labels), (validation, truth), (test, _) = (data.rows(split) for split in ("train", "validation", "test"))
    if data.images:
        return _chosen([("HOG", _hog(train), _hog(validation), _hog(test))], labels, truth)
    tried = []
    for name, options in {
        "words": {"min_df": 2},
        "words, stop words": {"min_df": 2, "stop_words": "english"},
        "pairs of words": {"min_df": 2, "ngram_range": (1, 2)},
        "characters": {"min_df": 2, "analyzer": "char_wb", "ngram_range": (2, 5)},
    }.items():
        words = TfidfVectorizer(sublinear_tf=True, **options).fit(train)
        tried.append((name, *(words.transform(part) for part in (train, validation, test))))
    return _chosen(tried, labels, truth)


def vectors(data: LabelledSet) -> Learnt:
    """Feature extraction by hand."""
    (train, labels), (validation, truth), (test, _) = (data.rows(split) for split in ("train", "validation", "test"))
    found = _mean_vectors(data.backbone, [*train, *validation, *test])
    cuts = [len(train), len(train) + len(validation)]
    return _chosen([("mean", *np.split(found, cuts))], labels, truth)


def _chosen(tried: Sequence[tuple[str, Any, Any, Any]], labels: list[str], truth: list[str]) -> Learnt:
    from sklearn.svm import LinearSVC

    best = (-1.0, "", [])
    for name, train, validation, test in tried:
        for penalty in (0.1, 0.3, 1.0, 3.0, 10.0):
            for weights in (None, "balanced"):
                model = LinearSVC(C=penalty, class_weight=weights).fit(train, labels)
                right = float((model.predict(validation) == np.array(truth)).mean())
                if right > best[0]:
                    best = (right, f"{name}, C = {penalty}, {weights}", model.predict(test).tolist())
    return best[2], {"chosen": best[1]}


def _hog(files: list[str]) -> np.ndarray:
    from PIL import Image
    from skimage.feature import hog

    images = (np.asarray(Image.open(file).convert("L").resize((32, 32))) for file in files)
    return np.stack([hog(image, pixels_per_cell=(4, 4), cells_per_block=(2, 2)) for image in images])


def _mean_vectors(folder: str, texts: list[str]) -> np.ndarray:
    import torch
    from transformers import AutoModel, AutoTokenizer

    device = "cuda" if torch.cuda.is_available() else "cpu"
    tokenizer, model = AutoTokenizer.from_pretrained(folder), AutoModel.from_pretrained(folder).to(device).eval()
    order = np.argsort([len(text) for text in texts])
    found = np.zeros((len(texts), model.config.hidden_size), np.float32)
    with torch.inference_mode():
        for start in range(0, len(order), 64):
            chosen = order[start : start + 64]
            batch = tokenizer(
                [texts[i] for i in chosen], padding=True, truncation=True, max_length=128, return_tensors="pt"
            )
            batch = batch.to(device)
            states, mask = model(**batch).last_hidden_state, batch["attention_mask"].unsqueeze(-1)
            mean = (states * mask).sum(1) / mask.sum(1)
            found[chosen] = torch.nn.functional.normalize(mean).cpu().numpy()
    return found


def trainer(data: LabelledSet) -> Learnt:
    """As run_classification.py does it by default."""
    predicted, told = _train(data, {"learning_rate": 5e-5}, pad=True)
    return predicted, told


def trainer_tuned(data: LabelledSet) -> Learnt:
    """As somebody does it who knows Trainer."""
    import torch

    capabilities = {} if torch.cuda.is_available() else torch.cpu.get_capabilities()
    bf16 = torch.cuda.is_available() or bool(capabilities.get("avx512_bf16") or capabilities.get("amx_bf16"))
    batches = {"per_device_train_batch_size": 32, "per_device_eval_batch_size": 128}
    options = {
        **batches,
        "bf16": bf16,
        "use_cpu": not torch.cuda.is_available(),
        "train_sampling_strategy": "group_by_length",
        "logging_nan_inf_filter": False,
    }
    tried = []
    for rate in _RATES:
        began = time.perf_counter()
        predicted, told = _train(data, {**options, "learning_rate": rate}, pad=False)
        tried.append((told["validation"], predicted, {"chosen": f"{rate:g}", "one": time.perf_counter() - began}))
    best = max(tried, key=lambda item: item[0])
    return best[1], {**best[2], "rates": {rate: item[0] for rate, item in zip(_RATES, tried, strict=True)}}


def _train(data: LabelledSet, options: dict[str, Any], pad: bool) -> Learnt:
    from transformers import (
        AutoModelForSequenceClassification,
        AutoTokenizer,
        DataCollatorWithPadding,
        Trainer,
        TrainingArguments,
    )

    tokenizer = AutoTokenizer.from_pretrained(data.backbone)
    labels = sorted(set(data.rows("train")[1]))
    sets = {}
    for split in ("train", "validation", "test"):
        texts, names = data.rows(split)
        encoded = tokenizer(texts, truncation=True, max_length=128, padding="max_length" if pad else False)
        rows = (dict(zip(encoded, values, strict=True)) for values in zip(*encoded.values(), strict=True))
        sets[split] = [{**row, "labels": labels.index(name)} for row, name in zip(rows, names, strict=True)]
    model = AutoModelForSequenceClassification.from_pretrained(data.backbone, num_labels=len(labels))
    with tempfile.TemporaryDirectory() as folder:
        arguments = TrainingArguments(folder, seed=42, report_to=[], save_strategy="no", disable_tqdm=True, **options)
        loop = Trainer(model, arguments, train_dataset=sets["train"], data_collator=DataCollatorWithPadding(tokenizer))
        loop.train()
        loop.args.train_sampling_strategy = "random"  # else predictions come in another order than the examples
        found = {split: loop.predict(sets[split]).predictions.argmax(1) for split in ("validation", "test")}
    right = float((found["validation"] == [row["labels"] for row in sets["validation"]]).mean())
    return [labels[number] for number in found["test"]], {"validation": right}


def graft(data: LabelledSet) -> Learnt:
    """The default job's steps, without the registry."""
    from components.evaluate.evaluate import EvaluateSettings, evaluate
    from components.finetune.finetune import finetune
    from components.finetune.settings import FinetuneSettings
    from components.ingest.ingest import IngestSettings, ingest
    from components.transform.transform import TransformSettings, transform

    task = "image-classification" if data.images else "text-classification"
    inputs = ["image"] if data.images else ["text"]
    seconds: dict[str, float] = {}

    def timed(name: str, act: Callable[[], Any]) -> Any:
        began = time.perf_counter()
        made = act()
        seconds[name] = time.perf_counter() - began
        return made

    with tempfile.TemporaryDirectory() as scratch:
        snapshot, features, model, evaluation = (
            Path(scratch) / n for n in ("snapshot", "features", "model", "evaluation")
        )
        timed("ingest", lambda: ingest(snapshot, IngestSettings(str(data.folder), inputs, "label", task=task)))
        prepare = TransformSettings(data.backbone, data.backbone_args)
        timed("transform", lambda: transform(snapshot, features, prepare))
        settings = FinetuneSettings(data.backbone, data.backbone_args)
        timed("finetune", lambda: finetune(features, model, settings, snapshot=snapshot))
        timed("evaluate", lambda: evaluate(snapshot, features, model, evaluation, EvaluateSettings()))
        predicted = _in_order(data, snapshot, evaluation)
        content = json.loads((evaluation / "evaluation.json").read_text("utf-8"))
        history = json.loads((model / "notes/history.json").read_text("utf-8"))
    told = {"kept": history["strategy"], "steps": seconds, "verdict": content["verdict"]}
    told["baselines"] = {name: scores["accuracy"] for name, scores in content["baselines"].items()}
    told["candidates"] = history.get("candidates")
    return predicted, told


def _in_order(data: LabelledSet, snapshot: Path, evaluation: Path) -> list[str]:
    """Returns the predicted labels in the set's own order, which the snapshot has not."""
    import pyarrow.parquet as pq

    shards = [pq.read_table(file, columns=["id", "input_1"]).to_pylist() for file in snapshot.glob("test-*.parquet")]
    inputs = {row["id"]: row["input_1"] for shard in shards for row in shard}
    told = pq.read_table(evaluation / "predictions.parquet", columns=["id", "predicted"]).to_pylist()
    predicted = {inputs[row["id"]]: row["predicted"] for row in told}
    wanted = data.rows("test")[0]
    # What ingest left out (the same input twice) counts as wrong.
    return [predicted.get(Path(item).read_bytes() if data.images else item, "") for item in wanted]


RIVALS: dict[str, Callable[[LabelledSet], Learnt]] = {
    "svm": svm,
    "svm-tuned": svm_tuned,
    "vectors": vectors,
    "trainer": trainer,
    "trainer-tuned": trainer_tuned,
    "graft": graft,
}
FOR_IMAGES = ("svm", "svm-tuned", "graft")


def main(rival: str, description: Path, out: Path) -> None:
    """Lets a rival learn, and writes what it predicts and how long it took, imports included."""
    began = time.perf_counter()
    given = json.loads(description.read_text("utf-8"))
    data = LabelledSet(**{**given, "folder": Path(given["folder"])})
    predicted, told = RIVALS[rival](data)
    used = (resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN))
    worked = sum(each.ru_utime + each.ru_stime for each in used)
    spent = {"seconds": time.perf_counter() - began, "worked": worked}
    out.write_text(json.dumps({"predicted": predicted, **spent, **told}), "utf-8")


if __name__ == "__main__":
    main(sys.argv[1], Path(sys.argv[2]), Path(sys.argv[3]))
