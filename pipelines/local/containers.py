"""The docker runner: each step in a container of its own image, as it will be on a cluster.

A step gets what a pod would give it: a read-only root file system, no capabilities, credentials and endpoints as
environment. What is here and a step needs is mounted at its own path: the run's folder, the data and the backbone
(read-only), the folder of an MLflow SQLite file, the cache of the Hugging Face hub.
"""

import codecs
import contextlib
import os
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from components.shared.artifacts.cache import CACHE
from components.shared.artifacts.checkpoints import CHECKPOINTS
from components.shared.artifacts.producer import IMAGE
from components.shared.artifacts.resume import RESUME, STEPS
from components.shared.backbones import RANDOM
from components.shared.errors import InputError, ServiceError
from components.shared.images import LIGHT, TRAINER

if TYPE_CHECKING:
    from docker import DockerClient  # type: ignore[import-untyped]
    from docker.models.containers import Container  # type: ignore[import-untyped]
    from kfp import local

_PREFIXES = ("AWS_", "HF_", "MLFLOW_", "OMP_")
_NAMES = {
    "CUDA_VISIBLE_DEVICES", "TMPDIR", "TOKENIZERS_PARALLELISM", "SSL_CERT_FILE", "REQUESTS_CA_BUNDLE",
    "GRAFT_ACTOR", "GRAFT_NOTIFY_URL", "GRAFT_PIPELINE_RUN", "GRAFT_MODEL", "GRAFT_PATIENCE", CACHE, STEPS, RESUME,
    CHECKPOINTS,
    "HTTP_PROXY", "HTTPS_PROXY", "NO_PROXY", "http_proxy", "https_proxy", "no_proxy",
}  # fmt: skip
_WRITTEN = {
    "HF_HOME",
    "HF_HUB_CACHE",
    "HF_DATASETS_CACHE",
    "HF_ASSETS_CACHE",
    "HF_XET_CACHE",
    "TMPDIR",
    STEPS,
    CHECKPOINTS,
}
_AWS_FILES = {"AWS_SHARED_CREDENTIALS_FILE": "~/.aws/credentials", "AWS_CONFIG_FILE": "~/.aws/config"}
_SQLITE = "sqlite:///"
_PATIENCE = 20  # seconds until an interrupted step is killed


def check() -> None:
    """Makes sure that steps can run in containers here.

    Raises:
        InputError: An image was not built.
        ServiceError: No container engine answers.
    """
    from docker.errors import ImageNotFound  # type: ignore[import-untyped]

    with _engine() as client:
        for image in (LIGHT, TRAINER):
            try:
                client.images.get(image)
            except ImageNotFound as error:
                raise InputError(
                    f"There is no image {image} here. Build the images of the steps: make images"
                ) from error


def expand(arguments: Mapping[str, Any]) -> dict[str, Any]:
    """Returns a pipeline's arguments with "~" written out: within a container it is another's."""
    paths = {name: _local_path(arguments[name]) for name in ("source", "backbone")}
    return {
        name: value.replace("~", str(Path.home()), 1) if paths.get(name, "").startswith("~") else value
        for name, value in arguments.items()
    }


def runner(arguments: Mapping[str, Any]) -> "local.DockerRunner":
    """Returns kfp's runner of containers for a pipeline's arguments.

    Raises:
        ServiceError: No container engine answers.
    """
    from docker.types import Mount  # type: ignore[import-untyped]
    from kfp import local
    from kfp.local import docker_task_handler

    docker_task_handler.run_docker_container = run_container
    given = environment()
    with _engine() as client:
        options = identity(client.info())
    return local.DockerRunner(
        environment=given,
        mounts=[Mount(str(path), str(path), "bind", read_only=not writable)
                for path, writable in mounts(arguments, given).items()],
        network_mode="host",  # a service on this machine's loopback is reached, as by a subprocess
        working_dir=str(Path.cwd()),  # where relative paths start
        read_only=True,
        tmpfs={"/tmp": "exec,mode=1777"},
        cap_drop=["ALL"],
        security_opt=["no-new-privileges"],
        shm_size="1g",  # processes that share tensors; the default is 64 MB
        **options,
    )  # fmt: skip


def environment() -> dict[str, str]:
    """Returns the variables that reach the steps: of AWS, the hub and MLflow, proxies, temporary files, the webhook."""
    given = {name: value for name, value in os.environ.items() if name in _NAMES or name.startswith(_PREFIXES)}
    given.setdefault("HF_HOME", str(Path(os.environ.get("XDG_CACHE_HOME") or "~/.cache").expanduser() / "huggingface"))
    for name, path in _AWS_FILES.items():
        if name not in given and Path(path).expanduser().is_file():
            given[name] = str(Path(path).expanduser())
    return given


def mounts(arguments: Mapping[str, Any], given: Mapping[str, str]) -> dict[Path, bool]:
    """Returns the paths of this machine that steps need, besides the run's folder; whether they may write there.

    Args:
        arguments: Of the pipeline: its source and backbone may be paths.
        given: The steps' environment: certificates, credentials and caches may be paths.
    """
    named = [_local_path(arguments[name]) for name in ("source", "backbone")]
    readable = [path for text in named if text and (path := Path(text).absolute()).exists()]
    named_there = {name: Path(value) for name, value in given.items() if value.startswith("/")}
    readable += [path for path in named_there.values() if path.exists()]
    writable = [path for name, path in named_there.items() if name in _WRITTEN]
    if place := _local_path(arguments.get("checkpoint_uri", "")):
        writable.append(Path(place).absolute())
    if given.get(RESUME):
        readable.append(Path(given[RESUME]).parents[1])  # what its entries tell of lies there
    if given.get(CACHE):
        readable.append(Path(given[CACHE]).parent / "runs")  # what it tells of lies there
        writable.append(Path(given[CACHE]))
    if (uri := given.get("MLFLOW_TRACKING_URI", "")).startswith(_SQLITE):
        writable.append(Path(uri.removeprefix(_SQLITE).partition("?")[0]).absolute().parent)
    for path in writable:
        if not path.exists():
            path.mkdir(parents=True)
    return {**dict.fromkeys(readable, False), **dict.fromkeys(writable, True)}


def run_container(client: "DockerClient", image: str, command: list[str], volumes: Any, **options: Any) -> int:
    """Runs a container, prints what it prints, and returns its exit code. It is gone afterwards, however it ended.

    It stands in for kfp 2.17's function, which takes a container that is gone already for one that succeeded, breaks
    where a chunk of the log ends within a character, and leaves the container running after Ctrl-C.
    """
    from docker.errors import APIError

    options["environment"] = {**(options.get("environment") or {}), IMAGE: client.images.get(image).id}
    try:
        container = client.containers.run(image, command, volumes=volumes, detach=True, **options)
    except APIError as error:
        print(f"graft: failure: The container engine did not start {image}: {error.explanation}")
        return ServiceError.exit_code
    try:
        decoder = codecs.getincrementaldecoder("utf-8")("replace")
        for chunk in container.logs(stream=True):
            print(decoder.decode(chunk), end="")
        return int(container.wait()["StatusCode"])
    except KeyboardInterrupt:
        _interrupt(container)
        raise
    finally:
        container.remove(force=True)


def _interrupt(container: "Container") -> None:
    """Ends the step as Ctrl-C would: it removes what it has half-written. The shell around it takes no signal."""
    from requests import RequestException  # type: ignore[import-untyped]

    container.exec_run(["sh", "-c", "kill -INT -1"])
    with contextlib.suppress(RequestException):
        container.wait(timeout=_PATIENCE)


def identity(engine: Mapping[str, Any]) -> dict[str, Any]:
    """Returns who a step is: the user, so that the files are theirs; with the GPUs, where the engine can give them."""
    from docker.types import DeviceRequest

    # Without root, an engine's root is the user.
    rootless = any("rootless" in option for option in engine.get("SecurityOptions") or [])
    options: dict[str, Any] = {"user": "0:0"}
    if not rootless:
        options = {"user": f"{os.getuid()}:{os.getgid()}", "group_add": os.getgroups()}
    if "nvidia" in (engine.get("Runtimes") or {}):
        options["device_requests"] = [DeviceRequest(count=-1, capabilities=[["gpu"]])]
    return options


@contextlib.contextmanager
def _engine() -> Iterator["DockerClient"]:
    import docker
    from docker.errors import DockerException

    try:
        client = docker.from_env()
        client.ping()
    except DockerException as error:
        raise ServiceError(
            f"No container engine answers at {os.environ.get('DOCKER_HOST') or 'its usual socket'} ({error}). Start "
            "docker, or set DOCKER_HOST (podman: `podman system service`); --runner subprocess needs none."
        ) from error
    with contextlib.closing(client):
        yield client


def _local_path(address: str) -> str:
    """Returns the path in the address of data or of a backbone; "" where it is one of a store, hub or registry."""
    path = address.removeprefix(RANDOM)
    return "" if ":/" in path else path
