"""A program in namespaces of its own.

    argv = private(["/usr/sbin/sshd", …], over={"/etc/passwd": copy}, without=["bash"])
    process = subprocess.Popen(argv)

It has its own mounts (what it sees over the host's files is nobody else's), and its own process numbers: when its first
process ends, the kernel ends all the others, and the first one ends when we do, however we end. The network stays the
host's, so its servers are reached on 127.0.0.0/8, unless it runs inside a namespace of rig.link.
"""

import os
import shlex
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path

PROGRAMS = ("/usr/local/sbin", "/usr/local/bin", "/usr/sbin", "/usr/bin", "/sbin", "/bin")
"""Where a machine has its programs."""


def private(
    argv: Iterable[str], *, over: Mapping[str, Path | str], without: Iterable[str] = (), folders: Iterable[str] = ()
) -> list[str]:
    """The command that runs `argv` in private namespaces.

    `over`: path → file or folder that is seen there instead, in this order; both must exist, and of the same sort.
    `without`: names of programs that the machine shall not have. `folders`: made below /run, which begins empty.
    """
    steps = ["mount -t tmpfs -o mode=755 tmpfs /run", *(f"mkdir -p {shlex.quote(folder)}" for folder in folders)]
    steps += _hide(frozenset(without))
    steps += [f"mount --bind {shlex.quote(str(seen))} {shlex.quote(path)}" for path, seen in over.items()]
    script = "\n".join([*steps, 'exec "$@"'])
    spaces = ["unshare", "--mount", "--pid", "--fork", "--kill-child", "--mount-proc"]
    return ["setpriv", "--pdeathsig", "KILL", *spaces, "sh", "-ec", script, "sh", *argv]


def children(pid: int) -> list[int]:
    """The processes that `pid` started and that are still there."""
    return [child for child in _processes() if _parent(child) == pid]


def companions(pid: int) -> list[int]:
    """The other processes of the PID namespace of `pid`, by their numbers on the host."""
    space = _pid_namespace(pid)
    return [other for other in _processes() if other != pid and space and _pid_namespace(other) == space]


def state(pid: int) -> str:
    """The letter for what a process is doing (proc(5)): T stands still, Z has ended; empty when it is gone."""
    return "".join(_status(pid)[:1])


def _hide(names: frozenset[str]) -> Iterator[str]:
    """Lay an empty layer over each folder that has one of the programs, and delete them there."""
    folders = {Path(folder).resolve() for folder in PROGRAMS}
    for number, folder in enumerate(sorted(folders)):
        found = [str(folder / name) for name in sorted(names) if os.path.lexists(folder / name)]
        if found:
            layer = f"/run/layer{number}"
            yield f"mkdir -p {layer}/upper {layer}/work"
            yield f"mount -t overlay -o lowerdir={folder},upperdir={layer}/upper,workdir={layer}/work overlay {folder}"
            yield f"rm {shlex.join(found)}"


def _processes() -> list[int]:
    return [int(entry) for entry in os.listdir("/proc") if entry.isdigit()]


def _parent(pid: int) -> int | None:
    fields = _status(pid)
    return int(fields[1]) if fields else None


def _status(pid: int) -> list[str]:
    """The fields of /proc/<pid>/stat after the name (proc(5)): state, parent, …; none when there is no such process."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except (FileNotFoundError, ProcessLookupError):
        return []


def _pid_namespace(pid: int) -> str:
    try:
        return os.readlink(f"/proc/{pid}/ns/pid")
    except (FileNotFoundError, ProcessLookupError, PermissionError):
        return ""
