"""Names: a name server that is dead, slow or wrong hurts nobody whose address is known."""

import os
import signal
import sys
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest
from rig.daemon import Daemon
from rig.dns import NameServer
from rig.keys import known_hosts
from rig.logins import write_ini
from rig.private import children
from rig.sshd import Sshd
from rig.wait import until

pytestmark = pytest.mark.needs("root", "namespaces", "setpriv", "sshd")

WATCHED = str(Path(__file__).with_name("watched.py"))
COLD = 40
"""Machines whose names were never looked up: more than there are threads for it."""

Start = Callable[..., Daemon]


@pytest.fixture
def names(shared_sshd: Sshd) -> Iterator[NameServer]:
    """A name server that knows web1.test and another one with a broken address before the good one."""
    (address, *_) = shared_sshd.addresses
    good = {"web1.test": [address], "odd.test": ["2001:db8::1", address]}
    with NameServer(good) as server:
        yield server


@pytest.fixture
def start(names: NameServer, shared_sshd: Sshd, tmp_path: Path) -> Iterator[Start]:
    """`start("web1.test", …)`: a daemon that logs in to these hosts for each poll, and to `known`, an address."""
    with ExitStack() as stack:

        def start(*hosts: str) -> Daemon:
            port = shared_sshd.port
            file = known_hosts(tmp_path / "known", [(host, port) for host in hosts], shared_sshd.publics)
            there = {**shared_sshd.login("bash"), "known_hosts": (file, *shared_sshd.login()["known_hosts"])}
            sections = {host: {**there, "host": host, "keep": "no"} for host in hosts}
            sections["known"] = {**there, "keep": "no"}
            times = {"interval": "1s", "logins": 4}
            defaults = {"login_timeout": "4s"}
            ini = write_ini(tmp_path / "x.ini", sections, defaults=defaults, listen="127.0.0.1:0", **times)
            program = names.asked_by([sys.executable, WATCHED, str(tmp_path / "window"), "0.5"], tmp_path)
            return stack.enter_context(Daemon(tmp_path / "log", "run", "--config", str(ini), program=program))

        yield start


def up(name: str) -> str:
    """The series that tells whether a machine is up."""
    return f'ssh_up{{instance="{name}"}}'


def polls(daemon: Daemon, name: str) -> float:
    """How often a machine was polled."""
    return daemon.page()[f'ssh_polls_total{{instance="{name}"}}']


@pytest.mark.parametrize("how", ["silence", "failure"])
def test_what_was_right_is_used_on(how: str, names: NameServer, start: Start) -> None:
    """When the name server falls silent, or fails, a machine whose address was known is polled on."""
    daemon = start("web1.test")
    until(lambda: daemon.metric(up("web1.test")) == 1.0, "it is up")

    names.answer = getattr(names, how)
    asked, before = names.questions, polls(daemon, "web1.test")

    until(lambda: polls(daemon, "web1.test") >= before + 3 and names.questions > asked, "three polls more", 40)
    assert not [series for series in daemon.page() if series.startswith("ssh_poll_failures_total")]


def test_a_name_that_is_gone(names: NameServer, start: Start) -> None:
    """A name that does not exist any more is `dns`, whatever it was, and is up again when it does."""
    daemon = start("web1.test")
    until(lambda: daemon.metric(up("web1.test")) == 1.0, "it is up")

    gone = names.records.pop("web1.test")
    until(lambda: daemon.metric('ssh_poll_failures_total{instance="web1.test",reason="dns"}'), "it is dns")
    assert daemon.metric(up("known")) == 1.0
    names.records["web1.test"] = gone

    until(lambda: daemon.metric(up("web1.test")) == 1.0, "it is up again")
    assert 1 == daemon.log.count("reason=dns")


def test_dead_from_the_start(names: NameServer, start: Start) -> None:
    """Many names that nobody answers for keep no other machine waiting, nor the end of the daemon."""
    hosts = [f"web{number}.test" for number in range(COLD)]
    names.records |= dict.fromkeys(hosts, names.records["web1.test"])
    names.answer = names.silence
    daemon = start(*hosts)
    until(lambda: daemon.metric(up("known")) == 1.0, "the machine with an address is up")

    before = polls(daemon, "known")
    until(
        lambda: (daemon.metric('ssh_poll_failures_total{instance="web7.test",reason="dns"}') or 0) >= 2,
        "two failures",
        40,
    )
    assert polls(daemon, "known") >= before + 4
    assert 'ssh_poll_failures_total{instance="known",reason="dns"}' not in daemon.page()

    names.answer = names.truth
    until(lambda: daemon.page()["collector_machines_up"] == COLD + 1, "all are up", 60)


def test_the_end_while_names_are_looked_up(names: NameServer, start: Start) -> None:
    """SIGTERM ends the daemon with 0 while all its threads wait for a dead name server."""
    names.answer = names.silence
    hosts = [f"web{number}.test" for number in range(COLD)]
    daemon = start(*hosts)
    until(lambda: names.questions >= 16, "lookups are under way")
    (inside,) = children(daemon.process.pid)

    os.kill(inside, signal.SIGTERM)

    assert daemon.process.wait(5) == 0


def test_a_broken_first_address(start: Start) -> None:
    """A name whose IPv6 address leads nowhere is reached by its IPv4 address."""
    daemon = start("odd.test")

    until(lambda: daemon.metric(up("odd.test")) == 1.0, "it is up")
