"""Memory, from /proc/meminfo (proc(5)): every line of it, under the names that node_exporter gives them."""

import re
from functools import lru_cache

from collector.metric import Gauge, Sample

FILES = ("/proc/meminfo",)

MOST_LINES = 100
"""Linux has about 55. A machine that sends more is broken or hostile, and each would be a series."""

LONGEST_NAME = 64
"""Letters of a line's name. Linux's have up to 17, and a long one takes long to match, and to keep."""

LINE = re.compile(r"([^:\n]*): *([0-9]+)( kB)?")
FIELD = re.compile(r"(\w+)(?:\((\w+)\))?(\w*)", re.ASCII)


def parse_line(line: str) -> Sample | None:
    """Read `MemTotal:  16384 kB` (bytes = kB * 1024) or `HugePages_Total:  0` (a plain count).

    A line whose name cannot be a metric's yields nothing.
    """
    match = LINE.fullmatch(line)
    if match is None:
        raise ValueError(f"not a line of meminfo: {line!r}")
    field, number, unit = match.groups()
    gauge = gauge_of(field, bool(unit)) if len(field) <= LONGEST_NAME else None
    return None if gauge is None else gauge(float(number) * (1024.0 if unit else 1.0))


@lru_cache(maxsize=1024)
def gauge_of(field: str, is_size: bool) -> Gauge | None:
    """Return the gauge of a field: `Active(anon)`, a size, is node_memory_Active_anon_bytes, as with node_exporter."""
    words = FIELD.fullmatch(field)
    if words is None:
        return None
    name = "_".join(filter(None, words.group(1, 2))) + words[3] + ("_bytes" if is_size else "")
    return Gauge(f"node_memory_{name}", f"Memory information field {name}.")
