"""The Transport of a kept session: while only answers are to come it has no greenlet, but a watcher on its socket.

Paramiko reads each connection in a thread of its own. With gevent that is a greenlet, which keeps 10 kB a machine, and
costs each packet two switches and a read that finds nothing. So once a session is set up, the hub reads. It takes data
for the session's one channel; all else is rare (new keys, a window, an end), and goes to paramiko's own loop, in a
greenlet that ends as soon as nothing is left to read.
"""

import os
import socket
from collections.abc import Callable
from typing import Any

import gevent
from gevent import get_hub
from paramiko import Channel, Message
from paramiko.common import MSG_CHANNEL_DATA
from paramiko.ssh_exception import SSHException

from collector.ssh.transport import TunedTransport
from collector.ssh.wire import MOST_PACKET, TunedPacketizer

AT_ONCE = 16
"""Packets that the hub takes before others run; an answer is one, or a few."""

READABLE = 1
"""The event of the hub's loop."""

BUFFER = bytearray(65536)
"""What the hub reads into, for all connections: nothing stays in it."""


class Rest(BaseException):
    """Nothing is left to read: the greenlet that reads may end. No Exception, or paramiko would end the connection."""


class RestingPacketizer(TunedPacketizer):
    """A Packetizer that need not wait in a greenlet for the next packet.

    `may_rest` is whether to raise Rest where it would wait for one.
    """

    def __init__(self, sock: socket.socket) -> None:
        super().__init__(sock)
        self.may_rest = False
        self.is_muted = False
        self._next: tuple[int, Message] | Exception | None = None
        self._watcher: Any = None

    def read_message(self) -> tuple[int, Message]:
        """Return the next packet, as TunedPacketizer does.

        Raises:
            Rest: there is nothing to read, and who reads may rest.
        """
        if self._next is not None:
            following, self._next = self._next, None
            if isinstance(following, Exception):
                raise following
            return following
        if self.may_rest and not self._read and self._tells_length and not self.closed:
            raise Rest
        return super().read_message()

    @property
    def _tells_length(self) -> bool:
        """Whether the length of a packet is not encrypted: with AES-GCM, and MACs of encrypt-then-MAC."""
        private = vars(self)
        return bool(private["_Packetizer__aead_in"] or private["_Packetizer__etm_in"])

    def watch(self, on_readable: Callable[[], None]) -> None:
        """Have the hub call this when there is something to read."""
        self._watcher = get_hub().loop.io(self._sock.fileno(), READABLE)
        self._watcher.start(on_readable)

    def unwatch(self) -> None:
        """Have the hub look at the socket no more."""
        if self._watcher is not None:
            self._watcher.stop()
            self._watcher.close()
            self._watcher = None

    @property
    def is_watched(self) -> bool:
        """Whether the hub looks at the socket."""
        return self._watcher is not None

    def close(self) -> None:
        """Close the socket, at which whoever waits for it wakes."""
        self.unwatch()
        super().close()

    def fill(self) -> None:
        """Read what is there, without waiting. Raises EOFError and OSError."""
        try:
            size = os.readv(self._sock.fileno(), [BUFFER])
        except BlockingIOError:
            return
        if not size:
            raise EOFError
        self._read += memoryview(BUFFER)[:size]

    @property
    def has_packet(self) -> bool:
        """Whether all of a packet has been read, or enough of it to see that it is none."""
        read = self._read
        if len(read) < 4:
            return False
        size = int.from_bytes(read[:4], "big")
        return size > MOST_PACKET or len(read) >= 4 + size + self.get_mac_size_in()

    def _let_others_run(self) -> None:
        if self._watcher is None:
            super()._let_others_run()

    def _receive(self) -> None:
        if self._watcher is not None:
            raise SSHException("a packet that is shorter than it says")
        super()._receive()

    def put_back(self, following: tuple[int, Message] | Exception | None) -> None:
        """Let this be the next packet, or the error of the next read."""
        self._next = following

    def write_all(self, out: bytes) -> None:  # type: ignore[override]
        """Send a packet, but no second banner. Raises EOFError when the connection is closed."""
        if not self.is_muted:
            super().write_all(out)

    def start_handshake(self, timeout: float) -> None:
        """Begin what comes after the banners."""
        self.is_muted = False


class RestingTransport(TunedTransport):
    """A Transport with one channel, that of a session, whose data the hub reads while nothing else comes."""

    packetizer_class = RestingPacketizer

    def __init__(self, sock: socket.socket, *algorithms: tuple[str, ...]) -> None:
        super().__init__(sock, *algorithms)
        self.packetizer: RestingPacketizer
        self._channel: Channel | None = None
        self._is_resuming = False

    def rest(self, channel: Channel) -> None:
        """Rest whenever nothing is to be read, from now on."""
        # A jump host's stream is no socket that the hub could watch.
        if isinstance(self.sock, socket.socket):
            self._channel = channel
            self.packetizer.may_rest = True

    def run(self) -> None:
        """Read what comes until the connection ends, or there is nothing to do but to wait for data."""
        self.packetizer.is_muted = self._is_resuming
        try:
            super().run()
        except Rest:
            self.packetizer.watch(self._take)
        else:
            # It refers to the transport in turn.
            self._channel = None

    def hang_up(self) -> None:
        """Close the socket; whoever waits wakes."""
        rests = self.packetizer.is_watched
        super().hang_up()
        if rests:
            self._wake(EOFError())

    def _take(self) -> None:
        """Read what has come, in the hub, which must not wait."""
        packetizer, channel = self.packetizer, self._channel
        assert channel is not None
        feed = self._channel_handler_table[MSG_CHANNEL_DATA]
        following = None
        try:
            packetizer.fill()
            for _ in range(AT_ONCE):
                if not packetizer.has_packet:
                    return
                number, m = packetizer.read_message()
                if number != MSG_CHANNEL_DATA or m.get_int() != channel.chanid or self._expected_packet:  # type: ignore[attr-defined]
                    m.rewind()
                    following = number, m
                    break
                feed(channel, m)
                # Whoever was waiting for this has run, and may have hung up.
                if not packetizer.is_watched:
                    return
                if packetizer.need_rekey():
                    break
        except Exception as error:
            # Not kept beyond this: it refers to what refers to it.
            self._wake(error)
        else:
            self._wake(following)

    def _wake(self, following: tuple[int, Message] | Exception | None) -> None:
        """Let paramiko go on with a packet, with what went wrong, or with whatever comes."""
        self.packetizer.unwatch()
        self.packetizer.put_back(following)
        self._is_resuming = True
        gevent.spawn(self.run)

    def _send_kex_init(self) -> None:
        if self._is_resuming:
            return
        self.packetizer.may_rest = False
        super()._send_kex_init()  # type: ignore[misc]  # the stubs have no private names

    def _expect_packet(self, *numbers: int) -> None:
        if self._is_resuming:
            self._is_resuming = False
        else:
            super()._expect_packet(*numbers)  # type: ignore[misc]

    def _parse_newkeys(self, m: Message) -> None:
        super()._parse_newkeys(m)  # type: ignore[misc]
        self.packetizer.may_rest = self._channel is not None

    def _check_banner(self) -> None:
        if not self._is_resuming:
            super()._check_banner()
