"""Paging, swapping and processes killed for want of memory, from /proc/vmstat (proc(5))."""

from collections.abc import Iterator

from collector.metric import Sample, Untyped

FIELDS = ("oom_kill", "pgfault", "pgmajfault", "pgpgin", "pgpgout", "pswpin", "pswpout")
METRICS = {field: Untyped(f"node_vmstat_{field}", f"Field {field} of /proc/vmstat.") for field in FIELDS}

FILES = ("/proc/vmstat",)


def parse(text: str) -> Iterator[Sample]:
    """Read `pgfault 288277346`, a line each; a kernel that cannot swap has fewer of them."""
    for line in text.splitlines():
        field, _, number = line.partition(" ")
        if metric := METRICS.get(field):
            yield metric(float(number))
