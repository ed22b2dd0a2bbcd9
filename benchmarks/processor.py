"""What processes have used of the processor and hold of the memory, seen from outside."""

import os
import time
from collections.abc import Iterable
from pathlib import Path

from rig.private import companions

TICKS = os.sysconf("SC_CLK_TCK")


def used(pid: int) -> float:
    """Seconds of processor that a process has used, its threads and its ended children included."""
    try:
        # The process's own clock (clock_getcpuclockid(3)) counts nanoseconds, /proc hundredths of a second.
        own = time.clock_gettime((~pid << 3) | 2)
        ended = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[13:15]
    except (OSError, ValueError):
        return 0.0
    return own + sum(map(int, ended)) / TICKS


def used_by_all(pids: Iterable[int]) -> float:
    """Seconds of processor that some processes have used."""
    return sum(map(used, pids))


def used_beside(pid: int) -> float:
    """Seconds of processor used by a process that has a PID namespace of its own, and by all others in there."""
    return used_by_all([pid, *companions(pid)])


def resident(pid: int) -> float:
    """Megabytes of memory of a process that are in use now."""
    return _kilobytes(f"/proc/{pid}/status", "VmRSS:") / 1024


def proportional(pids: Iterable[int]) -> float:
    """Megabytes in use of some processes; what several share is divided among them."""
    return sum(_kilobytes(f"/proc/{pid}/smaps_rollup", "Pss:") for pid in pids) / 1024


def _kilobytes(path: str, field: str) -> int:
    try:
        lines = Path(path).read_text().splitlines()
    except (FileNotFoundError, ProcessLookupError):
        return 0
    return next((int(line.split()[1]) for line in lines if line.startswith(field)), 0)
