"""Memory, from /proc/meminfo (proc(5)): every line of it, under the names that node_exporter gives them."""

import re
from functools import lru_cache
from itertools import compress
from operator import mul

from collector.metric import Gauge, Samples, Shape, shape_of

FILES = ("/proc/meminfo",)

MOST_LINES = 100
"""Linux has about 55. A machine that sends more is broken or hostile, and each would be a series."""

LONGEST_NAME = 64
"""Letters of a line's name. Linux's have up to 17, and a long one takes long to match, and to keep."""

NUMBER = re.compile(r": *([0-9]+)")
LINE = re.compile(r"([^:\n]*): 0( kB)?")
FIELD = re.compile(r"(\w+)(?:\((\w+)\))?(\w*)", re.ASCII)


def parse(text: str) -> Samples:
    """Read `MemTotal:  16384 kB` (bytes = kB * 1024) and `HugePages_Total:  0` (a plain count), a line each.

    Most machines' text is the same but for its numbers, and so is what each of these stands for.
    """
    # A last line may have no end.
    if text.count("\n") >= MOST_LINES:
        text = "\n".join(text.split("\n", MOST_LINES)[:MOST_LINES])
    parts = NUMBER.split(text)
    shape, known, factors = plan(tuple(parts[::2]))
    return Samples(shape, tuple(map(mul, map(float, compress(parts[1::2], known)), factors)))


@lru_cache(maxsize=128)
def plan(rest: tuple[str, ...]) -> tuple[Shape, tuple[bool, ...], tuple[float, ...]]:
    """Return what the numbers of a text are, by the rest of it: series, whether each is one, and what it counts in."""
    read = [read_line(line) for line in ": 0".join(rest).split("\n") if line]
    found = [line for line in read if line]
    shape = shape_of(tuple([(gauge, ()) for gauge, _ in found]))
    return shape, tuple([line is not None for line in read]), tuple([factor for _, factor in found])


def read_line(line: str) -> tuple[Gauge, float] | None:
    """Return the gauge of a line, and what it counts in; nothing where the name cannot be a metric's.

    Raises ValueError: it is no line of meminfo.
    """
    match = LINE.fullmatch(line)
    if match is None:
        raise ValueError(f"not a line of meminfo: {line!r}")
    field, unit = match.groups()
    gauge = gauge_of(field, bool(unit)) if len(field) <= LONGEST_NAME else None
    return None if gauge is None else (gauge, 1024.0 if unit else 1.0)


@lru_cache(maxsize=1024)
def gauge_of(field: str, is_size: bool) -> Gauge | None:
    """Return the gauge of a field: `Active(anon)`, a size, is node_memory_Active_anon_bytes, as with node_exporter."""
    words = FIELD.fullmatch(field)
    if words is None:
        return None
    name = "_".join(filter(None, words.group(1, 2))) + words[3] + ("_bytes" if is_size else "")
    return Gauge(f"node_memory_{name}", f"Memory information field {name}.")
