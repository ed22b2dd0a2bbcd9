"""The wire: SSH packets in and out of a socket, as few system calls as can be, and no timers."""

import socket
from typing import Any

import gevent
from paramiko.packet import Packetizer
from paramiko.ssh_exception import SSHException

MOST_PACKET = 35_000
"""Bytes of a packet: what RFC 4253, 6.1 wants to be taken, and more than an honest server sends of what we ask for.

Paramiko would wait for the 4 GiB that a header can claim, and take three seconds over a number of 256 KiB.
"""

AT_A_TIME, BREATHER = 32, 0.001
"""Packets that are read until everybody else comes to run, and for how many seconds: a read that finds something does
not wait, so whoever sends faster than we read would have us read for ever.
"""

MOST_BANNER_LINE = 8192
"""Bytes of a line before the banner, as in OpenSSH."""


class TunedPacketizer(Packetizer):
    """Paramiko's Packetizer with bounded reads, as few of them as can be, and no timers.

    Every wait is cut from outside, by closing the socket: gevent then wakes whoever waits on it.
    """

    def __init__(self, sock: socket.socket) -> None:
        super().__init__(sock)
        self._sock = sock
        self._read = bytearray()
        self._packets = 0

    def start_handshake(self, timeout: float) -> None:
        """Start no timer: the deadline of the login covers the handshake."""

    def complete_handshake(self) -> None:
        """Stop no timer; paramiko calls this after every packet."""

    def read_message(self) -> Any:
        """Return the next packet: its number, and what it says. Raises what `read_all` raises."""
        self._packets += 1
        if self._packets % AT_A_TIME == 0:
            gevent.sleep(BREATHER)
        return super().read_message()

    def read_all(self, n: int, check_rekey: bool = False) -> bytes:
        """Return the next n bytes.

        Raises:
            EOFError: the connection is closed.
            SSHException: n is more than a packet may have.
        """
        if n > MOST_PACKET:
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
        """Return the next line of the banner, without its end.

        Raises:
            EOFError: the connection is closed.
            SSHException: the line is too long, or not ASCII.
        """
        while (end := self._read.find(b"\n")) < 0:
            if len(self._read) > MOST_BANNER_LINE:
                raise SSHException(f"a banner line of over {MOST_BANNER_LINE} bytes")
            self._receive()
        return self._take(end + 1).decode("ascii", "replace").rstrip("\r\n")

    def _receive(self) -> None:
        try:
            data = self._sock.recv(65536)
        except OSError:
            if self.closed:
                raise EOFError from None
            raise
        if not data:
            raise EOFError
        self._read += data

    def _take(self, n: int) -> bytes:
        taken = bytes(self._read[:n])
        del self._read[:n]
        return taken
