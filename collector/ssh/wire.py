"""The wire: SSH packets in and out of a socket, as few system calls as can be, and no timers."""

import socket
from math import inf
from time import monotonic

import gevent
from cryptography.exceptions import InvalidTag
from paramiko import Message
from paramiko.packet import Packetizer
from paramiko.ssh_exception import SSHException

from collector.ssh.phase import Damaged

MOST_PACKET = 35_000
"""Bytes of a packet: what RFC 4253, 6.1 wants to be taken, and more than an honest server sends of what we ask for.

Paramiko would wait for the 4 GiB that a header can claim, and take three seconds over a number of 256 KiB.
"""

MOST_BANNER_LINE = 8192
"""Bytes of a line before the banner, as in OpenSSH."""


MOST_PACKETS = 2000
"""Packets of a login, and of what comes until the next question; an answer is a few, or a few dozen."""

TURN = 0.002
"""Seconds for which packets are read without a pause: no deadline ends, and nobody else runs, while more keeps coming.

What a packet is ignored for costs us far more than whoever sends it.
"""

PAUSE, LONGEST_PAUSE = 0.001, 0.032
"""Seconds for which others run then: doubled from turn to turn: who sends and sends gets a tenth of our time."""

WAITED = 0.0005
"""Seconds after which a read has not found its bytes there, but has let others run."""


class TunedPacketizer(Packetizer):
    """Paramiko's Packetizer with bounded reads, as few of them as can be, and no timers.

    Every wait is cut from outside, by closing the socket: gevent then wakes whoever waits on it. `packets_left` is how
    many may still come before somebody asks for more.
    """

    def __init__(self, sock: socket.socket) -> None:
        super().__init__(sock)
        self._sock = sock
        self._read = bytearray()
        self._turn_began = monotonic()
        self._pause = PAUSE
        self.packets_left: float = MOST_PACKETS

    def start_handshake(self, timeout: float) -> None:
        """Start no timer: the deadline of the login covers the handshake."""

    def complete_handshake(self) -> None:
        """Stop no timer; paramiko calls this after every packet."""

    def read_message(self) -> tuple[int, Message]:
        """Return the next packet, its number and all of it; let others run first if that has gone on for long.

        Raises:
            EOFError: the connection is closed.
            Damaged: it is no packet.
            SSHException: it is one too many.
        """
        self.packets_left -= 1
        if self.packets_left < 0:
            raise SSHException(f"more than {MOST_PACKETS} packets that nobody has asked for")
        if monotonic() - self._turn_began > TURN:
            self._let_others_run()
        try:
            return super().read_message()
        except InvalidTag:
            raise Damaged("a packet that does not decrypt") from None
        except IndexError:
            raise Damaged("a packet without a message") from None
        except SSHException as error:
            raise Damaged(str(error)) from error

    def _let_others_run(self) -> None:
        # Not sleep(0): the hub runs 50 of those, ours and again ours, before it looks at timers and sockets.
        gevent.sleep(self._pause)
        # A jump host's connection has no bound: what keeps coming there is many machines' own.
        if self.packets_left < inf:
            self._pause = min(2 * self._pause, LONGEST_PAUSE)
        self._turn_began = monotonic()

    def read_all(self, n: int, check_rekey: bool = False) -> bytes:
        """Return the next n bytes.

        Raises:
            EOFError: the connection is closed.
            SSHException: n is more than a packet may have, or less than nothing.
        """
        if not 0 <= n <= MOST_PACKET:
            raise SSHException(f"a packet of {n} bytes")
        while len(self._read) < n:
            self._receive()
        return self._take(n)

    def write_all(self, out: bytes) -> None:  # type: ignore[override]
        """Send a packet. Raises EOFError when the connection is closed."""
        try:
            sent = self._sock.send(out)
            while sent < len(out):
                out = out[sent:]
                sent = self._sock.send(out)
        except OSError:
            raise EOFError from None

    def readline(self, timeout: float) -> str:
        """Return the next line of the banner, without its end; what is not ASCII in it is replaced.

        Raises:
            EOFError: the connection is closed.
            SSHException: the line is too long.
        """
        while (end := self._read.find(b"\n")) < 0:
            if len(self._read) > MOST_BANNER_LINE:
                break
            self._receive()
        # Also where all of it came at once: what is too long is so however it was cut.
        if not 0 <= end <= MOST_BANNER_LINE:
            raise SSHException(f"a banner line of over {MOST_BANNER_LINE} bytes")
        return self._take(end + 1).decode("ascii", "replace").rstrip("\r\n")

    def _receive(self) -> None:
        asked = monotonic()
        try:
            data = self._sock.recv(65536)
        except OSError:
            if self.closed:
                raise EOFError from None
            raise
        if not data:
            raise EOFError
        if (now := monotonic()) - asked > WAITED:
            self._turn_began = now
            self._pause = PAUSE
        self._read += data

    def _take(self, n: int) -> bytes:
        taken = bytes(self._read[:n])
        del self._read[:n]
        return taken
