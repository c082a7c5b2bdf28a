"""The bill of materials tells what is installed; the lock, from which images are made, has a hash for each package."""

import importlib.metadata
import json
import re
import subprocess
import sys
from pathlib import Path

import pytest

from images import build, sbom


def test_every_package_of_this_environment_is_told() -> None:
    script = (build.ROOT / "images/sbom.py").read_bytes()  # on its input, as within an image
    command = [sys.executable, "-", "--here"]
    first, second = (subprocess.run(command, input=script, capture_output=True, check=True).stdout for _ in range(2))
    assert first == second
    told = json.loads(first)
    assert (told["bomFormat"], told["specVersion"]) == ("CycloneDX", "1.6")
    assert re.fullmatch(r"urn:uuid:[0-9a-f-]{36}", told["serialNumber"])
    purls = [component["purl"] for component in told["components"]]
    assert len(purls) == len(set(purls))
    for name in ("numpy", "mlflow", "torch"):
        assert f"pkg:pypi/{name}@{importlib.metadata.version(name)}" in purls
    (numpy,) = (component for component in told["components"] if component["purl"].startswith("pkg:pypi/numpy@"))
    assert "BSD" in numpy["licenses"][0]["license"]["name"]


def test_so_are_the_packages_of_the_base(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "status").write_text(
        "Package: libssl3\nStatus: install ok installed\nArchitecture: amd64\nVersion: 3.0.1-1\nDepends: a\n b\n\n"
        "Package: gone\nStatus: deinstall ok config-files\nArchitecture: all\nVersion: 1\n"
    )
    monkeypatch.setattr(sbom, "DPKG", tmp_path / "status")
    monkeypatch.setattr(sbom, "SYSTEM", tmp_path / "none")
    (found,) = sbom.debian_packages()
    assert found["purl"] == "pkg:deb/debian/libssl3@3.0.1-1?arch=amd64"


def test_the_lock_has_a_hash_for_every_package() -> None:
    lock = (build.ROOT / "requirements.lock").read_text()
    entries = re.split(r"(?m)^(?=[A-Za-z0-9])", lock)[1:]
    assert len(entries) > 100
    assert [entry.split("==")[0] for entry in entries if "--hash=sha256:" not in entry] == []


@pytest.mark.parametrize("file", ["Makefile", "images/install.py"])
def test_hashes_are_required_where_packages_are_installed(file: str) -> None:
    """The machine's environment, and the images."""
    assert (build.ROOT / file).read_text().count("--require-hashes") == 1
