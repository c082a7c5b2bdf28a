"""The job file: its schema, and all its faults reported at once."""

from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any, Literal

import pyarrow as pa
from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, ValidationInfo, field_validator
from pydantic_core import PydanticCustomError

from components.detect.detect import STARTS
from components.finetune.settings import ALONE, LEXICAL, NOUNS, POOLINGS, PRECISIONS, strategies_of
from components.finetune.settings import FinetuneSettings as TrainingDefaults
from components.ingest.ingest import UNLABELLED
from components.ingest.ingest import IngestSettings as DataDefaults
from components.ingest.rare import RARE
from components.shared import tasks
from components.shared.backbones import RANDOM
from components.shared.errors import InputError, did_you_mean, quote_all
from components.shared.gate import APPROVALS, Rules, ranges, reason_to_refuse
from components.shared.sources.listing import sources_of
from components.shared.sources.sql import is_sql
from components.shared.sources.text import check_encoding
from components.shared.tasks import Task
from components.shared.tasks.task import Composite
from components.transform.transform import TransformSettings as FeatureDefaults
from pipelines.jobs import documents, several
from pipelines.jobs.cron import Schedule
from pipelines.jobs.fields import (
    AboveZero,
    Ascending,
    AtLeastZero,
    Columns,
    Count,
    Fraction,
    NotNone,
    Part,
    PartOrAll,
    Plain,
    Positive,
    RegistryName,
    Source,
    Strategies,
    Switch,
    Text,
    UnlessOff,
    labels_of,
    one_of,
)

_ONLY_FOR = {
    **dict.fromkeys(["max_characters", "max_length", "lexical", "unpadding"], pa.string()),
    **dict.fromkeys(["max_pixels", "pixel_gib", "device_gib", "gradients"], pa.binary()),
    **dict.fromkeys(["crop_scale", "flip", "color_jitter", "mixup"], pa.binary()),
}
"""Fields that mean something to one kind of input alone."""


def _task_of(info: ValidationInfo) -> Task | None:
    """Returns the task that the job file names; None where it names none that there is, which is told there."""
    content: Any = info.context
    if content.get("task") not in tasks.names():
        return None
    try:
        return tasks.get(content["task"], content.get("task_args") or {})
    except (InputError, TypeError, AttributeError):  # its options are told where they stand
        return tasks.get(content["task"])


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

    source: Source
    inputs: list[Text] = []
    label: Columns = ""
    labels: Annotated[list[Text] | dict[Text, list[Text]], BeforeValidator(labels_of)] = []
    normalize_labels: bool = DataDefaults.normalize_labels
    splits: dict[Text, Literal["train", "validation", "test"]] = {}
    encoding: str = DataDefaults.encoding
    delimiter: str = DataDefaults.delimiter
    sheet: str = DataDefaults.sheet
    class_level: Annotated[int, Field(ge=-20, le=20)] = DataDefaults.class_level
    query: str = DataDefaults.query
    validation_fraction: Fraction = DataDefaults.validation_fraction
    test_fraction: Fraction = Field(DataDefaults.test_fraction, validate_default=True)
    group: str = DataDefaults.group
    time: str = DataDefaults.time
    max_rejects: Part = DataDefaults.max_rejects
    unlabelled: Annotated[str, one_of(UNLABELLED)] = DataDefaults.unlabelled
    min_per_class: Positive = DataDefaults.min_per_class
    rare_classes: Annotated[str, one_of(RARE)] = DataDefaults.rare_classes
    near_duplicates: NotNone = DataDefaults.near_duplicates
    max_overlap: Part = DataDefaults.max_overlap
    max_characters: Positive = DataDefaults.max_characters
    max_pixels: Positive = DataDefaults.max_pixels

    @field_validator("encoding")
    @classmethod
    def _is_an_encoding(cls, encoding: str) -> str:
        try:
            check_encoding(encoding or "utf-8")
        except InputError as error:
            raise PydanticCustomError("encoding", "{reason}", {"reason": str(error)}) from error
        return encoding

    @field_validator("delimiter")
    @classmethod
    def _is_one_character(cls, delimiter: str) -> str:
        if len(delimiter) > 1:
            raise PydanticCustomError("delimiter", 'one character was expected, such as ";" or "\\t"')
        return delimiter

    @field_validator("query")
    @classmethod
    def _fits_the_source(cls, query: str, info: ValidationInfo) -> str:
        source = info.data.get("source", "")
        if query and not is_sql(source):
            raise PydanticCustomError("query", "it is for databases (postgresql://…, sqlite:///…) alone")
        return query

    @field_validator("inputs")
    @classmethod
    def _are_as_many_as_the_task_takes(cls, inputs: list[str], info: ValidationInfo) -> list[str]:
        task = _task_of(info)
        if task and inputs and len(inputs) not in task.input_counts:
            context = {"task": task.name, "allowed": " or ".join(map(str, task.input_counts)), "count": len(inputs)}
            raise PydanticCustomError("inputs", "{task} takes {allowed} columns, not {count}", context)
        return inputs

    @field_validator("label")
    @classmethod
    def _is_no_input(cls, label: str, info: ValidationInfo) -> str:
        columns, task = sources_of(label), _task_of(info)
        if set(columns) & set(info.data.get("inputs", [])):
            raise PydanticCustomError("label", "it is among data.inputs: the model would see the answer")
        if len(columns) > 1 and task and not task.target.several:
            raise PydanticCustomError("label", "{task} takes one column, not several", {"task": task.name})
        return label

    @field_validator("group", "time")
    @classmethod
    def _is_not_the_label(cls, column: str, info: ValidationInfo) -> str:
        if column and column in sources_of(info.data.get("label", "")):
            raise PydanticCustomError("label", "it is data.label: another column was expected")
        if column and info.field_name == "time" and info.data.get("group"):
            message = "with data.group an example may be both old and of somebody new: name one of the two"
            raise PydanticCustomError("both", message)
        return column

    def arguments(self) -> dict[str, Any]:
        """Returns the fields as the steps take them: labels, and which label a code stands for."""
        given = self.model_dump()
        named: dict[str, list[str]] = given["labels"] if isinstance(given["labels"], dict) else {}
        codes = {code: label for label, listed in named.items() for code in listed}
        return {**given, "labels": list(named) or given["labels"], "label_codes": codes}

    @field_validator("test_fraction")
    @classmethod
    def _leaves_some_for_training(cls, test_fraction: float, info: ValidationInfo) -> float:
        if test_fraction + (validation := info.data.get("validation_fraction", 0.0)) >= 1:
            message = "with validation_fraction {validation} it leaves nothing for training"
            raise PydanticCustomError("fractions", message, {"validation": validation})
        return test_fraction


class Training(_Section):
    """How the backbone is trained."""

    minutes: AtLeastZero = TrainingDefaults.minutes
    epochs: Count = TrainingDefaults.epochs
    learning_rate: Annotated[float, Field(ge=0, lt=10)] = TrainingDefaults.learning_rate
    batch_size: Count = TrainingDefaults.batch_size
    max_length: Count = FeatureDefaults.max_length
    pixel_gib: AtLeastZero = FeatureDefaults.pixel_gib
    weight_decay: AtLeastZero = TrainingDefaults.weight_decay
    warmup_ratio: Fraction = TrainingDefaults.warmup_ratio
    max_grad_norm: AboveZero = TrainingDefaults.max_grad_norm
    patience: Count = TrainingDefaults.patience
    trainable_blocks: Count = TrainingDefaults.trainable_blocks
    layer_decay: Part = TrainingDefaults.layer_decay
    head_factor: AboveZero = TrainingDefaults.head_factor
    lora_rank: Positive = TrainingDefaults.lora_rank
    lora_alpha: AboveZero = TrainingDefaults.lora_alpha
    logit_adjustment: AtLeastZero = TrainingDefaults.logit_adjustment
    label_smoothing: Fraction = TrainingDefaults.label_smoothing
    crop_scale: Part = TrainingDefaults.crop_scale
    flip: Annotated[float, Field(ge=-1, le=1)] = TrainingDefaults.flip
    color_jitter: Fraction = TrainingDefaults.color_jitter
    mixup: AtLeastZero = TrainingDefaults.mixup
    cache_gib: AtLeastZero = TrainingDefaults.cache_gib
    device_gib: Annotated[float, Field(ge=-1, lt=10_000)] = TrainingDefaults.device_gib
    read_ahead: Annotated[int, Field(ge=-1, le=64)] = TrainingDefaults.read_ahead
    pooling: Annotated[str, one_of(POOLINGS)] = TrainingDefaults.pooling
    lexical: Switch = TrainingDefaults.lexical
    gradients: Switch = TrainingDefaults.gradients
    precision: Annotated[str, one_of(PRECISIONS)] = TrainingDefaults.precision
    unpadding: UnlessOff = TrainingDefaults.unpadding
    cuda_graphs: UnlessOff = TrainingDefaults.cuda_graphs
    seed: Count = TrainingDefaults.seed


class Evaluation(_Section):
    """What is found out about the model on top of its metrics; finetune trains what that needs."""

    transfer_check: bool = TrainingDefaults.transfer_check
    learning_curve: Ascending = []
    slices: list[Text] = []

    @field_validator("transfer_check")
    @classmethod
    def _has_something_to_check(cls, transfer_check: bool, info: ValidationInfo) -> bool:
        content: Any = info.context
        if transfer_check and str(content.get("backbone")).startswith(RANDOM):
            message = "a backbone with pretrained weights was expected; without, nothing is transferred"
            raise PydanticCustomError("random", message)
        return transfer_check


class Checkpoint(_Section):
    """Where training that was interrupted is kept, and how often."""

    uri: str = TrainingDefaults.checkpoint_uri
    minutes: AboveZero = TrainingDefaults.checkpoint_minutes

    @field_validator("uri")
    @classmethod
    def _is_a_path_or_in_s3(cls, uri: str) -> str:
        if "://" in uri and not uri.startswith("s3://"):
            raise PydanticCustomError("uri", "a path or s3://bucket/prefix was expected")
        return uri


class Promotion(_Section):
    """What a model must show to become champion; see `components.shared.gate.Rules`."""

    metric: str = Rules.metric
    min_gain: float | None = Rules.min_gain
    min_value: float | None = Rules.min_value
    max_class_drop: float | None = Rules.max_class_drop
    max_slice_drop: float | None = Rules.max_slice_drop
    max_task_drop: AtLeastZero | None = Rules.max_task_drop
    must_beat_baseline: bool = Rules.must_beat_baseline
    max_latency_ratio: AboveZero | None = Rules.max_latency_ratio
    min_examples: Positive = Rules.min_examples
    approval: Annotated[str, one_of(APPROVALS)] = Rules.approval

    @field_validator("metric")
    @classmethod
    def _is_one_of_the_task(cls, metric: str, info: ValidationInfo) -> str:
        """Refuses what the task has not; its primary one is what is left open."""
        task = _task_of(info)
        if task is None:
            return metric
        names = [found.name for found in task.metrics if found.decides]
        if metric not in ("", *names):
            context = {"reason": f"it is {metric!r}; allowed: {quote_all(names)}.{did_you_mean(metric, names)}"}
            raise PydanticCustomError("metric", "{reason}", context)
        return "" if metric == names[0] else metric

    @field_validator("max_task_drop")
    @classmethod
    def _is_of_several_tasks(cls, value: float | None, info: ValidationInfo) -> float | None:
        task = _task_of(info)
        if value is not None and task and not isinstance(task, Composite):
            raise PydanticCustomError("idle", "it is for several tasks in one model: remove it")
        return value

    @field_validator("min_gain", "min_value", "max_class_drop", "max_slice_drop")
    @classmethod
    def _can_be(cls, value: float | None, info: ValidationInfo) -> float | None:
        """Refuses what is beyond what the metric can be."""
        task, name = _task_of(info), str(info.field_name)
        if task and "metric" in info.data:
            reason = reason_to_refuse(name, value, ranges(task, info.data["metric"])[name])
            if reason:
                raise PydanticCustomError("range", "{reason} was expected", {"reason": reason})
        return value


class Retrain(_Section):
    """What retraining starts from, and how much of the data that the champion knows it repeats."""

    start_from: Annotated[str, one_of(STARTS)] = "champion"
    replay: PartOrAll = 1.0


class Member(_Section):
    """One of several tasks that one network learns together."""

    task: Annotated[str, one_of(tasks.names())]
    label: Columns
    weight: AboveZero = 1.0
    task_args: Plain = {}
    labels: list[Text] = []
    metric: str = ""


class Job(_Section):
    """Which data, which task, which backbone, which strategy, which model name."""

    model: RegistryName
    task: Annotated[str, one_of(tasks.names())]
    task_args: Plain = {}
    data: Data
    backbone: Text
    backbone_args: Plain = {}
    strategy: Strategies = TrainingDefaults.strategy
    training: Training = Training()
    evaluation: Evaluation = Evaluation()
    checkpoint: Checkpoint = Checkpoint()
    promotion: Promotion = Promotion()
    retrain: Retrain = Retrain()
    schedule: Schedule | None = Field(None, exclude=True)  # of the runs, not one of their arguments
    tasks: dict[Text, Member] = Field({}, exclude=True)  # the options of a task that is made of them, see `several`

    @field_validator("task")
    @classmethod
    def _is_made_of_some(cls, task: str, info: ValidationInfo) -> str:
        content: Any = info.context
        if isinstance(found := _task_of(info), Composite) and not found.members and not content.get("tasks"):
            raise PydanticCustomError("tasks", "it learns several tasks together: name them under tasks")
        return task

    @field_validator("task_args")
    @classmethod
    def _are_options_of_the_task(cls, task_args: dict[str, Any], info: ValidationInfo) -> dict[str, Any]:
        content: Any = info.context
        if content.get("tasks"):
            return task_args  # they are told of where they stand
        try:
            if (task := info.data.get("task")) is not None:
                tasks.get(task, task_args)
        except InputError as error:
            raise PydanticCustomError("options", "{reason}", {"reason": str(error)}) from error
        return task_args

    @field_validator("tasks")
    @classmethod
    def _can_be_learned_together(cls, members: dict[str, Member], info: ValidationInfo) -> dict[str, Member]:
        if reason := several.reason_to_refuse(info.context) if members else "":
            raise PydanticCustomError("tasks", "{reason}", {"reason": reason})
        return members

    @field_validator("strategy")
    @classmethod
    def _fits_the_task(cls, strategy: str, info: ValidationInfo) -> str:
        task = str(info.data.get("task"))
        if task not in tasks.names():
            return strategy
        other = next(name for name in ALONE if (name == LEXICAL) != (tasks.get(task).input_type == pa.string()))
        if other in strategies_of(strategy):
            told = {"task": task, "name": other, "noun": NOUNS[other]}
            raise PydanticCustomError("columns", "'{name}' reads {noun}, and {task} has none", told)
        return strategy

    def arguments(self, pipeline: str = "finetune") -> dict[str, Any]:
        """Returns the arguments of a pipeline ("finetune" or "retrain"), by parameter."""
        given = self.model_dump()
        given |= {f"checkpoint_{name}": value for name, value in given.pop("checkpoint").items()}
        sections = [given.pop(name) for name in ("data", "training", "evaluation")]
        sections[0] = self.data.arguments()
        retrain = given.pop("retrain")
        given["promotion"] = self.promotion.model_dump(exclude_defaults=True)
        sections += [retrain] if pipeline == "retrain" else []
        return {name: value for part in (given, *sections) for name, value in part.items()}


def load_job(path: Path, changes: Sequence[str] = ()) -> Job:
    """Reads and validates a job file.

    Args:
        path: The YAML file.
        changes: Values to set on top, such as "training.epochs=1"; the value is YAML.

    Raises:
        InputError: The file cannot be read, or has faults: all of them, each with its field's path.
    """
    return documents.load(path, Job, "job", changes, fill=several.filled)
