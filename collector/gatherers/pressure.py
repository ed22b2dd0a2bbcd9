"""How long tasks had to wait for processor, disks and memory, from /proc/pressure (the kernel's accounting/psi.rst)."""

import re
from collections.abc import Iterator

from collector.metric import Counter, Sample

CPU_WAITING = Counter("node_pressure_cpu_waiting_seconds_total", "Seconds in which a task waited for a processor.")
IO_WAITING = Counter("node_pressure_io_waiting_seconds_total", "Seconds in which a task waited for I/O.")
IO_STALLED = Counter("node_pressure_io_stalled_seconds_total", "Seconds in which all tasks waited for I/O.")
MEMORY_WAITING = Counter("node_pressure_memory_waiting_seconds_total", "Seconds in which a task waited for memory.")
MEMORY_STALLED = Counter("node_pressure_memory_stalled_seconds_total", "Seconds in which all tasks waited for memory.")
IRQ_STALLED = Counter("node_pressure_irq_stalled_seconds_total", "Seconds in which interrupts kept all tasks waiting.")

FILES = ("/proc/pressure/cpu", "/proc/pressure/io", "/proc/pressure/memory", "/proc/pressure/irq")
OPTIONAL = ("/proc/pressure/irq",)

LINE = re.compile(r"^(some|full) .*\btotal=([0-9]+)", re.MULTILINE)


def parse(cpu: str, io: str, memory: str, irq: str) -> Iterator[Sample]:
    """Read `some avg10=2.54 avg60=5.37 avg300=5.50 total=2733812207`: the total is in microseconds."""
    yield CPU_WAITING(totals(cpu)["some"])
    yield IO_WAITING(totals(io)["some"])
    yield IO_STALLED(totals(io)["full"])
    yield MEMORY_WAITING(totals(memory)["some"])
    yield MEMORY_STALLED(totals(memory)["full"])
    if irq:
        yield IRQ_STALLED(totals(irq)["full"])


def totals(text: str) -> dict[str, float]:
    """Return the seconds in which some, and in which all tasks (`full`) waited."""
    return {kind: float(total) / 1e6 for kind, total in LINE.findall(text)}
