"""What the processors spent their time on, from /proc/stat (proc(5))."""

import re
from array import array
from collections.abc import Iterator
from operator import lt

from collector.metric import Counter, Sample, Samples

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


JUMP = 3.0
"""Seconds by which a processor's idle time goes back when it is another one: it was taken out, and put in again."""


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


def mend(now: Samples, before: Samples) -> Samples:
    """Return what is now, but no time that is less than before: the kernel's idle and iowait go back now and then.

    Prometheus would take that for a start from zero. A processor whose idle time goes back by seconds did start anew.
    """
    if now.shape is not before.shape or not any(map(lt, now.values, before.values)):
        return now
    idle = {labels[0]: place for place, (_, labels) in enumerate(now.shape.series) if labels[1] == "idle"}
    anew = {cpu for cpu, place in idle.items() if now.values[place] <= before.values[place] - JUMP}
    kept = [
        new if labels[0] in anew else max(new, old)
        for (_, labels), new, old in zip(now.shape.series, now.values, before.values, strict=True)
    ]
    return Samples(now.shape, array("d", kept))
