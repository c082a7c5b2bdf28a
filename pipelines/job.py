"""The job file: its schema, and all its faults reported at once."""

import typing
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any, Literal

import pyarrow as pa
import yaml
from pydantic import BaseModel, ConfigDict, Field, ValidationError, ValidationInfo, field_validator, model_validator
from pydantic_core import ErrorDetails, PydanticCustomError

from components.finetune.settings import POOLINGS, PRECISIONS
from components.finetune.settings import FinetuneSettings as TrainingDefaults
from components.ingest.ingest import IngestSettings as DataDefaults
from components.shared import tasks
from components.shared.backbones import RANDOM
from components.shared.errors import InputError, did_you_mean, quote_all
from components.shared.tasks import Task
from components.transform.transform import TransformSettings as FeatureDefaults
from pipelines.fields import (
    AboveZero,
    Ascending,
    AtLeastZero,
    Count,
    Fraction,
    NotNone,
    Part,
    Plain,
    Positive,
    RegistryName,
    Strategies,
    Text,
    one_of,
)

_ONLY_FOR = {
    **dict.fromkeys(["max_characters", "max_length"], pa.string()),
    **dict.fromkeys(["max_pixels", "pixel_gib", "crop_scale", "flip", "color_jitter", "mixup"], pa.binary()),
}
"""Fields that mean something to one kind of input alone."""


def _task_of(info: ValidationInfo) -> Task | None:
    """Returns the task that the job file names; None where it names none that there is, which is told there."""
    content: Any = info.context
    return tasks.get(content["task"]) if content.get("task") in tasks.names() else None


class _Section(BaseModel):
    """Fields of a job file. What fits only to other sections is looked up in the file's content, the context.

    So each fault is one of a field, and those of one field do not hide those of the next.
    """

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)

    @field_validator("*", mode="before")
    @classmethod
    def _has_effect(cls, value: Any, info: ValidationInfo) -> Any:
        """Refuses a field that means nothing to the task's kind of input."""
        task = _task_of(info)
        if task and _ONLY_FOR.get(str(info.field_name), task.input_type) != task.input_type:
            raise PydanticCustomError("idle", "it has no effect with {task}: remove it", {"task": task.name})
        return value


class Data(_Section):
    """Where the data is and how it is read."""

    source: Text
    inputs: list[Text] = Field(min_length=1)
    label: Text
    labels: list[Text] = []
    splits: dict[Text, Literal["train", "validation", "test"]] = {}
    validation_fraction: Fraction = DataDefaults.validation_fraction
    test_fraction: Fraction = Field(DataDefaults.test_fraction, validate_default=True)
    max_rejects: Part = DataDefaults.max_rejects
    max_characters: Positive = DataDefaults.max_characters
    max_pixels: Positive = DataDefaults.max_pixels

    @field_validator("inputs")
    @classmethod
    def _are_as_many_as_the_task_takes(cls, inputs: list[str], info: ValidationInfo) -> list[str]:
        task = _task_of(info)
        if task and len(inputs) not in task.input_counts:
            context = {"task": task.name, "allowed": " or ".join(map(str, task.input_counts)), "count": len(inputs)}
            raise PydanticCustomError("inputs", "{task} takes {allowed} columns, not {count}", context)
        return inputs

    @field_validator("label")
    @classmethod
    def _is_no_input(cls, label: str, info: ValidationInfo) -> str:
        if label in info.data.get("inputs", []):
            raise PydanticCustomError("label", "it is among data.inputs: the model would see the answer")
        return label

    @field_validator("test_fraction")
    @classmethod
    def _leaves_some_for_training(cls, test_fraction: float, info: ValidationInfo) -> float:
        if test_fraction + (validation := info.data.get("validation_fraction", 0.0)) >= 1:
            context = {"validation": validation}
            message = "with validation_fraction {validation} it leaves nothing for training"
            raise PydanticCustomError("fractions", message, context)
        return test_fraction


class Training(_Section):
    """How the backbone is trained."""

    epochs: Positive = TrainingDefaults.epochs
    learning_rate: Annotated[float, Field(gt=0, lt=10)] = TrainingDefaults.learning_rate
    batch_size: Positive = TrainingDefaults.batch_size
    max_length: Count = FeatureDefaults.max_length
    pixel_gib: AtLeastZero = FeatureDefaults.pixel_gib
    weight_decay: AtLeastZero = TrainingDefaults.weight_decay
    warmup_ratio: Fraction = TrainingDefaults.warmup_ratio
    max_grad_norm: AboveZero = TrainingDefaults.max_grad_norm
    patience: Positive = TrainingDefaults.patience
    trainable_blocks: Count = TrainingDefaults.trainable_blocks
    layer_decay: NotNone = TrainingDefaults.layer_decay
    head_factor: AboveZero = TrainingDefaults.head_factor
    lora_rank: Positive = TrainingDefaults.lora_rank
    lora_alpha: AboveZero = TrainingDefaults.lora_alpha
    label_smoothing: Fraction = TrainingDefaults.label_smoothing
    crop_scale: NotNone = TrainingDefaults.crop_scale
    flip: Part = TrainingDefaults.flip
    color_jitter: Fraction = TrainingDefaults.color_jitter
    mixup: AtLeastZero = TrainingDefaults.mixup
    cache_gib: AtLeastZero = TrainingDefaults.cache_gib
    pooling: Annotated[str, one_of(POOLINGS)] = TrainingDefaults.pooling
    precision: Annotated[str, one_of(PRECISIONS)] = TrainingDefaults.precision
    seed: Count = TrainingDefaults.seed


class Evaluation(_Section):
    """What is found out about the model on top of its metrics; finetune trains what that needs."""

    transfer_check: bool = TrainingDefaults.transfer_check
    learning_curve: Ascending = []

    @field_validator("transfer_check")
    @classmethod
    def _has_something_to_check(cls, transfer_check: bool, info: ValidationInfo) -> bool:
        content: Any = info.context
        if transfer_check and str(content.get("backbone")).startswith(RANDOM):
            message = "a backbone with pretrained weights was expected; without, nothing is transferred"
            raise PydanticCustomError("random", message)
        return transfer_check


class Job(_Section):
    """Which data, which task, which backbone, which strategy, which model name."""

    model: RegistryName
    task: Annotated[str, one_of(tasks.names())]
    data: Data
    backbone: Text
    backbone_args: Plain = {}
    strategy: Strategies = TrainingDefaults.strategy
    training: Training = Training()
    evaluation: Evaluation = Evaluation()

    @model_validator(mode="before")
    @classmethod
    def _fill_in_columns(cls, content: Any) -> Any:
        """Gives `data` the columns that the task's data have by default."""
        data, task = (content.get(name) for name in ("data", "task"))
        if isinstance(data, dict) and task in tasks.names():
            return {**content, "data": {**tasks.get(task).columns, **data}}
        return content

    def arguments(self) -> dict[str, Any]:
        """Returns the arguments of the pipeline, by parameter."""
        given = self.model_dump()
        sections = [given.pop(name) for name in ("data", "training", "evaluation")]
        return {name: value for part in (given, *sections) for name, value in part.items()}


def load_job(path: Path, changes: Sequence[str] = ()) -> Job:
    """Reads and validates a job file.

    Args:
        path: The YAML file.
        changes: Values to set on top, such as "training.epochs=1"; the value is YAML.

    Raises:
        InputError: The file cannot be read, or has faults: all of them, each with its field's path.
    """
    try:
        content = yaml.load(path.read_text("utf-8"), _Loader)  # a SafeLoader
    except FileNotFoundError as error:
        raise InputError(f"There is no job file {str(path)!r} (looked from {Path.cwd()}).") from error
    except (OSError, UnicodeDecodeError) as error:
        raise InputError(f"The job file {path} cannot be read: {error}.") from error
    except yaml.YAMLError as error:
        raise InputError(f"{path} is no valid YAML: {error}") from error
    if not isinstance(content, dict):
        raise InputError(f"{path} holds no job: fields such as 'model: name' were expected.")
    for change in changes:
        _apply(content, change)
    try:
        return Job.model_validate(content, context=content)
    except ValidationError as error:
        faults = [f"  {line}" for line in _explain(error.errors())]
        count = "a fault" if len(faults) == 1 else f"{len(faults)} faults"
        raise InputError("\n".join([f"{path} has {count}:", *faults])) from error


def _apply(content: dict[str, Any], change: str) -> None:
    path, equals, text = change.partition("=")
    if not equals or not path:
        raise InputError(f"--set {change!r}: FIELD=VALUE was expected, such as training.epochs=1.")
    *sections, field = path.split(".")
    for name in sections:
        content = content.setdefault(name, {})
        if not isinstance(content, dict):
            raise InputError(f"--set {change!r}: {name!r} is no section with fields.")
    try:
        content[field] = yaml.load(text, _Loader)
    except yaml.YAMLError as error:
        raise InputError(f"--set {change!r}: the value is no valid YAML: {error}") from error


def _explain(errors: Sequence[ErrorDetails]) -> Iterator[str]:
    for error in errors:
        path = ".".join(str(part) for part in error["loc"])
        found = f"found {_shorten(error['input'])}"
        if error["type"] == "name":
            yield f"{path}: {error['msg']}"
        elif error["type"] == "extra_forbidden":
            *parents, name = error["loc"]
            known = _fields(Job, parents)
            yield f"{path}: there is no such field; allowed: {quote_all(known, 20)}.{did_you_mean(str(name), known)}"
        elif error["type"] == "missing":
            yield f"{path}: is missing"
        elif error["type"] == "one_of":
            yield f"{path}: {found}; {error['msg']}"
        else:
            yield f"{path}: {found}; {error['msg'][:1].lower()}{error['msg'][1:]}"


def _fields(model: type[BaseModel], parents: Sequence[Any]) -> list[str]:
    for parent in parents:
        model = typing.cast(type[BaseModel], model.model_fields[str(parent)].annotation)
    return list(model.model_fields)


def _shorten(value: object) -> str:
    text = repr(value)
    return text if len(text) <= 60 else text[:57] + "..."


class _Loader(yaml.SafeLoader):
    """A safe loader that refuses a field given twice."""


def _construct_mapping(loader: _Loader, node: yaml.MappingNode) -> Mapping[Any, Any]:
    keys = [loader.construct_object(key) for key, _ in node.value]
    for key in keys:
        if keys.count(key) > 1:
            raise yaml.constructor.ConstructorError(None, None, f"the field {key!r} is given twice", node.start_mark)
    return loader.construct_mapping(node, deep=True)


_Loader.add_constructor("tag:yaml.org,2002:map", _construct_mapping)
