"""What each step gets of a cluster: the section `steps` of a deployment file."""

import warnings
from collections.abc import Callable
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationInfo, field_validator
from pydantic_core import PydanticCustomError

from pipelines.cluster.kubernetes_fields import (
    Accelerators,
    Cpu,
    LabelKey,
    LabelValue,
    Name,
    Size,
    cores,
    size_in_bytes,
)
from pipelines.jobs.fields import Count, Positive, one_of

_VALUES = {"In": (1, None), "NotIn": (1, None), "Exists": (0, 0), "DoesNotExist": (0, 0), "Gt": (1, 1), "Lt": (1, 1)}
"""The least and the most values that an operator of an affinity takes."""


class _Section(BaseModel):
    """Fields of the section `steps`, and of what is in it."""

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)


class Resources(_Section):
    """Amounts of a node."""

    cpu: Cpu | None = None
    memory: Size | None = None


class Accelerator(_Section):
    """GPUs, by the name that the cluster's device plugin gives them."""

    type: Accelerators
    count: Positive = 1


class Expression(_Section):
    """What a node's label must be, or, with a weight (1 to 100), should be."""

    key: LabelKey
    operator: Annotated[str, one_of(list(_VALUES))]
    values: list[LabelValue] = Field([], validate_default=True)
    weight: Annotated[int, Field(ge=1, le=100)] | None = None

    @field_validator("values")
    @classmethod
    def _are_as_many_as_the_operator_takes(cls, values: list[str], info: ValidationInfo) -> list[str]:
        least, most = _VALUES.get(info.data.get("operator", ""), (0, None))
        if len(values) < least or (most is not None and len(values) > most):
            count = "none" if most == 0 else "one" if most else "at least one"
            context = {"operator": info.data["operator"], "count": count}
            raise PydanticCustomError("values", "operator {operator} takes {count}", context)
        return values


class Toleration(_Section):
    """A taint of nodes that a step may run on all the same."""

    key: LabelKey | None = None
    operator: Annotated[str, one_of(["Equal", "Exists"])] = "Equal"
    value: LabelValue | None = Field(None, validate_default=True)
    effect: Annotated[str, one_of(["NoSchedule", "PreferNoSchedule", "NoExecute"])] | None = None
    toleration_seconds: Count | None = None

    @field_validator("value")
    @classmethod
    def _fits_the_operator(cls, value: str | None, info: ValidationInfo) -> str | None:
        operator = info.data.get("operator")
        if operator == "Exists" and value:
            raise PydanticCustomError("value", "operator Exists takes no value")
        if operator == "Equal" and info.data.get("key", "") is None:
            raise PydanticCustomError("value", "a key was expected, or operator: Exists, which tolerates every taint")
        return value


class Scratch(_Section):
    """Disk for the time of a step: of the node, or of a storage class."""

    size: Size
    storage_class: Name | None = None


class Step(_Section):
    """What a step gets, and how often and how long it is tried.

    Attributes:
        affinity: All that have no weight must hold.
        shared_memory: Size of /dev/shm; it counts as memory of the step.
        timeout: Seconds of one try.
        backoff: Seconds before the first retry; it doubles each time.
        cache: Whether it may take what an earlier run made of the same content.
    """

    requests: Resources = Resources()
    limits: Resources = Resources()
    node_selector: dict[LabelKey, LabelValue] = {}
    affinity: list[Expression] = []
    tolerations: list[Toleration] = []
    shared_memory: Size | None = None
    scratch: Scratch | None = None
    timeout: Positive | None = None
    retries: Count = 0
    backoff: Positive = 30
    cache: bool = True

    @field_validator("limits")
    @classmethod
    def _reach_the_requests(cls, limits: Resources, info: ValidationInfo) -> Resources:
        requests = info.data.get("requests", Resources())
        amounts: dict[str, Callable[[str], float]] = {"cpu": cores, "memory": size_in_bytes}
        for name, amount in amounts.items():
            request, limit = getattr(requests, name), getattr(limits, name)
            if request and limit and amount(request) > amount(limit):
                context = {"name": name, "limit": limit, "request": request}
                raise PydanticCustomError("name", "{name} {limit} is less than the {request} of requests", context)
        return limits


class AcceleratedStep(Step):
    """A step that can use a GPU."""

    accelerator: Accelerator | None = None


class UncachedStep(Step):
    """A step whose result depends on more than its parameters: on what lies at a path, or in the registry."""

    cache: Literal[False] = False

    @field_validator("cache", mode="before")
    @classmethod
    def _is_off(cls, cache: Any) -> Any:
        if cache is True:
            message = "this step is never cached: its result depends on more than its parameters"
            raise PydanticCustomError("cache", message)
        return cache


class UncachedAcceleratedStep(UncachedStep, AcceleratedStep):
    """A step that can use a GPU, and is never cached."""


# Of the metaclass, an abstract base class's; nobody registers subclasses of a section.
warnings.filterwarnings("ignore", 'Field name "register" in "Steps" shadows', UserWarning)


class Steps(_Section):
    """Each step; what it leaves open it has from `all`."""

    all: Step = Step()
    detect: UncachedStep = UncachedStep()
    ingest: UncachedStep = UncachedStep()
    transform: Step = Step()
    finetune: AcceleratedStep = AcceleratedStep()
    evaluate: UncachedAcceleratedStep = UncachedAcceleratedStep()
    register: UncachedStep = UncachedStep()
    promote: UncachedStep = UncachedStep()
    notify: UncachedStep = UncachedStep()

    @field_validator("*")
    @classmethod
    def _shared_memory_fits_into_memory(cls, step: Step, info: ValidationInfo) -> Step:
        whole = _merged(step, info.data.get("all", Step()))
        memory, shared_memory = whole.limits.memory, whole.shared_memory
        if memory and shared_memory and size_in_bytes(shared_memory) >= size_in_bytes(memory):
            message = "shared_memory {shared} counts as memory: less than its limit, {memory}, was expected"
            raise PydanticCustomError("name", message, {"shared": shared_memory, "memory": memory})
        return step

    def of(self, name: str) -> Step:
        """Returns what a step gets: its own fields before those of `all`.

        CPU and memory are each taken from one place: a step that requests more memory than others is not held to
        their limit.
        """
        return _merged(getattr(self, name), self.all)


def _merged(own: Step, all_steps: Step) -> Step:
    given, inherited = (step.model_dump(exclude_unset=True) for step in (own, all_steps))
    sized = {resource for part in ("requests", "limits") for resource in given.get(part, {})}
    for part in ("requests", "limits"):
        left = {resource: size for resource, size in inherited.get(part, {}).items() if resource not in sized}
        given[part] = {**left, **given.get(part, {})}
    if isinstance(own, UncachedStep):
        inherited.pop("cache", None)
    return type(own)(**{**inherited, **given})
