"""Bytes that wait in UDP sockets, from /proc/net/udp and udp6 (proc(5))."""

from collections.abc import Iterator

from collector.metric import Gauge, Sample

QUEUES = Gauge("node_udp_queues", "Bytes of memory that wait in UDP sockets to be sent, or to be read.", "queue", "ip")

FILES = ("/proc/net/udp", "/proc/net/udp6")
OPTIONAL = ("/proc/net/udp6",)


def parse(v4: str, v6: str) -> Iterator[Sample]:
    """Read of each line the fifth column, `00000000:00000A00`: what waits to be sent and to be read, hexadecimal."""
    for ip, text in (("v4", v4), ("v6", v6)):
        if text:
            sent, read = sums(text)
            yield QUEUES(float(sent), "tx", ip)
            yield QUEUES(float(read), "rx", ip)


def sums(text: str) -> tuple[int, int]:
    """Return what waits in all sockets to be sent, and to be read."""
    head, *lines = text.splitlines()
    if head.split()[:1] != ["sl"]:
        raise ValueError("not a table of sockets")
    pairs = [line.split()[4].split(":") for line in lines]
    return sum(int(sent, 16) for sent, _ in pairs), sum(int(read, 16) for _, read in pairs)
