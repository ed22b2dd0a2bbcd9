"""What a machine that means harm can do to the others: nothing. It is asked by nobody but itself, and fails alone."""

import socket
import struct
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any, NamedTuple

import gevent
import pytest
from gevent.event import Event
from paramiko.common import (
    MSG_CHANNEL_OPEN_SUCCESS,
    MSG_DISCONNECT,
    MSG_EXT_INFO,
    MSG_SERVICE_ACCEPT,
    MSG_USERAUTH_INFO_REQUEST,
)
from rig.logins import Login
from rig.polls import OPTIONS
from rig.scripted import SshServer, shell
from rig.servers import BANNER, RawServer, closes, header, packet, says
from rig.wait import until

from collector.config import Machine
from collector.polling import man
from collector.ssh.connector import Connector
from collector.ssh.identities import Identities
from collector.ssh.trunk import MOST_UNSENT, Outbox
from collector.sweep import Post, visit

MakePost = Callable[..., Post]


@pytest.fixture
def post() -> Iterator[MakePost]:
    """`post(login, timeout=...)`: what polls one machine; hangs up at the end."""
    with ExitStack() as stack:

        def post(login: Login, **changes: Any) -> Post:
            made = man(Machine(**{**OPTIONS, **login, **changes}), Connector(Identities(), logins=4))
            stack.callback(made.session.close)
            return made

        yield post


def failure(post: Post) -> tuple[str, str]:
    """Poll, and return why that failed: the reason and the text; nothing if it did not."""
    failed = visit(post).failure
    return (failed.reason, failed.text) if failed else ("", "")


FLOOD = """
import socket, struct
with socket.create_server(("127.0.0.1", 0)) as server:
    print(server.getsockname()[1], flush=True)
    connection, _ = server.accept()
    connection.sendall(b"SSH-2.0-flood\\r\\n")
    ignore = struct.pack(">IB", 12, 6) + b"\\x02" + bytes(10)
    try:
        while True:
            connection.sendall(ignore * 5000)
    except OSError:
        pass
"""
"""A program that sends MSG_IGNORE as fast as it can, until it is hung up on. In our process it would have to wait."""


class Flood(NamedTuple):
    """A flooding server: where it listens."""

    address: tuple[str, int]
    publics: tuple[str, ...] = ()


@contextmanager
def flood() -> Iterator[Flood]:
    """Run that program; it must have been hung up on in the end."""
    with subprocess.Popen([sys.executable, "-c", FLOOD], stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        try:
            yield Flood(("127.0.0.1", int(process.stdout.readline())))
            assert process.wait(10) == 0
        finally:
            process.kill()


@pytest.mark.limit(20)
def test_who_sends_faster_than_we_read_is_cut_off(post: MakePost, login: Callable[..., Login]) -> None:
    """A server that never stops sending packets keeps nobody else from running, its own deadline included."""
    with flood() as server:
        reason, text = failure(post(login(server), login_timeout=5.0))

        assert reason == "kex"
        assert "packets that nobody has asked for" in text or "none within 5 s" in text


def test_a_packet_is_not_larger_than_anybody_needs(post: MakePost, login: Callable[..., Login]) -> None:
    """A packet with a number so long that reading it would take everybody's time is refused by its size."""
    with RawServer(says(BANNER, header(36_004) + bytes(16))) as server:
        reason, text = failure(post(login(server), login_timeout=5.0))

        assert reason == "kex"
        assert "a packet of" in text


@pytest.mark.parametrize(
    ("said", "expected"),
    [
        (BANNER + b"\0\0\0\x0c\xff" + bytes(11), ("kex", "a packet without a message")),
        (b"x" * 8193 + b"\n" + BANNER, ("banner", "a banner line of over 8192 bytes")),
    ],
)
def test_what_is_no_packet_and_no_line(
    said: bytes, expected: tuple[str, str], post: MakePost, login: Callable[..., Login]
) -> None:
    """A packet that is nothing but padding, and a line that is too long though it came at once, are named as such."""
    with RawServer(says(said)) as server:
        reason, text = failure(post(login(server)))

        assert expected[0] == reason
        assert expected[1] in text


MANY = 2**32 - 1


@pytest.mark.limit(20)
def test_extensions_that_are_not_there(post: MakePost, login: Callable[..., Login]) -> None:
    """A server that says it has four billion extensions, and sends none, is hung up on at once."""
    hostile = {MSG_SERVICE_ACCEPT: struct.pack(">BI", MSG_EXT_INFO, MANY)}
    with SshServer(extra=hostile) as server:
        reason, text = failure(post(login(server)))

        assert (reason, text) == ("auth", f"waiting for an answer to the login as sh: {LIES}")


def test_an_attempt_is_made_once(post: MakePost, login: Callable[..., Login]) -> None:
    """A server that asks for our proof again and again gets it once."""
    again = bytes([MSG_SERVICE_ACCEPT]) + struct.pack(">I", 12) + b"ssh-userauth"
    with SshServer(stall="auth", extra={MSG_SERVICE_ACCEPT: again}) as server:
        assert failure(post(login(server))) == ("auth", f"waiting for an answer to the login as sh: {TWICE}")


TWICE = "the server has let us begin twice"


@pytest.mark.limit(20)
def test_questions_that_are_not_there(post: MakePost, login: Callable[..., Login], tmp_path: Path) -> None:
    """A server that says it has four billion questions for a password, and sends none, is hung up on at once."""
    (tmp_path / "password").write_text("sesame")
    (tmp_path / "password").chmod(0o600)
    hostile = {MSG_USERAUTH_INFO_REQUEST: struct.pack(">BIIII", MSG_USERAUTH_INFO_REQUEST, 0, 0, 0, MANY)}
    with SshServer(extra=hostile, methods="keyboard-interactive", password="sesame") as server:
        reason, text = failure(post(login(server), password_file=tmp_path / "password"))

        assert (reason, text) == ("auth", f"waiting for an answer to the login as sh: {LIES}")


LIES = f"a message that says it has {MANY} items, and has not"


def test_a_message_of_an_unknown_number_is_no_bug(post: MakePost, login: Callable[..., Login]) -> None:
    """What a server makes paramiko stumble over is the server's failure, whoever waits for it, and no bug of ours."""
    with SshServer(extra={MSG_CHANNEL_OPEN_SUCCESS: b"\xc8"}) as server:
        assert failure(post(login(server))) == ("channel", "waiting for a channel: KeyError: 200")


ESCAPE = "\x1b[2A\x1b[2K256 SHA256:of another \u202e"
GOODBYE = struct.pack(">BII", MSG_DISCONNECT, 2, len(ESCAPE.encode())) + ESCAPE.encode() + bytes(4)
TALKERS = {
    "instead of a banner": says(f"{ESCAPE} Not allowed at this time\r\n".encode(), then=closes),
    "with its goodbye": says(BANNER, packet(GOODBYE)),
}


@pytest.mark.parametrize("name", TALKERS)
def test_what_a_server_says_is_harmless_in_a_terminal(name: str, post: MakePost, login: Callable[..., Login]) -> None:
    """A server cannot move the cursor of whoever reads why it failed, to change what others have shown there."""
    with RawServer(TALKERS[name]) as server:
        _, text = failure(post(login(server), login_timeout=0.5))

        assert "?[2A?[2K256 SHA256:of another" in text
        assert text.isprintable()


def test_what_a_server_says_is_short(post: MakePost, login: Callable[..., Login]) -> None:
    """A server that has a lot to say about a refused login fills no log with it."""
    with SshServer(refuse="auth", methods="x" * 30_000) as server:
        _, text = failure(post(login(server)))

        assert "Bad authentication type" in text
        assert len(text) < 1100


def test_who_talks_between_two_polls_takes_no_memory(post: MakePost, login: Callable[..., Login]) -> None:
    """A machine that sends more than its window allows, when nobody asks, is hung up on; the next poll logs in anew."""
    wanted = Event()

    def floods(channel: Any) -> None:
        def alter(chunks: Iterator[bytes]) -> Iterator[bytes]:
            for chunk in chunks:
                yield chunk
                if chunk.endswith(b" 1\n") and server.logins == 1:
                    wanted.wait()
                    channel.out_window_size = 2**40
                    yield bytes(2**20)

        shell(alter)(channel)

    with SshServer(floods) as server:
        made = post(login(server))
        assert failure(made) == ("", "")

        wanted.set()
        until(lambda: not made.session.is_open, "the machine is hung up on")

        assert failure(made) == ("", "")
        assert server.logins == 2


def test_a_jump_host_that_takes_nothing_takes_no_memory() -> None:
    """A jump host that has us answer and answer, and reads nothing of it, is hung up on when too much is waiting."""
    ours, theirs = socket.socketpair()
    with theirs:
        outbox = Outbox(ours)
        sent = 0
        while not outbox.is_over.is_set() and sent < 2 * MOST_UNSENT:
            sent += outbox.send(bytes(2**16))
            gevent.sleep(0)

        assert outbox.is_over.is_set()
        assert ours.fileno() == -1
