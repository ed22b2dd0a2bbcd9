"""What a test needs of the machine that runs it: root, namespaces, programs.

    @pytest.mark.needs("root", "namespaces", "sshd", "strace")
    def test_poll_does_not_fork(): ...

Where something is missing the test is skipped, and the reason says what. With CI=true in the environment it fails
instead: there everything runs. A fixture calls `require` itself, so that its tests need no mark.

`root`, `namespaces` (mount, PID and network) and `tun` are looked at; any other word is a program.
"""

import functools
import os
import shutil
import subprocess
from pathlib import Path

import pytest

PATH = os.pathsep.join((os.environ.get("PATH", ""), "/usr/local/sbin", "/usr/sbin", "/sbin"))
"""Debian's users have no sbin in their PATH, and sshd is there."""


def require(*needs: str) -> None:
    """Skip the test when one of `needs` is missing; fail it in CI."""
    missing = [text for need in needs if (text := lack(need))]
    if not missing:
        return
    if in_ci():
        pytest.fail("; ".join(missing) + " (nothing is skipped in CI)", pytrace=False)
    pytest.skip("; ".join(missing))


def in_ci() -> bool:
    """Whether this is a run in which nothing may be skipped."""
    return os.environ.get("CI") == "true"


def program(name: str) -> str:
    """The whole path of a program (sshd insists on it); skips or fails as `require` does."""
    require(name)
    return str(shutil.which(name, path=PATH))


def lack(need: str) -> str:
    """Why the machine cannot give `need`; empty when it can."""
    match need:
        case "root":
            return "" if os.geteuid() == 0 else "needs root"
        case "namespaces":
            return _no_namespaces()
        case "tun" | "fuse":
            device = {"tun": "/dev/net/tun", "fuse": "/dev/fuse"}[need]
            return "" if os.access(device, os.R_OK | os.W_OK) else f"needs {device}"
        case name:
            return "" if shutil.which(name, path=PATH) else f"needs the program {name}"


@functools.cache
def _no_namespaces() -> str:
    if not Path("/proc/self/ns/mnt").exists() or not shutil.which("unshare"):
        return "needs Linux namespaces and the program unshare"
    argv = ["unshare", "--mount", "--pid", "--net", "--fork", "--mount-proc", "true"]
    trial = subprocess.run(argv, capture_output=True, text=True, check=False)
    return f"needs namespaces: {trial.stderr.strip()}" if trial.returncode else ""
