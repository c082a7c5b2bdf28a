import os
from pathlib import Path

import pytest

from components.shared import cores


@pytest.fixture
def cgroup(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """What a container sees of its limits; it may run on 64 cores."""
    monkeypatch.setattr(cores, "_CGROUP", tmp_path)
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: range(64))
    monkeypatch.delenv("OMP_NUM_THREADS", raising=False)
    return tmp_path


@pytest.mark.parametrize(
    ("told", "count"),
    [("max 100000", 64), ("200000 100000", 2), ("50000 100000", 1), ("350000 100000", 4), ("nonsense", 64)],
)
def test_a_pod_has_its_share(cgroup: Path, told: str, count: int) -> None:
    (cgroup / "cpu.max").write_text(told)
    assert cores.cores() == count


def test_so_it_has_by_cgroups_of_version_1(cgroup: Path) -> None:
    (cgroup / "cpu").mkdir()
    (cgroup / "cpu/cpu.cfs_period_us").write_text("100000")
    for quota, count in (("300000", 3), ("-1", 64)):
        (cgroup / "cpu/cpu.cfs_quota_us").write_text(quota)
        assert cores.cores() == count


def test_libraries_are_kept_to_it_where_there_is_a_limit(cgroup: Path) -> None:
    cores.keep_to_share()
    assert "OMP_NUM_THREADS" not in os.environ
    (cgroup / "cpu.max").write_text("200000 100000")
    cores.keep_to_share()
    assert os.environ["OMP_NUM_THREADS"] == "2"


def test_threads_do_not_spin_where_others_work(cgroup: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("OMP_WAIT_POLICY", raising=False)
    monkeypatch.setattr(os, "getloadavg", lambda: (60.0, 0.0, 0.0))
    cores.keep_to_share()
    assert "OMP_WAIT_POLICY" not in os.environ
    monkeypatch.setattr(os, "getloadavg", lambda: (70.0, 0.0, 0.0))
    cores.keep_to_share()
    assert os.environ["OMP_WAIT_POLICY"] == "PASSIVE"
    monkeypatch.setenv("OMP_WAIT_POLICY", "ACTIVE")  # who says it has it
    cores.keep_to_share()
    assert os.environ["OMP_WAIT_POLICY"] == "ACTIVE"


def test_nothing_else_counts_the_nodes_cores() -> None:
    root = Path(cores.__file__).parents[2]
    files = [path for folder in ("components", "pipelines") for path in (root / folder).rglob("*.py")]
    found = [
        path.name for path in files if "cpu_count()" in path.read_text() or "sched_getaffinity" in path.read_text()
    ]
    assert found == ["cores.py"]
