"""Machines behind jump hosts: one connection for all of them, whatever happens to it and to them."""

import logging
import subprocess
import sys
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path
from typing import Any

import gevent
import pytest
from prometheus_client import CollectorRegistry, generate_latest
from rig.logins import Login, write_ini
from rig.proxy import Proxy
from rig.scripted import SshServer
from rig.servers import RawServer, closes, silent_port
from rig.sshd import Sshd, loopback
from rig.users import User
from rig.wait import until

from collector.config import Config, Hop, Machine
from collector.polling import Polling, man
from collector.schedule import Schedule
from collector.ssh import trunk as trunk_module
from collector.ssh.connector import Connector
from collector.ssh.identities import Identities
from collector.ssh.jump import Jump
from collector.sweep import Post, visit
from collector.telemetry import JumpCollector

FLEET = 16


def hop(login: Login, name: str = "bastion", **changes: Any) -> Hop:
    """A jump host with this login."""
    return Hop(**{"name": name, "login_timeout": 10.0, **login, **changes})


def machine(login: Login, *jumps: Hop, name: str = "ssh0", **changes: Any) -> Machine:
    """A machine behind these jump hosts."""
    options: dict[str, Any] = {"interval": 0.5, "interval_text": "0.5s", "timeout": 5.0, "login_timeout": 10.0}
    options |= {"name": name, "gather": ("time", "memory", "load"), "labels": (), "jumps": jumps}
    return Machine(**{**options, **login, **changes})


def fleet(targets: Sshd, *jumps: Hop, **changes: Any) -> list[Machine]:
    """A machine for each address of a server."""
    return [machine(login, *jumps, name=name, **changes) for name, login in targets.logins("bash").items()]


class Rig:
    """One connector, and what is polled through it: by hand (`post`), or on a schedule (`apply`)."""

    def __init__(self, stack: ExitStack) -> None:
        self.connector = Connector(Identities(), logins=10, jump_logins=4)
        self._stack = stack
        self.polling: Polling | None = None
        stack.callback(lambda: self.connector.assign(()))

    def post(self, login: Login, *jumps: Hop, **changes: Any) -> Post:
        """What polls one machine."""
        made = man(machine(login, *jumps, **changes), self.connector)
        self._stack.callback(made.session.close)
        return made

    def apply(self, *machines: Machine) -> Polling:
        """Poll these machines on a schedule."""
        if self.polling is None:
            schedule = Schedule(lambda seconds: None)
            greenlets = schedule.start()
            self.polling = Polling(schedule, self.connector, lambda figures: None, lambda count: None)
            self._stack.callback(gevent.killall, greenlets)
            self._stack.callback(self.polling.stop)
            self._stack.callback(schedule.stop)
        self.polling.apply(Config((Path("x.ini"),), ("127.0.0.1", 0), 10, False, machines, 4))
        return self.polling

    @property
    def jump(self) -> Jump:
        """The only jump host."""
        (jump,) = self.connector.jumps
        return jump

    def page(self) -> str:
        """What the daemon says of its jump hosts."""
        registry = CollectorRegistry()
        registry.register(JumpCollector(self.connector))
        return generate_latest(registry).decode()


@pytest.fixture
def rig() -> Iterator[Rig]:
    """A connector; all that was made with it ends with the test."""
    with ExitStack() as stack:
        yield Rig(stack)


def reason(post: Post) -> str:
    """Poll, and return why that failed; `up` if it did not."""
    failure = visit(post).failure
    return failure.reason if failure else "up"


def text(post: Post) -> str:
    """Poll, and return what is said of the failure."""
    failure = visit(post).failure
    assert failure is not None
    return failure.text


def accepted(server: Sshd) -> int:
    """How many logins a server has seen."""
    return server.log.count("Accepted publickey")


def told(caplog: pytest.LogCaptureFixture) -> Counter[str]:
    """How often the log says what."""
    return Counter(record.getMessage() for record in caplog.records)


def reasons(polling: Polling) -> set[str]:
    """Why the last poll of each machine failed; `up` where it did not."""
    snapshots = [standing.snapshot for standing in polling.fleet if standing.snapshot]
    return {snapshot.failure.reason if snapshot.failure else "up" for snapshot in snapshots}


# One connection for all.


def test_a_fleet_behind_one_connection(rig: Rig, sshd: Callable[..., Sshd], caplog: pytest.LogCaptureFixture) -> None:
    """Many polls of many machines are one login on the jump host and one on each machine, in their own logs too."""
    caplog.set_level(logging.INFO)
    bastion, targets = sshd(), sshd(addresses=loopback(FLEET))
    polling = rig.apply(*fleet(targets, hop(bastion.login()), interval=0.2))

    until(lambda: min(standing.polls for standing in polling.fleet) >= 20, "twenty polls of each", 60)

    assert {1} == {standing.logins for standing in polling.fleet}
    assert {} == dict(sum((Counter(standing.failures) for standing in polling.fleet), Counter()))
    assert (1, FLEET) == (accepted(bastion), accepted(targets))
    assert {"up": FLEET} == told(caplog)
    assert 'ssh_jump_up{jump="bastion"} 1.0' in rig.page()
    assert f'ssh_jump_machines{{jump="bastion"}} {FLEET}.0' in rig.page()
    assert 'ssh_jump_logins_total{jump="bastion"} 1.0' in rig.page()


def test_its_death_and_return(rig: Rig, sshd: Callable[..., Sshd], caplog: pytest.LogCaptureFixture) -> None:
    """All machines of a killed jump host fail with `jump`, which is told once; all come back, few logins at once.

    The machines' sshd drops whoever comes when four logins are under way, which would be another failure than `jump`.
    """
    bastion, targets = sshd(), sshd(addresses=loopback(FLEET), MaxStartups="4:100:4")
    polling = rig.apply(*fleet(targets, hop(bastion.login()), interval=1.0))
    until(lambda: polling.fleet.complete and polling.fleet.up == FLEET, "all are up")
    caplog.set_level(logging.INFO)
    caplog.clear()

    bastion.stop()

    # Those that were being polled know before anybody has tried the jump host again.
    until(lambda: reasons(polling) == {"jump"} and told(caplog), "all say jump")
    assert {"jump down": 1} == told(caplog)
    assert 'ssh_jump_up{jump="bastion"} 0.0' in rig.page()
    polls = [standing.polls for standing in polling.fleet]
    until(lambda: all(one.polls > polls[0] + 2 for one in polling.fleet), "they are polled on")

    bastion.start()

    until(lambda: reasons(polling) == {"up"}, "all are back")
    assert {"jump down": 1, "jump up": 1} == told(caplog)
    assert {"jump"} == {reason for standing in polling.fleet for reason in standing.failures}
    assert {2} == {standing.logins for standing in polling.fleet}
    assert 2 == accepted(bastion)


def test_a_lost_connection_is_replaced(rig: Rig, sshd: Callable[..., Sshd], caplog: pytest.LogCaptureFixture) -> None:
    """When only the connection to the jump host ends, the next polls log in again, and that is no failure."""
    bastion, targets = sshd(), sshd(addresses=loopback(3))
    posts = [rig.post(login, hop(bastion.login()), name=name) for name, login in targets.logins().items()]
    assert ["up"] * 3 == [reason(post) for post in posts]
    caplog.set_level(logging.INFO)
    caplog.clear()

    bastion.kill_sessions()

    assert ["up"] * 3 == [reason(post) for post in posts]
    assert 2 == rig.jump.logins
    assert {} == told(caplog)


def test_those_who_come_together_wait_for_one_login(
    rig: Rig, sshd: Callable[..., Sshd], login: Callable[..., Login]
) -> None:
    """While the jump host is logged in to nobody else tries; when that fails all who waited fail with its cause."""
    targets = sshd(addresses=loopback(4))
    with SshServer(refuse="auth") as bastion:
        there = hop(login(bastion))
        posts = [rig.post(one, there, name=name) for name, one in targets.logins().items()]

        greenlets = [gevent.spawn(visit, post) for post in posts]
        failures = [greenlet.get().failure for greenlet in greenlets]

        assert 1 == bastion.connections
        assert {"jump"} == {failure.reason for failure in failures if failure}
        assert all("bastion: auth: " in failure.text for failure in failures if failure)
        assert rig.jump.pause.seconds is not None
        assert rig.jump.pause.seconds > 20
        assert {0.0} == {post.pause.seconds for post in posts}


# What fails, and whose fault it is.


def test_what_the_jump_host_says_of_a_machine(rig: Rig, sshd: Callable[..., Sshd], login: Callable[..., Login]) -> None:
    """A machine that the jump host cannot connect to has its own reason, and the others are not touched."""
    bastion, target = sshd(), sshd()
    there = hop(bastion.login())
    with RawServer(closes) as server:
        closed = login(server)
    assert "up" == reason(rig.post(target.login(), there))

    assert "refused" == reason(rig.post(closed, there, name="closed"))
    assert "dns" == reason(rig.post({**closed, "host": "no.such.host.invalid"}, there, name="nameless"))
    with silent_port() as port:
        assert "connect_timeout" == reason(rig.post({**closed, "port": port}, there, name="silent", login_timeout=0.5))
    assert 1 == rig.jump.logins
    assert rig.jump.is_up


@pytest.mark.parametrize(
    "options", [{"PermitOpen": "none"}, {"AllowTcpForwarding": "no"}, {"DisableForwarding": "yes"}]
)
def test_forwarding_is_forbidden(options: dict[str, str], rig: Rig, sshd: Callable[..., Sshd]) -> None:
    """A jump host that lets nobody through is `jump` for the machine alone, in the jump host's words."""
    bastion, target = sshd(**options), sshd()
    post = rig.post(target.login(), hop(bastion.login()))

    failure = visit(post).failure

    assert failure is not None
    assert ("jump", False) == (failure.reason, failure.of_jump)
    assert (
        f"the jump host bastion said of {target.addresses[0]} port {target.port}: open failed; its All" in failure.text
    )
    assert rig.jump.is_up
    assert post.pause.is_on


def test_max_sessions_does_not_matter(rig: Rig, sshd: Callable[..., Sshd]) -> None:
    """MaxSessions of the jump host is about shells: with none allowed machines are reached all the same."""
    bastion, targets = sshd(MaxSessions="0"), sshd(addresses=loopback(4))
    there = hop(bastion.login())

    assert ["up"] * 4 == [reason(rig.post(one, there, name=name)) for name, one in targets.logins().items()]


def test_who_may_do_nothing_but_pass(rig: Rig, sshd: Callable[..., Sshd]) -> None:
    """On the jump host a user without a shell, and with a key that is for forwarding alone, is enough."""
    bastion, target = sshd(users=[User("hop", "/usr/sbin/nologin")]), sshd()
    keys = bastion.authorized_keys("hop")
    keys.write_text(f"restrict,port-forwarding {keys.read_text()}")

    assert "up" == reason(rig.post(target.login(), hop(bastion.login("hop"))))


@pytest.mark.parametrize(("which", "expected"), [("bastion", "jump"), ("target", "host_key_changed")])
def test_host_keys_at_every_hop(which: str, expected: str, rig: Rig, sshd: Callable[..., Sshd], tmp_path: Path) -> None:
    """A changed host key stops the poll at its hop, and nobody logs in there; a mended known_hosts ends the pause."""
    servers = {"bastion": sshd(), "target": sshd()}
    other = sshd()
    wrong, server = tmp_path / "wrong", servers[which]
    wrong.write_text(f"[{server.address[0]}]:{server.port} {other.publics[0]}\n")
    logins = {name: one.login() for name, one in servers.items()}
    logins[which] = {**logins[which], "known_hosts": (wrong,)}
    post = rig.post(logins["target"], hop(logins["bastion"]))

    failure = visit(post).failure

    assert failure is not None
    assert expected == failure.reason
    assert str(wrong) in failure.text
    assert 0 == accepted(server)
    assert reason(post) == expected
    wrong.write_text(f"[{server.address[0]}]:{server.port} {server.publics[0]}\n")
    assert "up" == reason(post)


def test_a_failing_jump_host_is_left_alone(rig: Rig, login: Callable[..., Login]) -> None:
    """Inside its pause polls fail at once, without a connection to the jump host."""
    with SshServer(refuse="auth") as bastion:
        post = rig.post(login(bastion), hop(login(bastion)))
        assert "jump" == reason(post)

        assert ["jump"] * 5 == [reason(post) for _ in range(5)]

        assert 1 == bastion.connections
        assert not post.pause.is_on


def test_who_waits_for_a_silent_jump_host_has_a_deadline_of_its_own(rig: Rig, login: Callable[..., Login]) -> None:
    """A machine whose own time for a login is over does not wait for the end of the jump host's."""
    with SshServer(stall="kex") as bastion:
        post = rig.post(login(bastion), hop(login(bastion), login_timeout=60.0), login_timeout=0.3)

        assert "waited for a connection to the jump host bastion: none within 0.3 s" == text(post)


# Chains.


def test_a_chain_of_two(rig: Rig, sshd: Callable[..., Sshd]) -> None:
    """Machines behind two jump hosts: one connection to the first, one through it to the second."""
    outer, inner, targets = sshd(), sshd(), sshd(addresses=loopback(4))
    way = hop(outer.login(), "outer"), hop(inner.login(), "inner")
    posts = [rig.post(one, *way, name=name) for name, one in targets.logins("bash").items()]
    posts.append(rig.post(inner.login(), way[0], name="inner"))

    for _ in range(5):
        assert ["up"] * 5 == [reason(post) for post in posts]

    assert (1, 2, 4) == (accepted(outer), accepted(inner), accepted(targets))


def test_the_first_of_a_chain_dies(rig: Rig, sshd: Callable[..., Sshd], caplog: pytest.LogCaptureFixture) -> None:
    """Only the jump host that is down is told, not those behind it; all comes back with it."""
    outer, inner, target = sshd(), sshd(), sshd()
    post = rig.post(target.login(), hop(outer.login(), "outer"), hop(inner.login(), "inner"))
    assert "up" == reason(post)
    caplog.set_level(logging.INFO)
    caplog.clear()

    outer.stop()

    assert text(post).startswith("outer: refused: ")
    assert [("jump down", "outer")] == [(record.getMessage(), vars(record)["jump"]) for record in caplog.records]
    outer.start()
    until(lambda: reason(post) == "up", "it is back")
    assert {"jump down": 1, "jump up": 1} == told(caplog)


# A jump host that falls silent.


def test_a_jump_host_that_falls_silent(
    rig: Rig, sshd: Callable[..., Sshd], login: Callable[..., Login], monkeypatch: pytest.MonkeyPatch
) -> None:
    """When nothing comes from a jump host it is asked and given up, and its machines say `jump`."""
    monkeypatch.setattr(trunk_module, "PATIENCE", 4.0)
    bastion, target = sshd(), sshd()
    with Proxy(bastion) as proxy:
        post = rig.post(target.login(), hop(login(proxy), login_timeout=1.0), timeout=2.0, login_timeout=2.0)
        assert "up" == reason(post)

        proxy.blackhole()

        assert "bastion: no answer for " in text(post)
        until(lambda: not rig.jump.is_up, "the connection is given up")
        assert "bastion: banner: " in text(post)
        proxy.restore()
        until(lambda: reason(post) == "up", "it is back")


def test_a_silent_machine_is_not_its_jump_hosts_fault(
    rig: Rig, sshd: Callable[..., Sshd], login: Callable[..., Login], monkeypatch: pytest.MonkeyPatch
) -> None:
    """A machine that falls silent fails with `timeout`: its jump host is asked, and answers."""
    monkeypatch.setattr(trunk_module, "PATIENCE", 1.0)
    bastion, target = sshd(), sshd()
    with Proxy(target) as proxy:
        post = rig.post(login(proxy), hop(bastion.login()), timeout=3.0)
        assert "up" == reason(post)

        proxy.blackhole()

        assert "timeout" == reason(post)
        assert rig.jump.is_up
        assert 1 == rig.jump.logins


def test_a_stall_that_ends_costs_polls_and_no_connection(
    rig: Rig, sshd: Callable[..., Sshd], login: Callable[..., Login]
) -> None:
    """Polls cut off while the line to the jump host takes nothing leave its connection whole: it serves on."""
    bastion, targets = sshd(), sshd(addresses=loopback(4))
    with Proxy(bastion) as proxy:
        there = hop(login(proxy))
        posts = [rig.post(one, there, name=name, timeout=0.3) for name, one in targets.logins("bash").items()]
        assert ["up"] * 4 == [reason(post) for post in posts]
        proxy.up.hold()
        trunk = rig.jump._trunk
        assert trunk is not None

        fill(trunk)
        assert not trunk.outbox.has_room.is_set()
        assert {reason(post) for post in posts} <= {"timeout", "jump"}

        proxy.up.flow()
        until(trunk.outbox.has_room.is_set, "all is written")
        assert ["up"] * 4 == [reason(post) for post in posts]
        assert 1 == rig.jump.logins


def fill(trunk: trunk_module.Trunk) -> None:
    """Send what means nothing until not even the kernel takes more."""
    while len(trunk.outbox._waiting) <= trunk_module.MOST_WAITING:
        trunk.send_ignore(20_000)
        gevent.sleep(0)


def test_key_exchanges_in_between(rig: Rig, sshd: Callable[..., Sshd]) -> None:
    """A jump host that wants new keys all the time, while machines come and go, loses nothing."""
    bastion, targets = sshd(RekeyLimit="20K"), sshd(addresses=loopback(4))
    polling = rig.apply(*fleet(targets, hop(bastion.login()), interval=0.1, keep=False))

    until(lambda: min(standing.polls for standing in polling.fleet) >= 25, "many polls of each", 60)

    assert {} == dict(sum((Counter(standing.failures) for standing in polling.fleet), Counter()))
    assert 1 == accepted(bastion)


def test_streams_of_the_past_are_forgotten(
    rig: Rig, sshd: Callable[..., Sshd], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Logins through a jump host leave nothing behind in its connection, however many there were."""
    monkeypatch.setattr(trunk_module, "MOST_SEEN", 5)
    bastion, target = sshd(), sshd()
    post = rig.post(target.login("bash"), hop(bastion.login()), keep=False)

    assert ["up"] * 12 == [reason(post) for _ in range(12)]

    trunk: Any = rig.jump._trunk
    until(lambda: len(trunk._channels) == 0, "every stream is closed")
    assert 5 == len(trunk.channels_seen)
    assert {} == trunk.channel_events


# Reload.


def test_reload_keeps_what_did_not_change(rig: Rig, sshd: Callable[..., Sshd]) -> None:
    """A reload closes the jump host that nobody needs any more, and leaves the others' connections alone."""
    bastion, other, targets = sshd(), sshd(), sshd(addresses=loopback(4))
    stays, goes = hop(bastion.login()), hop(other.login(), "other")
    first, second, third, fourth = fleet(targets, stays)
    polling = rig.apply(first, second, replace(third, jumps=(goes,)), replace(fourth, jumps=(goes,)))
    until(lambda: polling.fleet.up == 4, "all are up")
    assert 1 == len(other.sessions)

    rig.apply(first, replace(second, labels=(("dc", "eu"),)), third, replace(fourth, jumps=()))

    until(lambda: polling.fleet.up == 4, "all are up again")
    until(lambda: not other.sessions, "the other jump host is left")
    assert (1, 1) == (accepted(bastion), accepted(other))
    assert 3 == rig.jump.machines
    assert 1 == polling.fleet[first.name].logins
    assert 'jump="other"' not in rig.page()


def test_a_process_that_ends_leaves_quietly(sshd: Callable[..., Sshd], tmp_path: Path) -> None:
    """The commands that end by themselves reach machines through jump hosts, and end without a word about them."""
    bastion, targets = sshd(), sshd(addresses=loopback(2))
    sections = {"bastion": {**bastion.login(), "enabled": "no"}}
    sections |= {name: {**login, "jump": "bastion"} for name, login in targets.logins().items()}
    argv = [sys.executable, "-m", "collector", "once", "--config", str(write_ini(tmp_path / "x.ini", sections))]

    done = subprocess.run(argv, capture_output=True, text=True, check=False)

    assert (0, "") == (done.returncode, done.stderr)
    assert "2 machines in" in done.stdout
    until(lambda: not bastion.sessions, "the connection is closed")


def test_its_end_while_it_is_logged_in_to(rig: Rig, login: Callable[..., Login]) -> None:
    """A jump host that goes with a reload in the middle of its login leaves nothing."""
    with SshServer(stall="kex") as bastion:
        there = login(bastion)
        rig.apply(machine(there, hop(there)), machine(there, name="other", host="127.0.0.1", port=1))
        until(lambda: bastion.connections, "its login begins")

        rig.apply(machine(there, name="other", host="127.0.0.1", port=1))

        assert [] == list(rig.connector.jumps)
        until(lambda: not [one for one in bastion._transports if one.is_active()], "its connection is closed")
