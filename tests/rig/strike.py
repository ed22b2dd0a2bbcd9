"""Where a connection through rig.proxy is struck, and how: at a byte of what goes one way, or at an SSH packet.

    proxy.down.strike = Strike("cut", byte=1000)                # ended by a FIN when so many bytes have gone this way
    proxy.down.strike = Strike("reset", packet=3)               # by an RST, before the fourth packet
    proxy.down.strike = Strike("hold", packet=3, byte=7)        # what follows the first seven bytes of it never comes
    proxy.down.strike = Strike("corrupt", packet=3, byte=7, bit=5)      # one bit of its eighth byte is the other one

Each connection counts its own bytes and packets, from its beginning; the first packet comes after the banner.
"""

from dataclasses import dataclass
from typing import Literal, get_args

Kind = Literal["cut", "reset", "hold", "corrupt"]
KINDS: tuple[Kind, ...] = get_args(Kind)

NEWKEYS = 21
TAG = 16
"""Bytes after each packet once there are keys: those of AES-GCM, which leaves the lengths readable (RFC 5647)."""


@dataclass(frozen=True)
class Strike:
    """What befalls a connection when so many bytes have gone: of all, or of the packet with this number; 0 is first."""

    kind: Kind
    byte: int = 0
    packet: int | None = None
    bit: int = 0

    @property
    def is_end(self) -> bool:
        """Whether it ends the connection."""
        return self.kind in ("cut", "reset")


class Place:
    """How far one way of one connection has come: `bytes` that went, and where its packets begin.

    What follows the banner is taken for packets of SSH; where it is none only strikes at packets make no sense.
    """

    def __init__(self) -> None:
        self.bytes = 0
        self._line = b""
        self._starts: list[int] = []
        self._head = b""
        self._seen = 0
        self._tag = 0

    def of(self, strike: Strike) -> int | None:
        """Return the byte at which a strike falls; None while it is not known where its packet begins."""
        if strike.packet is None:
            return strike.byte
        return self._starts[strike.packet] + strike.byte if strike.packet < len(self._starts) else None

    def look(self, chunk: bytes) -> None:
        """See what is about to go: where packets begin follows from the lengths of those before."""
        while chunk:
            if not self._starts:
                chunk = self._look_at_banner(chunk)
            elif self._seen < self._starts[-1]:
                size = min(len(chunk), self._starts[-1] - self._seen)
                self._seen += size
                chunk = chunk[size:]
            else:
                chunk = self._look_at_packet(chunk)

    def _look_at_banner(self, chunk: bytes) -> bytes:
        line, end, rest = chunk.partition(b"\n")
        self._line += line + end
        self._seen += len(line + end)
        if end:
            if self._line.startswith(b"SSH-"):
                self._starts.append(self._seen)
            self._line = b""
        return rest

    def _look_at_packet(self, chunk: bytes) -> bytes:
        """Take the length, the padding's length and the number of the message; the rest goes by."""
        self._head, rest = (self._head + chunk)[:6], chunk[6 - len(self._head) :]
        if len(self._head) == 6:
            self._starts.append(self._starts[-1] + 4 + int.from_bytes(self._head[:4]) + self._tag)
            self._seen += 6
            if self._head[5] == NEWKEYS and not self._tag:
                self._tag = TAG
            self._head = b""
        return rest
