"""The KFP component of `finetune`."""

from typing import Any

from kfp import dsl

from components.shared.images import TRAINER


@dsl.component(base_image=TRAINER, install_kfp_package=False)
def finetune(
    features: dsl.Input[dsl.Dataset],
    snapshot: dsl.Input[dsl.Dataset],
    model: dsl.Output[dsl.Model],
    backbone: str,
    backbone_args: dict[str, Any],
    experiment: str,
    strategy: str,
    minutes: float,
    epochs: int,
    learning_rate: float,
    batch_size: int,
    weight_decay: float,
    warmup_ratio: float,
    max_grad_norm: float,
    patience: int,
    trainable_blocks: int,
    layer_decay: float,
    head_factor: float,
    lora_rank: int,
    lora_alpha: float,
    logit_adjustment: float,
    label_smoothing: float,
    crop_scale: float,
    flip: float,
    color_jitter: float,
    mixup: float,
    cache_gib: float,
    device_gib: float,
    read_ahead: int,
    pooling: str,
    lexical: str,
    gradients: str,
    precision: str,
    unpadding: str,
    cuda_graphs: str,
    transfer_check: bool,
    learning_curve: list[int],
    alternative: str,
    known: str,
    replay: float,
    checkpoint_uri: str,
    checkpoint_minutes: float,
    seed: int,
) -> None:
    """Features, a backbone and, for words or gradients, the snapshot into a model."""
    given = dict(locals())
    from pathlib import Path

    from components.shared.process.parameters import restore
    from components.shared.process.step import run_step

    def step() -> None:
        from components.finetune.report import FinetuneReport
        from components.finetune.settings import FinetuneSettings
        from components.shared.artifacts import cache

        source, texts, target = (Path(given.pop(name).path) for name in ("features", "snapshot", "model"))
        settings = FinetuneSettings(**restore(given))

        def train() -> FinetuneReport:
            from components.finetune import finetune  # torch: not where the model is there already

            return finetune.finetune(source, target, settings, texts)

        sources = {"features": source, "snapshot": texts}
        ways = (sources, ("model", target), model.uri)
        work = cache.Work("finetune", *ways, settings, weights=True, report=FinetuneReport)
        report, taken = cache.through(work, train)
        model.metadata.update(digest=report.digest, run_id=report.run_id, **report.validation, **taken)

    run_step(step, "finetune")
