"""Open files, from /proc/sys/fs/file-nr (proc(5))."""

from collections.abc import Iterator

from collector.metric import Gauge, Sample

ALLOCATED = Gauge("node_filefd_allocated", "Files that are open.")
MAXIMUM = Gauge("node_filefd_maximum", "Files that may be open.")

FILES = ("/proc/sys/fs/file-nr",)


def parse(text: str) -> Iterator[Sample]:
    """Read `12888  0  2466177`: open, free (always 0 since Linux 2.6), and at most."""
    allocated, _, maximum, *_ = text.split()
    yield ALLOCATED(float(allocated))
    yield MAXIMUM(float(maximum))
