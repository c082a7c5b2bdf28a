"""Images: does the registry have them? Asked by the OCI distribution API, which tells it without a download."""

import base64
import json
import os
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import requests  # type: ignore[import-untyped]

from components.shared.errors import InputError
from pipelines.checks.address import TIMEOUT
from pipelines.checks.finding import Finding, failed, passed, warning

_DOCKER_HUB, _DOCKER_HUB_API = "docker.io", "registry-1.docker.io"
_DOCKER_HUB_KEY = "index.docker.io"  # as `docker login` writes it
_LOOPBACK = re.compile(r"^(localhost|127\.[\d.]+)(:\d+)?$")
_KINDS = ", ".join([
    "application/vnd.oci.image.index.v1+json", "application/vnd.oci.image.manifest.v1+json",
    "application/vnd.docker.distribution.manifest.list.v2+json", "application/vnd.docker.distribution.manifest.v2+json",
])  # fmt: skip

Credentials = tuple[str, str]


@dataclass(frozen=True)
class Reference:
    """The parts of an image's name; `version` is a digest, or a tag."""

    registry: str
    name: str
    version: str

    @property
    def address(self) -> str:
        """Of its manifest. Registries on this machine speak HTTP, as docker has it."""
        host = _DOCKER_HUB_API if self.registry == _DOCKER_HUB else self.registry
        return f"{'http' if _LOOPBACK.match(host) else 'https'}://{host}/v2/{self.name}/manifests/{self.version}"


def parse(image: str) -> Reference:
    """Takes an image's name apart as docker does: without a registry it is Docker Hub's, without a tag `latest`."""
    path, at, digest = image.partition("@")
    first, slash, rest = path.partition("/")
    if not slash or not ("." in first or ":" in first or first == "localhost"):
        first, rest = _DOCKER_HUB, path if slash else f"library/{path}"
    name, colon, tag = rest.partition(":")
    return Reference(first, name, digest if at else tag if colon else "latest")


def check_image(field: str, image: str) -> Iterator[Finding]:
    """Asks the registry for an image.

    Args:
        field: Of the deployment file; the findings' subject.
        image: Its name there.

    Raises:
        InputError: The file with docker's credentials cannot be read.
    """
    reference = parse(image)
    credentials = _credentials(reference.registry)
    digest = "sha256:…"
    try:
        answer = _ask(reference.address, credentials)
    except requests.RequestException:
        yield warning(
            field, f"{reference.registry} does not answer from here. Only the cluster can tell whether it has {image}."
        )
    else:
        yield _judge(field, image, answer, credentials is not None)
        digest = answer.headers.get("Docker-Content-Digest", digest)
    if "@" not in image:
        yield warning(
            field,
            f"{image} has no digest: what a tag names can change from one step to the next. Name it {image}@{digest}.",
        )


def _judge(field: str, image: str, answer: requests.Response, has_credentials: bool) -> Finding:
    status, config = answer.status_code, _config_file()
    if answer.ok:
        return passed(field, f"{image} is there")
    if status == 404:
        return failed(field, f"The registry has no {image}. Push it (make images PUSH=…), or mend images in the file.")
    if status in (401, 403) and has_credentials:
        return failed(field, f"The registry refuses the credentials in {config} for {image} ({status}). Log in again.")
    if status in (401, 403):
        return warning(
            field,
            f"{image} is not for everybody, and {config} has no credentials for it. Log in with docker or podman to "
            "have it looked for; the cluster needs images.pull_secrets.",
        )
    return warning(field, f"The registry failed on {image} (HTTP {status}). Try again later.")


def _ask(address: str, credentials: Credentials | None) -> requests.Response:
    """Asks for a manifest; answers a challenge as the distribution specification has it (a token, or a password)."""
    headers = {"Accept": _KINDS}
    answer = requests.head(address, headers=headers, timeout=TIMEOUT, allow_redirects=True)
    scheme, _, rest = answer.headers.get("WWW-Authenticate", "").partition(" ")
    if answer.status_code != 401 or not scheme:
        return answer
    if scheme.lower() == "basic":
        if credentials is None:
            return answer
        return requests.head(address, headers=headers, auth=credentials, timeout=TIMEOUT, allow_redirects=True)
    fields = dict(re.findall(r'(\w+)="([^"]*)"', rest))
    asked = {name: fields[name] for name in ("service", "scope") if name in fields}
    told = requests.get(fields.get("realm", ""), params=asked, auth=credentials, timeout=TIMEOUT)
    if not told.ok:
        return told
    content = told.json()
    headers["Authorization"] = f"Bearer {content.get('token') or content.get('access_token')}"
    return requests.head(address, headers=headers, timeout=TIMEOUT, allow_redirects=True)


def _credentials(registry: str) -> Credentials | None:
    """Returns user and password of a registry, from where `docker login` puts them."""
    file = _config_file()
    try:
        known = json.loads(file.read_text("utf-8")).get("auths", {}) if file.exists() else {}
        wanted = _DOCKER_HUB_KEY if registry == _DOCKER_HUB else registry
        entry: dict[str, str] = next((value for key, value in known.items() if _host(key) == wanted), {})
        user, colon, password = base64.b64decode(entry.get("auth", "")).decode().partition(":")
    except (OSError, ValueError, AttributeError) as error:  # JSON and base64 tell their errors as ValueError
        raise InputError(f"{file} cannot be read ({type(error).__name__}). Log in to the registry again.") from error
    return (user, password) if colon else None


def _host(key: str) -> str:
    return key.partition("://")[2].partition("/")[0] if "://" in key else key.partition("/")[0]


def _config_file() -> Path:
    return Path(os.environ.get("DOCKER_CONFIG", Path.home() / ".docker")) / "config.json"
