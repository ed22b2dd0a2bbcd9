"""Software RAID, from /proc/mdstat and /sys/block (md(4))."""

import re
from collections.abc import Iterator, Mapping

from collector.metric import Gauge, Sample

STATE = Gauge("node_md_state", "Whether the array is in this state.", "device", "state")
DISKS = Gauge("node_md_disks", "Disks of the array that are active, failed or spare.", "device", "state")
REQUIRED = Gauge("node_md_disks_required", "Disks that the array is made for.", "device")
BLOCKS = Gauge("node_md_blocks", "Blocks of the array, of 1,024 bytes.", "device")
SYNCED = Gauge(
    "node_md_blocks_synced", "Blocks that are in sync; while it is at work, those that it has done.", "device"
)
DEGRADED = Gauge("node_md_degraded", "Disks that the array lacks.", "device")
RAID_DISKS = Gauge("node_md_raid_disks", "Disks that the array has if it lacks none.", "device")

FILES = ("/proc/mdstat", "/sys/block/*/md/raid_disks", "/sys/block/*/md/degraded")
OPTIONAL = FILES[1:]
MAY_BE_EMPTY = True

HEAD = "Personalities :"
STATES = ("active", "inactive", "recovering", "resync", "check")
ARRAY = re.compile(r"(\S+) : (active|inactive)( .*)?")
SIZE = re.compile(r"\s+([0-9]+) blocks")
PRESENT = re.compile(r"\[([0-9]+)/([0-9]+)\]")
WORK = re.compile(r"\b(recovery|resync|check) *= *(?:[0-9.]+% *\(([0-9]+)/[0-9]+\)|PENDING|DELAYED|REMOTE)")


def parse(text: str, disks: Mapping[str, str], degraded: Mapping[str, str]) -> Iterator[Sample]:
    """Read of each array a line, and those that are indented below it; and of /sys/block/md1/md two numbers.

    md1 : active raid5 sde1[4] sdd1[3](F) sdc1[1] sdb1[0]
          1953259520 blocks super 1.2 level 5, 512k chunk, algorithm 2 [3/2] [UU_]
          [=>...................]  recovery =  8.5% (83013632/976629760) finish=83.2min speed=179000K/sec
    """
    if not text.startswith(HEAD):
        raise ValueError("not mdstat")
    # What is not indented begins something new.
    for part in re.split(r"\n(?=\S)", text)[1:]:
        if not part.startswith("unused devices:"):
            head, _, below = part.partition("\n")
            yield from array(head, below)
    for path, number in disks.items():
        # While an array grows there are two, the first of which shall be; a container of others has none.
        if number.strip():
            device = path.split("/")[3]
            yield RAID_DISKS(float(int(number.split()[0])), device)
            # raid0 cannot lack one, and has no such file.
            lacking = degraded.get(path.replace("raid_disks", "degraded"), "").strip()
            yield DEGRADED(float(int(lacking or 0)), device)


def array(head: str, below: str) -> Iterator[Sample]:
    """Read one array. While it is at work it is not `active` but what it does, as with node_exporter."""
    match = ARRAY.fullmatch(head)
    if match is None:
        raise ValueError(f"not an array: {head[:60]!r}")
    device, state, rest = match.groups("")
    # An array without a disk has no size.
    size, work = SIZE.match(below), WORK.search(below)
    blocks = float(size[1]) if size else 0.0
    if work:
        state = "recovering" if work[1] == "recovery" else work[1]
    active, required = present(rest, below) if match[2] == "active" else (0.0, 0.0)
    for one in STATES:
        yield STATE(float(one == state), device, one)
    yield DISKS(active, device, "active")
    yield DISKS(float(rest.count("(F)")), device, "failed")
    yield DISKS(float(rest.count("(S)")), device, "spare")
    yield REQUIRED(required, device)
    yield BLOCKS(blocks, device)
    yield SYNCED(float(work[2] or 0) if work else blocks, device)


def present(disks: str, below: str) -> tuple[float, float]:
    """Return how many disks are active, and how many there should be: of `[3/2]` two and three, without it all."""
    counts = PRESENT.search(below)
    if counts:
        return float(counts[2]), float(counts[1])
    return float(disks.count("[")), float(disks.count("["))
