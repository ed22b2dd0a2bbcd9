"""Whether SELinux is at work, from /sys/fs/selinux and /etc/selinux/config (selinux(8))."""

import re
from collections.abc import Iterator

from collector.metric import Gauge, Sample

ENABLED = Gauge("node_selinux_enabled", "Whether SELinux is enabled.")
CONFIGURED = Gauge("node_selinux_config_mode", "What it will be after a boot: 1 enforces, 0 tells, -1 is off.")
CURRENT = Gauge("node_selinux_current_mode", "What it is now: 1 enforces, 0 tells.")

# The first is there on every machine, also where there is nothing of SELinux.
FILES = ("/proc/filesystems", "/sys/fs/selinux/enforce", "/etc/selinux/config")
OPTIONAL = FILES[1:]
EVERY = 600.0

MODE = re.compile(r"^[ \t]*SELINUX[ \t]*=[ \t]*(\w+)[ \t]*$", re.MULTILINE)
MODES = {"enforcing": 1.0, "permissive": 0.0}


def parse(filesystems: str, enforce: str, config: str) -> Iterator[Sample]:
    """Read `1` or `0`, which is there where SELinux is, and the line `SELINUX=enforcing` of its configuration."""
    is_enabled = "selinuxfs" in filesystems.split() and bool(enforce.strip())
    yield ENABLED(float(is_enabled))
    if is_enabled:
        found = MODE.findall(config[:100_000])
        yield CONFIGURED(MODES.get(found[-1].lower(), -1.0) if found else -1.0)
        yield CURRENT(float(int(enforce)))
