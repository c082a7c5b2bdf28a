"""The main pipeline: labelled data in, a registered model out."""

from typing import Any, NamedTuple

from kfp import dsl

from components.evaluate.component import evaluate
from components.finetune.component import finetune
from components.finetune.settings import FinetuneSettings as Training
from components.ingest.component import ingest
from components.ingest.ingest import IngestSettings as Data
from components.register.component import register
from components.transform.component import transform
from components.transform.transform import TransformSettings as Features


class Outputs(NamedTuple):
    """The artifacts that a run leaves."""

    snapshot: dsl.Dataset
    features: dsl.Dataset
    model: dsl.Model
    evaluation: dsl.Artifact
    page: dsl.HTML
    version: dsl.Artifact


def _chosen(component: Any, given: dict[str, Any]) -> dict[str, Any]:
    """Returns those of the pipeline's parameters that a component takes, by name."""
    return {name: given[name] for name in component.component_spec.inputs if name in given}


@dsl.pipeline(name="graft-finetune", description="Labelled data in, a registered model out.")
def finetune_pipeline(
    model: str,
    source: str,
    inputs: list[str],
    label: str,
    backbone: str,
    backbone_args: dict[str, Any] = {},  # noqa: B006 (compiled, never called)
    task: str = Data.task,
    labels: list[str] = [],  # noqa: B006
    splits: dict[str, str] = {},  # noqa: B006
    validation_fraction: float = Data.validation_fraction,
    test_fraction: float = Data.test_fraction,
    max_rejects: float = Data.max_rejects,
    max_characters: int = Data.max_characters,
    max_pixels: int = Data.max_pixels,
    strategy: str = Training.strategy,
    epochs: int = Training.epochs,
    learning_rate: float = Training.learning_rate,
    batch_size: int = Training.batch_size,
    max_length: int = Features.max_length,
    pixel_gib: float = Features.pixel_gib,
    weight_decay: float = Training.weight_decay,
    warmup_ratio: float = Training.warmup_ratio,
    max_grad_norm: float = Training.max_grad_norm,
    patience: int = Training.patience,
    trainable_blocks: int = Training.trainable_blocks,
    layer_decay: float = Training.layer_decay,
    head_factor: float = Training.head_factor,
    lora_rank: int = Training.lora_rank,
    lora_alpha: float = Training.lora_alpha,
    label_smoothing: float = Training.label_smoothing,
    crop_scale: float = Training.crop_scale,
    flip: float = Training.flip,
    color_jitter: float = Training.color_jitter,
    mixup: float = Training.mixup,
    cache_gib: float = Training.cache_gib,
    pooling: str = Training.pooling,
    precision: str = Training.precision,
    transfer_check: bool = Training.transfer_check,
    learning_curve: list[int] = [],  # noqa: B006
    seed: int = Training.seed,
) -> Outputs:
    """Chains ingest, transform, finetune, evaluate and register.

    Args:
        model: Name in the registry; also the MLflow experiment.
        source: Where the data is: a path, s3://bucket/prefix or hf://owner/name[/config].
        inputs: The columns that hold the input.
        label: The column that holds the label.
        backbone: A path, s3://…, hub name, timm/NAME or models:/NAME@alias; random: before it drops its weights.
        backbone_args: What to build it with, such as {"img_size": 96, "depth": 6}.
        task: What is learned.
        labels: The labels there may be; empty: all that are found.
        splits: Which given split is to be which; empty: as they are called.
        validation_fraction: Part of the examples for validation, where none are given.
        test_fraction: Part of the examples for the test, where none are given.
        max_rejects: The fraction of rows that may be rejected.
        max_characters: The longest text that is taken for one.
        max_pixels: The largest image that is taken for one, width x height.
        strategy: What of the backbone learns; several, with commas between them, are a sweep: the best is kept.
        epochs: The most passes over the training examples.
        learning_rate: Highest learning rate of AdamW.
        batch_size: Examples a step.
        max_length: The most tokens of an example; 0: what the backbone takes, at most 512.
        pixel_gib: The most disk for uncompressed pixels, in GiB; images that need more are kept as JPEG.
        weight_decay: Of AdamW; not on biases and norms.
        warmup_ratio: Fraction of the steps in which the learning rate rises.
        max_grad_norm: Gradients are clipped to this norm.
        patience: Epochs without better validation before training stops.
        trainable_blocks: With partial, how many of the last blocks learn; 0: a third.
        layer_decay: Each block's learning rate is that of the next one times this.
        head_factor: The head's learning rate is learning_rate times this.
        lora_rank: With lora, the rank of each weight's update.
        lora_alpha: With lora, the update is scaled by alpha / rank.
        label_smoothing: Part of the target that is spread over all classes.
        crop_scale: Random crops of an image show at least this part of its area; 1: no crops.
        flip: How often an image is mirrored.
        color_jitter: An image's brightness, contrast and saturation vary by up to this factor.
        mixup: Alpha of the Beta distribution that pairs of images are blended by; 0: none.
        cache_gib: The most disk for what a frozen part makes of the examples, in GiB; 0: compute it anew.
        pooling: How tokens become one vector: auto (as the backbone was trained), first, last, mean.
        precision: auto (bfloat16 where the hardware has it, else float32), float32, bfloat16.
        transfer_check: Train the arms that tell whether transfer helped, too.
        learning_curve: Train on so many labels a class, too: how much would labelling help?
        seed: Of the head, the order of the examples, dropout, augmentation and resampling.
    """
    given = dict(locals())
    ingested = ingest(**_chosen(ingest, given)).set_caching_options(False)
    snapshot = ingested.outputs["snapshot"]
    features = transform(snapshot=snapshot, **_chosen(transform, given)).outputs["features"]
    trained = finetune(features=features, experiment=model, **_chosen(finetune, given))
    network = trained.outputs["model"]
    evaluated = evaluate(snapshot=snapshot, features=features, model=network, title=model, seed=seed)
    evaluation = evaluated.outputs["evaluation"]
    registered = register(model=network, evaluation=evaluation, name=model).set_caching_options(False)
    return Outputs(
        snapshot=snapshot,
        features=features,
        model=network,
        evaluation=evaluation,
        page=evaluated.outputs["page"],
        version=registered.outputs["version"],
    )
