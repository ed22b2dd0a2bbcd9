"""What processes have used of the processor and hold of the memory, seen from outside."""

import os
import time
from collections.abc import Iterable
from contextlib import suppress
from itertools import count
from pathlib import Path
from types import TracebackType
from typing import Self

from rig.private import companions

TICKS = os.sysconf("SC_CLK_TCK")

NUMBERS = count()


class Account:
    """What a process in a PID namespace of its own uses, with all processes in there, those that have ended included.

    It is a control group (cgroups(7)), which counts in microseconds. Where none can be made it is /proc, which loses
    up to a hundredth of a second of each process's ended children: good enough to see that the benchmarks work.
    """

    def __init__(self, pid: int) -> None:
        self._pid = pid
        self._group: Path | None = None

    def __enter__(self) -> Self:
        group = _own_group() / f"collector-bench-{os.getpid()}-{next(NUMBERS)}"
        with suppress(OSError):
            group.mkdir()
            self._group = group
            for pid in (self._pid, *companions(self._pid)):
                (group / "cgroup.procs").write_text(f"{pid}\n")
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._group is None:
            return
        with suppress(OSError):
            for pid in (self._group / "cgroup.procs").read_text().split():
                with suppress(OSError):
                    (self._group.parent / "cgroup.procs").write_text(pid)
            self._group.rmdir()

    @property
    def used(self) -> float:
        """Seconds of processor so far."""
        if self._group is None:
            return sum(map(used, (self._pid, *companions(self._pid))))
        fields = dict(line.split() for line in (self._group / "cpu.stat").read_text().splitlines())
        return int(fields["usage_usec"]) / 1e6


def _own_group() -> Path:
    """Return this process's control group of version 2."""
    mounts = (line.split() for line in Path("/proc/self/mounts").read_text().splitlines())
    root = next((point for _, point, kind, *_ in mounts if kind == "cgroup2"), "/sys/fs/cgroup")
    lines = Path("/proc/self/cgroup").read_text().splitlines()
    own = next((line.removeprefix("0::") for line in lines if line.startswith("0::")), "/")
    return Path(root + own)


def used(pid: int) -> float:
    """Seconds of processor that a process has used, its threads and its ended children included."""
    try:
        # The process's own clock (clock_getcpuclockid(3)) counts nanoseconds, /proc hundredths of a second.
        own = time.clock_gettime((~pid << 3) | 2)
        ended = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[13:15]
    except (OSError, ValueError):
        return 0.0
    return own + sum(map(int, ended)) / TICKS


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
