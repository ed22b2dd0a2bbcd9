"""How full the file systems are, from /proc/self/mountinfo (proc(5)) and statfs(2), which the probe has stat ask."""

import re
from collections.abc import Iterator
from typing import NamedTuple

from collector.metric import Gauge, Sample

LABELS = ("device", "mountpoint", "fstype", "device_error")

SIZE = Gauge("node_filesystem_size_bytes", "Size of the file system.", *LABELS)
FREE = Gauge("node_filesystem_free_bytes", "Free space, also that which is kept for root.", *LABELS)
AVAILABLE = Gauge("node_filesystem_avail_bytes", "Free space for everybody.", *LABELS)
FILES_ALL = Gauge("node_filesystem_files", "How many inodes there are.", *LABELS)
FILES_FREE = Gauge("node_filesystem_files_free", "How many inodes are free.", *LABELS)
READ_ONLY = Gauge("node_filesystem_readonly", "Whether it cannot be written to.", *LABELS)
DEVICE_ERROR = Gauge("node_filesystem_device_error", "Whether its size could not be asked for.", *LABELS)
MOUNT_INFO = Gauge(
    "node_filesystem_mount_info", "Where it is mounted; always 1.", "device", "major", "minor", "mountpoint"
)

FILES = ("/proc/self/mountinfo", "filesystems")

NO_TYPES = re.compile(
    "autofs|binfmt_misc|bpf|cgroup2?|configfs|debugfs|devpts|devtmpfs|fusectl|hugetlbfs|iso9660|mqueue|nsfs|overlay|"
    "proc|procfs|pstore|rpc_pipefs|securityfs|selinuxfs|squashfs|erofs|sysfs|tracefs"
)
NO_PLACES = re.compile(
    r"/(dev|proc|run/credentials/.+|sys|var/lib/docker/.+|var/lib/containers/storage/.+)($|/)", re.DOTALL
)
"""What node_exporter leaves out by default; the probe does, too."""

ESCAPE = re.compile(r"\\([0-7]{3})")


class Mount(NamedTuple):
    """A line of mountinfo; `options` are those of the mount and of the file system."""

    place: str
    device: str
    kind: str
    numbers: tuple[str, str]
    options: frozenset[str]


def parse(mountinfo: str, sizes: str) -> Iterator[Sample]:
    """Read what is mounted, and of each `BLOCKS FREE AVAILABLE SIZE INODES FREE PLACE` (in blocks of SIZE bytes).

    Of one that keeps stat waiting the probe says `stuck PLACE`.
    """
    asked = dict(map(read_size, filter(None, sizes.split("\n"))))
    mounts: dict[tuple[str, str], Mount] = {}
    for mount in read_mounts(mountinfo):
        mounts.setdefault((mount.device, mount.place), mount)
    for mount in mounts.values():
        numbers = asked.get(mount.place, "no answer")
        problem = numbers if isinstance(numbers, str) else ""
        labels = (mount.device, mount.place, mount.kind, problem)
        yield MOUNT_INFO(1.0, mount.device, *mount.numbers, mount.place)
        yield DEVICE_ERROR(float(bool(problem)), *labels)
        yield READ_ONLY(float(not mount.options.isdisjoint({"ro", "emergency_ro"})), *labels)
        if not isinstance(numbers, str):
            blocks, free, available, size, files, files_free = numbers
            yield SIZE(blocks * size, *labels)
            yield FREE(free * size, *labels)
            yield AVAILABLE(available * size, *labels)
            yield FILES_ALL(files, *labels)
            yield FILES_FREE(files_free, *labels)


def read_size(line: str) -> tuple[str, list[float] | str]:
    """Return a place, and its numbers or why there are none."""
    if line.startswith("stuck "):
        return line.removeprefix("stuck "), "mountpoint timeout"
    *numbers, place = line.split(" ", 6)
    if len(numbers) != 6:
        raise ValueError(f"not the size of a file system: {line!r}")
    return place, list(map(float, numbers))


def read_mounts(text: str) -> Iterator[Mount]:
    """Yield `36 35 98:0 /mnt1 /mnt2 rw,noatime master:1 - ext3 /dev/root rw,errors=continue`, but what has no size."""
    for line in filter(None, text.split("\n")):
        words, _, behind = line.partition(" - ")
        _, _, numbers, _, place, options, *_ = words.split(" ")
        kind, device, more, *_ = [*behind.split(" "), "", ""]
        major, _, minor = numbers.partition(":")
        place = ESCAPE.sub(lambda match: chr(int(match[1], 8)), place)
        if not NO_TYPES.fullmatch(kind) and not NO_PLACES.match(place):
            device = ESCAPE.sub(lambda match: chr(int(match[1], 8)), device)
            yield Mount(place, device, kind, (major, minor), frozenset(f"{options},{more}".split(",")))
