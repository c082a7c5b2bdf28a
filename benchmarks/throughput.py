"""How fast training is: BERT-base on texts of 128 tokens, ViT-B/16 on pictures of 224 x 224, one step after the other.

Networks without their weights: speed does not depend on them. It runs on a GPU where there is one.

    python benchmarks/throughput.py [STEPS] [BATCH_SIZE]
"""

import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import torch

from components.finetune.finetune import Work
from components.finetune.settings import FinetuneSettings
from components.finetune.training import Direct, Trial
from components.shared.artifacts.artifact import open_artifact, write_artifact

TOKENS, SIDE = 128, 224
WARM = 3  # steps that are not counted


def main(steps: int, batch_size: int) -> None:
    """Prints examples and tokens a second."""
    count = (steps + WARM) * batch_size
    draw = np.random.default_rng(0)
    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(scratch)
        (folder / "bert").mkdir()
        (folder / "bert/config.json").write_text('{"model_type": "bert", "architectures": ["BertModel"]}')
        ids = pa.FixedSizeListArray.from_arrays(pa.array(draw.integers(1000, 30000, count * TOKENS, np.int32)), TOKENS)
        texts = {"input_ids": ids.cast(pa.list_(pa.int32()))}
        rate = measure(folder, f"random:{folder / 'bert'}", "transformers", texts, TOKENS, steps, batch_size)
        print(f"BERT-base: {rate:,.1f} texts/s, {rate * TOKENS:,.0f} tokens/s")
        values = SIDE * SIDE * 3
        pixels = pa.FixedSizeListArray.from_arrays(pa.array(draw.integers(0, 256, count * values, np.uint8)), values)
        name = "random:timm/vit_base_patch16_224"
        rate = measure(folder, name, "timm", {"pixels": pixels}, 1, steps, batch_size)
        print(f"ViT-B/16: {rate:,.1f} images/s")


def measure(
    folder: Path, backbone: str, family: str, columns: dict[str, Any], length: int, steps: int, batch_size: int
) -> float:
    """Returns the examples a second of full fine-tuning."""
    count = len(next(iter(columns.values())))
    table = pa.table({
        "id": [str(number) for number in range(count)], **columns,
        "length": np.full(count, length, np.int32), "label": np.arange(count, dtype=np.int32) % 10,
    })  # fmt: skip
    with write_artifact(folder / family, "features", {}) as draft:
        for split in ("train", "validation", "test"):
            with pa.OSFile(str(draft.path / f"{split}.arrow"), "wb") as file, pa.ipc.new_file(file, table.schema) as to:
                to.write_table(table, max_chunksize=64)
        labels = [str(number) for number in range(10)]
        told = {
            "task": "text-classification",
            "inputs": [],
            "labels": labels,
            "columns": list(columns),
            "family": family,
        }
        draft.write_json("features.json", told)
    settings = FinetuneSettings(backbone, epochs=1, batch_size=batch_size)
    work = Work(open_artifact(folder / family, "features"), settings, folder / f"{family}-scratch")
    study = work.study(work.backbone, folder, lambda *_: None, lambda _: None)
    trial = Trial(
        study.network, study.anatomy, "full", (Direct(study.train), Direct(study.validation)), settings,
        study.autocast, lambda *_: None, study.objective,
    )  # fmt: skip
    trial.run(WARM)
    synchronize()
    began = time.perf_counter()
    trial.run(WARM + steps - 1)  # without the last step: an epoch ends with validation
    synchronize()
    return (steps - 1) * batch_size / (time.perf_counter() - began)


def synchronize() -> None:
    """Waits until the GPU has done what it was given."""
    if torch.cuda.is_available():
        torch.cuda.synchronize()


if __name__ == "__main__":
    numbers = [int(argument) for argument in sys.argv[1:]]
    main(*(numbers + [20, 64][len(numbers) :]))
