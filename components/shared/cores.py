"""How many cores this process may use: of a pod its share, not all of its node. Copied beside registered models."""

import contextlib
import os
from pathlib import Path

_CGROUP = Path("/sys/fs/cgroup")


def cores() -> int:
    """Returns how many cores this process may use: at least 1."""
    count = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    limit = _limit()
    return count if limit is None else min(count, max(1, round(limit)))


def keep_to_share() -> None:
    """Keeps the libraries of this process, and of those that it starts, to its share where that is limited.

    They count the node's cores (OpenMP, and with it torch, NumPy and Arrow), and then wait for each other.
    """
    if _limit() is not None:
        os.environ.setdefault("OMP_NUM_THREADS", str(cores()))


def _limit() -> float | None:
    """Returns the limit of the container's CPU time, in cores (cgroups of version 2, else 1); None: there is none."""
    with contextlib.suppress(OSError, ValueError):
        quota, period = (_CGROUP / "cpu.max").read_text("ascii").split()
        return None if quota == "max" else int(quota) / int(period)
    with contextlib.suppress(OSError, ValueError):
        told = [int((_CGROUP / "cpu" / f"cpu.cfs_{name}_us").read_text("ascii")) for name in ("quota", "period")]
        return None if told[0] <= 0 else told[0] / told[1]
    return None
