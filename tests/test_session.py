"""A session against real and false servers: one login kept. What fails a poll is in faults/."""

import gc
import re
import socket
import subprocess
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any, cast

import pytest
from rig.link import Link
from rig.logins import Login
from rig.scripted import SshServer, shell
from rig.servers import RawServer, closes, resets
from rig.users import User
from rig.wait import until

from collector import errors
from collector.config import Hop, Machine
from collector.gather import Gathering
from collector.pause import Pause
from collector.polling import man
from collector.ssh.connector import Connector
from collector.ssh.identities import Identities
from collector.ssh.resolve import Resolver
from collector.ssh.transport import TunedTransport
from collector.sweep import Post, visit


def machine(login: Login, **changes: Any) -> Machine:
    """A machine with this login and short deadlines."""
    options = {
        "name": "ssh0",
        "gather": ("time", "memory", "load"),
        "labels": (),
        "interval": 1.0,
        "interval_text": "1s",
        "timeout": 5.0,
        "login_timeout": 10.0,
    }
    return Machine(**{**options, **login, **changes})


@pytest.fixture
def post() -> Iterator[Callable[..., Post]]:
    """`post(login, timeout=…)`: what polls one machine; hangs up at the end."""
    with ExitStack() as stack:

        def post(login: Login, **changes: Any) -> Post:
            made = man(machine(login, **changes), Connector(Identities(), logins=4))
            stack.callback(made.session.close)
            return made

        yield post


def reason(post: Post) -> str:
    """Poll, and return why that failed; `up` if it did not."""
    failure = visit(post).failure
    return failure.reason if failure else "up"


def test_a_connection_that_is_reset_at_once(post: Callable[..., Post], login: Callable[..., Login]) -> None:
    """A connection that is gone before we have said a word is not waited for until the deadline."""
    with RawServer(resets) as server:
        failure = visit(post(login(server), login_timeout=60.0)).failure

        assert failure is not None
        assert (failure.reason, failure.text) == ("banner", f"waiting for an SSH banner: {CLOSED}")


CLOSED = "the other side closed the connection"


def test_what_was_agreed_on(sshd: Callable[..., Any], post: Callable[..., Post]) -> None:
    """After a login it is known what was agreed on, as sshd says it too: new algorithms and an honest name."""
    server = sshd(LogLevel="DEBUG1")
    made = post(server.login("bash"))
    assert reason(made) == "up"
    agreed = made.session.agreement
    assert agreed is not None

    said = until(lambda: re.findall(r"kex: algorithm: (\S+)", server.log), "sshd tells of the exchange")
    assert agreed.kex in said
    assert agreed[1:3] == ("aes128-gcm@openssh.com", "ssh-ed25519")
    assert agreed.server.startswith("OpenSSH_")


def transports() -> int:
    """How many transports there are, dead or alive."""
    return sum(isinstance(one, TunedTransport) for one in gc.get_objects())


@pytest.mark.parametrize("expected", ["up", "auth", "host_key_unknown", "shell"])
def test_nothing_is_left_to_the_garbage_collector(
    expected: str, sshd: Callable[..., Any], post: Callable[..., Post], tmp_path: Path
) -> None:
    """A login that ends, or fails, is freed at once, without the garbage collector: that stops everything for long."""
    (tmp_path / "nobody").touch()
    changes: dict[str, Any] = {
        "auth": {"user": "stranger"},
        "host_key_unknown": {"known_hosts": (tmp_path / "nobody",)},
    }
    server = sshd(users=[User("bash"), User("shell", shell="/usr/sbin/nologin")])
    there = server.login("shell" if expected == "shell" else "bash")
    gc.collect()
    gc.disable()
    try:
        before = transports()
        made = post({**there, **changes.get(expected, {})})
        assert reason(made) == expected
        made.session.close()

        until(lambda: transports() == before, "the transport is freed")
    finally:
        gc.enable()


def test_name_without_address(post: Callable[..., Post], login: Callable[..., Login]) -> None:
    """A name that cannot be resolved is `dns`."""
    with RawServer(closes) as server:
        assert reason(post({**login(server), "host": "no.such.host.invalid"})) == "dns"


def test_no_jump_host(post: Callable[..., Post], login: Callable[..., Login]) -> None:
    """A machine whose jump host is not there is `jump`, and the text says which, and why."""
    with RawServer(closes) as server:
        there = login(server)

    failure = visit(post(there, jumps=(Hop(**there, name="bastion", login_timeout=1.0),))).failure

    assert failure is not None
    text = f"bastion: refused: waiting for a connection to {there['host']} port {there['port']}: Connection refused"
    assert ("jump", text) == (failure.reason, failure.text)


@pytest.mark.needs("root", "namespaces", "tun", "ip")
def test_no_route(post: Callable[..., Post], login: Callable[..., Login]) -> None:
    """An address to which there is no route is `unreachable`."""
    with RawServer(closes) as server, Link() as (near, _), near.entered():
        subprocess.run(["ip", "route", "add", "unreachable", "198.51.100.1"], check=True)
        assert reason(post({**login(server), "host": "198.51.100.1"})) == "unreachable"


def test_second_address_is_tried(
    post: Callable[..., Post], login: Callable[..., Login], monkeypatch: pytest.MonkeyPatch
) -> None:
    """A name whose first address is broken is reached by its second."""
    with SshServer(shell()) as server:
        good = (socket.AF_INET, server.address)
        bad = (socket.AF_INET6, ("2001:db8::1", 0, 0, 0))
        monkeypatch.setattr(Resolver, "addresses", lambda self, host: (bad, good))

        assert reason(post(login(server))) == "up"


@pytest.mark.parametrize(
    ("change", "expected"),
    [("", "host_key_unknown"), ("other", "host_key_changed"), ("@revoked ", "host_key_revoked")],
)
def test_host_keys(change: str, expected: str, post: Callable[..., Post], login: Callable[..., Login]) -> None:
    """A host key that is unknown, another or revoked is refused before anything of us is sent, and nothing is added."""
    with SshServer(shell()) as server, SshServer() as other:
        there = login(server)
        host, port = server.address
        public = (other if change == "other" else server).publics[0]
        text = f"{change.removesuffix('other')}[{host}]:{port} {public}\n" if change else ""
        there["known_hosts"][0].write_text(text)
        made = post(there)

        assert reason(made) == expected
        assert server.logins == 0
        assert there["known_hosts"][0].read_text() == text
        assert made.pause.is_on
        assert made.pause.seconds == float("inf")

        there["known_hosts"][0].write_text(f"[{host}]:{port} {server.publics[0]}\n")
        assert not made.pause.is_on
        assert reason(made) == "up"


def test_unreadable_known_hosts(post: Callable[..., Post], login: Callable[..., Login], tmp_path: Path) -> None:
    """A known_hosts that cannot be read is a failure of our own: `local`."""
    with SshServer(shell()) as server:
        assert reason(post({**login(server), "known_hosts": (tmp_path,)})) == "local"


def test_bug(post: Callable[..., Post], login: Callable[..., Login], caplog: pytest.LogCaptureFixture) -> None:
    """What is no failure of the other side is a bug: logged with its traceback, and the poll has a reason still."""
    with SshServer(shell()) as server:
        made = post(login(server))
        made.gathering = cast(Gathering, None)

        assert reason(made) == "bug"
        assert "AttributeError" in caplog.text


# Real servers


@pytest.mark.parametrize("user", ["sh", "bash"])
def test_hundred_polls_are_one_login(user: str, shared_sshd: Any, post: Callable[..., Post]) -> None:
    """A real sshd sees one login for a hundred polls, and each poll has all its data."""
    made = post(shared_sshd.login(user))
    before = shared_sshd.log.count("Accepted publickey")

    snapshots = [visit(made) for _ in range(100)]

    assert {snapshot.failure for snapshot in snapshots} == {None}
    assert all(problem is None for snapshot in snapshots for _, problem in snapshot.gathered)
    assert shared_sshd.log.count("Accepted publickey") - before == 1
    assert made.session.take_logins() == 1


def test_clock_offset(shared_sshd: Any, post: Callable[..., Post]) -> None:
    """A machine with the collector's own clock is off by nothing, within the bound that is told."""
    snapshot = visit(post(shared_sshd.login("sh")))

    assert snapshot.clock_offset is not None
    assert snapshot.clock_offset_error is not None
    assert abs(snapshot.clock_offset) <= snapshot.clock_offset_error


def test_dead_session_is_replaced(sshd: Callable[..., Any], post: Callable[..., Post]) -> None:
    """A kept session whose server was restarted is replaced within the poll: that is no failure."""
    server = sshd()
    made = post(server.login())
    assert reason(made) == "up"

    server.kill_sessions()

    assert reason(made) == "up"
    assert made.session.take_logins() == 2


@pytest.mark.parametrize(
    "option", ["KexAlgorithms=diffie-hellman-group16-sha512", "Ciphers=chacha20-poly1305@openssh.com"]
)
def test_nothing_in_common(option: str, sshd: Callable[..., Any], post: Callable[..., Post]) -> None:
    """A server that has none of our algorithms is `incompatible`, and the text says which it has."""
    name, value = option.split("=")
    made = post(sshd(**{name: value}).login())

    failure = visit(made).failure

    assert failure is not None
    assert failure.reason == "incompatible"
    assert f"the server has only {value}, and we have " in failure.text


@pytest.mark.parametrize("shell_path", ["/usr/sbin/nologin", "/bin/false"])
def test_no_login_shell(shell_path: str, sshd: Callable[..., Any], post: Callable[..., Post]) -> None:
    """An account that may not have a shell is `shell`, and the text has what the machine said."""
    made = post(sshd(users=[User("nobody1", shell_path)]).login("nobody1"))

    failure = visit(made).failure

    assert failure is not None
    assert failure.reason == "shell"
    assert ("This account is currently not available" in failure.text) == (shell_path == "/usr/sbin/nologin")


def test_unknown_user_is_one_attempt(sshd: Callable[..., Any], post: Callable[..., Post]) -> None:
    """A user whom the machine does not know is `auth`, after one attempt and not more, and is left alone for long."""
    server = sshd()
    made = post({**server.login(), "user": "stranger"})

    assert reason(made) == "auth"
    assert made.pause.seconds is not None
    assert made.pause.seconds > 20
    until(lambda: "Invalid user stranger" in server.log, "sshd logs the attempt")
    assert server.log.count("Failed publickey") + server.log.count("Invalid user stranger") == 1


def test_noise_of_start_files(sshd: Callable[..., Any], post: Callable[..., Post]) -> None:
    """What start files say, a trace and an odd environment do no harm to the data."""
    noisy = User("bash", "/bin/bash", files={".bashrc": "echo welcome\necho 1 2 3 4/5 6 >&2\nset -x\n"})
    server = sshd(users=[noisy], SetEnv="TMOUT=1 LC_ALL=de_DE.UTF-8")
    made = post(server.login("bash"))

    snapshot = visit(made)

    assert snapshot.failure is None
    assert [problem for _, problem in snapshot.gathered] == [None, None, None]


def test_pauses_double_by_cause() -> None:
    """The wait doubles from failure to failure up to the longest of its cause, less a jitter of a quarter at most."""
    pause = Pause(lambda: None)
    waits = []
    for _ in range(12):
        pause.lengthen(errors.PollTimeout())
        assert pause.seconds is not None
        waits.append(pause.seconds)

    for wait, full in zip(waits, [1, 2, 4, 8, 16, 32, 60, 60, 60, 60, 60, 60], strict=True):
        assert 0.75 * full <= wait <= full
    pause.end()
    assert not pause.is_on
    assert pause.seconds is None
