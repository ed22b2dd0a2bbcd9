"""A ward: a fleet, its daemon, and faults that befall some of its machines, all at once.

Faults of one ward strike together and are healed together, which is what keeps the bench short. What must hold for each
machine is seen of each; what must hold for the daemon is seen once for all of them, and told of each.
"""

import json
import os
import re
import socket
import sys
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from time import monotonic
from typing import Any, Generic, Protocol

import gevent
from rig.daemon import Daemon
from rig.logins import Login, write_ini
from rig.proxy import Proxy
from rig.sshd import Sshd
from rig.wait import until

from collector.errors import PollError
from faults.fault import Fault, P, Patient

COMMAND = (sys.executable, str(Path(__file__).with_name("watched.py")))

INTERVAL, LOGIN_TIMEOUT, TIMEOUT = 2.0, 1.5, 0.9
"""Of the machines that a fault befalls: so short that no failure makes a machine miss its next due moment."""

OTHERS_INTERVAL = 1.0

LONGEST_PAUSE = 0.5
"""Seconds for which a machine is left alone at most: the pauses of collector.errors, cut short (watched.py)."""

SLACK = 1.0
"""Seconds that a poll may take beyond its deadline: the processor is not ours alone."""

SLOWEST_PAGE = 1.0
STALL = 0.5
"""Seconds by which a timer may be late, at most: a bucket of collector_hub_lag_seconds."""

GROWTH = 8 * 2**20
"""Bytes of memory by which the daemon may have grown when all is over: what its allocator keeps."""

UP = "up"

LEAVES = {leaf.reason: leaf for leaf in PollError.__subclasses__()}


@dataclass
class Seen:
    """What was seen of one fault: the states that the log told of the machine, and what should not have been so.

    `logins` is how many there were while it lasted.
    """

    told: list[tuple[str, str]] = field(default_factory=list)
    logins: float = 0.0
    problems: list[str] = field(default_factory=list)

    @property
    def reasons(self) -> str:
        """The states in the order in which they came."""
        return ", then ".join(reason for reason, _ in self.told) or "stays up"

    @property
    def found(self) -> str:
        """What ended the first failing poll."""
        if not self.told:
            return "by the next poll, and replaced within it" if self.logins else "–"
        if not (cut := re.search(r"none within ([\d.]+) s", self.told[0][1])):
            return "by the next poll, at once"
        return "by the next poll, after its " + {LOGIN_TIMEOUT: "login_timeout", TIMEOUT: "timeout"}[float(cut[1])]

    @property
    def over(self) -> str:
        """How long it can take until the machine is up again when all is well."""
        if not self.told or self.told[-1][0] == UP:
            return "–"
        longest = LEAVES[self.told[-1][0]].backoff.longest
        return "when known_hosts changes, or at a reload" if longest == float("inf") else f"at most {longest:g} s"


def of(instance: str, name: str) -> str:
    """Return a machine's series of a family."""
    return f'{name}{{instance="{instance}"}}'


class Launch(Protocol):
    """How the daemon is started."""

    def __call__(self, log: Path, *arguments: str, program: Sequence[str]) -> Daemon:
        """Start `program` with these arguments."""
        ...


def observe(faults: Mapping[str, Fault[Patient]], healthy: Sshd, directory: Path) -> dict[str, Seen]:
    """Let the faults befall a machine each, heal them, and return what was seen."""
    with ExitStack() as stack:
        patients = {}
        for number, name in enumerate(faults):
            folder = directory / f"patient{number}"
            folder.mkdir()
            patients[name] = Patient(folder, healthy, stack.enter_context(Proxy(healthy)))
        ward = Ward(faults, patients, healthy.logins("bash"), directory, stack)
        ward.run()
    return ward.seen


def resources(pid: int, window: Path) -> dict[str, int]:
    """Return what a daemon of watched.py holds: greenlets, transports, threads, descriptors, bytes of memory."""
    with socket.socket(socket.AF_UNIX) as looking:
        looking.connect(str(window))
        counts: dict[str, int] = json.loads(looking.makefile().readline())
    process = Path(f"/proc/{pid}")
    status = dict(line.split(":", 1) for line in process.joinpath("status").read_text().splitlines())
    counts["threads"] = int(status["Threads"])
    counts["descriptors"] = len(os.listdir(process / "fd"))
    counts["memory"] = int(status["VmRSS"].split()[0]) * 1024
    return counts


class Ward(Generic[P]):
    """Patients, the other machines, and the daemon that polls them all."""

    def __init__(
        self,
        faults: Mapping[str, Fault[P]],
        patients: Mapping[str, P],
        others: Mapping[str, Login],
        directory: Path,
        stack: ExitStack,
        *,
        launch: Launch = Daemon,
    ) -> None:
        self._faults = faults
        self._patients = patients
        self._instances = {name: f"patient{number}" for number, name in enumerate(faults)}
        self._others = others
        self._stack = stack
        self._window = directory / "window"
        self.seen = {name: Seen() for name in faults}
        ini = self._write(directory)
        program = [*COMMAND, str(self._window), str(LONGEST_PAUSE)]
        arguments = ["run", "--log-format", "json", "--config", str(ini)]
        self._daemon = stack.enter_context(launch(directory / "log", *arguments, program=program))
        self._read = 0

    def _write(self, directory: Path) -> Path:
        often = {"interval": f"{OTHERS_INTERVAL:g}s"}
        sections: dict[str, Mapping[str, Any]] = {name: {**login, **often} for name, login in self._others.items()}
        for name, instance in self._instances.items():
            sections[instance] = {**self._patients[name].login, **self._faults[name].options}
        defaults = {"timeout": f"{TIMEOUT:g}s", "login_timeout": f"{LOGIN_TIMEOUT:g}s"}
        every = f"{INTERVAL:g}s"
        return write_ini(directory / "collector.ini", sections, defaults=defaults, listen="127.0.0.1:0", interval=every)

    def run(self) -> None:
        """Strike, look, heal, and look again."""
        until(lambda: self._up() == len(self._others) + len(self._patients), "all machines are up")
        self._told()
        before, resources, began = self._page(), self._resources(), monotonic()
        with ExitStack() as ill:
            for name, one in self._faults.items():
                ill.enter_context(one.befall(self._patients[name]))
            while not all(self._is_plain(name, before) for name in self._faults) and monotonic() - began < 25:
                self._note_told()
                gevent.sleep(0.1)
            self._look_at_the_ill(before)
        self._look_at_the_healed()
        self._look_at_the_daemon(before, resources, monotonic() - began)

    # What is asked of the daemon

    def _page(self) -> dict[str, float]:
        began = monotonic()
        page = self._daemon.page()
        if monotonic() - began > SLOWEST_PAGE:
            self._complain(f"the page took {monotonic() - began:.1f} s")
        return page

    def _up(self) -> float:
        return self._daemon.page()["collector_machines_up"]

    def _resources(self) -> dict[str, int]:
        return resources(self._daemon.process.pid, self._window)

    def _told(self) -> list[dict[str, str]]:
        """The lines of the log that have come since this was last asked."""
        lines = self._daemon.log.splitlines(keepends=True)
        new = [line for line in lines[self._read :] if line.endswith("\n")]
        self._read += len(new)
        return [json.loads(line) for line in new]

    # What must hold

    def _complain(self, text: str, *names: str) -> None:
        for name in names or self.seen:
            self.seen[name].problems.append(text)

    def _note_told(self) -> None:
        by_instance = {instance: name for name, instance in self._instances.items()}
        for line in self._told():
            name = by_instance.get(line.get("machine", ""))
            if name is None or line["msg"] not in ("down", UP):
                if not line["msg"].startswith("known_hosts:"):  # That is a state of its own.
                    self._complain(f"the log has {line}", *([name] if name else []))
            else:
                self.seen[name].told.append((line.get("reason", UP), line.get("text", "")))

    def _is_plain(self, name: str, before: Mapping[str, float]) -> bool:
        """Whether a fault has been seen for so long that nothing new will come of it."""
        self._note_told()
        reasons, instance = self._faults[name].reasons, self._instances[name]
        polls, page = of(instance, "ssh_polls_total"), self._daemon.page()
        forever = page.get(of(instance, "ssh_backoff_seconds")) == float("inf")
        return len(self.seen[name].told) >= len(reasons) and (
            forever or page[polls] >= before[polls] + len(reasons) + 2
        )

    def _look_at_the_ill(self, before: Mapping[str, float]) -> None:
        page = self._page()
        for name, one in self._faults.items():
            told, instance = self.seen[name].told, self._instances[name]
            failed = {
                reason
                for reason in LEAVES
                if page.get(series := f'ssh_poll_failures_total{{instance="{instance}",reason="{reason}"}}', 0)
                > before.get(series, 0)
            }
            data = sum(series.startswith("node_") and f'"{instance}"' in series for series in page)
            up, seconds = page[of(instance, "ssh_up")], page[of(instance, "ssh_poll_duration_seconds")]
            self.seen[name].logins = page[of(instance, "ssh_logins_total")] - before[of(instance, "ssh_logins_total")]
            if tuple(reason for reason, _ in told) != one.reasons:
                self._complain(f"the log says {told}, not {one.reasons}", name)
            if failed != set(one.reasons) - {UP}:
                self._complain(f"failures were counted as {failed}", name)
            if up != one.ends_up or bool(data) != one.ends_up:
                self._complain(f"up {up:g} with {data} series", name)
            if seconds > LOGIN_TIMEOUT + TIMEOUT + SLACK:
                self._complain(f"a poll took {seconds:.1f} s", name)

    def _look_at_the_healed(self) -> None:
        """Each machine is up again as soon as the longest pause is over, and that is told once."""
        began, longest = monotonic(), LONGEST_PAUSE + INTERVAL + LOGIN_TIMEOUT + TIMEOUT + SLACK
        while self._up() < len(self._others) + len(self._patients) and monotonic() - began < 2 * longest:
            gevent.sleep(0.1)
        page, told = self._page(), self._told()
        for name, one in self._faults.items():
            instance = self._instances[name]
            said = [line["msg"] for line in told if line.get("machine") == instance]
            if not page[of(instance, "ssh_up")]:
                self._complain(f"still down {monotonic() - began:.1f} s after it was healed", name)
            # A login under way may end with the fault, and so for another reason.
            elif said not in ([[]] if one.ends_up else [[UP], ["down", UP]]):
                self._complain(f"after it was healed the log says {said}", name)

    def _look_at_the_daemon(self, before: Mapping[str, float], resources: Mapping[str, int], seconds: float) -> None:
        page = self._page()
        for name in self._others:
            polls = page[of(name, "ssh_polls_total")] - before[of(name, "ssh_polls_total")]
            if polls < seconds / OTHERS_INTERVAL - 2:
                self._complain(f"{name} was polled {polls:g} times only in {seconds:.1f} s")
            if any(series.startswith("ssh_poll_failures") and f'"{name}"' in series for series in page):
                self._complain(f"{name} failed too")
        if missed := page["collector_polls_missed_total"] - before["collector_polls_missed_total"]:
            self._complain(f"{missed:g} polls were missed")
        lags = (f'collector_hub_lag_seconds_bucket{{le="{edge}"}}' for edge in ("+Inf", f"{STALL}"))
        all_of_them, short = (page[series] - before[series] for series in lags)
        if all_of_them != short:
            self._complain(f"everything stood still for over {STALL} s, {all_of_them - short:g} times")
        try:
            until(lambda: not self._grown(resources), "the resources are as before", 5)
        except AssertionError:
            self._complain(f"grown: {self._grown(resources)}")

    def _grown(self, before: Mapping[str, int]) -> dict[str, int]:
        """How much more is held than before, and should not be."""
        now = self._resources()
        return {
            what: now[what] - before.get(what, 0)
            for what in now
            if now[what] - before.get(what, 0) > (GROWTH if what == "memory" else 0)
        }
