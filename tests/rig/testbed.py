"""A real systemd, booted in half a second over a copy of this machine's files.

    with Testbed(folder) as testbed:                        # `folder` is laid over /
        testbed.run("systemctl", "start", "collector")
        testbed.path("/etc/collector/collector.ini").write_text(...)
        Sshd(tmp_path, [key], within=testbed.network)       # on the loopback interface of the testbed
        with testbed.network.entered(): ...

How it is made, and what is inside, is told in ../systemd-testbed.sh.
"""

import subprocess
from pathlib import Path
from types import TracebackType
from typing import Self

from rig.link import Namespace
from rig.needs import require

NEEDS = ("root", "namespaces", "setpriv", "nsenter", "systemctl", "ip")
PROGRAM = Path(__file__).parents[1] / "systemd-testbed.sh"


class Testbed:
    """Boots at `with`, and is gone with all its processes and files at the end of it."""

    __test__ = False
    """It is no test, whatever pytest takes its name for."""

    def __init__(self, tree: Path) -> None:
        self._tree = tree

    def __enter__(self) -> Self:
        require(*NEEDS)
        self._process = subprocess.Popen(
            [PROGRAM, self._tree], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )
        assert self._process.stdout is not None
        pid = self._process.stdout.readline().strip()
        if not pid:
            self.__exit__(None, None, None)
            raise RuntimeError("systemd does not come up; systemd-testbed.sh says why on standard error")
        self._pid = pid
        self.network = Namespace("127.0.0.1", f"/proc/{pid}/ns/net")
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        # Standard input ends, which ends it.
        self._process.communicate()

    def path(self, path: str) -> Path:
        """A file inside, as we see it."""
        return Path(f"/proc/{self._pid}/root{path}")

    def run(self, *argv: str) -> str:
        """What a program inside prints; `subprocess.CalledProcessError` with its `stderr` when it fails."""
        return self.attempt(*argv, check=True).stdout

    def attempt(self, *argv: str, check: bool = False) -> subprocess.CompletedProcess[str]:
        """Run a program inside, whatever its exit code."""
        inside = ["nsenter", f"--target={self._pid}", "--all", "env", "-i", *ENVIRONMENT, *argv]
        return subprocess.run(inside, stdin=subprocess.DEVNULL, capture_output=True, text=True, check=check)


ENVIRONMENT = (
    "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin",
    "LANG=C.UTF-8",
    "SYSTEMD_PAGER=",
    "SYSTEMD_COLORS=0",
)
