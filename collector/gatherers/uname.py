"""What uname(2) says: the machine's name and its kernel, from /proc/sys/kernel (proc(5))."""

from collections.abc import Iterator

from collector.metric import Gauge, Sample

INFO = Gauge(
    "node_uname_info",
    "The machine's name and its kernel, as uname says them.",
    "sysname",
    "release",
    "version",
    "machine",
    "nodename",
    "domainname",
)

FILES = (
    "/proc/sys/kernel/ostype",
    "/proc/sys/kernel/osrelease",
    "/proc/sys/kernel/version",
    "/proc/sys/kernel/arch",
    "/proc/sys/kernel/hostname",
    "/proc/sys/kernel/domainname",
)
OPTIONAL = ("/proc/sys/kernel/arch",)
"""Since Linux 6.1."""
EVERY = 600.0


def parse(*texts: str) -> Iterator[Sample]:
    """Read a line each; `(none)` is a domain's name that was never set."""
    yield INFO(1.0, *[text.strip() for text in texts])
