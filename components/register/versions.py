"""Versions in the registry: one for each model, told by the tag `model_digest`."""

from collections.abc import Mapping
from typing import TYPE_CHECKING

from components.shared.registry.registry import versions_of

if TYPE_CHECKING:
    from mlflow import MlflowClient

_MAKER = {"pipeline_run", "run_id", "git_commit", "graft_version"}
_DECISION = {"decision", "reasons", "compared_with"}


def ensure_version(
    client: "MlflowClient", name: str, source: str, tags: Mapping[str, str], description: str
) -> tuple[str, bool]:
    """Returns the number of a model's version, and whether it was made now; an older one gets these tags.

    Of an older one, what made it stays; and so does what was decided about it, where it is the champion and was
    compared with itself: then another run trained the same model at the same time, or once more.

    Args:
        client: Of the registry.
        name: The model's name in the registry; it is made where there is none.
        source: Where the logged model lies.
        tags: Of the version; `model_digest` tells which model it is, `run_id` the run that it was logged to. Where the
            value is "" the version gets no such tag, and loses the one that it had.
        description: What people read about it.
    """
    _ensure_model(client, name)
    given = {key: value for key, value in tags.items() if value}
    found = first_of(client, name, tags["model_digest"])
    if found is None:
        # The tags go with it, so that a version without them is never seen.
        made = client.create_model_version(name, source, tags["run_id"], tags=given, description=description)
        number = str(made.version)
        found = first_of(client, name, tags["model_digest"]) or number
        if found == number:
            return number, True
        client.delete_model_version(name, number)  # another process was faster, or the request was sent twice
    older = client.get_model_version(name, found).tags
    kept = {key for key in _MAKER if key in older} | (_DECISION if tags.get("compared_with") == found else set())
    for key in given.keys() - kept:
        client.set_model_version_tag(name, found, key, given[key])
    for key in older.keys() & tags.keys() - given.keys() - kept:
        client.delete_model_version_tag(name, found, key)
    if not kept & _DECISION:
        client.update_model_version(name, found, description)
    return found, False


def _ensure_model(client: "MlflowClient", name: str) -> None:
    from mlflow.exceptions import MlflowException

    try:
        client.create_registered_model(name)
    except MlflowException as error:
        if error.error_code != "RESOURCE_ALREADY_EXISTS":
            raise


def first_of(client: "MlflowClient", name: str, digest: str) -> str | None:
    """Returns the number of the oldest version of a model with a digest; None where there is none."""
    numbers = [int(entry.version) for entry in versions_of(client, name) if entry.tags.get("model_digest") == digest]
    return str(min(numbers)) if numbers else None
