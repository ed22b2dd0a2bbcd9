"""A kept session rests: no greenlet waits for its next answer, and whatever comes instead is dealt with too."""

import threading
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from typing import Any

import pytest
from paramiko.common import MSG_CHANNEL_REQUEST, MSG_KEXINIT
from rig.logins import Login
from rig.scripted import SshServer, shell
from rig.wait import until

from collector.config import Machine
from collector.polling import man
from collector.ssh.connector import Connector
from collector.ssh.identities import Identities
from collector.ssh.resting import RestingTransport
from collector.sweep import Post, visit

OPTIONS: dict[str, Any] = {"gather": ("time", "load"), "labels": (), "interval": 1.0, "interval_text": "1s"}


class Polled:
    """A machine's Post, and the transports over which it has been polled."""

    def __init__(self, post: Post, transports: list[RestingTransport]) -> None:
        self.session = post.session
        self._post = post
        self._transports = transports

    def poll(self) -> str:
        """Poll, and return why that failed; `up` if it did not."""
        failure = visit(self._post).failure
        return failure.reason if failure else "up"

    @property
    def transport(self) -> RestingTransport:
        """The one of the last login."""
        return self._transports[-1]

    @property
    def rests(self) -> bool:
        """Whether the hub reads."""
        return self.transport.packetizer.is_watched


@pytest.fixture
def polled(monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[..., Polled]]:
    """`polled(login)`: a machine that has been polled twice, with success; hangs up at the end."""
    transports: list[RestingTransport] = []
    begin = RestingTransport.__init__

    def noted(self: RestingTransport, *arguments: Any) -> None:
        begin(self, *arguments)
        transports.append(self)

    monkeypatch.setattr(RestingTransport, "__init__", noted)
    with ExitStack() as stack:

        def polled(login: Login) -> Polled:
            machine = Machine(**{"name": "ssh0", "timeout": 5.0, "login_timeout": 10.0, **OPTIONS, **login})
            made = Polled(man(machine, Connector(Identities(), logins=1)), transports)
            stack.callback(made.session.close)
            assert ["up", "up"] == [made.poll(), made.poll()]
            return made

        yield polled


MACS = ["hmac-sha2-256-etm@openssh.com", "hmac-sha2-256"]
KINDS = [("aes256-gcm@openssh.com", MACS[0], True), ("aes128-ctr", MACS[0], True), ("aes128-ctr", MACS[1], False)]


@pytest.mark.parametrize(("cipher", "mac", "rests"), KINDS)
def test_no_greenlet_waits_for_the_next_answer(
    cipher: str, mac: str, rests: bool, sshd: Callable[..., Any], polled: Callable[..., Polled]
) -> None:
    """Between two polls a connection has no greenlet where the length of a packet can be seen; elsewhere it has one."""
    made = polled(sshd(Ciphers=cipher, MACs=mac).login("bash"))

    until(lambda: made.rests == rests, "the session rests, or not")
    assert [not rests] == [made.transport in threading.enumerate()]
    assert ["up"] * 3 == [made.poll() for _ in range(3)]
    assert made.session.take_logins() == 1


def test_a_question_that_is_not_data_is_answered(
    sshd: Callable[..., Any], polled: Callable[..., Polled], received: Counter[int]
) -> None:
    """A server that asks whether we are there, and hangs up on who does not answer, is answered; then we rest again."""
    made = polled(sshd(ClientAliveInterval="1", ClientAliveCountMax="2").login("bash"))
    before = received[MSG_CHANNEL_REQUEST]

    until(lambda: received[MSG_CHANNEL_REQUEST] >= before + 4, "the server has asked four times")
    until(lambda: made.rests, "the session rests")

    assert "up" == made.poll()
    assert made.session.take_logins() == 1


def test_new_keys_are_followed_by_rest(
    sshd: Callable[..., Any], polled: Callable[..., Polled], received: Counter[int]
) -> None:
    """After keys are exchanged anew, the hub reads again."""
    made = polled(sshd(RekeyLimit="4K").login("bash"))
    before = received[MSG_KEXINIT]

    while received[MSG_KEXINIT] < before + 3:
        assert "up" == made.poll()

    until(lambda: made.rests, "the session rests")
    assert made.session.take_logins() == 1


def test_what_is_sent_while_it_wakes_is_not_lost(sshd: Callable[..., Any], polled: Callable[..., Polled]) -> None:
    """A poll that begins when the rest has ended, and before paramiko has taken over, is answered."""
    made = polled(sshd().login("bash"))
    until(lambda: made.rests, "the session rests")

    made.transport._wake(None)

    assert "up" == made.poll()
    until(lambda: made.rests, "the session rests")
    assert made.session.take_logins() == 1


def test_hanging_up_ends_a_rest(sshd: Callable[..., Any], polled: Callable[..., Polled]) -> None:
    """A connection that rests when it is closed is taken down as any other: socket, channel and transport."""
    made = polled(sshd().login("bash"))
    until(lambda: made.rests, "the session rests")
    transport = made.transport

    made.session.close()

    assert not transport.packetizer.is_watched
    until(lambda: not transport.is_active(), "the transport has ended")
    assert "up" == made.poll()
    assert transport is not made.transport


def test_the_end_is_seen_while_it_rests(sshd: Callable[..., Any], polled: Callable[..., Polled]) -> None:
    """A connection that the other side ends between two polls is known to be closed before the next."""
    server = sshd()
    made = polled(server.login("bash"))
    until(lambda: made.rests, "the session rests")

    server.kill_sessions()

    until(lambda: not made.session.is_open, "the end is known")
    assert "up" == made.poll()


def in_pieces(chunks: Iterator[bytes]) -> Iterator[bytes]:
    """What a shell says, in packets of seven bytes."""
    for chunk in chunks:
        yield from (chunk[start : start + 7] for start in range(0, len(chunk), 7))


def test_an_answer_of_many_packets(polled: Callable[..., Polled], login: Callable[..., Login]) -> None:
    """An answer in more packets than the hub takes at once is read all the same."""
    with SshServer(shell(in_pieces)) as server:
        made = polled(login(server))

        assert ["up"] * 3 == [made.poll() for _ in range(3)]
        assert made.session.take_logins() == 1
