"""The line between us and the machines: one that loses packets, one that is slow, one that is thin, and no ports."""

import subprocess
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from functools import partial
from pathlib import Path

import pytest
from rig.daemon import Daemon, NearDaemon
from rig.link import Link, Namespace
from rig.logins import write_ini
from rig.needs import program
from rig.sshd import Sshd
from rig.wait import until

pytestmark = pytest.mark.needs("root", "namespaces", "tun", "ip", "tc", "curl")

FLEET = 4


Start = Callable[..., tuple[Daemon, Link]]


@pytest.fixture
def start(sshd: Callable[..., Sshd], tmp_path: Path) -> Iterator[Start]:
    """`start(delay=0.5, timeout="5s", rate="8kbit")`: a daemon, and the line between it and four machines, or so many.

    Whatever else is said are options of all machines.
    """
    with ExitStack() as stack:

        def start(
            delay: float = 0.0, rate: str | None = None, fleet: int = FLEET, interval: str = "5s", **options: str
        ) -> tuple[Daemon, Link]:
            link = stack.enter_context(Link(delay=delay))
            for end in link if rate else ():
                narrow(end, str(rate))
            server = sshd(within=link.far, addresses=link.far.addresses(fleet))
            defaults = {"timeout": "1s", "login_timeout": "20s", **options}
            ini = write_ini(
                tmp_path / "x.ini", server.logins("bash"), defaults=defaults, listen="127.0.0.1:0", interval=interval
            )
            return stack.enter_context(NearDaemon(link.near, tmp_path / "log", "run", "--config", str(ini))), link

        yield start


def narrow(end: Namespace, rate: str) -> None:
    """Let no more than this go out at one end of a line; what comes faster waits."""
    bucket = [program("tc"), "qdisc", "add", "dev", "line0", "root", "tbf", "rate", rate, "burst", "1600"]
    subprocess.run(end.command([*bucket, "limit", "20000"]), check=True)


def polls(page: dict[str, float]) -> float:
    """How many polls there were."""
    return sum(value for series, value in page.items() if series.startswith("ssh_polls_total"))


def reached(daemon: Daemon, number: float) -> bool:
    """Whether there were so many polls."""
    return polls(daemon.page()) >= number


def test_packets_are_lost(start: Start) -> None:
    """With some of the packets lost polls succeed or time out, and what they say is what the machines say."""
    daemon, link = start(timeout="5s")
    until(lambda: daemon.page()["collector_machines_up"] == FLEET, "all are up")
    before = daemon.page()

    for loss in (0.05, 0.3):
        link.change(loss=loss)
        end = polls(daemon.page()) + FLEET
        until(partial(reached, daemon, end), "a sweep", 60)
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


def test_a_thin_line(start: Start) -> None:
    """Over a line of 8 kbit a second, either way, a login takes its time, and polls after it do as well."""
    daemon, _ = start(rate="8kbit", fleet=1, timeout="5s")
    until(lambda: daemon.page()["collector_machines_up"] == 1, "it is up", 60)
    before = polls(daemon.page())

    until(lambda: polls(daemon.page()) > before, "another poll", 30)

    assert daemon.page()['ssh_logins_total{instance="ssh0"}'] == 1
    assert daemon.page()["collector_machines_up"] == 1


def test_ports_run_out(start: Start) -> None:
    """A machine for which no port of ours is left is `local`, and up again when there are more."""
    daemon, link = start(fleet=1, interval="1s", keep="no")
    until(lambda: daemon.page()["collector_machines_up"] == 1, "it is up")

    def ports(first: int, last: int) -> None:
        change = f"echo {first} {last} > /proc/sys/net/ipv4/ip_local_port_range"
        subprocess.run(link.near.command(["sh", "-ec", change]), check=True)

    # Whoever hangs up first keeps the port for a minute (TIME_WAIT).
    ports(40000, 40001)
    until(lambda: "reason=local" in daemon.log, "there is no port")
    assert "Cannot assign requested address" in daemon.log
    ports(40000, 50000)

    until(lambda: daemon.log.count("msg=up") == 2, "it is up again", 60)
    assert 1 == daemon.log.count("reason=local")
