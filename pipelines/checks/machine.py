"""This machine: where a run is kept, the disk, and what trains."""

import importlib.metadata
import json
import re
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psutil

from components.shared.cores import cores
from components.shared.errors import InputError, ServiceError
from pipelines.checks.finding import Finding, failed, passed, warning

_GIB = 1 << 30
_BASE = 3 * _GIB  # a run without its data: backbone, trained model, the registry's copy
_COPIES = 4  # of the data: what waits in ingest, snapshot, features, and some air
_LEAST = _GIB
_PATIENCE = 7  # seconds for a program that is asked
_DRIVERS = {11: 450, 12: 525, 13: 580}
"""The oldest driver for each version of CUDA ("minor version compatibility" in NVIDIA's release notes)."""
_ASK_TORCH = """
import json, torch
count = torch.cuda.device_count() if torch.cuda.is_available() else 0
print(json.dumps({
    "version": torch.__version__, "cuda": torch.version.cuda, "archs": torch.cuda.get_arch_list() if count else [],
    "capabilities": [torch.cuda.get_device_capability(number) for number in range(count)],
}))
"""


@dataclass(frozen=True)
class Gpu:
    """A GPU as its driver tells of it; memory as text, with its unit."""

    name: str
    driver: str
    memory: str


def check_folder(subject: str, root: Path, another: str) -> Iterator[Finding]:
    """Writes a file where something would be kept, and removes it.

    Args:
        subject: What the finding is about.
        root: The folder; it need not be there yet.
        another: What names another one.

    Raises:
        InputError: Nothing can be written there.
    """
    folder = _nearest(root)
    try:
        with tempfile.NamedTemporaryFile(dir=folder, prefix=".graft-doctor-"):
            pass
    except OSError as error:
        raise InputError(
            f"{folder} cannot be written ({error.strerror}). Change its rights, or give another folder with {another}."
        ) from error
    yield passed(subject, f"{root} is writable" if folder == root.absolute() else f"{root} can be made")


def disk(root: Path, data: int) -> Finding:
    """Compares the free disk with what a job needs, roughly.

    Args:
        root: Where runs are kept.
        data: Bytes of the data, unpacked.
    """
    free, needed = shutil.disk_usage(_nearest(root)).free, _BASE + _COPIES * data
    told = f"{_size(free)} free for {root}, about {_size(needed)} needed"
    if free < max(data, _LEAST):
        return failed("disk", f"{told}. Make room, or give a folder on another disk with --root.")
    if free < needed:
        return warning("disk", f"{told}. Make room before a long run, or give another disk with --root.")
    return passed("disk", told)


def check_processor() -> Iterator[Finding]:
    """Tells what would train here, and whether GPU, driver and torch fit each other.

    Raises:
        InputError: torch is not installed.
        ServiceError: There is a GPU that cannot be used.
    """
    try:
        version = importlib.metadata.version("torch")
    except importlib.metadata.PackageNotFoundError as error:
        raise InputError("torch is not installed: finetune cannot run here. pip install 'graft[train]'.") from error
    if gpus := _gpus():
        yield _fit(gpus, _torch())
    else:
        memory = _size(psutil.virtual_memory().available)
        yield passed(
            "processor", f"no GPU: torch {version} trains on the CPU, {cores()} cores, {memory} of memory free"
        )


def _gpus() -> list[Gpu]:
    """Returns the GPUs that NVIDIA's driver sees; none where there is no driver."""
    program = shutil.which("nvidia-smi")
    if not program:
        return []
    command = [program, "--query-gpu=name,driver_version,memory.total", "--format=csv,noheader"]
    try:
        told = subprocess.run(command, capture_output=True, text=True, timeout=_PATIENCE, check=False)
    except (OSError, subprocess.TimeoutExpired) as error:
        raise ServiceError(f"nvidia-smi does not run: {error}. Check the GPU's driver.") from error
    if "No devices were found" in told.stdout + told.stderr:
        return []
    if told.returncode:
        reason = (told.stderr or told.stdout).strip().splitlines()
        raise ServiceError(
            f"The GPU's driver does not answer: {reason[0] if reason else told.returncode}. Install it anew, or "
            "restart the machine where it was just updated."
        )
    rows = [[part.strip() for part in line.split(",")] for line in told.stdout.splitlines() if line.strip()]
    return [Gpu(*row) for row in rows if len(row) == 3]


def _torch() -> dict[str, Any]:
    """Asks torch in a process of its own: what is told here stays light, and nothing stays on the GPU."""
    try:
        told = subprocess.run(
            [sys.executable, "-c", _ASK_TORCH], capture_output=True, text=True, timeout=_PATIENCE, check=True
        )
    except subprocess.TimeoutExpired:
        return {}
    except subprocess.CalledProcessError as error:
        last = (error.stderr.strip().splitlines() or ["no reason told"])[-1]
        raise ServiceError(f"torch cannot be imported: {last}. Install it anew.") from error
    facts: dict[str, Any] = json.loads(told.stdout.splitlines()[-1])
    return facts


def _fit(gpus: Sequence[Gpu], torch: dict[str, Any]) -> Finding:
    first = gpus[0]
    told = f"{len(gpus)} x {first.name} ({first.memory}), driver {first.driver}"
    if not torch:
        return warning("processor", f"{told}; torch did not tell within {_PATIENCE} s whether it fits")
    told += f", torch {torch['version']}"
    if not torch["cuda"]:
        return warning("processor", f"{told}: a build for CPUs, which leaves the GPU idle. Install one for CUDA.")
    oldest = _DRIVERS.get(int(torch["cuda"].split(".")[0]), 0)
    if _number(first.driver) < oldest:
        return failed(
            "processor",
            f"{told}: its CUDA {torch['cuda']} needs driver {oldest} or later. Update the driver, or install a torch "
            "for an older CUDA.",
        )
    if not torch["capabilities"]:
        return failed(
            "processor", f"{told}: torch sees no GPU. Check CUDA_VISIBLE_DEVICES, and the rights of /dev/nvidia*."
        )
    if strange := [pair for pair in torch["capabilities"] if not _is_known(pair, torch["archs"])]:
        name = "sm_{}{}".format(*strange[0])
        return failed(
            "processor", f"{told}: it was not built for {name} ({', '.join(torch['archs'])}). Install a torch that was."
        )
    return passed("processor", f"{told} for CUDA {torch['cuda']}")


def _is_known(capability: Sequence[int], archs: Sequence[str]) -> bool:
    """Machine code runs on GPUs of the same major version that are as new or newer; PTX on all newer ones."""
    major, minor = capability
    for arch in archs:
        found = re.fullmatch(r"(sm|compute)_(\d+)(\d)[a-z]?", arch)
        if not found:
            continue
        built = int(found[2]), int(found[3])
        if built <= (major, minor) and (found[1] == "compute" or built[0] == major):
            return True
    return False


def _number(driver: str) -> int:
    found = re.match(r"\d+", driver)
    return int(found.group()) if found else 0


def _nearest(path: Path) -> Path:
    """Returns a path itself, or the nearest folder above that is there."""
    absolute = path.absolute()
    return next(folder for folder in (absolute, *absolute.parents) if folder.exists())


def _size(count: int) -> str:
    return f"{count / _GIB:,.1f} GiB"
