"""Sockets in use and the memory that they take, from /proc/net/sockstat and sockstat6 (proc(5))."""

from collections.abc import Iterator

from collector.metric import Gauge, Sample

FIELDS = {
    "sockets": ("used",),
    "TCP": ("inuse", "orphan", "tw", "alloc", "mem"),
    "UDP": ("inuse", "mem"),
    "UDPLITE": ("inuse",),
    "RAW": ("inuse",),
    "FRAG": ("inuse", "memory"),
    "TCP6": ("inuse",),
    "UDP6": ("inuse",),
    "UDPLITE6": ("inuse",),
    "RAW6": ("inuse",),
    "FRAG6": ("inuse", "memory"),
}
GAUGES = {
    (protocol, field): Gauge(f"node_sockstat_{protocol}_{field}", f"Sockets: field {field} of {protocol}.")
    for protocol, fields in FIELDS.items()
    for field in fields
}
SIZES = {
    protocol: Gauge(f"node_sockstat_{protocol}_mem_bytes", f"Bytes of memory that the sockets of {protocol} take.")
    for protocol in ("TCP", "UDP")
}

FILES = ("/proc/net/sockstat", "/proc/net/sockstat6")
OPTIONAL = ("/proc/net/sockstat6",)

PAGE = 4096
"""Bytes: that of most machines; some kernels of arm64 and ppc64 have 65,536."""


def parse(*texts: str) -> Iterator[Sample]:
    """Read `TCP: inuse 666 orphan 0 tw 718 alloc 666 mem 58`, a line each; `mem` is in pages."""
    for line in [line for text in texts for line in text.splitlines()]:
        protocol, _, rest = line.partition(":")
        words = rest.split()
        for field, number in zip(words[::2], words[1::2], strict=True):
            if gauge := GAUGES.get((protocol, field)):
                yield gauge(float(number))
                if field == "mem":
                    yield SIZES[protocol](float(number) * PAGE)
