"""The sweep on real sessions: spread, counted, spared after failures, and changed while it runs."""

from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from time import monotonic
from typing import Any

import gevent
import pytest
from hypothesis import given
from hypothesis import strategies as st
from rig.logins import Login
from rig.proxy import Proxy
from rig.scripted import SshServer, shell
from rig.servers import RawServer, says_nothing
from rig.wait import until

from collector.config import Config, Machine
from collector.polling import Polling, man
from collector.schedule import Schedule
from collector.ssh.connector import Connector
from collector.ssh.identities import Identities
from collector.sweep import TOGETHER, WELCOME, Figures, Post, Sweep, place


class Rig:
    """Polling at work, with what it reports."""

    def __init__(self, schedule: Schedule) -> None:
        self.figures: list[Figures] = []
        self.missed = 0
        self.polling = Polling(schedule, Connector(Identities(), logins=8), self.figures.append, self._miss)

    def _miss(self, count: int) -> None:
        self.missed += count

    def apply(self, *machines: Machine) -> None:
        """Poll these machines."""
        self.polling.apply(Config((Path("x.ini"),), ("127.0.0.1", 0), 8, False, machines))

    def polls(self, name: str) -> int:
        """How often a machine was polled."""
        return self.polling.fleet[name].polls


@pytest.fixture
def rig() -> Iterator[Rig]:
    """A schedule that runs and nothing to poll yet."""
    schedule = Schedule(lambda seconds: None)
    greenlets = schedule.start()
    made = Rig(schedule)
    yield made
    schedule.stop()
    made.polling.stop()
    gevent.killall(greenlets)


def machine(login: Login, name: str = "ssh0", interval: float = 0.2, **changes: Any) -> Machine:
    """A machine polled often."""
    options: dict[str, Any] = {"gather": ("time", "load"), "labels": (), "timeout": 5.0, "login_timeout": 10.0}
    return Machine(
        **{**options, "name": name, "interval": interval, "interval_text": f"{interval:g}s", **login, **changes}
    )


@given(st.lists(st.text(max_size=20), min_size=1, max_size=50, unique=True), st.floats(0.1, 3600))
def test_places_are_stable_and_within_the_interval(names: list[str], interval: float) -> None:
    """A machine's place depends on its name alone, and lies in the interval."""
    places = [place(name, interval) for name in names]

    assert places == [place(name, interval) for name in names]
    assert all(0 <= where <= interval for where in places)


def test_places_are_spread() -> None:
    """Ten thousand machines make a stream: no hundredth of the interval has twice its share or less than half."""
    counts = Counter(int(place(f"ssh{number}", 15.0) / 0.15) for number in range(10_000))

    assert len(counts) == 100
    assert min(counts.values()) > 50
    assert max(counts.values()) < 200


def test_polls_on_and_on(rig: Rig, login: Callable[..., Login]) -> None:
    """Machines are polled each interval over one login, and a sweep's figures come when it ends."""
    with SshServer(shell()) as server:
        there = login(server)
        rig.apply(*(machine(there, f"ssh{number}") for number in range(4)))

        until(lambda: min(rig.polls(f"ssh{number}") for number in range(4)) >= 5, "five polls of each")

        assert {standing.logins for standing in rig.polling.fleet} == {1}
        assert rig.polling.fleet.up == 4
        assert rig.polling.sessions == 4
        until(lambda: [figures for figures in rig.figures if figures.polls == 4], "the figures of a whole sweep")
        assert all(figures.interval == "0.2s" for figures in rig.figures)
        assert rig.figures[-1].sequential > 0 < rig.figures[-1].duration


def test_first_poll_comes_soon(rig: Rig, login: Callable[..., Login]) -> None:
    """A machine of a long interval is first polled within 15 s, and then at its own place."""
    with SshServer(shell()) as server:
        name = next(f"ssh{number}" for number in range(1000) if place(f"ssh{number}", 3600.0) % WELCOME < 0.3)
        rig.apply(machine(login(server), name, interval=3600.0, timeout=5.0))

        until(lambda: rig.polls(name) == 1, "the first poll")


def test_a_login_that_outlasts_intervals_is_missed_polls(rig: Rig, login: Callable[..., Login]) -> None:
    """While a login is under way due moments are counted as missed, and the login goes on to its own deadline."""
    with RawServer(says_nothing) as server:
        rig.apply(machine(login(server), login_timeout=1.0))

        until(lambda: rig.polls("ssh0") == 1, "the end of the login")

        assert rig.missed >= 3
        assert rig.polling.fleet["ssh0"].failures == {"banner": 1}


def test_a_failing_machine_is_left_alone(rig: Rig, login: Callable[..., Login]) -> None:
    """Due moments inside a pause are neither polls nor missed, and the pause is told."""
    with RawServer(says_nothing) as server:
        there = login(server)
    rig.apply(machine(there, "dead", interval=0.1), machine({**there, "port": 1}, "deader", interval=0.1))

    until(lambda: rig.polls("dead") >= 2, "a second try after the pause", 10)

    standing = rig.polling.fleet["dead"]
    assert standing.failures == {"refused": standing.polls}
    assert standing.backoff is not None
    assert standing.backoff >= 0.75
    assert standing.polls < 6
    assert rig.missed == 0


def test_reload_touches_only_what_changed(rig: Rig, login: Callable[..., Login]) -> None:
    """A machine changed, a new one and a removed one leave the connection and the standing of the others alone."""
    with SshServer(shell()) as server:
        there = login(server)
        stays, changes, goes = (machine(there, name) for name in ("stays", "changes", "goes"))
        rig.apply(stays, changes, goes)
        until(lambda: rig.polling.fleet.complete, "a poll of each")
        kept = rig.polling.fleet["stays"]
        connections = server.connections

        rig.apply(stays, replace(changes, labels=(("dc", "eu"),)), machine(there, "new"))
        until(lambda: rig.polling.fleet.complete, "a poll of those that are new")

        assert rig.polling.fleet["stays"] is kept
        assert kept.logins == 1
        assert "goes" not in rig.polling.fleet
        assert rig.polling.fleet["changes"].polls >= 2
        assert server.connections == connections + 2
        until(lambda: rig.polling.sessions == 3, "three sessions")


def test_another_interval_is_another_job(rig: Rig, login: Callable[..., Login]) -> None:
    """Each distinct interval has one job, which goes when the last machine that has it goes."""
    with SshServer(shell()) as server:
        there = login(server)
        rig.apply(machine(there, "a", interval=0.2), machine(there, "b", interval=0.3))
        assert rig.polling.intervals == {"0.2s", "0.3s"}

        rig.apply(machine(there, "a", interval=0.2))

        assert rig.polling.intervals == {"0.2s"}
        before = monotonic()
        until(lambda: rig.polls("a") >= 2, "it goes on")
        assert rig.polling.overdue() < monotonic() - before + 1


def test_a_machine_removed_in_the_middle_of_its_login_leaves_nothing(rig: Rig, login: Callable[..., Login]) -> None:
    """When a machine is removed while it logs in, the connection is closed and no standing comes back."""
    with SshServer(shell()) as server, Proxy(server) as proxy:
        proxy.blackhole()
        rig.apply(machine(login(proxy), "slow"), machine(login(server), "other"))
        until(lambda: proxy.open, "the login begins")

        rig.apply(machine(login(server), "other"))
        proxy.restore()

        until(lambda: not proxy.open, "the connection is closed")
        assert [standing.machine.name for standing in rig.polling.fleet] == ["other"]


def test_what_is_late_is_made_good_in_small_groups(login: Callable[..., Login]) -> None:
    """After a standstill the machines whose moments have passed are not asked all at once, and each is asked once."""
    sent: list[Post] = []

    class Noted(Sweep):
        def _send(self, post: Post, due: float, figures: Figures) -> None:
            sent.append(post)

    with RawServer(says_nothing) as server:
        connector, there = Connector(Identities(), logins=8), login(server)
        posts = [man(machine(there, f"ssh{number}", 2.0), connector) for number in range(20 * TOGETHER)]
    sweep = Noted("2s", 2.0, lambda figures: None, lambda count: None)
    sweep._posts = sorted(posts, key=lambda post: post.offset)
    sweep.begin(monotonic() - 1.9, 0)

    gevent.sleep(0)
    assert len(sent) == TOGETHER
    until(lambda: len(sent) == len(posts), "all are asked")

    assert sorted(post.offset for post in posts) == [post.offset for post in sent]
    sweep.stop()
