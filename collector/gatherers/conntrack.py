"""Connections that the packet filter tracks, from /proc/sys/net/netfilter and /proc/net/stat/nf_conntrack."""

from collections.abc import Iterator

from collector.metric import Gauge, Sample

ENTRIES = Gauge("node_nf_conntrack_entries", "Connections tracked.")
LIMIT = Gauge("node_nf_conntrack_entries_limit", "Connections that may be tracked.")
COLUMNS = {
    "drop": Gauge("node_nf_conntrack_stat_drop", "Packets dropped because a connection could not be tracked."),
    "early_drop": Gauge("node_nf_conntrack_stat_early_drop", "Connections forgotten early because there were many."),
    "found": Gauge("node_nf_conntrack_stat_found", "Lookups that found a connection."),
    "ignore": Gauge("node_nf_conntrack_stat_ignore", "Packets of connections tracked already."),
    "insert": Gauge("node_nf_conntrack_stat_insert", "Connections entered."),
    "insert_failed": Gauge("node_nf_conntrack_stat_insert_failed", "Connections that could not be entered."),
    "invalid": Gauge("node_nf_conntrack_stat_invalid", "Packets that can be of no connection."),
    "search_restart": Gauge("node_nf_conntrack_stat_search_restart", "Lookups that had to begin anew."),
}

FILES = (
    "/proc/sys/net/netfilter/nf_conntrack_count",
    "/proc/sys/net/netfilter/nf_conntrack_max",
    "/proc/net/stat/nf_conntrack",
)
OPTIONAL = ("/proc/net/stat/nf_conntrack",)


def parse(count: str, most: str, stat: str) -> Iterator[Sample]:
    """Read two numbers, and a table with a line of hexadecimal ones for each processor, which only root may on some."""
    yield ENTRIES(float(count))
    yield LIMIT(float(most))
    if stat:
        heads, *lines = [line.split() for line in stat.splitlines()]
        columns = zip(heads, *lines, strict=True)
        for head, *numbers in columns:
            if gauge := COLUMNS.get(head):
                yield gauge(float(sum(int(number, 16) for number in numbers)))
