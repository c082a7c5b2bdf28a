"""The lock against advisories of the OSV format, in whatever they come."""

import json
import zipfile
from pathlib import Path
from typing import Any

import pytest
from packaging.version import Version

from images import audit


def advisory(name: str, *events: dict[str, str], **fields: Any) -> dict[str, Any]:
    affected = {"package": {"ecosystem": "PyPI", "name": name}, "ranges": [{"type": "ECOSYSTEM", "events": [*events]}]}
    return {"id": "CVE-0000-1", "summary": "it breaks", "affected": [affected], **fields}


def test_nothing_in_the_lock_has_a_fault_that_we_know_of(capsys: pytest.CaptureFixture[str]) -> None:
    assert audit.main([]) == 0
    assert "14 advisories, 0 of them hold here" in capsys.readouterr().out
    affected = [affected for record in audit.records(audit.ADVISORIES) for affected in record["affected"]]
    known = {each["package"]["name"] for each in affected}
    assert known - {"setuptools"} <= audit.pinned(audit.LOCK.read_text()).keys(), "each is about what is installed"


@pytest.mark.parametrize("form", ["record", "list", "folder", "zip"])
def test_what_has_one_is_told_and_fails(form: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    lock, record = tmp_path / "lock", advisory("Some_Package", {"introduced": "0"}, {"fixed": "2.1"})
    lock.write_text("some-package[extra]==2.0 ; python_version < '3.12' \\\n    --hash=sha256:00\nother==1.0\n")
    file = tmp_path / "advisories"
    if form == "folder":
        file.mkdir()
        (file / "one.json").write_text(json.dumps(record))
    elif form == "zip":
        with zipfile.ZipFile(file, "w") as archive:
            archive.writestr("one.json", json.dumps(record))
    else:
        file.write_text(json.dumps([record] if form == "list" else record))
    assert audit.main(["--lock", str(lock), "--advisories", str(file)]) == 1
    assert capsys.readouterr().out.splitlines() == [
        "Some_Package 2.0: CVE-0000-1 it breaks", "2 packages, 1 advisories, 1 of them hold here",
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("version", "holds"),
    [("0.9", 0), ("1.0", 1), ("1.4", 1), ("1.5", 0), ("2.0rc1", 0), ("2.0", 1), ("2.1", 1), ("2.2", 0)],
)
def test_ranges_begin_and_end(version: str, holds: int) -> None:
    events = [{"introduced": "2.0"}, {"introduced": "1.0"}, {"fixed": "1.5"}, {"last_affected": "2.1"}]
    (affected,) = advisory("name", *events)["affected"]
    assert audit.is_affected(Version(version), affected) == bool(holds)
    assert audit.is_affected(Version("7"), {**affected, "versions": ["not a version", "7.0"]})


def test_what_was_withdrawn_or_is_about_others_is_left_out(tmp_path: Path) -> None:
    withdrawn = advisory("name", {"introduced": "0"}, withdrawn="2026-01-01T00:00:00Z")
    other = advisory("name", {"introduced": "0"})
    other["affected"][0]["package"]["ecosystem"] = "npm"
    (tmp_path / "file.json").write_text(json.dumps([withdrawn, other]))
    packages = audit.pinned("name==1\n")
    assert [line for record in audit.records(tmp_path / "file.json") for line in audit.faults(record, packages)] == []
