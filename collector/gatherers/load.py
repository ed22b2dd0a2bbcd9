"""Load averages, from /proc/loadavg (proc(5))."""

from collections.abc import Iterator

from collector.metric import Gauge, Sample

LOAD1 = Gauge("node_load1", "1m load average.")
LOAD5 = Gauge("node_load5", "5m load average.")
LOAD15 = Gauge("node_load15", "15m load average.")

FILES = ("/proc/loadavg",)


def parse(text: str) -> Iterator[Sample]:
    """Read `0.20 0.18 0.12 1/80 11206`: runnable tasks averaged over 1, 5 and 15 minutes."""
    one, five, fifteen, *_ = text.split()
    yield LOAD1(float(one))
    yield LOAD5(float(five))
    yield LOAD15(float(fifteen))
