"""The machines and the daemon: healthy ones, real and simulated, patients behind a proxy each, and who polls them."""

import json
import os
import socket
import sys
from collections.abc import Mapping
from contextlib import AbstractContextManager, ExitStack
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from faults import answers, connections, floods, handshakes, logins
from faults.fault import Fault, Patient
from faults.ward import LEAVES, resources
from rig.daemon import Daemon
from rig.keys import make_key
from rig.logins import write_ini
from rig.proxy import Proxy
from rig.sshd import Sshd, loopback
from rig.wait import until

from benchmarks import ROOT
from benchmarks.fleet import Fleet
from benchmarks.processor import used
from benchmarks.soak.page import Page, fetch
from collector.errors import NONE, Backoff

WARDS: Mapping[str, Mapping[str, Fault[Patient]]] = {
    "Connections": connections.FAULTS,
    "Handshakes": handshakes.FAULTS,
    "Logins": logins.FAULTS,
    "Answers": answers.FAULTS,
    "Floods": floods.FAULTS,
}
"""The rows of tests/faults."""

SLACK = 1.0
"""Seconds that a poll may take beyond its deadline, and known_hosts until it is read: we share the processor."""


@dataclass(frozen=True, slots=True)
class Size:
    """How many machines of each sort, and how many seconds from poll to poll."""

    real: int
    simulated: int
    patients: int
    interval: float

    @property
    def login_timeout(self) -> float:
        """Seconds; with `timeout` less than the interval, so that no failure makes a machine miss its next moment."""
        return self.interval / 2

    @property
    def timeout(self) -> float:
        """Seconds."""
        return self.interval * 0.3

    @property
    def margin(self) -> float:
        """Seconds until a machine that is well is polled, when it is not left alone, and the poll is over."""
        return self.interval + self.login_timeout + self.timeout + 2 * SLACK


def faults(wards: list[str]) -> dict[str, Fault[Patient]]:
    """Return the rows of some wards."""
    return {name: one for ward in wards for name, one in WARDS[ward].items()}


def backoff(one: Fault[Patient]) -> Backoff:
    """Return the longest pauses that a fault can lead to."""
    return max((LEAVES[reason].backoff for reason in one.reasons), default=NONE)


class Ward:
    """Everything that runs. `healthy` and `patients` have the names of the machines in collector.ini."""

    def __init__(self, size: Size, directory: Path) -> None:
        self._stack = ExitStack()
        self._directory = directory
        self._window = directory / "window"
        self.size = size
        self.patients: dict[str, Patient] = {}
        self.healthy: list[str] = []

    def __enter__(self) -> Self:
        with self._stack as stack:
            sections = self._admit()
            self.healthy = [name for name in sections if name not in self.patients]
            self.machines = list(sections)
            self._daemon = stack.enter_context(self._start(sections))
            host, _, port = self._daemon.url("").rpartition("//")[2].rpartition(":")
            self._address = host, int(port)
            until(lambda: self.page().total("ssh_up") == len(sections), "all machines are up", 120)
            self._stack = stack.pop_all()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stack.close()

    def _admit(self) -> dict[str, Mapping[str, Any]]:
        """Start all servers; return the sections of collector.ini."""
        folder = self._directory / "sshd"
        folder.mkdir()
        key = make_key(self._directory / "key")
        well = self._stack.enter_context(Sshd(folder, [key], addresses=loopback(self.size.real)))
        sections: dict[str, Mapping[str, Any]] = {**well.logins("bash")}
        if self.size.simulated:
            fleet = self._stack.enter_context(Fleet(self.size.simulated, self._directory))
            # The simulator lets everybody in.
            sections |= {f"fake{number}": one for number, one in enumerate(fleet.logins().values())}
        for number in range(self.size.patients):
            folder = self._directory / f"patient{number}"
            folder.mkdir()
            patient = Patient(folder, well, self._stack.enter_context(Proxy(well)))
            self.patients[f"patient{number}"] = patient
            sections[f"patient{number}"] = patient.login
        return sections

    def _start(self, sections: Mapping[str, Mapping[str, Any]]) -> AbstractContextManager[Daemon]:
        size = self.size
        defaults = {"timeout": f"{size.timeout:g}s", "login_timeout": f"{size.login_timeout:g}s"}
        every = f"{size.interval:g}s"
        ini = self._directory / "collector.ini"
        write_ini(ini, sections, defaults=defaults, listen="127.0.0.1:0", interval=every)
        # It ends when we do, however we end.
        program = ["setpriv", "--pdeathsig", "KILL", sys.executable, "-m", "benchmarks.soak.watched", str(self._window)]
        arguments = ["run", "--log-format", "json", "--config", str(ini)]
        return Daemon(self._directory / "log", *arguments, program=program, PYTHONPATH=str(ROOT))

    # What is asked of the daemon

    def page(self) -> Page:
        """Fetch the page."""
        return fetch(*self._address)

    def counts(self) -> dict[str, int]:
        """What has become of each due moment so far (watched.py)."""
        with socket.socket(socket.AF_UNIX) as looking:
            looking.connect(str(self._window))
            counts: dict[str, int] = json.loads(looking.makefile().readline())
        return counts

    def resources(self) -> dict[str, int]:
        """Greenlets, transports, threads, descriptors, bytes of memory; everything stands still for a moment."""
        return resources(self._pid, Path(f"{self._window}.all"))

    def usage(self) -> dict[str, float]:
        """Seconds of processor used and waited for, kB of memory, threads, descriptors."""
        process = Path(f"/proc/{self._pid}")
        status = dict(line.split(":", 1) for line in (process / "status").read_text().splitlines())
        return {
            "used": used(self._pid),
            "waited": int((process / "schedstat").read_text().split()[1]) / 1e9,
            "memory": float(status["VmRSS"].split()[0]),
            "threads": float(status["Threads"]),
            "descriptors": float(len(os.listdir(process / "fd"))),
        }

    @property
    def log(self) -> str:
        """What the daemon has written."""
        return self._daemon.log

    @property
    def _pid(self) -> int:
        return self._daemon.process.pid
