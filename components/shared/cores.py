"""How many cores this process may use: of a pod its share, not all of its node. Copied beside registered models."""

import contextlib
import os
from pathlib import Path

_CGROUP = Path("/sys/fs/cgroup")


def cores() -> int:
    """Returns how many cores this process may use: at least 1."""
    count, limit = _seen(), _limit()
    return count if limit is None else min(count, max(1, round(limit)))


def keep_to_share() -> None:
    """Keeps the libraries of this process, and of those that it starts, to its share where that is limited.

    They count the node's cores (OpenMP, and with it torch, NumPy and Arrow), and then wait for each other. Where others
    keep the cores busy, too, their threads are to sleep while they wait: OpenMP's spin, and so take the core from the
    very thread that they wait for. Two threads on two cores with a load of ten made a tenth of the steps so. Without
    others, to spin is a little faster.
    """
    if _limit() is not None:
        os.environ.setdefault("OMP_NUM_THREADS", str(cores()))
    if hasattr(os, "getloadavg") and os.getloadavg()[0] > _seen():
        os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")


def _seen() -> int:
    """Returns how many cores there are for this process, whatever its share of their time."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def _limit() -> float | None:
    """Returns the limit of the container's CPU time, in cores (cgroups of version 2, else 1); None: there is none."""
    with contextlib.suppress(OSError, ValueError):
        quota, period = (_CGROUP / "cpu.max").read_text("ascii").split()
        return None if quota == "max" else int(quota) / int(period)
    with contextlib.suppress(OSError, ValueError):
        told = [int((_CGROUP / "cpu" / f"cpu.cfs_{name}_us").read_text("ascii")) for name in ("quota", "period")]
        return None if told[0] <= 0 else told[0] / told[1]
    return None
