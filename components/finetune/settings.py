"""What can be set for finetune. Apart from the step, so that the job file's schema needs no torch."""

from dataclasses import dataclass
from typing import Any

from components.shared.errors import InputError, did_you_mean, quote_all
from components.shared.process.step import option, required

AUTO, LEXICAL, GRADIENTS = "auto", "lexical", "gradients"
ALONE = (LEXICAL, GRADIENTS)
"""Strategies without a backbone: linear models of the words of texts, or of the gradients of pictures."""
NOUNS = {LEXICAL: "words", GRADIENTS: "gradients"}
STRATEGIES = ("probe", "partial", "full", "gradual", "probe-then-full", "lora", *ALONE)
CHOICES = (AUTO, *STRATEGIES)
SWITCHES = ("auto", "true", "false")
POOLINGS = ("auto", "first", "last", "mean", "max")
PRECISIONS = ("auto", "float32", "bfloat16")
UNLESS_OFF = ("auto", "false")


def strategies_of(strategy: str) -> list[str]:
    """Returns the strategies that a setting names: one, or several with commas between them (a sweep)."""
    return [name.strip() for name in strategy.split(",")]


@dataclass(frozen=True)
class FinetuneSettings:
    """Settings of `finetune`; the fields of `training` and `evaluation` in a job, and the backbone.

    What is left at 0 (`flip`: below 0) is chosen by backbone and data, see `components.finetune.defaults`.

    Raises:
        InputError: The strategy, pooling or precision is none that there is, or `replay` no part.
    """

    backbone: str = required(
        "the pretrained network: a path, s3://…, hub name, timm/NAME, models:/NAME@alias, random:…"
    )
    backbone_args: dict[str, Any] = option({}, 'what to build it with, e.g. {"img_size": 96, "depth": 6}')
    experiment: str = option("graft", "MLflow experiment that the curves go to")
    strategy: str = option(
        AUTO, "auto (the best on validation that `minutes` allow), or what learns: " + ", ".join(STRATEGIES)
    )
    minutes: float = option(0.0, "auto: how long it may search; 0: chosen by device, backbone and data")
    epochs: int = option(0, "the most passes over the training examples; 0: chosen by backbone and data")
    learning_rate: float = option(0.0, "highest learning rate of AdamW; 0: chosen by backbone and data")
    batch_size: int = option(0, "examples a step; 0: chosen by backbone and data")
    weight_decay: float = option(0.01, "of AdamW; not on biases and norms")
    warmup_ratio: float = option(0.1, "fraction of the steps in which the learning rate rises")
    max_grad_norm: float = option(1.0, "gradients are clipped to this norm")
    patience: int = option(0, "epochs without better validation before training stops; 0: chosen by their steps")
    trainable_blocks: int = option(0, "partial: how many of the last blocks learn; 0: a third")
    layer_decay: float = option(0.0, "each block's learning rate is that of the next one times this; 0: by backbone")
    head_factor: float = option(1.0, "the head's learning rate is learning_rate times this")
    lora_rank: int = option(8, "lora: rank of the update of each weight")
    lora_alpha: float = option(16.0, "lora: the update is scaled by alpha / rank")
    logit_adjustment: float = option(0.0, "training corrects for uneven classes by this much; 1: wholly, 0: not")
    label_smoothing: float = option(0.0, "part of the target that is spread over all classes")
    crop_scale: float = option(
        0.0, "images: random crops show at least this part of the area; 1: no crops; 0: half, where answers are kept"
    )
    flip: float = option(-1.0, "images: how often one is mirrored; -1: half of them, if validation keeps its answers")
    color_jitter: float = option(0.0, "images: brightness, contrast and saturation vary by up to this factor")
    mixup: float = option(0.0, "images: alpha of the Beta distribution that pairs are blended by; 0: none")
    cache_gib: float = option(16.0, "the most disk, in GiB, for what a frozen part makes of the examples; 0: none")
    device_gib: float = option(
        -1.0, "images: the most of the GPU's memory, in GiB, where pixels stay; -1: 40 % of what is free", keyed=False
    )
    read_ahead: int = option(
        -1, "threads that read batches ahead of the step; -1: 2 beside a GPU, none on the cores that train", keyed=False
    )
    pooling: str = option(
        "auto", "how tokens become one vector: auto (as the backbone was trained), first, last, mean, max"
    )
    lexical: str = option(
        "auto", "texts: words beside the backbone: auto (where validation gains by them), true, false"
    )
    gradients: str = option(
        "auto", "images: gradients beside the backbone: auto (of `auto`, where validation gains by them), true, false"
    )
    precision: str = option("auto", "auto (bfloat16 where the hardware has it, else float32), float32, bfloat16")
    unpadding: str = option("auto", "texts: computed without padding: auto (where that is faster), false")
    cuda_graphs: str = option("auto", "steps launched at once on a GPU: auto (where the network allows it), false")
    transfer_check: bool = option(False, "train the arms that tell whether transfer helped, too")
    learning_curve: list[int] = option([], "train on so many labels a class, too: how much would labelling help?")
    alternative: str = option("", "another backbone to start from, too; the better on validation is kept")
    known: str = option("", "the version, models:/NAME/3, whose training data is old data")
    replay: float = option(1.0, "the part of the old training examples, of each class, that is trained on again")
    checkpoint_uri: str = option(
        "", "where checkpoints of training go, a path or s3://…; without it where GRAFT_CHECKPOINTS says", keyed=False
    )
    checkpoint_minutes: float = option(10.0, "between two checkpoints of training", keyed=False)
    seed: int = option(42, "of the head, the order of the examples, dropout and augmentation")

    def __post_init__(self) -> None:
        choices = {"pooling": POOLINGS, "precision": PRECISIONS, "unpadding": UNLESS_OFF, "cuda_graphs": UNLESS_OFF}
        for name, allowed in {**choices, **dict.fromkeys(ALONE, SWITCHES)}.items():
            _check(name, getattr(self, name), allowed)
        if not 0 <= self.replay <= 1:
            raise InputError(f"replay is {self.replay}; a part from 0 to 1 was expected.")
        for name in (names := strategies_of(self.strategy)):
            _check("strategy", name, CHOICES)
        if self.checkpoint_minutes <= 0:
            raise InputError(f"checkpoint_minutes is {self.checkpoint_minutes:g}; more than 0 minutes were expected.")
        if "://" in self.checkpoint_uri and not self.checkpoint_uri.startswith(("s3://", "minio://")):
            raise InputError(f"checkpoint_uri is {self.checkpoint_uri!r}; a path or s3://bucket/prefix was expected.")
        if AUTO in names and len(names) > 1:
            raise InputError(f"strategy is {self.strategy!r}; 'auto' looks for the best itself and stands alone.")


def _check(name: str, value: str, allowed: tuple[str, ...]) -> None:
    if value not in allowed:
        raise InputError(f"{name} is {value!r}; allowed: {quote_all(allowed)}.{did_you_mean(value, allowed)}")
