"""What a machine sees of us: one login kept, few attempts, few at once, and the end of a session when it is time."""

import logging
import re
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from typing import Any

import gevent
import gevent.event
import pytest
from rig.keys import known_hosts, make_key
from rig.logins import Login
from rig.proxy import Proxy
from rig.scripted import SshServer, shell
from rig.servers import RawServer, throttles
from rig.sshd import Sshd, loopback
from rig.wait import until

from collector.config import Machine
from collector.polling import man
from collector.renewal import Kept, Renewal, age
from collector.ssh import slots
from collector.ssh.connector import Connector
from collector.ssh.identities import Identities
from collector.sweep import Post, visit


def machine(login: Login, **changes: Any) -> Machine:
    """A machine with this login."""
    options: dict[str, Any] = {"interval": 1.0, "interval_text": "1s", "timeout": 5.0, "login_timeout": 10.0}
    options |= {"name": "ssh0", "gather": ("time", "memory", "load"), "labels": ()}
    return Machine(**{**options, **login, **changes})


MakePost = Callable[..., Post]


@pytest.fixture
def post() -> Iterator[MakePost]:
    """`post(login, keep=…)`: what polls one machine, through one connector for all, which lets four log in at once."""
    with ExitStack() as stack:
        connector = Connector(Identities(), logins=4)

        def post(login: Login, **changes: Any) -> Post:
            made = man(machine(login, **changes), connector)
            stack.callback(made.session.close)
            return made

        yield post


def reason(post: Post) -> str:
    """Poll, and return why that failed; `up` if it did not."""
    failure = visit(post).failure
    return failure.reason if failure else "up"


def accepted(server: Sshd) -> int:
    """How many logins a server has seen."""
    return server.log.count("Accepted publickey")


# Few attempts.


@pytest.mark.parametrize("keep", [True, False])
def test_one_attempt_where_one_is_allowed(keep: bool, sshd: Callable[..., Sshd], post: MakePost) -> None:
    """A machine that lets nobody try twice lets us in, and its log has not one attempt that failed."""
    server = sshd(MaxAuthTries="1")
    made = post(server.login(), keep=keep)

    assert ["up"] * 3 == [reason(made) for _ in range(3)]
    assert 0 == server.log.count("Failed publickey")


def test_a_refused_key_is_offered_once(sshd: Callable[..., Sshd], post: MakePost, tmp_path: Any) -> None:
    """A machine that does not know our key sees one attempt for each try, and is left alone for half a minute."""
    server = sshd()
    made = post({**server.login(), "key_file": make_key(tmp_path / "other").path})

    assert "auth" == reason(made)

    until(lambda: "Failed publickey" in server.log or "Connection closed by" in server.log, "sshd logs it")
    assert 1 == server.log.count("Connection from")
    assert made.pause.is_on
    assert made.pause.seconds is not None
    assert 22 <= made.pause.seconds <= 30


def test_penalties(post: MakePost, login: Callable[..., Login]) -> None:
    """A machine that punishes us is left alone for long. Emulated: sshd has PerSourcePenalties only since 9.8."""
    with RawServer(throttles) as server:
        made = post(login(server))

        assert "throttled" == reason(made)
        assert 1 == server.connections
        assert made.pause.seconds is not None
        assert 22 <= made.pause.seconds <= 30


# Few at once.


def test_fewer_logins_than_max_startups(sshd: Callable[..., Sshd], post: MakePost) -> None:
    """A fleet on a machine that drops whoever is the fifth to log in at once is up whole: we are four at most."""
    server = sshd(addresses=loopback(24), MaxStartups="4:100:4")
    posts = [post(login, name=name) for name, login in server.logins().items()]

    greenlets = [gevent.spawn(reason, one) for one in posts]

    assert ["up"] * 24 == [greenlet.get() for greenlet in greenlets]
    assert "MaxStartups" not in server.log


def test_who_has_left_the_configuration_is_not_logged_in_to(post: MakePost, login: Callable[..., Login]) -> None:
    """A machine that goes in the middle of its poll, or while it waits for a slot, sees no login because of that."""
    asked = gevent.event.Event()

    def stops(chunks: Iterator[bytes]) -> Iterator[bytes]:
        for chunk in chunks:
            if chunk.endswith(b" 2\n"):
                asked.set()
                gevent.sleep(60)
            yield chunk

    with SshServer(shell(stops)) as server, SshServer(stall="kex") as slow:
        polled, waits = post(login(server)), post(login(server), name="waits")
        assert "up" == reason(polled)
        greenlets = [gevent.spawn(reason, polled)]
        asked.wait()
        others = [post(login(slow), name=f"slow{number}", login_timeout=1.0) for number in range(4)]
        greenlets += [gevent.spawn(reason, one) for one in (*others, waits)]
        until(lambda: slow.connections == 4, "all slots are taken")

        polled.session.leave()
        waits.session.leave()

        gevent.joinall(greenlets, raise_error=True)
        assert ("closed", "closed") == (greenlets[0].value, greenlets[-1].value)
        assert 1 == server.connections


# No longer than allowed.


def test_a_session_that_is_not_kept(sshd: Callable[..., Sshd], post: MakePost) -> None:
    """With `keep = no` each poll is a login, whose time is in the poll's, and in between there is no connection."""
    server = sshd()
    made = post(server.login(), keep=False)

    snapshots = [visit(made) for _ in range(3)]

    assert [None] * 3 == [snapshot.failure for snapshot in snapshots]
    assert all(problem is None for snapshot in snapshots for _, problem in snapshot.gathered)
    assert made.session.login_seconds is not None
    assert snapshots[-1].seconds > made.session.login_seconds
    assert not made.session.is_open
    until(lambda: not server.sessions, "sshd has no session")
    assert 3 == accepted(server) == made.session.take_logins()


def test_an_old_session_is_renewed(sshd: Callable[..., Sshd], post: MakePost) -> None:
    """A session that has reached `max_age` is replaced between two polls, not one of which fails; one remains."""
    server = sshd()
    made = post(server.login("bash"), max_age=1.0)
    assert "up" == reason(made)
    (first,) = server.sessions

    until(lambda: reason(made) == "up" and first not in server.sessions, "the first session is gone")

    assert 2 == accepted(server) == made.session.take_logins()
    assert "up" == reason(made)
    assert 1 == len(server.sessions)


def test_the_old_session_stays_while_there_is_no_new_one(
    sshd: Callable[..., Sshd], post: MakePost, caplog: pytest.LogCaptureFixture
) -> None:
    """When a renewal fails the old session goes on, that is told once, and it is tried again after its pause."""
    server = sshd()
    made = post(server.login("bash"), max_age=1.0)
    assert "up" == reason(made)
    keys = server.authorized_keys("bash")
    text = keys.read_text()
    keys.write_text("")

    until(lambda: reason(made) == "up" and "no new login" in caplog.text, "the renewal fails")
    assert ["up"] * 20 == [reason(made) for _ in range(20)]

    assert 1 == len([record for record in caplog.records if record.levelno >= logging.WARNING])
    until(lambda: "Connection closed by" in server.log or "Connection reset by" in server.log, "sshd has seen its end")
    assert (1, 2) == (accepted(server), server.log.count("Connection from"))
    keys.write_text(text)


def test_a_renewal_that_the_host_key_has_stopped(
    sshd: Callable[..., Sshd], post: MakePost, caplog: pytest.LogCaptureFixture, tmp_path: Any
) -> None:
    """After a host key that is not trusted a renewal waits for a reload, or for a change of known_hosts."""
    server = sshd()
    there = server.login("bash")
    (path,) = there["known_hosts"]
    good = path.read_text()
    made = post(there, max_age=1.0)
    assert "up" == reason(made)
    known_hosts(path, [server.address], [make_key(tmp_path / "other").public])
    until(lambda: reason(made) == "up" and "no new login" in caplog.text, "the renewal fails")
    assert ["up"] * 20 == [reason(made) for _ in range(20)]
    assert 2 == server.log.count("Connection from")

    made.session.release()
    until(lambda: reason(made) == "up" and server.log.count("Connection from") == 3, "it is tried after a reload")
    assert 1 == accepted(server)

    path.write_text(good)
    until(lambda: reason(made) == "up" and accepted(server) == 2, "it succeeds after a change of the file")


def test_a_renewal_takes_a_slot(
    sshd: Callable[..., Sshd], post: MakePost, login: Callable[..., Login], monkeypatch: pytest.MonkeyPatch
) -> None:
    """While all slots are taken by others there is no renewal; it comes when one is free."""
    # Who makes no progress would go on without its slot.
    monkeypatch.setattr(slots, "PATIENCE", 60.0)
    server = sshd()
    made = post(server.login("bash"), max_age=1.0)
    assert "up" == reason(made)
    with SshServer(stall="kex") as slow:
        others = [post(login(slow), name=f"slow{number}", login_timeout=3.0) for number in range(4)]
        greenlets = [gevent.spawn(reason, other) for other in others]
        until(lambda: slow.connections == 4, "all slots are taken")

        while not all(greenlet.ready() for greenlet in greenlets):
            assert "up" == reason(made)
            assert 1 == accepted(server)
            gevent.sleep(0.05)

    until(lambda: reason(made) == "up" and accepted(server) == 2, "it is renewed")


def test_a_renewal_under_way_ends_with_the_session(
    sshd: Callable[..., Sshd], post: MakePost, login: Callable[..., Login]
) -> None:
    """A machine that goes in the middle of its renewal leaves no connection."""
    server = sshd()
    with Proxy(server) as proxy:
        made = post(login(proxy, "bash"), max_age=1.0)
        assert "up" == reason(made)
        proxy.down.delay = 0.3
        until(lambda: reason(made) == "up" and proxy.connections == 2, "the renewal begins")

        made.session.close()

        until(lambda: not proxy.open, "both connections are closed")


def test_a_renewed_session_that_is_found_dead(
    sshd: Callable[..., Sshd], post: MakePost, login: Callable[..., Login]
) -> None:
    """A new session that dies before it is first asked is replaced in the same poll, like one that was asked before."""
    server = sshd()
    with Proxy(server) as proxy:
        made = post(login(proxy, "bash"), max_age=1.0)
        until(lambda: reason(made) == "up" and proxy.connections == 2, "the renewal begins")
        until(lambda: made.session._renewal._fresh is not None, "the new session is there")

        proxy.reset()

        assert "up" == reason(made)
        assert 3 == made.session.take_logins()


def test_a_renewal_that_ends_as_the_session_does(sshd: Callable[..., Sshd], post: MakePost) -> None:
    """A login that is done at the very moment at which nobody wants it any more is hung up on."""
    server, done = sshd(), gevent.event.Event()
    made = post(server.login("bash"))
    assert "up" == reason(made)
    until(lambda: len(server.sessions) == 1, "there is a session")
    connection = made.session._connection
    assert connection is not None
    kept = Kept(connection, "", 0.0)

    def log_in() -> Kept:
        done.wait()
        return kept

    renewal = Renewal(machine(server.login("bash"), max_age=1.0), log_in, lambda: None)
    renewal.consider(kept)
    gevent.sleep(0)
    done.set()
    renewal.cancel()

    until(lambda: not server.sessions, "it is hung up on")
    assert renewal.take() is None


def test_renewals_are_spread(login: Callable[..., Login]) -> None:
    """A session is renewed at 90 to 100 % of `max_age`, at each machine at another, always the same, moment."""
    with RawServer(throttles) as server:
        there = login(server)
    machines = [machine(there, name=f"ssh{number}", max_age=1000.0) for number in range(1000)]
    ages = [age(one) for one in machines]

    assert ages == [age(one) for one in machines]
    assert all(one is not None and 900 <= one <= 1000 for one in ages)
    assert len({round(one) for one in ages if one}) > 90


# What the log of a machine shows.


@pytest.mark.limit(240)
def test_the_log_of_the_machines(sshd: Callable[..., Sshd], post: MakePost) -> None:
    """After hundreds of polls each machine's log has one connection and one login, and nothing that failed."""
    server = sshd(addresses=loopback(4))
    posts = [post(login, name=name) for name, login in server.logins("bash").items()]

    for _ in range(100):
        assert ["up"] * 4 == [reason(one) for one in posts]

    logins = re.findall(r"Connection from 127\.0\.0\.1 port \d+ on (\S+)", server.log)
    assert sorted(server.addresses) == sorted(logins)
    assert 4 == accepted(server)
    assert not re.search("Failed|Invalid|error|Disconnect|closed", server.log)
