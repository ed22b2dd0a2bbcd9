"""What ZFS did, and the state of its pools, from /proc/spl/kstat/zfs (OpenZFS)."""

import re
from collections.abc import Iterator, Mapping
from functools import lru_cache

from collector.metric import Gauge, Sample, Untyped

STATE = Gauge("node_zfs_zpool_state", "Whether the pool is in this state.", "zpool", "state")

PLACE = "/proc/spl/kstat/zfs"

# Of all that is there some is long: dbufs and dbgmsg have megabytes, and a pool has a file for each dataset.
FILES = (f"{PLACE}/*stats", *(f"{PLACE}/{file}" for file in ("dmu_tx", "fm", "zil", "*/state")))
OPTIONAL = FILES[1:]

STATES = ("online", "degraded", "faulted", "offline", "removed", "unavail", "suspended")

PREFIXES = {
    "abdstats": "abd",
    "arcstats": "arc",
    "dbufstats": "dbuf",
    "dnodestats": "dnode",
    "vdev_cache_stats": "vdev_cache",
    "vdev_mirror_stats": "vdev_mirror",
    "xuio_stats": "xuio",
    "zfetchstats": "zfetch",
}

MOST_LINES = 200
"""Of a file. arcstats has 140."""

LINE = re.compile(r"([a-z][a-z0-9_-]{0,60}) +[34] +(-?[0-9]{1,20})")
"""A number with a sign, or without. Others are times and texts, of which node_exporter has none."""


def parse(stats: Mapping[str, str], dmu_tx: str, fm: str, zil: str, states: Mapping[str, str]) -> Iterator[Sample]:
    """Read `hits  4  8772612` below `name  type  data`, and of each pool `ONLINE`."""
    for path, text in stats.items():
        if prefix := PREFIXES.get(path.rpartition("/")[2]):
            yield from numbers(prefix, text)
    for prefix, text in (("dmu_tx", dmu_tx), ("fm", fm), ("zil", zil)):
        if text:
            yield from numbers(prefix, text)
    for path, text in states.items():
        # A pool that has just gone has none.
        if text.strip():
            for state in STATES:
                yield STATE(float(text.strip().lower() == state), path.split("/")[-2], state)


def numbers(prefix: str, text: str) -> Iterator[Sample]:
    """Yield the numbers of a file. The first line is about the file."""
    _, head, *lines = text.splitlines()
    if head.split() != ["name", "type", "data"]:
        raise ValueError("not a table of numbers")
    for line in lines[:MOST_LINES]:
        if match := LINE.match(line):
            yield metric_of(prefix, match[1])(float(match[2]))


@lru_cache(maxsize=1024)
def metric_of(prefix: str, name: str) -> Untyped:
    """Return the metric of a number of a file. node_exporter does not say which of them only grow."""
    return Untyped(f"node_zfs_{prefix}_{name.replace('-', '_')}", f"The number {name} of OpenZFS.")
