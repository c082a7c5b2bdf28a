"""What an image holds, as a CycloneDX bill of materials: Python's packages and Debian's, each with version and licence.

    python images/sbom.py [light|trainer …]     writes sbom/NAME.cdx.json for each, asked of the image itself
    python images/sbom.py --here                prints that of this environment

It needs nothing but Python: within an image it is given to Python on its input. The same image gives the same bytes.
Scanners read such files (grype, trivy, osv-scanner, Dependency-Track) and tell which packages have known faults; they
need a database, hence a network, which a build may not have.
"""

import argparse
import importlib.metadata
import json
import os
import re
import subprocess
import sys
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import Any

DPKG = Path("/var/lib/dpkg/status")
SYSTEM = Path("/etc/os-release")


def main() -> None:
    """Writes what the command line asks for."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("images", nargs="*", default=["light", "trainer"], help="which ones: light, trainer")
    parser.add_argument("--here", action="store_true", help="print that of this environment")
    given = parser.parse_args()
    if given.here:
        print(json.dumps(bill_of(os.environ.get("SBOM_NAME", "this environment")), indent=1, sort_keys=True))
        return
    from build import ROOT, find_engine, tag

    engine, script = find_engine(), Path(__file__).read_bytes()
    (ROOT / "sbom").mkdir(exist_ok=True)
    for name in given.images:
        command = [engine, "run", "--rm", "--interactive", "--network=none", f"--env=SBOM_NAME={tag(name)}", tag(name)]
        done = subprocess.run([*command, "python", "-", "--here"], input=script, stdout=subprocess.PIPE)
        if done.returncode:
            sys.exit(f"images/sbom.py: {tag(name)} cannot be asked what it holds; build it first (make images).")
        file = ROOT / "sbom" / f"{name}.cdx.json"
        file.write_bytes(done.stdout)
        print(f"{file.relative_to(ROOT)}  {len(json.loads(done.stdout)['components'])} packages")


def bill_of(name: str) -> dict[str, Any]:
    """Returns the bill of materials of the environment that this Python runs in (CycloneDX 1.6)."""
    components = sorted([*python_packages(), *debian_packages()], key=lambda found: str(found["purl"]))
    told = {"type": "container", "name": name, "version": os.environ.get("GRAFT_GIT_COMMIT", "") or "0"}
    number = uuid.uuid5(uuid.NAMESPACE_URL, json.dumps([told, components], sort_keys=True))
    return {
        "bomFormat": "CycloneDX",
        "specVersion": "1.6",
        "version": 1,
        "serialNumber": f"urn:uuid:{number}",
        "metadata": {"component": told},
        "components": components,
    }


def python_packages() -> Iterator[dict[str, Any]]:
    """Yields the distributions that Python finds, each once."""
    seen = set()
    for found in importlib.metadata.distributions():
        name = re.sub(r"[-_.]+", "-", found.metadata["Name"] or "").lower()
        if name and name not in seen:
            seen.add(name)
            yield _component(f"pkg:pypi/{name}@{found.version}", name, found.version, licence_of(found.metadata))


def licence_of(metadata: Any) -> str:
    """Returns what a distribution says of its licence: an expression, classifiers, or a short text; "" for nothing."""
    if told := metadata.get("License-Expression"):
        return str(told)
    classifiers = [
        line.rpartition("::")[2].strip() for line in metadata.get_all("Classifier") or [] if "License" in line
    ]
    text = str(metadata.get("License") or "").strip()
    return " AND ".join(classifiers) or (text if text and len(text) < 100 and "\n" not in text else "")


def debian_packages() -> Iterator[dict[str, Any]]:
    """Yields the packages of the base image, where it is Debian or of its kind."""
    if not DPKG.exists():
        return
    found = re.search(r"^ID=\"?([\w.-]+)", SYSTEM.read_text("utf-8"), re.MULTILINE) if SYSTEM.exists() else None
    system = found[1] if found else "debian"
    for block in DPKG.read_text("utf-8", "replace").split("\n\n"):
        fields = dict(re.findall(r"^(Package|Version|Architecture|Status): (.*)$", block, re.MULTILINE))
        if fields.get("Status", "").endswith(" installed"):
            name, version = fields["Package"], fields["Version"]
            yield _component(f"pkg:deb/{system}/{name}@{version}?arch={fields['Architecture']}", name, version, "")


def _component(purl: str, name: str, version: str, licence: str) -> dict[str, Any]:
    made: dict[str, Any] = {"type": "library", "bom-ref": purl, "purl": purl, "name": name, "version": version}
    return {**made, "licenses": [{"license": {"name": licence}}]} if licence else made


if __name__ == "__main__":
    main()
