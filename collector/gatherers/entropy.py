"""The kernel's random numbers, from /proc/sys/kernel/random (random(4))."""

from collections.abc import Iterator

from collector.metric import Gauge, Sample

AVAILABLE = Gauge("node_entropy_available_bits", "Bits of entropy that there are.")
POOL_SIZE = Gauge("node_entropy_pool_size_bits", "Bits of entropy that there may be.")

FILES = ("/proc/sys/kernel/random/entropy_avail", "/proc/sys/kernel/random/poolsize")


def parse(available: str, size: str) -> Iterator[Sample]:
    """Read a number each."""
    yield AVAILABLE(float(available))
    yield POOL_SIZE(float(size))
