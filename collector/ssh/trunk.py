"""A connection to a jump host that many share, and the ways through it.

    Trunk     the connection: a Transport on which streams are opened (direct-tcpip), each to one machine
    Stream    what the Transport to that machine has for its socket
    Outbox    what the Trunk has for its socket

Whoever polls is cut off by its deadline wherever it waits. In the middle of a packet of the Trunk that would be the end
of everybody's connection, so nobody waits there: packets go whole into the Outbox, which has a greenlet that writes.
Whoever polls waits before, for room in the Outbox, and there it may be cut.
"""

import errno
import os
import socket
from contextlib import suppress
from math import inf
from threading import Event as ThreadEvent
from threading import current_thread
from time import monotonic
from typing import Any, cast

import gevent
from gevent.event import Event
from paramiko import Channel, Message
from paramiko.common import cMSG_CHANNEL_OPEN, cMSG_GLOBAL_REQUEST
from paramiko.ssh_exception import ChannelException, SSHException

from collector.ssh.phase import shown
from collector.ssh.transport import TunedTransport

STREAM_WINDOW = 128 * 1024
"""Bytes a machine may send unasked: what one of which nobody reads can take of the memory."""

MOST_PACKET = 32 * 1024

MOST_WAITING = 256 * 1024
"""Bytes that wait for a jump host's connection; whoever has more to send to a machine waits."""

MOST_UNSENT = 16 * 2**20
"""Bytes at which the connection is given up. Streams wait before, so these are answers to what the jump host asks for
time and again, while it takes nothing.
"""

MOST_SEEN = 10_000
"""Streams of the past that a Trunk remembers, to ignore what still comes for them."""

LOOK_EVERY = 0.2
QUIET = 0.3
"""Seconds without a byte, after something was sent, until a jump host is asked whether it is there."""
PATIENCE = 10.0
"""Seconds without an answer to that, until the connection is given up."""


class Outbox:
    """A socket, or a Stream, whose `send` never waits: a greenlet of its own writes."""

    def __init__(self, sock: Any) -> None:
        self._sock = sock
        self._waiting = bytearray()
        self._has_data = Event()
        self.has_room = Event()
        self.has_room.set()
        self.is_over = Event()
        self._has_answer = Event()
        self._heard_at = monotonic()
        self._unanswered: float | None = None
        self._asked: float | None = None
        self._writer = gevent.spawn(self._write)

    def send(self, data: bytes) -> int:
        """Take all of it."""
        if self.is_over.is_set():
            raise BrokenPipeError(errno.EPIPE, os.strerror(errno.EPIPE))
        self._waiting += data
        self._has_data.set()
        if len(self._waiting) > MOST_WAITING:
            self.has_room.clear()
        if len(self._waiting) > MOST_UNSENT:
            self.close()
        if self._unanswered is None:
            self._unanswered = monotonic()
        return len(data)

    def recv(self, size: int) -> bytes:
        """Return what has come, a byte at least; nothing at the end."""
        try:
            data: bytes = self._sock.recv(size)
        except BaseException:
            self.is_over.set()
            raise
        self._unanswered = self._asked = None
        self._heard_at = monotonic()
        self._has_answer.set()
        if not data:
            self.is_over.set()
        return data

    def close(self) -> None:
        """End both ways, and wake whoever waits."""
        self.is_over.set()
        self.has_room.set()
        self._has_data.set()
        self._sock.close()

    def settimeout(self, seconds: float | None) -> None:
        """Limit each wait of the socket; a Transport of ours has it wait for ever, until `close`."""
        self._sock.settimeout(seconds)

    def getpeername(self) -> Any:
        """Return the address of the other side."""
        return self._sock.getpeername()

    @property
    def _closed(self) -> bool:
        """Whether it is closed, which paramiko asks of what is left when the process ends."""
        return self.is_over.is_set()

    def expect_answer(self) -> None:
        """Know that the other side has been asked whether it is there."""
        self._asked = monotonic()
        self._has_answer.clear()

    def has_answer(self, seconds: float) -> bool:
        """Wait for a byte of the other side, which is expected, for so long since it was; return whether one came."""
        return self._has_answer.wait(max(0.0, seconds - self.unanswered_for))

    @property
    def is_asked(self) -> bool:
        """Whether an answer is expected, and no byte has come since."""
        return self._asked is not None

    @property
    def quiet_for(self) -> float:
        """Seconds since the last byte came."""
        return monotonic() - self._heard_at

    @property
    def silent_for(self) -> float:
        """Seconds since something was sent after which not one byte has come; 0 if some has."""
        return 0.0 if self._unanswered is None else monotonic() - self._unanswered

    @property
    def unanswered_for(self) -> float:
        """Seconds since an answer is expected, without a byte since; 0 if none is."""
        return 0.0 if self._asked is None else monotonic() - self._asked

    def _write(self) -> None:
        try:
            while not self.is_over.is_set():
                self._has_data.wait()
                data = bytes(self._waiting)
                self._waiting.clear()
                self._has_data.clear()
                while data:
                    data = data[self._sock.send(data) :]
                self.has_room.set()
        except (OSError, EOFError, SSHException):
            self.close()


class Trunk(TunedTransport):
    """A connection to a jump host, on which streams to machines are opened."""

    def __init__(self, sock: socket.socket, *algorithms: tuple[str, ...]) -> None:
        self.outbox = Outbox(sock)
        self._refusals: dict[int, ChannelException] = {}
        self._unsent: list[Message] = []
        super().__init__(cast(socket.socket, self.outbox), *algorithms)
        self.expect_packets(inf)  # What comes is for many, and without end.

    def open_stream(self, host: str, port: int) -> "Stream":
        """Have the jump host connect to a machine.

        Raises:
            ChannelException: it will not, or cannot; the text is its own.
            EOFError, OSError, SSHException: the connection has ended.
        """
        self.check()
        number, channel, answered = self._new_channel()
        try:
            self._send_user_message(_direct_tcpip(number, host, port))
            answered.wait()
        except BaseException:
            # It may be opened yet, when nobody wants it any more.
            gevent.spawn(self._give_up, number, channel, answered)
            raise
        if refusal := self._refusals.pop(number, None):
            raise refusal
        self.check()
        return Stream(self, channel)

    @property
    def is_alive_here(self) -> bool:
        """Whether it can be used, as far as is known here: when a write fails the reader has yet to find out."""
        return self.is_active() and not self.outbox.is_over.is_set()

    def answers(self, seconds: float) -> bool:
        """Return whether the jump host is there: it has said something in the last seconds, or does within as many."""
        if self.outbox.quiet_for <= seconds:
            return True
        if not self.outbox.is_asked:
            self._ask()
        return self.outbox.has_answer(seconds)

    def _ask(self) -> None:
        """Ask for an answer, whatever it is; a key exchange that is under way is question enough."""
        self.outbox.expect_answer()
        if self.clear_to_send.is_set():
            request = Message()
            request.add_byte(cMSG_GLOBAL_REQUEST)
            request.add_string("keepalive@openssh.com")
            request.add_boolean(True)
            self._send_user_message(request)

    def watch(self) -> None:
        """Hang up when the jump host has fallen silent; return when the connection has ended, whoever ended it."""
        while not self.outbox.is_over.wait(LOOK_EVERY):
            if self.outbox.unanswered_for > PATIENCE:
                self.hang_up()
            elif self.outbox.silent_for > QUIET and not self.outbox.is_asked:
                self._ask()

    def _new_channel(self) -> tuple[int, Channel, ThreadEvent]:
        """Do what Transport.open_channel does before it sends, and then would look ten times a second."""
        transport: Any = self  # The stubs have no private names.
        with self.lock:
            number = transport._next_channel()
            channel: Any = Channel(number)
            channel._set_transport(self)
            channel._set_window(STREAM_WINDOW, MOST_PACKET)
            transport._channels.put(number, channel)
            self.channel_events[number] = answered = ThreadEvent()
            self.channels_seen[number] = True
            if len(self.channels_seen) > MOST_SEEN:
                del self.channels_seen[next(iter(self.channels_seen))]
        return number, channel, answered

    def _give_up(self, number: int, channel: Channel, answered: ThreadEvent) -> None:
        answered.wait()
        self._refusals.pop(number, None)
        _close(channel)

    def _parse_channel_open_failure(self, m: Message) -> None:
        """Keep the jump host's own words, which paramiko drops."""
        number, code = m.get_int(), m.get_int()
        text = shown(m.get_string().decode("utf-8", "replace"), 200)
        if answered := self.channel_events.pop(number, None):
            self._refusals[number] = ChannelException(code, text)
            self._channels.delete(number)  # type: ignore[attr-defined]
            answered.set()

    def _send_user_message(self, data: Message) -> None:
        """Send, after the key exchange if one is under way.

        A stream that the other side closes is answered by the greenlet that reads. During a key exchange it would wait
        for what only itself can read; so it goes on, and sends that later.
        """
        if not self.clear_to_send.is_set() and current_thread() is self:
            self._unsent.append(data)
        else:
            super()._send_user_message(data)  # type: ignore[misc]  # the stubs have no private names

    def _parse_newkeys(self, m: Message) -> None:
        super()._parse_newkeys(m)  # type: ignore[misc]
        unsent, self._unsent = self._unsent, []
        for message in unsent:
            self._send_user_message(message)


class Stream:
    """The way to a machine through a jump host, as the socket of a Transport. It has no descriptor."""

    def __init__(self, trunk: Trunk, channel: Channel) -> None:
        self._trunk = trunk
        self._channel = channel
        self._channel.settimeout(0.0)
        self._has_data = Event()
        self._is_closed = False
        channel.in_buffer.set_event(self._has_data)  # type: ignore[arg-type]

    def recv(self, size: int) -> bytes:
        """Return what has come, a byte at least; nothing at the end."""
        # Not in Channel.recv: whoever is cut off or killed while it waits there can leave its lock broken.
        self._has_data.wait()
        return b"" if self._is_closed else self._channel.recv(size)

    def send(self, data: bytes) -> int:
        """Send some of it, a byte at least."""
        while not self._is_closed:
            self._trunk.outbox.has_room.wait()
            try:
                return self._channel.send(data)
            except TimeoutError:
                # The machine takes no more for now: it reads nothing. Nobody tells when that changes.
                gevent.sleep(0.05)
        raise BrokenPipeError(errno.EPIPE, os.strerror(errno.EPIPE))

    def close(self) -> None:
        """End both ways, and wake whoever reads."""
        if not self._is_closed:
            self._is_closed = True
            self._has_data.set()
            # During a key exchange of the trunk that waits, and whoever closes must not.
            gevent.spawn(_close, self._channel)

    @property
    def _closed(self) -> bool:
        """Whether it is closed, which paramiko asks of what is left when the process ends."""
        return self._is_closed

    def settimeout(self, seconds: float | None) -> None:
        """Wait for ever, as always: what ends a wait is `close`."""

    def getpeername(self) -> Any:
        """Return the address of the jump host: the machine's is known only there."""
        return self._trunk.getpeername()


def _direct_tcpip(number: int, host: str, port: int) -> Message:
    """Return the request for a connection to a machine (RFC 4254 §7.2); it has no origin that would mean anything."""
    request = Message()
    request.add_byte(cMSG_CHANNEL_OPEN)
    request.add_string("direct-tcpip")
    request.add_int(number)
    request.add_int(STREAM_WINDOW)
    request.add_int(MOST_PACKET)
    request.add_string(host)
    request.add_int(port)
    request.add_string("127.0.0.1")
    request.add_int(0)
    return request


def _close(channel: Channel) -> None:
    with suppress(OSError, EOFError, SSHException):  # The connection has ended, and the channel with it.
        channel.close()
