"""Builds the images of the steps with docker or podman; on request pushes them and writes their digests down.

    python images/build.py [light|trainer …] [--push registry.example.com/team] [--deployment FILE] [--test]

Environment: BASE is the image to start from (tag and digest), ENGINE the engine. PIP_INDEX_URL and its like reach the
build through the environment, never through a command line, and are in no layer that an image holds.
"""

import argparse
import json
import os
import re
import shutil
import subprocess
import sys
import time
import tomllib
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
BASE = "python:3.11-slim-bookworm"
IMAGES = {
    "light": {
        "EXTRAS": "",
        # MLflow asks for these to log models of theirs, and for its own pages: no light step has a use for them.
        "WITHOUT": "scikit-learn scipy matplotlib skops",
        "TESTS": "tests/components/ingest tests/components/notify tests/components/promote "
        "tests/components/shared/artifacts/test_artifact.py tests/components/shared/process/test_step.py "
        "tests/components/shared/storage/test_storage.py",
    },
    "trainer": {
        "EXTRAS": "train",
        "WITHOUT": "",
        "TESTS": "tests/components/transform tests/components/finetune/test_finetune.py tests/components/evaluate "
        "tests/components/register/test_register.py",
    },
}
"""What tells the images apart: extras of pyproject.toml, what is left out of what packages ask for, tests of its steps.

What makes a backbone or a model for a test needs torch: the light image's transform and register are tested by whole
runs (tests/containers).
"""

AS_ON_A_CLUSTER = [
    "--rm", "--network=host", "--read-only", "--cap-drop=ALL", "--security-opt=no-new-privileges", "--tmpfs=/tmp:exec",
]  # fmt: skip
"""How the tests of a step are run in its image."""

FROM_ENVIRONMENT = ("PIP_INDEX_URL", "PIP_EXTRA_INDEX_URL", "PIP_TRUSTED_HOST")


def main() -> None:
    """Builds what the command line asks for."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("images", nargs="*", default=list(IMAGES), help=f"which ones: {', '.join(IMAGES)}")
    parser.add_argument("--push", metavar="REGISTRY", help="push them to this registry and path")
    parser.add_argument("--deployment", type=Path, metavar="FILE", help="write the pushed digests into this file")
    parser.add_argument("--test", action="store_true", help="run the tests of the steps in them, too")
    given = parser.parse_args()
    if unknown := [name for name in given.images if name not in IMAGES]:
        sys.exit(f"images/build.py: there is no image {', '.join(unknown)}; there are {', '.join(IMAGES)}.")
    if given.deployment and not given.push:
        sys.exit(
            "images/build.py: DEPLOYMENT takes the digests of pushed images: set PUSH=registry.example.com/team, too."
        )
    engine = find_engine()
    for name in given.images:
        build(engine, name, "image", tag(name))
        if given.test:
            build(engine, name, "test", f"{tag(name)}-test")
            subprocess.run([engine, "run", *AS_ON_A_CLUSTER, f"{tag(name)}-test"], check=True)
    if given.push:
        pushed = {name: push(engine, name, given.push) for name in given.images}
        write_digests(pushed, given.deployment)


def find_engine() -> str:
    """Returns the container engine's command: docker or podman, or what ENGINE names."""
    found = os.environ.get("ENGINE") or shutil.which("docker") or shutil.which("podman")
    if not found:
        sys.exit("images/build.py: docker or podman was expected on the PATH; there is neither. Install one of them.")
    if (done := subprocess.run([found, "version"], capture_output=True, text=True)).returncode:
        sys.exit(f"images/build.py: {found} does not answer: {done.stderr.strip()}")
    return found


def version() -> str:
    """Returns the project's version."""
    return str(tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]["version"])


def tag(name: str) -> str:
    """Returns an image's name as components/shared/images.py has it."""
    return f"graft/{name}-python:{version()}"


def commit() -> str:
    """Returns the commit that is built, with "-dirty" behind it where files were changed since; "" outside of git."""
    command = ["git", "-C", str(ROOT), "describe", "--always", "--dirty", "--abbrev=40", "--exclude=*"]
    return subprocess.run(command, capture_output=True, text=True).stdout.strip()


def build(engine: str, name: str, stage: str, image: str) -> None:
    """Builds a stage of an image."""
    began = time.monotonic()
    values = {"TITLE": f"graft/{name}-python", "VERSION": version(), "COMMIT": commit(), **IMAGES[name]}
    values["BASE"] = os.environ.get("BASE") or BASE
    if stage != "test":
        del values["TESTS"]
    options = [part for key, value in values.items() for part in ("--build-arg", f"{key}={value}")]
    options += [part for key in FROM_ENVIRONMENT if key in os.environ for part in ("--build-arg", key)]
    recipe = ["--network=host", "--file", "images/Dockerfile", "--target", stage, "--tag", image]
    subprocess.run([engine, "build", *recipe, *options, "."], cwd=ROOT, check=True)
    size = int(inspect(engine, image)["Size"])
    print(f"{image}  {size / 1e9:.2f} GB  built in {time.monotonic() - began:.0f} s", flush=True)


def push(engine: str, name: str, registry: str) -> str:
    """Pushes an image to a registry and path; returns its name there, by digest."""
    target = f"{registry.rstrip('/')}/{name}-python"
    subprocess.run([engine, "tag", tag(name), f"{target}:{version()}"], check=True)
    subprocess.run([engine, "push", f"{target}:{version()}"], check=True)
    digests = inspect(engine, f"{target}:{version()}")["RepoDigests"]
    return next(digest for digest in digests if digest.startswith(f"{target}@"))


def inspect(engine: str, image: str) -> dict:
    """Returns what the engine knows of an image."""
    told = subprocess.run([engine, "image", "inspect", image], check=True, capture_output=True, text=True).stdout
    return json.loads(told)[0]


def write_digests(pushed: dict[str, str], deployment: Path | None) -> None:
    """Tells where images are, and puts them into a deployment file; its other lines and comments stay as they are."""
    for name, image in pushed.items():
        print(f"{name}: {image}")
    if not deployment:
        return
    text = deployment.read_text("utf-8")
    for name, image in pushed.items():
        text = with_image(text, name, image)
    deployment.write_text(text, "utf-8")
    print(f"wrote {deployment}")


def with_image(text: str, name: str, image: str) -> str:
    """Returns a deployment file's text with another image in `images: {name: …}`, in either style of YAML."""
    start = re.search(r"^images:", text, re.MULTILINE)
    if not start:
        sys.exit("images/build.py: the deployment file has no section 'images:'; add 'images: {light: x, trainer: x}'.")
    end = re.compile(r"^\S", re.MULTILINE).search(text, start.end())
    section = text[start.start() : end.start() if end else len(text)]
    changed, count = re.subn(
        rf"((?:^\s+|[{{,]\s*){name}:\s*)[^\s,}}#]*", rf"\g<1>{image}", section, count=1, flags=re.M
    )
    if not count:
        sys.exit(f"images/build.py: 'images:' in the deployment file has no {name!r}; add it, with any value.")
    return text.replace(section, changed, 1)


if __name__ == "__main__":
    main()
