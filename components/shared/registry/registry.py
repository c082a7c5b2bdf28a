"""The MLflow registry as people look at it: which models there are, their versions, and the files of one.

A version is named as in `models:/NAME@alias`: "NAME" (its champion, else its challenger), "NAME@alias", "NAME/3".
"""

import re
import shutil
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

from yaml import YAMLError

from components.shared.artifacts.copies import copy_files
from components.shared.errors import InputError, did_you_mean, quote_all
from components.shared.registry import tracking
from components.shared.storage.patience import patiently

if TYPE_CHECKING:
    from mlflow import MlflowClient
    from mlflow.entities.model_registry import ModelVersion, RegisteredModel

CHAMPION, CHALLENGER, PREVIOUS = "champion", "challenger", "previous"
INVENTORY = "inventory"  # in a run's artifacts: what its data were
_METRIC = "test_"  # what the tags of metrics begin with
_NO_METRIC = ("test_examples", "_low", "_high")  # ends of tags that are no metrics
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
    """A registered model: how many versions it has, which of them each alias names.

    `metrics`, `verdict` and `task` are those of its champion; while there is none, of its latest version.
    """

    name: str
    versions: int
    aliases: dict[str, str]
    metrics: dict[str, float]
    verdict: str
    updated: str
    task: str = ""


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
        return _versions(client, find_model(client, name))


def holder(name: str, alias: str) -> Version | None:
    """Returns the version that an alias names; None where there is no such model or alias, or that version is gone."""
    from mlflow.exceptions import MlflowException

    client = tracking.client()
    with tracking.explained(f"looking for the {alias} of {name!r}"):
        try:
            entry = client.get_registered_model(name)
        except MlflowException as error:
            if error.error_code != "RESOURCE_DOES_NOT_EXIST":
                raise
            return None
        number = str(entry.aliases.get(alias, ""))
        return next((found for found in _versions(client, entry) if found.version == number), None)


def download(model: str, folder: Path, patterns: Sequence[str]) -> Path:
    """Copies files of a version's model artifact (`config.json`, `model.json`, …) into a folder.

    Args:
        model: The version: "models:/NAME@alias", "models:/NAME/3" or "models:/NAME".
        folder: Where to; it is made where it is not there.
        patterns: Of the names that are wanted (`fnmatch`): a light step needs no weights.

    Returns:
        The folder.

    Raises:
        InputError: There is no such model, alias or version, it was not registered by graft, or its files were changed
            since.
        ServiceError: The registry or its artifact store did not answer.
    """
    uri = resolve(model)
    tracking.prepare()
    with tracking.explained(f"downloading {uri}"):
        digest = _digest(uri)
        patiently(lambda: _copy_version(uri, digest, folder, patterns), "MLflow, or its artifact store,")
    return folder


def download_inventory(version: Version, folder: Path) -> Path | None:
    """Copies what the run of a version tells of its data (the files of its snapshot's `notes/inventory`) into a folder.

    Returns:
        The folder; None where the run holds none, or is gone: an older graft, or somebody else, registered the version.

    Raises:
        ServiceError: MLflow or its artifact store did not answer.
    """
    from mlflow.exceptions import MlflowException

    client = tracking.client()
    with tracking.explained(f"downloading the inventory of models:/{version.model}/{version.version}"):
        try:
            listed = client.list_artifacts(version.run_id, INVENTORY) if version.run_id else []
        except MlflowException as error:
            if error.error_code != "RESOURCE_DOES_NOT_EXIST":
                raise
            return None
        with tempfile.TemporaryDirectory(prefix="graft-inventory-") as scratch:
            for entry in listed:
                found = Path(client.download_artifacts(version.run_id, entry.path, scratch))
                folder.mkdir(parents=True, exist_ok=True)
                shutil.move(found, folder / found.name)
    return folder if listed else None


def resolve(model: str) -> str:
    """Returns the address (`models:/NAME/3`) of a version named "NAME", "NAME@alias" or "NAME/3".

    Raises:
        InputError: There is no such model, alias or version.
    """
    name, sign, which = _parse(model)
    client = tracking.client()
    with tracking.explained(f"looking for {model!r}"):
        entry = find_model(client, name)
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


def find_model(client: "MlflowClient", name: str) -> "RegisteredModel":
    """Returns a registered model.

    Raises:
        InputError: There is none of that name.
    """
    from mlflow.exceptions import MlflowException

    try:
        return client.get_registered_model(name)
    except MlflowException as error:
        if error.error_code != "RESOURCE_DOES_NOT_EXIST":
            raise
        names = [entry.name for entry in _all_models(client)]
        listed = f"there are {quote_all(names)}" if names else "it has none yet (graft run JOB makes one)"
        raise InputError(f"The registry has no model {name!r}; {listed}.{did_you_mean(name, names)}") from error


def find_version(client: "MlflowClient", name: str, version: str) -> "ModelVersion":
    """Returns a version of a registered model.

    Raises:
        InputError: There is no such model, or no such version of it.
    """
    from mlflow.exceptions import MlflowException

    try:
        return client.get_model_version(name, version)
    except MlflowException as error:
        if error.error_code not in ("RESOURCE_DOES_NOT_EXIST", "INVALID_PARAMETER_VALUE"):
            raise
        find_model(client, name)
        numbers = quote_all(str(entry.version) for entry in versions_of(client, name))
        raise InputError(f"{name!r} has no version {version!r}; it has {numbers or 'none'}.") from error


def versions_of(client: "MlflowClient", name: str) -> "list[ModelVersion]":
    """Returns all versions of a registered model, the newest first."""
    return sorted(all_versions(client, f"name='{name}'"), key=lambda entry: int(entry.version), reverse=True)


def all_versions(client: "MlflowClient", criterion: str = "") -> "list[ModelVersion]":
    """Returns the versions of all registered models."""
    found: list[ModelVersion] = []
    token = None
    while token is None or token:
        page = client.search_model_versions(criterion, max_results=1000, page_token=token)
        found += page
        token = page.token or ""
    return found


def _copy_version(uri: str, digest: str, folder: Path, patterns: Sequence[str]) -> None:
    """Copies the files of a version's model artifact that fit a pattern (`fnmatch`) into a folder.

    Whoever can write to the artifact store can change a model's files, and its manifest with them, but not what the
    registry's database tells: so the manifest must have the digest that is told there, and each file must be its.

    Args:
        uri: The version ("models:/NAME/3").
        digest: Of its model, as the registry's database tells it (the tag `model_digest`).
        folder: Where to.
        patterns: Of the names that are wanted.

    Raises:
        InputError: It was not registered by graft, or its files are not those that were registered.
    """
    from mlflow.artifacts import download_artifacts
    from mlflow.models import Model

    with tempfile.TemporaryDirectory(prefix="graft-model-") as scratch:
        # The MLmodel file tells where among the version's files the artifact lies: that is MLflow's choice.
        try:
            flavors = Model.load(download_artifacts(f"{uri}/MLmodel", dst_path=scratch)).flavors
            place = flavors["python_function"]["artifacts"]["model"]["path"]
        except (KeyError, TypeError, AttributeError, YAMLError):
            raise _foreign(uri) from None

        def bring(wanted: Sequence[tuple[str, Path]]) -> None:
            for name, path in wanted:
                found = Path(download_artifacts(f"{uri}/{place}/{name}", dst_path=scratch))
                path.parent.mkdir(parents=True, exist_ok=True)
                shutil.move(found, path)

        try:
            copy_files(bring, folder, "model", digest, patterns)
        except InputError as error:
            raise InputError(
                f"{uri} is not what was registered: its files in the artifact store were changed or damaged since. "
                f"{error} Do not use it; train and register it again, or go back to another version "
                "(graft models rollback)."
            ) from None


def _foreign(uri: str) -> InputError:
    return InputError(f"{uri} was not registered by graft: its files are not laid out as graft does it.")


def _digest(uri: str) -> str:
    """Returns the digest of a version's model as the database tells it: the artifact store may have been changed."""
    name, _, number = uri.removeprefix("models:/").rpartition("/")
    digest = tracking.client().get_model_version(name, number).tags.get("model_digest")
    if not digest:
        raise InputError(
            f"{uri} was not registered by graft: it has no tag model_digest, so nobody can tell whether its files are "
            "those that were trained. Name another version."
        )
    return str(digest)


def _parse(model: str) -> tuple[str, str, str]:
    name, sign, which = (*re.split(r"([@/])", model.removeprefix("models:/"), maxsplit=1), "", "")[:3]
    check_name(name)
    if sign and not which:
        raise InputError(f"{model!r} ends with {sign!r}; {name}@{CHAMPION} or {name}/1 was expected.")
    return name, sign, which


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
    told = next((version for version in versions if CHAMPION in version.aliases), versions[0] if versions else None)
    return Summary(
        name=entry.name,
        versions=len(versions),
        aliases={alias: str(number) for alias, number in entry.aliases.items()},
        metrics=told.metrics if told else {},
        verdict=told.verdict if told else "",
        updated=_time(entry.last_updated_timestamp),
        task=told.tags.get("task", "") if told else "",
    )


def _versions(client: "MlflowClient", entry: "RegisteredModel") -> list[Version]:
    """The aliases are read from the model: a search does not always tell those of a version."""
    aliases: dict[str, list[str]] = {}
    for alias, number in entry.aliases.items():
        aliases.setdefault(str(number), []).append(alias)
    return [_version(item, sorted(aliases.get(str(item.version), []))) for item in versions_of(client, entry.name)]


def _version(entry: "ModelVersion", aliases: list[str]) -> Version:
    tags = dict(entry.tags)
    metrics = [name for name in tags if name.startswith(_METRIC) and not name.endswith(_NO_METRIC)]
    return Version(
        model=entry.name,
        version=str(entry.version),
        aliases=aliases,
        created=_time(entry.creation_timestamp),
        run_id=entry.run_id or "",
        metrics={name.removeprefix(_METRIC): float(tags[name]) for name in metrics},
        verdict=tags.get("verdict", ""),
        tags=tags,
    )


def _time(milliseconds: int | None) -> str:
    return datetime.fromtimestamp((milliseconds or 0) / 1000, UTC).isoformat(timespec="seconds").replace("+00:00", "Z")
