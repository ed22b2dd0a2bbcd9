"""The daemon as a process.

with Daemon(tmp_path / "log", "run", "--config", str(ini)) as daemon:
until(lambda: daemon.metric('ssh_up{instance="ssh0"}') == 1.0, "it is up")
daemon.log, daemon.get("/"), daemon.end()
"""

import os
import re
import signal
import subprocess
import sys
import urllib.error
import urllib.request
from collections.abc import Sequence
from pathlib import Path
from typing import Self

from rig import needs
from rig.link import Namespace
from rig.wait import until

PATIENCE = 20.0
"""Seconds for each step of an answer."""

COLLECTOR = (sys.executable, "-m", "collector")


class Daemon:
    """`collector …` in a process of its own; `log` is what it has written to standard error.

    `program` is what runs in its place, or runs it.
    """

    def __init__(self, log: Path, *arguments: str, program: Sequence[str] = COLLECTOR, **environment: str) -> None:
        self._log = log
        with log.open("wb") as file:
            argv = [*program, *arguments]
            self.process = subprocess.Popen(argv, stdout=file, stderr=file, env=os.environ | environment)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.process.kill()
        self.process.wait()

    @property
    def log(self) -> str:
        """What it said so far."""
        return self._log.read_text()

    def url(self, path: str) -> str:
        """The address of a page, once it serves."""
        (found,) = until(lambda: re.findall(r"serving (http://[^/]+)/", self.log), "it serves")
        return f"{found}{path}"

    def get(self, path: str, method: str = "GET") -> tuple[int, str]:
        """Status and text of a page."""
        try:
            request = urllib.request.Request(self.url(path), method=method)
            with urllib.request.urlopen(request, timeout=PATIENCE) as response:
                return response.status, response.read().decode()
        except urllib.error.HTTPError as error:
            with error:
                return error.code, error.read().decode()

    def page(self) -> dict[str, float]:
        """All series of /metrics, with their values."""
        status, text = self.get("/metrics")
        assert status == 200, text
        series = (line.rpartition(" ") for line in text.splitlines() if not line.startswith("#"))
        return {name: float(value) for name, _, value in series}

    def metric(self, line: str) -> float | None:
        """The value of a series of /metrics; None if it is not there."""
        return self.page().get(line)

    def end(self, number: int = signal.SIGTERM) -> int:
        """Send a signal, and return the exit code."""
        self.process.send_signal(number)
        return self.process.wait(10)


class NearDaemon(Daemon):
    """A daemon in a namespace of rig.link, whose pages are got from there; needs curl."""

    def __init__(self, within: Namespace, log: Path, *arguments: str, program: Sequence[str] = COLLECTOR) -> None:
        self._within = within
        super().__init__(log, *arguments, program=within.command(program))

    def get(self, path: str, method: str = "GET") -> tuple[int, str]:
        """Status and text of a page."""
        argv = [needs.program("curl"), "-s", "-X", method, "-w", "\n%{http_code}", self.url(path)]
        said = subprocess.run(self._within.command(argv), capture_output=True, text=True, check=True).stdout
        text, _, status = said.rpartition("\n")
        return int(status), text
