"""A machine made of files, which one program sees instead of this one's /proc, /sys, /run and /etc.

    files = machine(0)                              # path → text
    plant(tmp_path / "tree", files)
    subprocess.Popen([*over(tmp_path / "tree"), "/bin/sh"])
    seen(files, "/sys/class/net/*/operstate")       # what a probe has to say of it

The program is nobody's, has an empty environment but for a PATH that begins with BIN, and process numbers of its own.
Needs root, namespaces and setpriv.
"""

import os
import re
import shutil
from collections.abc import Mapping
from pathlib import Path

from collector.gather import GATHERERS
from collector.probe import MATCH, is_pattern, matches
from rig.said import CUT, paths, texts

BIN = "/run/bin"
"""Where a tree has its own programs: `plant` puts a perl there that always knows the same of the clock."""

TIMEX = "0 0 -123456 -1589248 81500 12000 8193 7 1 32768000 1700000000 123456789 10000 0 0 0 0 3 2 1 0 37\n"
"""What adjtimex(2) says."""

SIZES = {"/mnt/1m": (256, 100), "/mnt/with:colon": (512, 200), f"/mnt/{'long' * 40}": (1024, 300)}
"""What is mounted: place → how many blocks of 4096 bytes it has, and inodes. They are empty."""

GONE = "/mnt/gone"
"""Said to be mounted, and not there."""


def machine(number: int) -> dict[str, str]:
    """Return what is in the files of a machine that has something for each gatherer: of its fixtures, one by turns.

    A file that is there for two of them is as the first one has it. A text may be empty.
    """
    files: dict[str, str] = {}
    for name in GATHERERS:
        given = paths(name)
        for file, text in texts(name, given[number % len(given)].read_text().partition(CUT)[0]).items():
            files = (matches(text) if is_pattern(file) else {file: text}) | files
    mounted = [
        f"{number} 1 0:{number} / {place} rw,relatime - tmpfs tmpfs rw\n"
        for number, place in enumerate([*SIZES, GONE], 100)
    ]
    real = {path: text for path, text in files.items() if path.startswith("/")}
    return real | {"/proc/self/mountinfo": "".join(mounted)}


def plant(root: Path, files: Mapping[str, str]) -> None:
    """Make a tree of files. Those without a text are really empty, or may not be read, by turns."""
    for folder in ("proc/self", "sys", "etc", BIN[1:]):
        (root / folder).mkdir(parents=True)
    for path, text in files.items():
        if path.endswith("/.") and text:
            place, there = root / path[1:-2], root / text.strip("/\n")
            place.parent.mkdir(parents=True, exist_ok=True)
            there.mkdir(parents=True, exist_ok=True)
            place.symlink_to(os.path.relpath(there, place.parent))
    folders = {folder for path in files for folder in map(str, Path(path).parents)}
    for number, path in enumerate(path for path in files if not path.endswith("/.") and path not in folders):
        place = root / path[1:]
        place.parent.mkdir(parents=True, exist_ok=True)
        place.write_bytes(files[path].encode(errors="surrogateescape"))
        place.chmod(0o444 if files[path] or number % 2 else 0)
    # What bash has of a process that it reads from is in /dev/fd, which leads there.
    (root / "proc/self/fd").symlink_to("/mnt/proc/self/fd")
    perl = root / BIN[1:] / "perl"
    perl.write_text(f"#!/bin/sh\necho {TIMEX}")
    perl.chmod(0o755)


def over(root: Path, path: str = BIN) -> tuple[str, ...]:
    """Return the command that runs a program, with this PATH, where a tree is laid over the real files."""
    steps = [f"mount -t overlay -o lowerdir={root}/etc:/etc overlay /etc", "mount -t tmpfs -o mode=755 tmpfs /mnt"]
    steps += ["mkdir /mnt/proc", "mount --bind /proc /mnt/proc"]
    for place, (blocks, inodes) in SIZES.items():
        steps += [f"mkdir {place}", f"mount -t tmpfs -o size={4 * blocks}k,nr_inodes={inodes} tmpfs {place}"]
    steps += [f"mount --bind {root}/{folder} /{folder}" for folder in ("run", "sys", "proc")]
    steps.append(f'exec setpriv --reuid 65534 --regid 65534 --clear-groups env -i PATH={path} "$@"')
    spaces = ("--mount", "--pid", "--fork", "--kill-child", "--mount-proc")
    return (str(shutil.which("unshare")), *spaces, "sh", "-ec", "\n".join(steps), "sh")


def seen(files: Mapping[str, str], wanted: str) -> str:
    """Return the text of what a gatherer calls a file, as a probe has it that sees these."""
    if wanted == "filesystems":
        return "".join(
            f"{blocks} {blocks} {blocks} 4096 {inodes} {inodes - 1} {place}\n"
            for place, (blocks, inodes) in SIZES.items()
        )
    if wanted.startswith("run:"):
        return TIMEX
    if not is_pattern(wanted):
        return _read(files.get(wanted, ""))
    pattern = re.compile("".join([_as_regex(part) for part in re.findall(r"\[[^]]*\]|.", wanted)]))
    found = sorted(path for path in files if files[path] and pattern.fullmatch(path))
    return "".join(f"{MATCH}{path}\n{_read(files[path])}" for path in found)


def _as_regex(part: str) -> str:
    """Return what a part of a shell's pattern is in a regular expression."""
    return {"*": "[^/]*", "?": "[^/]"}.get(part, part if part.startswith("[") else re.escape(part))


def _read(text: str) -> str:
    """Return a text with what is no UTF-8 replaced."""
    return text.encode(errors="surrogateescape").decode(errors="replace")
