"""The KFP component of `finetune`."""

from kfp import dsl

from components.shared.images import TRAINER


@dsl.component(base_image=TRAINER, install_kfp_package=False)
def finetune(
    features: dsl.Input[dsl.Dataset],
    model: dsl.Output[dsl.Model],
    backbone: str,
    experiment: str,
    strategy: str,
    epochs: int,
    learning_rate: float,
    batch_size: int,
    weight_decay: float,
    warmup_ratio: float,
    max_grad_norm: float,
    patience: int,
    pooling: str,
    precision: str,
    seed: int,
) -> None:
    """Features and a backbone into a model."""
    from pathlib import Path

    from components.shared.step import run_step

    def step() -> None:
        from components.finetune import finetune
        from components.finetune.settings import FinetuneSettings

        settings = FinetuneSettings(
            backbone=backbone,
            experiment=experiment,
            strategy=strategy,
            epochs=epochs,
            learning_rate=learning_rate,
            batch_size=batch_size,
            weight_decay=weight_decay,
            warmup_ratio=warmup_ratio,
            max_grad_norm=max_grad_norm,
            patience=patience,
            pooling=pooling,
            precision=precision,
            seed=seed,
        )
        report = finetune.finetune(Path(features.path), Path(model.path), settings)
        model.metadata.update(digest=report.digest, run_id=report.run_id, **report.validation)

    run_step(step)
