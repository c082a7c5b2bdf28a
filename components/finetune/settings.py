"""What can be set for finetune. Apart from the step, so that the job file's schema needs no torch."""

from dataclasses import dataclass

from components.shared.errors import InputError, did_you_mean, quote_all
from components.shared.step import option, required

STRATEGIES = ("full",)
POOLINGS = ("auto", "first", "mean")
PRECISIONS = ("auto", "float32", "bfloat16")


@dataclass(frozen=True)
class FinetuneSettings:
    """Settings of `finetune`; the fields of `training` in a job, and the backbone.

    Raises:
        InputError: The strategy, pooling or precision is none that there is.
    """

    backbone: str = required("the pretrained network: a path, s3://bucket/prefix, or a hub name")
    experiment: str = option("graft", "MLflow experiment that the curves go to")
    strategy: str = option("full", "what of the backbone learns: full")
    epochs: int = option(3, "the most passes over the training examples")
    learning_rate: float = option(5e-5, "highest learning rate of AdamW")
    batch_size: int = option(32, "examples a step")
    weight_decay: float = option(0.01, "of AdamW; not on biases and norms")
    warmup_ratio: float = option(0.1, "fraction of the steps in which the learning rate rises")
    max_grad_norm: float = option(1.0, "gradients are clipped to this norm")
    patience: int = option(2, "epochs without better validation before training stops")
    pooling: str = option("auto", "how tokens become one vector: auto (as the backbone was trained), first, mean")
    precision: str = option("auto", "auto (bfloat16 where the hardware has it, else float32), float32, bfloat16")
    seed: int = option(42, "of the head, the order of the examples and dropout")

    def __post_init__(self) -> None:
        for name, allowed in (("strategy", STRATEGIES), ("pooling", POOLINGS), ("precision", PRECISIONS)):
            value = getattr(self, name)
            if value not in allowed:
                raise InputError(f"{name} is {value!r}; allowed: {quote_all(allowed)}.{did_you_mean(value, allowed)}")
