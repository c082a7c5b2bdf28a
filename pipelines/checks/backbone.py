"""The job's backbone: is it where the name leads to? Its weights are not downloaded."""

from collections.abc import Iterator
from pathlib import Path

from components.shared.backbones import RANDOM, REGISTRY, TIMM, fetch, timm_names
from components.shared.errors import InputError, did_you_mean
from components.shared.storage.storage import is_s3, list_files
from pipelines.checks import hub, store
from pipelines.checks.address import inside, is_hidden
from pipelines.checks.data import elsewhere
from pipelines.checks.finding import Finding, passed
from pipelines.checks.mlflow import hidden_server, reached_registry


def check_backbone(backbone: str, endpoint: str, here: bool) -> Iterator[Finding]:
    """Resolves a backbone.

    Args:
        backbone: As in a job.
        endpoint: Of S3.
        here: Whether the run is on this machine.

    Raises:
        InputError: There is no such backbone, or it lacks a file.
        ServiceError: The hub, the store or the registry did not answer.
    """
    weights, name = not backbone.startswith(RANDOM), backbone.removeprefix(RANDOM)
    is_path = Path(name).expanduser().is_dir() or name.startswith((".", "/", "~"))
    if is_s3(name):
        yield _in_store(backbone, name, endpoint, weights)
    elif name.startswith(REGISTRY):
        yield _in_registry(backbone, name)
    elif is_path and not here:
        yield elsewhere("backbone", name)
    elif is_path:
        fetch(backbone, Path())  # a folder stays where it is
        yield passed("backbone", f"{backbone} is complete")
    elif name.startswith(TIMM):
        yield _of_timm(backbone, name, weights, here)
    else:
        yield hub.look_at_backbone(backbone, name, weights, here)


def _in_store(backbone: str, uri: str, endpoint: str, weights: bool) -> Finding:
    if is_hidden(endpoint):
        return inside("backbone", endpoint)
    store.reach_store(endpoint)
    files = {file.name: file.uri for file in list_files(uri)}
    if "config.json" not in files:
        raise InputError(f"{uri} is no backbone: there is no config.json. Give the prefix that holds its files.")
    if weights and not any("/" not in name and name.endswith(".safetensors") for name in files):
        raise InputError(f"{uri} has no safetensors. Convert the backbone with save_pretrained(), and copy it again.")
    store.read_byte(files["config.json"])
    return passed("backbone", f"{backbone} has config.json" + (" and safetensors" if weights else ""))


def _in_registry(backbone: str, name: str) -> Finding:
    if hidden := hidden_server("backbone"):
        return hidden
    with reached_registry():
        from components.shared.registry import registry

        version = registry.resolve(name)
    return passed("backbone", f"{backbone} is {version}" if version != name else f"{backbone} is in the registry")


def _of_timm(backbone: str, name: str, weights: bool, here: bool) -> Finding:
    architecture, dot, _ = name.removeprefix(TIMM).partition(".")
    known = timm_names()
    if architecture not in known:
        raise InputError(f"timm has no architecture {architecture!r}.{did_you_mean(architecture, known)}")
    if not weights:
        return passed("backbone", f"{backbone} is one of timm's architectures")
    repository = name if dot else known[architecture]
    if repository is None:
        raise InputError(f"timm has no weights for {architecture!r}. Train it from scratch as {RANDOM}{name}.")
    return hub.look_at_backbone(backbone, repository, weights, here)
