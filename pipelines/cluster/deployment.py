"""The deployment file: what a cluster has, and what each step gets of it."""

import re
from pathlib import Path
from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, Field, ValidationInfo, field_validator
from pydantic_core import PydanticCustomError

from components.notify import template
from components.notify.outcome import EVENTS
from components.shared.images import LIGHT, TRAINER
from pipelines.cluster.kubernetes_fields import (
    Address,
    Image,
    Key,
    LabelKey,
    LabelValue,
    Name,
    PlainValue,
    PlainVariable,
    Root,
    Variable,
    looks_secret,
)
from pipelines.cluster.steps import Steps
from pipelines.jobs import documents
from pipelines.jobs.cron import TimeZone
from pipelines.jobs.fields import Count, Plain, Text, one_of

_STEPS = [name for name in Steps.model_fields if name != "all"]
_USERS = (
    (re.compile("AWS_"), [name for name in _STEPS if name not in ("promote", "notify")]),  # a few words with MLflow
    (re.compile("HF_|HUGGING_?FACE_"), ["detect", "ingest", "transform", "finetune"]),
    (re.compile("GRAFT_SQL_"), ["detect", "ingest"]),
)
"""Which steps have a use for secret variables, by their names; every step has one for all others, such as MLFLOW_*."""


def _users_of(variable: str) -> list[str]:
    return next((steps for pattern, steps in _USERS if pattern.match(variable)), _STEPS)


class _Section(BaseModel):
    """Fields of a deployment file."""

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)


class Kubeflow(_Section):
    """Where Kubeflow Pipelines is; the token comes from the environment.

    Attributes:
        namespace: Of the user's profile; None where Kubeflow has a single user.
        service_account: The steps' own; None: the namespace's default.
        timezone: In which the cluster reads its schedules (CRON_SCHEDULE_TIMEZONE of its controller).
    """

    endpoint: Address
    namespace: Name | None = None
    service_account: Name | None = None
    experiment: Text = "graft"
    timezone: TimeZone = "UTC"

    def page(self, run_id: str) -> str:
        """Returns the address of a run's page."""
        return f"{self.endpoint.rstrip('/')}/#/runs/details/{run_id}"


class Images(_Section):
    """The images of the steps, and how the cluster gets them."""

    light: Image
    trainer: Image
    pull_policy: Annotated[str, one_of(["Always", "IfNotPresent", "Never"])] = "IfNotPresent"
    pull_secrets: list[Name] = []


class SecretKey(_Section):
    """One value of a Kubernetes secret."""

    secret: Name
    key: Key


class StepSecret(SecretKey):
    """One value of a Kubernetes secret, as a variable of steps.

    Attributes:
        steps: Those that get it; None: those that have a use for a variable of that name.
    """

    steps: Annotated[list[Annotated[str, one_of(_STEPS)]], Field(min_length=1)] | None = None


class Security(_Section):
    """Who the steps run as; None: as the image says."""

    run_as_user: Count | None = None
    run_as_group: Count | None = None
    run_as_non_root: bool = Field(default=True, validate_default=True)

    @field_validator("run_as_non_root")
    @classmethod
    def _agrees_with_the_user(cls, non_root: bool, info: ValidationInfo) -> bool:
        if non_root and info.data.get("run_as_user") == 0:
            raise PydanticCustomError("root", "run_as_user is 0, which is root")
        return non_root


class Notify(_Section):
    """A webhook that is told what a run came to.

    Attributes:
        url: Its address, in a secret: who knows it may post there.
        events: What is told.
        template: The JSON that is posted; its texts hold placeholders.
    """

    url: SecretKey
    events: list[Annotated[str, one_of(EVENTS)]] = Field(EVENTS, min_length=1)
    template: Plain = template.DEFAULT

    @field_validator("url", mode="before")
    @classmethod
    def _is_in_a_secret(cls, url: Any) -> Any:
        if isinstance(url, str):
            message = (
                "whoever sees the address may post there. Put it into a Kubernetes secret, and write url: {secret: "
                "NAME-OF-THAT-SECRET, key: ITS-KEY}"
            )
            raise PydanticCustomError("secret", message)
        return url

    @field_validator("template")
    @classmethod
    def _can_be_filled_in(cls, told: dict[str, Any]) -> dict[str, Any]:
        secret = (
            f"{path}: it looks as if it held a secret" for path, text in template.texts(told) if looks_secret(text)
        )
        if faults := [*template.faults(told), *secret]:
            raise PydanticCustomError("template", "{faults}", {"faults": "; ".join(faults)})
        return told


class Deployment(_Section):
    """What a cluster has, and what each step gets of it.

    Attributes:
        pipeline_root: Where Kubeflow puts artifacts.
        mlflow: Address of the MLflow server, as the steps reach it.
        environment: Variables of every step.
        secrets: Variables whose values come from Kubernetes secrets, of the steps that need them (`secrets_of`).
        labels: Of every pod.
        notify: Who is told what a run came to; None: nobody.
    """

    kubeflow: Kubeflow
    images: Images
    pipeline_root: Root
    mlflow: Address
    environment: dict[PlainVariable, PlainValue] = {}
    secrets: dict[Variable, StepSecret] = {}
    labels: dict[LabelKey, LabelValue] = {}
    security: Security = Security()
    steps: Steps = Steps()
    notify: Notify | None = None

    def image(self, name: str) -> str:
        """Returns what the cluster has in place of one of the project's images (`LIGHT`, `TRAINER`)."""
        return {LIGHT: self.images.light, TRAINER: self.images.trainer}[name]

    def secrets_of(self, step: str) -> dict[str, SecretKey]:
        """Returns the secret variables of a step: whoever reads strangers' files holds no password for nothing."""
        return {name: source for name, source in self.secrets.items() if step in (source.steps or _users_of(name))}

    @property
    def cache(self) -> str:
        """Where steps find what was made before; "" where boto3, which is what they have, does not reach."""
        root = self.pipeline_root.partition("?")[0].rstrip("/")
        return "" if root.startswith("gs://") else f"{root}/cache"

    @property
    def checkpoints(self) -> str:
        """Where training is kept that was interrupted, if the job names no other place; "" as for the cache."""
        return self.cache and f"{self.cache.removesuffix('/cache')}/checkpoints"

    def without_cache(self) -> "Deployment":
        """Returns a deployment by which every step does its work anew."""
        steps = {name: getattr(self.steps, name).model_copy(update={"cache": False}) for name in Steps.model_fields}
        return self.model_copy(update={"steps": self.steps.model_copy(update=steps)})

    def warnings(self) -> list[str]:
        """Returns what works, but not for long: images that are not named by their digest."""
        images = {"images.light": self.images.light, "images.trainer": self.images.trainer}
        return [
            f"{field} is {image!r}, without a digest: what it names can change from one step to the next. "
            "Name it by the digest that `make images PUSH=REGISTRY` told, NAME@sha256:…"
            for field, image in images.items()
            if "@" not in image
        ]


def load_deployment(path: Path) -> Deployment:
    """Reads and validates a deployment file.

    Raises:
        InputError: The file cannot be read, or has faults: all of them, each with its field's path.
    """
    return documents.load(path, Deployment, "deployment", private=("environment", "secrets", "notify"))
