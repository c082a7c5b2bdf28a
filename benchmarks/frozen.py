"""What it saves to compute the frozen part once: `probe` and `partial` with and without kept states.

Both sides train the same network on the same batches with the same seed in float32; only whether the frozen part's
outcome is kept differs. The side that keeps it pays for the pass. The losses of all steps and epochs are compared.
MiniLM on real text; ViT-S/16 and ResNet-50 (no weights: speed does not depend on them) on pictures of 224 x 224.

    python benchmarks/frozen.py [EPOCHS] [TEXTS] [PICTURES]
"""

import sys
import tempfile
import time
from dataclasses import replace
from pathlib import Path

from corpus import encoder_folder, image_features, text_features

from components.finetune.learning.learners import Direct, HeadOnly
from components.finetune.learning.training import Trial
from components.finetune.settings import FinetuneSettings
from components.finetune.study import Study
from components.finetune.work import Work
from components.shared.artifacts.artifact import open_artifact


def main(epochs: int, texts: int, pictures: int) -> None:
    """Prints seconds, ratio and the largest difference of losses for each network and strategy."""
    print(f"{'network':<12}{'learns':<12}{'uncached':>10}{'cached':>10}{'ratio':>8}{'losses differ by':>19}")
    for name, backbone, count in (
        ("MiniLM", str(encoder_folder()), texts),
        ("ViT-S/16", "random:timm/vit_small_patch16_224", pictures),
        ("ResNet-50", "random:timm/resnet50", pictures),
    ):
        with tempfile.TemporaryDirectory() as scratch:
            folder = Path(scratch)
            images = name != "MiniLM"
            features = image_features(folder, backbone, count) if images else text_features(folder, count)
            for label, strategy, blocks in (
                ("probe", "probe", 0),
                ("last third", "partial", 0),
                ("last block", "partial", 1),
            ):
                settings = FinetuneSettings(
                    backbone, strategy=strategy, trainable_blocks=blocks, epochs=epochs, patience=epochs,
                    precision="float32", learning_rate=1e-3, crop_scale=1.0, flip=0.0,
                )  # fmt: skip
                compare(f"{name:<12}{label:<12}", features, settings, folder)


def compare(name: str, features: Path, settings: FinetuneSettings, folder: Path) -> None:
    """Trains by one strategy without kept states, and with them; both by gradient steps, so that losses compare."""
    uncached, losses = train(features, replace(settings, cache_gib=0.0), folder / "without", keep=False)
    cached, same = train(features, settings, folder / "with", keep=True)
    apart = max(abs(a - b) for a, b in zip(losses, same, strict=True))
    print(f"{name}{uncached:>8.1f} s{cached:>8.1f} s{uncached / cached:>8.2f}{apart:>19.1e}", flush=True)


def train(features: Path, settings: FinetuneSettings, scratch: Path, keep: bool) -> tuple[float, list[float]]:
    """Returns the seconds of the pass and of training, validation included; and all losses."""
    scratch.mkdir(exist_ok=True)
    work = Work(open_artifact(features, "features"), None, settings, scratch)
    study = work.study(work.backbone, scratch, lambda *_: None, lambda _: None)
    began = time.perf_counter()
    if keep:
        study.prepare([settings.strategy])
    trial = trial_of(study, settings.strategy, keep)
    trial.run()
    seconds = time.perf_counter() - began
    history = trial.history
    return seconds, [e["loss"] for e in history.steps] + [e["validation_loss"] for e in history.epochs]


def trial_of(study: Study, strategy: str, keep: bool) -> Trial:
    """Returns a trial by gradient steps; of a probe, too, whose head graft otherwise fits by L-BFGS."""
    trial = study.trial(strategy) if strategy != "probe" else None
    if trial is not None:
        return trial
    learners = [
        HeadOnly(examples, study.states[split][study.anatomy.head]) if keep else Direct(examples)
        for split, examples in (("train", study.train), ("validation", study.validation))
    ]
    return Trial(
        study.network, study.anatomy, strategy, (learners[0], learners[1]), study.settings, study.autocast,
        lambda *_: None, study.objective,
    )  # fmt: skip


if __name__ == "__main__":
    numbers = [int(argument) for argument in sys.argv[1:]]
    main(*(numbers + [5, 1000, 100][len(numbers) :]))
