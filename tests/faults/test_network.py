"""The network between us and the machines: no way there, a line that loses packets, one that is slow."""

import subprocess
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest
from rig.daemon import COLLECTOR, Daemon
from rig.link import Link
from rig.logins import write_ini
from rig.needs import program
from rig.sshd import Sshd
from rig.wait import until

pytestmark = pytest.mark.needs("root", "namespaces", "tun", "ip", "curl")

FLEET = 4


class Far(Daemon):
    """A daemon in the near namespace, whose pages are got from there."""

    def __init__(self, link: Link, log: Path, ini: Path) -> None:
        self._link = link
        argv = link.near.command(COLLECTOR)
        super().__init__(log, "run", "--config", str(ini), program=argv)

    def get(self, path: str, method: str = "GET") -> tuple[int, str]:
        """Status and text of a page."""
        argv = self._link.near.command([program("curl"), "-s", "-X", method, "-w", "\n%{http_code}", self.url(path)])
        said = subprocess.run(argv, capture_output=True, text=True, check=True).stdout
        text, _, status = said.rpartition("\n")
        return int(status), text


Start = Callable[..., tuple[Far, Link]]


@pytest.fixture
def start(sshd: Callable[..., Sshd], tmp_path: Path) -> Iterator[Start]:
    """`start(delay=0.5, timeout="5s")`: a daemon, and the line between it and four machines."""
    with ExitStack() as stack:

        def start(delay: float = 0.0, timeout: str = "1s") -> tuple[Far, Link]:
            link = stack.enter_context(Link(delay=delay))
            subprocess.run(link.near.command([program("ip"), "link", "set", "lo", "up"]), check=True)
            server = sshd(within=link.far, addresses=link.far.addresses(FLEET))
            times = {"timeout": timeout, "login_timeout": "20s"}
            ini = write_ini(
                tmp_path / "x.ini", server.logins("bash"), defaults=times, listen="127.0.0.1:0", interval="5s"
            )
            return stack.enter_context(Far(link, tmp_path / "log", ini)), link

        yield start


def polls(page: dict[str, float]) -> float:
    """How many polls there were."""
    return sum(value for series, value in page.items() if series.startswith("ssh_polls_total"))


@pytest.mark.parametrize("kind", ["unreachable", "blackhole"])
def test_no_way_to_a_machine(kind: str, start: Start) -> None:
    """When the way to one machine is gone it is `unreachable`, the others are not, and it is up when there is one."""
    daemon, link = start()
    until(lambda: daemon.page()["collector_machines_up"] == FLEET, "all are up")
    (address, *_) = link.far.addresses(FLEET)

    def route(change: str) -> None:
        subprocess.run(link.near.command([program("ip"), "route", change, kind, address]), check=True)

    route("add")
    until(lambda: "reason=unreachable" in daemon.log, "it is unreachable", 60)
    page = daemon.page()
    failed = {series for series in page if series.startswith("ssh_poll_failures_total") and "ssh0" not in series}
    assert not failed
    assert page["collector_machines_up"] == FLEET - 1
    route("del")

    until(lambda: daemon.page()["collector_machines_up"] == FLEET, "it is up again", 60)


def test_packets_are_lost(start: Start) -> None:
    """With a fifth of the packets lost polls succeed or time out, and what they say is what the machines say."""
    daemon, link = start(timeout="5s")
    until(lambda: daemon.page()["collector_machines_up"] == FLEET, "all are up")
    before = daemon.page()

    link.change(loss=0.2)
    until(lambda: polls(daemon.page()) >= polls(before) + 2 * FLEET, "two sweeps", 60)
    page = daemon.page()
    link.change(loss=0.0)

    said = {value for series, value in page.items() if series.startswith("node_memory_MemTotal_bytes")}
    assert said == {before[series] for series in before if series.startswith("node_memory_MemTotal_bytes")}
    assert "reason=protocol" not in daemon.log
    assert "reason=bug" not in daemon.log
    until(lambda: daemon.page()["collector_machines_up"] == FLEET, "all are up", 60)


def test_a_second_there_and_back(start: Start) -> None:
    """Over a line of a second's round trip all works; a poll is one round trip, and a login a dozen at most."""
    daemon, _ = start(delay=0.5, timeout="5s")
    until(lambda: daemon.page()["collector_machines_up"] == FLEET, "all are up", 60)
    before = polls(daemon.page())
    until(lambda: polls(daemon.page()) >= before + FLEET, "a sweep on open sessions", 30)

    page = daemon.page()
    for number in range(FLEET):
        assert 1 <= page[f'ssh_poll_duration_seconds{{instance="ssh{number}"}}'] < 2
        assert page[f'ssh_login_duration_seconds{{instance="ssh{number}"}}'] < 12
