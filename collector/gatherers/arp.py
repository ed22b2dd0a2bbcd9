"""Neighbours in the network, from /proc/net/arp (proc(5))."""

from collections import Counter
from collections.abc import Iterator

from collector.metric import Gauge, Sample

ENTRIES = Gauge("node_arp_entries", "Neighbours that an interface knows by their address.", "device")

FILES = ("/proc/net/arp",)
MAY_BE_EMPTY = True

HEAD = "IP address "


def parse(text: str) -> Iterator[Sample]:
    """Read `192.0.2.1 0x1 0x2 02:fc:00:00:00:05 * eth0` below a line of heads, a line for each neighbour."""
    head, *lines = text.splitlines()
    if not head.startswith(HEAD):
        raise ValueError("not a table of neighbours")
    rows = [line.split() for line in lines]
    for device, count in Counter([device for _, _, _, _, _, device in rows]).items():
        yield ENTRIES(float(count), device)
