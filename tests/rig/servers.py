r"""Servers that never get as far as SSH: what a real sshd does not do, and the Internet does.

    with RawServer(says_nothing) as server:
        ...                                     # server.address, server.connections

    @pytest.mark.parametrize("behaviour", [says_nothing, drips(), says(b"SSH-1.5-x\r\n"), closes, resets])

A behaviour is a function of the connection's socket, run in a greenlet of its own; the connection ends when it returns.
`says(…)` makes most of them: it sends, and then stays silent unless told otherwise. `packet`, `kexinit` and `header`
make the bytes of SSH's binary protocol (RFC 4253 §6, §7.1) for what comes after the banner.
"""

import os
import socket
import struct
from collections.abc import Callable, Iterable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from itertools import repeat
from types import TracebackType
from typing import Self

import gevent
from gevent.pool import Pool
from gevent.server import StreamServer

Behaviour = Callable[[socket.socket], None]

BANNER = b"SSH-2.0-Raw\r\n"
CHUNK = 65536


class RawServer:
    """Listens on a free port of 127.0.0.1 and behaves; `connections` counts those it took."""

    publics: tuple[str, ...] = ()

    def __init__(self, behaviour: Behaviour) -> None:
        self.connections = 0
        self._behaviour = behaviour
        self._server = StreamServer(("127.0.0.1", 0), self._serve, spawn=Pool())

    @property
    def address(self) -> tuple[str, int]:
        """Where it listens."""
        return "127.0.0.1", self._server.server_port or 0

    def __enter__(self) -> Self:
        self._server.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        stop(self._server)

    def _serve(self, connection: socket.socket, _: tuple[str, int]) -> None:
        self.connections += 1
        with suppress(OSError):  # The client went away, as it should.
            self._behaviour(connection)


def stop(server: StreamServer) -> None:
    """End a server and its connections; one that was only just taken begins first, so that it can end in order."""
    server.close()
    gevent.sleep(0)
    server.stop(timeout=0)


@contextmanager
def silent_port(address: tuple[str, int] = ("127.0.0.1", 0)) -> Iterator[int]:
    """A port whose queue is full: nobody answers an attempt to connect."""
    with socket.socket() as listener, ExitStack() as stack:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind(address)
        listener.listen(0)
        for _ in range(4):
            filler = stack.enter_context(socket.socket())
            filler.setblocking(False)
            filler.connect_ex(listener.getsockname())
        yield listener.getsockname()[1]


def says_nothing(connection: socket.socket) -> None:
    """Never send anything; end when the client does."""
    while connection.recv(CHUNK):
        pass


def closes(connection: socket.socket) -> None:
    """End the connection at once, by a FIN (a bare close would be an RST once the client has spoken)."""
    connection.shutdown(socket.SHUT_RDWR)


def resets(connection: socket.socket) -> None:
    """End the connection at once, by an RST."""
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))


def says(*chunks: bytes, then: Behaviour = says_nothing) -> Behaviour:
    """Send this, then behave like `then`."""

    def behaviour(connection: socket.socket) -> None:
        for chunk in chunks:
            connection.sendall(chunk)
        then(connection)

    return behaviour


def drips(text: Iterable[int] = repeat(ord("S")), every: float = 0.05) -> Behaviour:
    """Send a byte every so many seconds; unless told, a banner that never comes to its newline."""

    def behaviour(connection: socket.socket) -> None:
        for byte in text:
            connection.sendall(bytes([byte]))
            gevent.sleep(every)

    return behaviour


def preamble(size: float = float("inf")) -> Behaviour:
    """Send `size` bytes of lines that may come before a banner (RFC 4253 §4.2), or no end of them; then a banner."""
    lines = (b"x" * 78 + b"\r\n") * 100

    def behaviour(connection: socket.socket) -> None:
        sent = 0
        while sent < size:
            connection.sendall(lines)
            sent += len(lines)
        says(BANNER)(connection)

    return behaviour


def http(connection: socket.socket) -> None:
    """Answer whatever comes as a web server does."""
    connection.recv(CHUNK)
    body = b"<html><body><h1>400 Bad Request</h1></body></html>\n"
    connection.sendall(
        b"HTTP/1.1 400 Bad Request\r\nConnection: close\r\nContent-Length: %d\r\n\r\n" % len(body) + body
    )


throttles = says(b"Not allowed at this time\r\n", then=closes)
"""What sshd 9.8 and later says to one whom it punishes."""

exceeded = says(b"Exceeded MaxStartups\r\n", then=closes)
"""What sshd says to one whom MaxStartups keeps out."""


def header(length: int, padding: int = 4) -> bytes:
    """The begin of a packet that says to be `length` bytes long, whatever follows."""
    return struct.pack(">IB", length, padding)


def packet(payload: bytes) -> bytes:
    """A packet as it goes before any key is agreed on."""
    padding = 8 - (5 + len(payload)) % 8
    padding += 8 if padding < 4 else 0
    return header(1 + len(payload) + padding, padding) + payload + bytes(padding)


def kexinit(
    kex: str = "curve25519-sha256,curve25519-sha256@libssh.org",
    host_key: str = "ssh-ed25519",
    cipher: str = "aes128-ctr",
    mac: str = "hmac-sha2-256",
    compression: str = "none",
) -> bytes:
    """A KEXINIT packet that offers one algorithm, or a comma-separated list, of each sort."""
    lists = (kex, host_key, cipher, cipher, mac, mac, compression, compression, "", "")
    names = b"".join(struct.pack(">I", len(text)) + text.encode() for text in lists)
    return packet(b"\x14" + os.urandom(16) + names + bytes(5))


BEHAVIOURS: dict[str, Behaviour] = {
    "nothing": says_nothing,
    "drips a banner without newline": drips(),
    "10 MB of lines before the banner": preamble(10_000_000),
    "lines without end": preamble(),
    "10 MB without newline": says(b"SSH-2.0-" + b"x" * 10_000_000),
    "binary": says(bytes(range(256)) + b"\xff\xfe\x00\r\n"),
    "SSH 1.5": says(b"SSH-1.5-Old\r\n"),
    "HTTP": http,
    "throttles": throttles,
    "MaxStartups": exceeded,
    "closes": closes,
    "resets": resets,
    "banner, then silence": says(BANNER),
    "KEXINIT, then silence": says(BANNER, kexinit()),
    "nothing in common": says(BANNER, kexinit(kex="diffie-hellman-group14-sha1")),
    "a packet of 4 GB": says(BANNER, header(0xFFFFFFFF)),
    "a packet of no bytes": says(BANNER, header(0)),
}
"""All of them by name, for a test that goes through them; a test of one says it with the functions above."""
