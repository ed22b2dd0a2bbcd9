"""Which distribution the machine runs, from /etc/os-release (os-release(5))."""

import re
import shlex
from collections.abc import Iterator
from datetime import UTC, datetime
from functools import lru_cache

from collector.metric import Gauge, Sample

KEYS = (
    "build_id", "id", "id_like", "image_id", "image_version", "name", "pretty_name", "variant", "variant_id", "version",
    "version_codename", "version_id",
)  # fmt: skip

INFO = Gauge("node_os_info", "The distribution, as it names itself.", *KEYS)
VERSION = Gauge("node_os_version", "The distribution's version, major and minor.", "id", "id_like", "name")
SUPPORT_END = Gauge("node_os_support_end_timestamp_seconds", "When support ends, in seconds since epoch (1970).")

FILES = ("/etc/os-release",)
EVERY = 600.0

MOST_LINES, LONGEST_LINE = 100, 500
"""Debian has 9 lines of 50 letters."""

NUMBER = re.compile(r"[0-9]+\.?[0-9]*")


def parse(text: str) -> Iterator[Sample]:
    """Read `VERSION_ID="12"`, which is quoted as in a shell, a line each; `12.5.3` is version 12.5."""
    found = dict([pair for line in text.splitlines()[:MOST_LINES] if (pair := read_line(line))])
    if not found:
        raise ValueError("no KEY=value")
    said = {key: found.get(key.upper(), "") for key in KEYS}
    yield INFO(1.0, *said.values())
    number = NUMBER.match(said["version_id"])
    if number and float(number[0]):
        yield VERSION(float(number[0]), said["id"], said["id_like"], said["name"])
    if end := found.get("SUPPORT_END"):
        yield SUPPORT_END(datetime.strptime(end, "%Y-%m-%d").replace(tzinfo=UTC).timestamp())


# Machines of one distribution have the same lines, which take shlex a hundred times as long as to look them up.
@lru_cache(maxsize=1024)
def read_line(line: str) -> tuple[str, str] | None:
    """Return the key and the value; nothing of a comment, of a line that is too long or no assignment."""
    if len(line) > LONGEST_LINE or line.startswith("#"):
        return None
    words = shlex.split(line)
    key, sign, value = words[0].partition("=") if len(words) == 1 else ("", "", "")
    return (key, value) if sign else None
