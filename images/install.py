"""Installs what is asked for and all it needs into a virtual environment: by the lock's versions and hashes.

    python install.py /opt/graft "graft[train]" [--without scipy matplotlib]

The lock holds the packages of every extra at once. Which of them one extra needs is told by the packages' own metadata,
so they are installed in rounds: what is asked for, what that needs, and so on. What the lock does not have ends it. It
needs nothing but Python and its pip; and setuptools in the environment, for what comes as sources.
"""

import argparse
import importlib.metadata
import subprocess
import sys
import tempfile
import tomllib
from collections.abc import Iterable, Iterator
from pathlib import Path

from pip._vendor.packaging.requirements import Requirement  # an image has no other copy of it yet
from pip._vendor.packaging.utils import canonicalize_name

LOCK, PROJECT = Path("requirements.lock"), Path("pyproject.toml")


def main() -> None:
    """Installs requirements into a virtual environment."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("environment", help="the virtual environment")
    parser.add_argument("wanted", nargs="+", help="what to install; graft stands for what pyproject.toml asks for")
    parser.add_argument("--without", nargs="*", default=[], help="packages to leave out, though others ask for them")
    given = parser.parse_args()
    install_all(given.environment, given.wanted, {canonicalize_name(name) for name in given.without})


def install_all(environment: str, wanted: Iterable[str], without: set[str]) -> None:
    """Installs requirements, what they need, what that needs, and so on."""
    lock = read_lock(LOCK.read_text("utf-8"))
    pending = set(names_of(map(Requirement, wanted)))
    done = {(name, "") for name in without}
    while pending := pending - done:
        fresh = {name for name, _ in pending} - {name for name, _ in done} - {project()["name"]}
        if missing := fresh - lock.keys():
            sys.exit(f"{LOCK} does not have {', '.join(sorted(missing))}: run make lock.")
        if fresh:
            install(environment, [lock[name] for name in sorted(fresh)])
        done |= pending
        pending = {pair for name, extra in pending for pair in names_of(needs(environment, name, extra))}


def read_lock(text: str) -> dict[str, str]:
    """Returns the lock's lines of each package; there are several entries where versions depend on the platform."""
    entries: dict[str, str] = {}
    name = ""
    for line in text.splitlines():
        if line[:1].isalnum():
            name = canonicalize_name(Requirement(line.rstrip("\\ ")).name)
        if name:
            entries[name] = entries.get(name, "") + line + "\n"
    return entries


def install(environment: str, entries: Iterable[str]) -> None:
    """Installs entries of the lock, without what they need."""
    with tempfile.NamedTemporaryFile("w", suffix=".txt") as file:
        file.writelines(entries)
        file.flush()
        # Some come as sources only (kfp): isolation would fetch what builds them without looking at a hash.
        how = ["--require-hashes", "--no-deps", "--no-build-isolation", "--use-pep517", "--requirement", file.name]
        command = [sys.executable, "-m", "pip", "--python", f"{environment}/bin/python", "install", *how]
        subprocess.run(command, check=True)


def needs(environment: str, name: str, extra: str) -> Iterator[Requirement]:
    """Yields what a package, or one of its extras, needs here."""
    if name == project()["name"]:
        given = project()["optional-dependencies"][extra] if extra else project()["dependencies"]
    else:
        folders = [str(path) for path in Path(environment).glob("lib/python*/site-packages")]
        found = next(iter(importlib.metadata.distributions(name=name, path=folders)), None)
        given = found.requires or [] if found else []  # none: the lock's marker leaves it out here
    for requirement in map(Requirement, given):
        if requirement.marker is None or requirement.marker.evaluate({"extra": extra}):
            yield requirement


def names_of(requirements: Iterable[Requirement]) -> Iterator[tuple[str, str]]:
    """Yields the packages that requirements name, each with "" for itself and with each extra of it."""
    for requirement in requirements:
        for extra in ["", *requirement.extras]:
            yield canonicalize_name(requirement.name), extra


def project() -> dict:
    """Returns the project's own table in pyproject.toml."""
    return tomllib.loads(PROJECT.read_text("utf-8"))["project"]


if __name__ == "__main__":
    main()
