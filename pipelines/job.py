"""The job file: its schema, and all its faults reported at once."""

import typing
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any, Literal, Self

import yaml
from pydantic import AfterValidator, BaseModel, ConfigDict, Field, ValidationError, model_validator
from pydantic_core import ErrorDetails, PydanticCustomError

from components.finetune.settings import POOLINGS, PRECISIONS, STRATEGIES
from components.finetune.settings import FinetuneSettings as TrainingDefaults
from components.ingest.ingest import IngestSettings as DataDefaults
from components.shared import tasks
from components.shared.errors import InputError, did_you_mean, quote_all
from components.shared.registry import check_name
from components.transform.transform import TransformSettings as FeatureDefaults


def _one_of(allowed: Sequence[str]) -> AfterValidator:
    """Returns a validator that takes one of the given names and offers the nearest for any other."""

    def check(value: str) -> str:
        if value not in allowed:
            context = {"allowed": quote_all(allowed), "near": did_you_mean(value, allowed)}
            raise PydanticCustomError("one_of", "allowed: {allowed}.{near}", context)
        return value

    return AfterValidator(check)


def _registry_name(value: str) -> str:
    try:
        check_name(value)
    except InputError as error:
        raise PydanticCustomError("name", "{reason}", {"reason": str(error)}) from error
    return value


Text = Annotated[str, Field(min_length=1)]
Fraction = Annotated[float, Field(ge=0, lt=1)]
Positive = Annotated[int, Field(ge=1)]


class _Section(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)


class Data(_Section):
    """Where the data is and how it is read."""

    source: Text
    inputs: list[Text] = Field(min_length=1)
    label: Text
    labels: list[Text] = []
    splits: dict[Text, Literal["train", "validation", "test"]] = {}
    validation_fraction: Fraction = DataDefaults.validation_fraction
    test_fraction: Fraction = DataDefaults.test_fraction
    max_rejects: Annotated[float, Field(ge=0, le=1)] = DataDefaults.max_rejects
    max_characters: Positive = DataDefaults.max_characters

    @model_validator(mode="after")
    def _fits(self) -> Self:
        if self.label in self.inputs:
            raise PydanticCustomError("label", "the label column {label} is among the inputs", {"label": self.label})
        if self.validation_fraction + self.test_fraction >= 1:
            raise PydanticCustomError("fractions", "validation_fraction and test_fraction leave nothing for training")
        return self


class Training(_Section):
    """How the backbone is trained."""

    epochs: Positive = TrainingDefaults.epochs
    learning_rate: Annotated[float, Field(gt=0, lt=10)] = TrainingDefaults.learning_rate
    batch_size: Positive = TrainingDefaults.batch_size
    max_length: Annotated[int, Field(ge=0)] = FeatureDefaults.max_length
    weight_decay: Annotated[float, Field(ge=0)] = TrainingDefaults.weight_decay
    warmup_ratio: Fraction = TrainingDefaults.warmup_ratio
    max_grad_norm: Annotated[float, Field(gt=0)] = TrainingDefaults.max_grad_norm
    patience: Positive = TrainingDefaults.patience
    pooling: Annotated[str, _one_of(POOLINGS)] = TrainingDefaults.pooling
    precision: Annotated[str, _one_of(PRECISIONS)] = TrainingDefaults.precision
    seed: Annotated[int, Field(ge=0)] = TrainingDefaults.seed


class Job(_Section):
    """Which data, which task, which backbone, which strategy, which model name."""

    model: Annotated[Text, AfterValidator(_registry_name)]
    task: Annotated[str, _one_of(tasks.names())]
    data: Data
    backbone: Text
    strategy: Annotated[str, _one_of(STRATEGIES)] = TrainingDefaults.strategy
    training: Training = Training()

    @model_validator(mode="after")
    def _task_takes_inputs(self) -> Self:
        allowed = tasks.get(self.task).input_counts
        if len(self.data.inputs) not in allowed:
            context = {"task": self.task, "allowed": " or ".join(map(str, allowed)), "count": len(self.data.inputs)}
            raise PydanticCustomError("inputs", "{task} takes {allowed} data.inputs, not {count}", context)
        return self

    def arguments(self) -> dict[str, Any]:
        """Returns the arguments of the pipeline, by parameter."""
        top = {"model": self.model, "task": self.task, "backbone": self.backbone, "strategy": self.strategy}
        return {**top, **self.data.model_dump(), **self.training.model_dump()}


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
        return Job.model_validate(content)
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
        elif error["type"] in ("label", "fractions", "inputs"):
            yield f"{path}: {error['msg']}".removeprefix(": ")
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
