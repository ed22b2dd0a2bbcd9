"""Memory, from /proc/meminfo (proc(5)): every line of it, under the names that node_exporter gives them."""

import re
from collections.abc import Iterator
from functools import lru_cache
from itertools import islice

from collector.metric import Gauge, Sample

FILES = ("/proc/meminfo",)

MOST = 100
"""Linux has about 55 lines. A machine that sends more is broken or hostile, and each would be a series."""

LINE = re.compile(r"^([^:\n]*): *([0-9]+)( kB)?$", re.MULTILINE)
FIELD = re.compile(r"(\w+)(?:\((\w+)\))?(\w*)", re.ASCII)


def parse(text: str) -> Iterator[Sample]:
    """Read lines `MemTotal:  16384 kB` (bytes = kB * 1024) and `HugePages_Total:  0` (a plain count)."""
    return islice(samples(text), MOST)


def samples(text: str) -> Iterator[Sample]:
    """Yield a sample for each line whose name can be a metric's."""
    lines = [line for line in text.split("\n") if line]
    # One search of the whole text takes a third of the time of a look at each line.
    found = LINE.findall(text)
    if len(found) != len(lines):
        wrong = next(line for line in lines if not LINE.fullmatch(line))
        raise ValueError(f"not a line of meminfo: {wrong!r}")
    for field, number, unit in found:
        gauge = gauge_of(field, bool(unit))
        if gauge is not None:
            yield gauge(float(number) * (1024.0 if unit else 1.0))


@lru_cache(maxsize=1024)
def gauge_of(field: str, is_size: bool) -> Gauge | None:
    """Return the gauge of a field: `Active(anon)`, a size, is node_memory_Active_anon_bytes, as with node_exporter."""
    words = FIELD.fullmatch(field)
    if words is None:
        return None
    name = "_".join(filter(None, words.group(1, 2))) + words[3] + ("_bytes" if is_size else "")
    return Gauge(f"node_memory_{name}", f"Memory information field {name}.")
