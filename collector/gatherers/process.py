"""The process that answers on the machine, which is what the collector costs there, from /proc/self (proc(5)).

Prometheus' exporters say this of themselves, and dashboards show it beside what they read. It begins with each session.
"""

import re
from collections.abc import Iterator, Mapping

from collector.metric import Counter, Gauge, Sample

SECONDS = Counter("process_cpu_seconds_total", "Total user and system CPU time spent in seconds.")
VIRTUAL = Gauge("process_virtual_memory_bytes", "Virtual memory size in bytes.")
VIRTUAL_MOST = Gauge("process_virtual_memory_max_bytes", "Most virtual memory that there may be, in bytes.")
RESIDENT = Gauge("process_resident_memory_bytes", "Resident memory size in bytes.")
STARTED = Gauge("process_start_time_seconds", "Start time of the process since unix epoch in seconds.")
OPEN = Gauge("process_open_fds", "Number of open file descriptors.")
OPEN_MOST = Gauge("process_max_fds", "Maximum number of open file descriptors.")

FILES = ("/proc/self/stat", "/proc/self/limits", "/proc/self/fdinfo/*", "/proc/stat")
OPTIONAL = ("/proc/self/limits", "/proc/self/fdinfo/*", "/proc/stat")

TICKS = 100
"""Of a second: USER_HZ."""
PAGE = 4096
UNLIMITED = 2.0**64 - 1
"""What Prometheus' exporters say of what has no limit."""

BOOT = re.compile(r"^btime ([0-9]+)$", re.MULTILINE)
LIMIT = re.compile(r"^Max (open files|address space) +([0-9]+|unlimited) ", re.MULTILINE)


def parse(stat: str, limits: str, descriptors: Mapping[str, str], boot: str) -> Iterator[Sample]:
    """Read `PID (NAME) STATE ...`, with the time of children that have ended, and `Max open files  1024  4096  files`.

    The descriptors are there by being named.
    """
    fields = stat[stat.rindex(")") + 2 :].split(" ")
    yield SECONDS(sum(map(int, fields[11:15])) / TICKS)
    yield VIRTUAL(float(fields[20]))
    yield RESIDENT(int(fields[21]) * PAGE)
    if match := BOOT.search(boot):
        yield STARTED(int(match[1]) + int(fields[19]) / TICKS)
    for name, most in LIMIT.findall(limits):
        metric = OPEN_MOST if name == "open files" else VIRTUAL_MOST
        yield metric(UNLIMITED if most == "unlimited" else float(most))
    if descriptors:
        yield OPEN(float(len(descriptors)))
