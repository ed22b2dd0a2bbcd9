"""How the processors' run queues fared, from /proc/schedstat (the kernel's scheduler/sched-stats.rst)."""

import re
from collections.abc import Iterator

from collector.metric import Counter, Sample

RUNNING = Counter("node_schedstat_running_seconds_total", "Seconds that tasks ran on a processor.", "cpu")
WAITING = Counter("node_schedstat_waiting_seconds_total", "Seconds that tasks waited to run on a processor.", "cpu")
TIMESLICES = Counter("node_schedstat_timeslices_total", "Times that a task was given a processor.", "cpu")

FILES = ("/proc/schedstat",)

VERSION = re.compile(r"version ([0-9]{1,4})\n")
OLDEST = 15
"""Versions before it have other columns; every kernel since 2.6.32 has it or a newer one."""
LINE = re.compile(r"^cpu([0-9]+) (.*)", re.MULTILINE)


def parse(text: str) -> Iterator[Sample]:
    """Read `cpu0 0 0 0 0 0 0 1218354 3028 451`: the seventh and eighth are nanoseconds, the ninth timeslices."""
    version = VERSION.match(text)
    if version is None or int(version[1]) < OLDEST:
        raise ValueError(f"not schedstat of version {OLDEST} or newer")
    for cpu, rest in LINE.findall(text):
        running, waiting, timeslices = rest.split()[6:9]
        yield RUNNING(float(running) / 1e9, cpu)
        yield WAITING(float(waiting) / 1e9, cpu)
        yield TIMESLICES(float(timeslices), cpu)
