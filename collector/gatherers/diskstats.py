"""What the disks did, from /proc/diskstats (the kernel's admin-guide/iostats.rst)."""

import re
from collections.abc import Iterator

from collector.metric import Counter, Gauge, Sample

SECTOR = 512.0
MILLISECOND = 0.001

COLUMNS = (
    (Counter("node_disk_reads_completed_total", "Reads done.", "device"), 1.0),
    (Counter("node_disk_reads_merged_total", "Reads merged with others.", "device"), 1.0),
    (Counter("node_disk_read_bytes_total", "Bytes read.", "device"), SECTOR),
    (Counter("node_disk_read_time_seconds_total", "Seconds that all reads took.", "device"), MILLISECOND),
    (Counter("node_disk_writes_completed_total", "Writes done.", "device"), 1.0),
    (Counter("node_disk_writes_merged_total", "Writes merged with others.", "device"), 1.0),
    (Counter("node_disk_written_bytes_total", "Bytes written.", "device"), SECTOR),
    (Counter("node_disk_write_time_seconds_total", "Seconds that all writes took.", "device"), MILLISECOND),
    (Gauge("node_disk_io_now", "Requests under way.", "device"), 1.0),
    (Counter("node_disk_io_time_seconds_total", "Seconds in which requests were under way.", "device"), MILLISECOND),
    (
        Counter("node_disk_io_time_weighted_seconds_total", "Seconds times requests under way in them.", "device"),
        MILLISECOND,
    ),
    (Counter("node_disk_discards_completed_total", "Discards done.", "device"), 1.0),
    (Counter("node_disk_discards_merged_total", "Discards merged with others.", "device"), 1.0),
    (Counter("node_disk_discarded_sectors_total", "Sectors discarded.", "device"), 1.0),
    (Counter("node_disk_discard_time_seconds_total", "Seconds that all discards took.", "device"), MILLISECOND),
    (Counter("node_disk_flush_requests_total", "Flushes done.", "device"), 1.0),
    (Counter("node_disk_flush_requests_time_seconds_total", "Seconds that all flushes took.", "device"), MILLISECOND),
)

FILES = ("/proc/diskstats",)
MAY_BE_EMPTY = True

FEWEST = 11
"""Numbers of a line; Linux 4.18 added four of discards, and 5.5 two of flushes."""

IGNORED = re.compile(r"(z?ram|loop|fd|(h|s|v|xv)d[a-z]|nvme[0-9]+n[0-9]+p)[0-9]+")
"""Partitions, and what is no disk: what node_exporter leaves out unless told otherwise."""


def parse(text: str) -> Iterator[Sample]:
    """Read `254 0 vda 397378 54147 18388202 416302 ...`: as many columns as the kernel has."""
    for line in text.splitlines():
        _, _, device, *numbers = line.split()
        if len(numbers) < FEWEST:
            raise ValueError(f"{device[:40]!r} has only {len(numbers)} numbers")
        if IGNORED.fullmatch(device):
            continue
        for (metric, factor), number in zip(COLUMNS, numbers, strict=False):
            yield metric(float(number) * factor, device)
