"""Memory of each NUMA node, from /sys/devices/system/node/node*/meminfo and numastat."""

import re
from collections.abc import Iterator, Mapping
from functools import lru_cache

from collector.metric import Counter, Gauge, Sample

HITS = Counter("node_memory_numa_numa_hit_total", "Pages that the node gave to those who wanted its own.", "node")

FILES = ("/sys/devices/system/node/node*/meminfo", "/sys/devices/system/node/node*/numastat")
OPTIONAL = FILES[1:]
ONLY_IF_ASKED = True

MOST_LINES = 100
"""Of one file. Linux has 40; each would be a series."""

LINE = re.compile(r"Node [0-9]+ (\w{1,40})(?:\((\w{1,20})\))?: +([0-9]{1,20})( kB)?", re.ASCII)
PAGES = re.compile(r"(\w{1,40}) ([0-9]{1,20})", re.ASCII)


def parse(meminfos: Mapping[str, str], numastats: Mapping[str, str]) -> Iterator[Sample]:
    """Read `Node 0 MemTotal:  16384 kB` and `numa_hit 1234`, a line each; there is no unit in the names."""
    for path, text in meminfos.items():
        for line in filter(None, text.split("\n")[:MOST_LINES]):
            match = LINE.fullmatch(line.strip())
            if match is None:
                raise ValueError(f"not a line of a node's meminfo: {line[:100]!r}")
            field, kind, number, unit = match.groups()
            yield gauge_of("_".join(filter(None, (field, kind))))(float(number) * (1024 if unit else 1), node_of(path))
    for path, text in numastats.items():
        for line in filter(None, text.split("\n")[:MOST_LINES]):
            match = PAGES.fullmatch(line.strip())
            if match is None:
                raise ValueError(f"not a line of numastat: {line[:100]!r}")
            yield counter_of(match[1])(float(match[2]), node_of(path))


def node_of(path: str) -> str:
    """Return the number of the node whose file it is."""
    return path.split("/")[5].removeprefix("node")


@lru_cache(maxsize=1024)
def gauge_of(field: str) -> Gauge:
    """Return the gauge of a field of meminfo: `Active_anon` is node_memory_numa_Active_anon."""
    return Gauge(f"node_memory_numa_{field}", f"The node's {field}.", "node")


@lru_cache(maxsize=128)
def counter_of(field: str) -> Counter:
    """Return the counter of a field of numastat."""
    return HITS if field == "numa_hit" else Counter(f"node_memory_numa_{field}_total", f"The node's {field}.", "node")
