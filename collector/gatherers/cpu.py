"""What the processors spent their time on, from /proc/stat (proc(5))."""

import re
from collections.abc import Iterator

from collector.metric import Counter, Sample

SECONDS = Counter("node_cpu_seconds_total", "Seconds that each processor spent in each mode.", "cpu", "mode")
GUEST = Counter(
    "node_cpu_guest_seconds_total",
    "Seconds that each processor spent in virtual machines, which are also in the modes user and nice.",
    "cpu",
    "mode",
)

FILES = ("/proc/stat",)

MODES = ("user", "nice", "system", "idle", "iowait", "irq", "softirq", "steal")
GUEST_MODES = ("user", "nice")
FEWEST = 4
"""Modes that every kernel has."""
TICKS = 100
"""Of a second: USER_HZ, which is the same on all architectures but alpha and ia64."""

LINE = re.compile(r"^cpu([0-9]+) (.*)", re.MULTILINE)


def parse(text: str) -> Iterator[Sample]:
    """Read `cpu0 288625 49117 151665 3064574 305 0 8612 61 0 0`: ticks in each mode, then those in guests."""
    for cpu, rest in LINE.findall(text):
        seconds = [float(ticks) / TICKS for ticks in rest.split()]
        if len(seconds) < FEWEST:
            raise ValueError(f"cpu{cpu[:20]} has only {len(seconds)} modes")
        for mode, value in zip(MODES, seconds, strict=False):
            yield SECONDS(value, cpu, mode)
        for mode, value in zip(GUEST_MODES, seconds[len(MODES) :], strict=False):
            yield GUEST(value, cpu, mode)
