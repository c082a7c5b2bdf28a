"""The GPU benchmark, on a CPU: what the machine that it is for does not have is not there."""

import importlib.metadata
import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from packaging.requirements import Requirement

ROOT = Path(__file__).parent.parent.parent
sys.path.append(str(ROOT / "benchmarks"))

import gpu_checks
import gpu_profile

_THERE = ("torch", "transformers", "timm", "pyarrow", "scipy", "accelerate")
_REFUSE = """
import sys
from importlib.machinery import PathFinder
REFUSED = frozenset({names!r})
class Finder(PathFinder):
    @classmethod
    def find_spec(cls, name, path=None, target=None):
        return None if name.partition(".")[0] in REFUSED else PathFinder.find_spec(name, path, target)
sys.meta_path[sys.meta_path.index(PathFinder)] = Finder
"""
_SIDES = """
import sys
from pathlib import Path
import gpu_data, gpu_sides
folder = Path(sys.argv[1])
counts, size = {"train": 24, "validation": 8, "test": 8}, gpu_data.SIZES["tiny"]
gpu_data.write_texts(folder / "text", counts, 8, 16)
gpu_data.write_pictures(folder / "image", counts, size.side)
bert = gpu_data.write_backbone(folder / "bert", size)
for kind, backbone in (("text", bert), ("image", "random:timm/vit_base_patch16_224")):
    job = gpu_sides.Job(kind, "tiny", str(folder / kind), "", backbone, 2, 8, 16, 1e-3)
    parts = gpu_sides.Parts()
    told = gpu_sides.graft(job, parts)
    assert 0 <= told.accuracy <= 1 and len(told.marks) == 2 and parts["train"] > 0
"""


def names_of(*distributions: str) -> set[str]:
    """Returns the names of distributions and of all that they require."""
    found: set[str] = set()
    waiting = list(distributions)
    while waiting:
        name = waiting.pop().lower().replace("_", "-")
        if name in found:
            continue
        found.add(name)
        try:
            told = importlib.metadata.requires(name) or []
        except importlib.metadata.PackageNotFoundError:
            continue
        needs = [Requirement(one) for one in told]
        waiting += [one.name for one in needs if one.marker is None or one.marker.evaluate({"extra": ""})]
    return found


@pytest.fixture
def bare(tmp_path: Path) -> dict[str, str]:
    """Returns the environment of processes that find nothing but torch, transformers, timm, and what these need."""
    there = names_of(*_THERE) | {"graft"}  # which is this folder
    modules = importlib.metadata.packages_distributions()
    refused = sorted(
        name for name, owners in modules.items() if not {o.lower().replace("_", "-") for o in owners} & there
    )
    assert {"boto3", "botocore", "mlflow", "kfp", "datasets", "sklearn", "pandas"} <= set(refused)
    (tmp_path / "bare").mkdir()
    (tmp_path / "bare/sitecustomize.py").write_text(_REFUSE.format(names=refused))
    paths = [str(tmp_path / "bare"), str(ROOT / "benchmarks")]
    return {**os.environ, "PYTHONPATH": os.pathsep.join(paths), "MLFLOW_TRACKING_URI": ""}


def test_graft_trains_where_only_torch_transformers_and_timm_are(tmp_path: Path, bare: dict[str, str]) -> None:
    (tmp_path / "sides.py").write_text(_SIDES)
    command = [sys.executable, str(tmp_path / "sides.py"), str(tmp_path)]
    ended = subprocess.run(command, capture_output=True, text=True, env=bare)
    assert ended.returncode == 0, ended.stderr[-2000:]


@pytest.mark.slow
def test_the_whole_command_runs(tmp_path: Path, bare: dict[str, str]) -> None:
    out, profile = tmp_path / "gpu.json", tmp_path / "profile"
    options = ["--size", "tiny", "--rows", "sst2,vit,checks", "--examples", "160", "--epochs", "3"]
    command = [sys.executable, str(ROOT / "benchmarks/gpu.py"), *options, "--json", str(out), "--profile", str(profile)]
    ended = subprocess.run([*command, "--plot", str(tmp_path / "gpu.svg")], capture_output=True, text=True, env=bare)
    assert ended.returncode == 0, ended.stdout + ended.stderr
    told = json.loads(out.read_text("utf-8"))
    assert set(told["sst2"]) == {"graft", "trainer-tuned", "trainer"}
    assert set(told["vit"]) == {"graft", "timm-memory", "timm"}
    assert all(side["rate"] > 0 for row in ("sst2", "vit") for side in told[row].values())
    assert all(check["holds"] for check in told["checks"])
    assert "10 steps in" in (profile / "sst2.txt").read_text("utf-8")
    assert "<rect" in (tmp_path / "gpu.svg").read_text("utf-8")


def test_what_the_devices_find_is_compared() -> None:
    gpu = {"outputs of texts": np.array([2.0, 1.0]), "alone, bfloat16": np.array(0.5)}
    cpu = {"outputs of texts": np.array([2.0, 1.01])}
    outputs, alone = gpu_checks.verdicts(gpu, cpu)
    assert outputs["apart"] == pytest.approx(0.005)
    assert not outputs["holds"]
    assert not alone["holds"]


def test_other_shapes_are_apart() -> None:
    told = gpu_checks.verdicts({"losses": np.zeros(3)}, {"losses": np.zeros(2)})
    assert not told[0]["holds"]


def test_kernels_that_overlap_count_once() -> None:
    assert gpu_profile.busy_of([(0, 2), (1, 3), (5, 6), (5.5, 5.75)]) == 4
