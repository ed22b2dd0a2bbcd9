"""Memory, from /proc/meminfo (proc(5)): every line of it, under the names that node_exporter gives them."""

import re
from array import array
from functools import lru_cache
from itertools import chain
from operator import mul
from typing import NamedTuple

from collector.metric import Gauge, Samples, Shape, shape_of

FILES = ("/proc/meminfo",)

MOST_LINES, MOST_LETTERS, LONGEST_LINE = 100, 4000, 64
"""Linux has about 55 lines of 28 letters. A machine that sends more is broken or hostile.

Each line would be a series, and a long name takes long to match.
"""

NUMBER = re.compile(r": *([0-9]+)")
LINE = re.compile(r"([^:\n]*): 0( kB)?")
FIELD = re.compile(r"(\w+)(?:\((\w+)\))?(\w*)", re.ASCII)


class Plan(NamedTuple):
    """How texts are read that are the same but for their numbers: a group of the pattern is a series' number."""

    pattern: re.Pattern[str]
    shape: Shape
    factors: tuple[float, ...]


LATEST: dict[int, Plan] = {}
"""The plan of the latest text of each length. Numbers stand in columns, so that texts of one kernel are as long."""
MOST_LATEST = 128


def parse(text: str) -> Samples:
    """Read `MemTotal:  16384 kB` (bytes = kB * 1024) and `HugePages_Total:  0` (a plain count), a line each.

    Most machines' text is the same but for its numbers, and so is what each of these stands for.
    """
    if len(text) > MOST_LETTERS or text.count("\n") >= MOST_LINES:
        text = shortened(text)
    plan = LATEST.get(len(text))
    match = plan and plan.pattern.fullmatch(text)
    if not plan or not match:
        if len(LATEST) == MOST_LATEST:
            LATEST.clear()
        LATEST[len(text)] = plan = make_plan(tuple(NUMBER.split(text)[::2]))
        match = plan.pattern.fullmatch(text)
    assert match
    return Samples(plan.shape, array("d", tuple(map(mul, map(float, match.groups()), plan.factors))))


def shortened(text: str) -> str:
    """Leave out lines that are too long, and those that are too many."""
    lines = [line for line in text.split("\n") if len(line) <= LONGEST_LINE]
    return "\n".join(lines[:MOST_LINES])


@lru_cache(maxsize=128)
def make_plan(rests: tuple[str, ...]) -> Plan:
    """Return how to read a text, by what stands before, between and behind its numbers."""
    read = [read_line(line) for line in ": 0".join(rests).split("\n") if line]
    found = [line for line in read if line]
    groups = [": *([0-9]+)" if line else ": *[0-9]+" for line in read]
    pattern = "".join(chain.from_iterable(zip(map(re.escape, rests), [*groups, ""], strict=True)))
    shape = shape_of(tuple([(gauge, ()) for gauge, _ in found]))
    return Plan(re.compile(pattern), shape, tuple([factor for _, factor in found]))


def read_line(line: str) -> tuple[Gauge, float] | None:
    """Return the gauge of a line, and what it counts in; nothing where the name cannot be a metric's.

    Raises ValueError: it is no line of meminfo.
    """
    match = LINE.fullmatch(line)
    if match is None:
        raise ValueError(f"not a line of meminfo: {line!r}")
    field, unit = match.groups()
    gauge = gauge_of(field, bool(unit)) if len(line) <= LONGEST_LINE else None
    return None if gauge is None else (gauge, 1024.0 if unit else 1.0)


@lru_cache(maxsize=1024)
def gauge_of(field: str, is_size: bool) -> Gauge | None:
    """Return the gauge of a field: `Active(anon)`, a size, is node_memory_Active_anon_bytes, as with node_exporter."""
    words = FIELD.fullmatch(field)
    if words is None:
        return None
    name = "_".join(filter(None, words.group(1, 2))) + words[3] + ("_bytes" if is_size else "")
    return Gauge(f"node_memory_{name}", f"Memory information field {name}.")
