"""Looks for known faults among the packages of the lock, without a network: `make audit`.

    python images/audit.py [--advisories PATH …] [--lock requirements.lock]

Advisories are files of the OSV format (https://ossf.github.io/osv-schema): one record or a list in a JSON file, a
folder of such files, or a zip of them, as osv.dev exports all of PyPI's (all.zip: bring that file to where this runs).
Without any, `advisories.json` beside this file is asked: the few that touch what `SECURITY.md` promises, as of its
date. It cannot tell what was found since; a database can. Exit code 1: something was found.
"""

import argparse
import json
import re
import sys
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from packaging.version import InvalidVersion, Version

HERE = Path(__file__).parent
LOCK, ADVISORIES = HERE.parent / "requirements.lock", HERE / "advisories.json"

_PINNED = re.compile(r"(?m)^([A-Za-z0-9][\w.-]*)(?:\[[^]]*\])?==([^\s;\\]+)")


def main(arguments: list[str] | None = None) -> int:
    """Tells each fault in a line; returns the exit code."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--advisories", type=Path, nargs="+", default=[ADVISORIES], help="files, folders or zips")
    parser.add_argument("--lock", type=Path, default=LOCK, help="what is installed, by name==version")
    given = parser.parse_args(arguments)
    packages = pinned(given.lock.read_text("utf-8"))
    count, found = 0, []
    for record in (record for path in given.advisories for record in records(path)):
        count += 1
        found += faults(record, packages)
    for line in sorted(found):
        print(line)
    print(f"{len(packages)} packages, {count} advisories, {len(found)} of them hold here")
    return int(bool(found))


def pinned(lock: str) -> dict[str, set[Version]]:
    """Returns the versions of each package in a lock; one may have several, for several Pythons."""
    found: dict[str, set[Version]] = {}
    for name, version in _PINNED.findall(lock):
        found.setdefault(_normal(name), set()).add(Version(version))
    return found


def records(path: Path) -> Iterator[dict[str, Any]]:
    """Yields the records of a file, a folder or a zip; those that were withdrawn are left out."""
    if path.is_dir():
        contents = [file.read_bytes() for file in sorted(path.rglob("*.json"))]
    elif zipfile.is_zipfile(path):
        with zipfile.ZipFile(path) as archive:
            contents = [archive.read(name) for name in sorted(archive.namelist()) if name.endswith(".json")]
    else:
        contents = [path.read_bytes()]
    for content in contents:
        told = json.loads(content)
        yield from (record for record in (told if isinstance(told, list) else [told]) if not record.get("withdrawn"))


def faults(record: dict[str, Any], packages: dict[str, set[Version]]) -> Iterator[str]:
    """Yields a line for each version in the lock that an advisory is about."""
    for affected in record.get("affected", ()):
        package = affected.get("package", {})
        if package.get("ecosystem") != "PyPI":
            continue
        for version in sorted(packages.get(_normal(package["name"]), ())):
            if is_affected(version, affected):
                yield f"{package['name']} {version}: {record['id']} {record.get('summary', '')}".rstrip()


def is_affected(version: Version, affected: dict[str, Any]) -> bool:
    """Tells whether a version is in a list, or a range, of an advisory (OSV 1.7, "evaluation")."""
    if any(_version(told) == version for told in affected.get("versions", ())):
        return True
    ranges = [told for told in affected.get("ranges", ()) if told["type"] == "ECOSYSTEM"]
    return any(_is_within(version, told["events"]) for told in ranges)


def _is_within(version: Version, events: list[dict[str, str]]) -> bool:
    inside = False
    told = [(_version(place), kind) for event in events for kind, place in event.items() if kind != "limit"]
    for place, kind in sorted(told, key=lambda pair: pair[0]):
        if kind == "introduced":
            inside = inside or version >= place
        elif (kind == "fixed" and version >= place) or (kind == "last_affected" and version > place):
            inside = False
    return inside


def _version(told: str) -> Version:
    try:
        return Version("0.dev0" if told == "0" else told)
    except InvalidVersion:  # of a time before PEP 440
        return Version("0.dev0")


def _normal(name: str) -> str:
    return re.sub(r"[-_.]+", "-", name).lower()


if __name__ == "__main__":
    sys.exit(main())
