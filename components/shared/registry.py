"""The MLflow registry as people look at it: which models there are, their versions, and one loaded to predict.

A version is named as in `models:/NAME@alias`: "NAME" (its champion, else its challenger), "NAME@alias", "NAME/3".
"""

import re
import tempfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from components.shared import backbones, tracking
from components.shared.artifact import MANIFEST, open_artifact
from components.shared.errors import InputError, did_you_mean, quote_all

if TYPE_CHECKING:
    from mlflow import MlflowClient
    from mlflow.entities.model_registry import ModelVersion, RegisteredModel

CHAMPION, CHALLENGER = "champion", "challenger"
_METRIC = "test_"  # what the tags of metrics begin with
_NOT_IN_NAMES = "/:@'\"`"


@dataclass(frozen=True)
class Version:
    """A version of a registered model; `metrics` and `verdict` are those of its evaluation; times as ISO 8601, UTC."""

    model: str
    version: str
    aliases: list[str]
    created: str
    run_id: str
    metrics: dict[str, float]
    verdict: str
    tags: dict[str, str]


@dataclass(frozen=True)
class Summary:
    """A registered model: how many versions it has, which of them each alias names, and what the latest reached."""

    name: str
    versions: int
    aliases: dict[str, str]
    metrics: dict[str, float]
    verdict: str
    updated: str


@dataclass(frozen=True)
class Loaded:
    """A model that predicts from raw input: one of the registry, or a model artifact.

    Attributes:
        labels: The classes, in the order of the probabilities.
        inputs: The names of its inputs.
        probabilities: Takes rows that hold one value for each input; returns probabilities [rows, classes].
    """

    labels: list[str]
    inputs: list[str]
    probabilities: Callable[[Sequence[Sequence[str]]], np.ndarray]

    def predict(self, rows: Sequence[Sequence[str]]) -> list[dict[str, Any]]:
        """Returns `label`, `confidence` and `probabilities` (by label) of rows that hold one value for each input."""
        return [self._told(row.tolist()) for row in self.probabilities(rows)]

    def _told(self, row: list[float]) -> dict[str, Any]:
        best = max(range(len(row)), key=row.__getitem__)
        probabilities = dict(zip(self.labels, row, strict=True))
        return {"label": self.labels[best], "confidence": row[best], "probabilities": probabilities}


def check_name(name: str) -> None:
    """Refuses what cannot be a model's name in the registry.

    Raises:
        InputError: It is empty, or has a character that a name in `models:/NAME@alias` cannot have.
    """
    wrong = sorted(set(name) & set(_NOT_IN_NAMES))
    if not name.strip() or name != name.strip() or wrong or name in (".", ".."):
        reason = f"it holds {quote_all(wrong)}" if wrong else "letters were expected, without spaces around them"
        raise InputError(f"{name!r} cannot be a model's name: {reason}. A name such as 'aws-operations' can.")


def list_models() -> list[Summary]:
    """Lists the registered models, the one that changed last first."""
    client = tracking.client()
    with tracking.explained("listing the models"):
        found = [_summary(client, entry) for entry in _all_models(client)]
    return sorted(found, key=lambda summary: summary.updated, reverse=True)


def show_model(name: str) -> list[Version]:
    """Lists the versions of a registered model, the newest first.

    Raises:
        InputError: There is no model of that name.
    """
    client = tracking.client()
    with tracking.explained(f"reading the model {name!r}"):
        return _versions(client, _model(client, name))


def load(model: str) -> Loaded:
    """Loads a model to predict with: one of the registry ("NAME", "NAME@alias", "NAME/3"), or a model artifact's path.

    Raises:
        InputError: There is no such model, alias, version or path; or torch is not installed.
        ServiceError: The registry or its artifact store did not answer.
    """
    folder = Path(model).expanduser()
    if (folder / MANIFEST).exists() or model.startswith((".", "/", "~")):
        return _load_artifact(folder)
    uri = resolve(model)
    tracking.prepare()
    with tracking.explained(f"loading {uri}"):
        return _load_registered(uri)


def resolve(model: str) -> str:
    """Returns the address (`models:/NAME/3`) of a version named "NAME", "NAME@alias" or "NAME/3".

    Raises:
        InputError: There is no such model, alias or version.
    """
    name, sign, which = _parse(model)
    client = tracking.client()
    with tracking.explained(f"looking for {model!r}"):
        entry = _model(client, name)
        aliases = {alias: str(number) for alias, number in entry.aliases.items()}
        versions = [item.version for item in _versions(client, entry)]
    if sign == "/":
        if which not in versions:
            raise InputError(f"{name!r} has no version {which!r}; it has {quote_all(versions)}.")
        return f"models:/{name}/{which}"
    wanted = [which] if sign else [CHAMPION, CHALLENGER]
    found = next((aliases[alias] for alias in wanted if alias in aliases), None)
    if found is None:
        raise InputError(
            f"{name!r} has no alias {' or '.join(map(repr, wanted))}; it has aliases {quote_all(aliases) or 'none'} "
            f"and versions {quote_all(versions) or 'none'} (named as {name}/1).{did_you_mean(which, aliases)}"
        )
    return f"models:/{name}/{found}"


def versions_of(client: "MlflowClient", name: str) -> "list[ModelVersion]":
    """Returns all versions of a registered model, the newest first."""
    found: list[ModelVersion] = []
    token = None
    while token is None or token:
        page = client.search_model_versions(f"name='{name}'", max_results=1000, page_token=token)
        found += page
        token = page.token or ""
    return sorted(found, key=lambda entry: int(entry.version), reverse=True)


def _parse(model: str) -> tuple[str, str, str]:
    name, sign, which = (*re.split(r"([@/])", model.removeprefix("models:/"), maxsplit=1), "", "")[:3]
    check_name(name)
    if sign and not which:
        raise InputError(f"{model!r} ends with {sign!r}; {name}@{CHAMPION} or {name}/1 was expected.")
    return name, sign, which


def _model(client: "MlflowClient", name: str) -> "RegisteredModel":
    from mlflow.exceptions import MlflowException

    try:
        return client.get_registered_model(name)
    except MlflowException as error:
        if error.error_code != "RESOURCE_DOES_NOT_EXIST":
            raise
        names = [entry.name for entry in _all_models(client)]
        listed = f"there are {quote_all(names)}" if names else "it has none yet (graft run JOB makes one)"
        raise InputError(f"The registry has no model {name!r}; {listed}.{did_you_mean(name, names)}") from error


def _all_models(client: "MlflowClient") -> "list[RegisteredModel]":
    found: list[RegisteredModel] = []
    token = None
    while token is None or token:
        page = client.search_registered_models(max_results=100, page_token=token)
        found += page
        token = page.token or ""
    return found


def _summary(client: "MlflowClient", entry: "RegisteredModel") -> Summary:
    versions = _versions(client, entry)
    return Summary(
        name=entry.name,
        versions=len(versions),
        aliases={alias: str(number) for alias, number in entry.aliases.items()},
        metrics=versions[0].metrics if versions else {},
        verdict=versions[0].verdict if versions else "",
        updated=_time(entry.last_updated_timestamp),
    )


def _versions(client: "MlflowClient", entry: "RegisteredModel") -> list[Version]:
    """The aliases are read from the model: a search does not always tell those of a version."""
    aliases: dict[str, list[str]] = {}
    for alias, number in entry.aliases.items():
        aliases.setdefault(str(number), []).append(alias)
    return [_version(item, sorted(aliases.get(str(item.version), []))) for item in versions_of(client, entry.name)]


def _version(entry: "ModelVersion", aliases: list[str]) -> Version:
    tags = dict(entry.tags)
    return Version(
        model=entry.name,
        version=str(entry.version),
        aliases=aliases,
        created=_time(entry.creation_timestamp),
        run_id=entry.run_id or "",
        metrics={name.removeprefix(_METRIC): float(tags[name]) for name in tags if name.startswith(_METRIC)},
        verdict=tags.get("verdict", ""),
        tags=tags,
    )


def _time(milliseconds: int | None) -> str:
    return datetime.fromtimestamp((milliseconds or 0) / 1000, UTC).isoformat(timespec="seconds").replace("+00:00", "Z")


def _load_artifact(folder: Path) -> Loaded:
    artifact = open_artifact(folder, "model")
    try:
        module: Any = backbones.family(artifact.read_json("model.json")["family"])
    except ModuleNotFoundError as error:
        raise _missing(error) from error
    predictor = module.Predictor(folder)
    return Loaded(predictor.labels, predictor.inputs, predictor.probabilities)


def _load_registered(uri: str) -> Loaded:
    import mlflow.pyfunc

    try:
        with tempfile.TemporaryDirectory(prefix="graft-model-") as scratch:  # MLflow would leave its download behind
            model = mlflow.pyfunc.load_model(uri, dst_path=scratch)
    except ModuleNotFoundError as error:
        raise _missing(error) from error
    labels, schema = (model.metadata.metadata or {}).get("labels"), model.metadata.get_input_schema()
    if not labels or schema is None:
        raise InputError(f"{uri} was not registered by graft: its metadata does not tell its labels.")
    inputs = [str(name) for name in schema.input_names()]

    def probabilities(rows: Sequence[Sequence[str]]) -> np.ndarray:
        import pandas as pd  # type: ignore[import-untyped]

        found = model.predict(pd.DataFrame([list(row) for row in rows], columns=inputs, dtype=object))
        return np.array(found["probabilities"].tolist(), float).reshape(len(rows), len(labels))

    return Loaded(list(labels), inputs, probabilities)


def _missing(error: ModuleNotFoundError) -> InputError:
    return InputError(f"Prediction needs {error.name}, which is not installed here: pip install 'graft[train]'.")
