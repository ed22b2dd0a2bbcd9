"""The HTTP server: gevent's pywsgi, with what it lacks to face clients that are slow, broken or hostile.

pywsgi has no deadline on anything, reads headers without a total limit, drains bodies for ever, takes HTTP/0.9, and
answers a mistake of the application with 500. A `Connection` therefore reads requests itself and only leaves the
answering to pywsgi: a whole request within `Limits.read` seconds, a whole answer within `Limits.write`, no body.

A connection is either waiting (it has not sent a whole request: a new one, an idle kept-alive one, one being closed) or
answering. With `Limits.connections` open the one that has waited longest makes room for the newest, so that whoever
holds connections open without asking anything keeps nobody out. Accepting never stops.

A client that is faster than we are is a danger too: as long as there is something to read, or room to write, gevent
does not change greenlets. So every loop around the socket lets the others run.
"""

import logging
import struct
from collections import OrderedDict
from contextlib import suppress
from dataclasses import dataclass
from email.utils import formatdate
from io import BytesIO
from socket import has_dualstack_ipv6
from time import monotonic
from typing import Any, cast

import gevent
from gevent import socket
from gevent.pool import Group
from gevent.pywsgi import WSGIHandler, WSGIServer
from gevent.ssl import SSLSocket

from collector.turns import give_way
from collector.web.guard import Application, Guard
from collector.web.protection import Protection
from collector.web.request import MOST_HEADERS, MOST_LINE, Refusal, Request, parse_line

log = logging.getLogger(__name__)

BACKLOG = 1024
PAUSE = 0.1
"""Seconds without accepting after accept() failed, for want of descriptors, say, and nobody could make room."""
QUIET = 60.0
"""Seconds between two complaints about too many connections or a failed accept()."""

TLS_HANDSHAKE = b"\x16\x03"
"""How a client begins that means https. It would wait for our part, and we for the end of a line."""
PIECE = 262_144
"""Bytes that are sent between two turns of everybody else."""
VITAL = frozenset({"/-/healthy", "/-/ready"})
"""Answered also when as many requests as may be are being answered: whoever gets no answer here may restart us."""


@dataclass(frozen=True, slots=True)
class Limits:
    """What a client may take: open `connections`, bytes of a request's `head`, and seconds of everything else.

    `read` is for a whole request, `idle` for a kept connection between two, `write` for a whole answer, and `linger`
    for the client to read that it was refused. A page of 60 MB in 30 s is 2 MB/s; gzip makes it a tenth. `pages` is how
    many bytes of long answers are kept for those who have not read them yet.
    """

    connections: int = 512
    head: int = 16384
    pages: int = 500_000_000
    read: float = 10.0
    idle: float = 30.0
    write: float = 30.0
    linger: float = 1.0


class Gone(Exception):
    """The client has gone, or the connection was closed to make room."""


class Connection(WSGIHandler):
    """One client's connection: its requests one after another, each within its deadlines."""

    server: "Server"

    def __init__(self, sock: socket.socket, address: Any, server: "Server") -> None:
        super().__init__(sock, address, server, rfile=BytesIO())  # type: ignore[call-arg]
        self._received = bytearray()

    def handle(self) -> None:
        """Serve the connection until it ends. Nothing is raised."""
        try:
            # The head and the body of an answer are two writes; Nagle's algorithm would hold the second one back.
            self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            self._secure()
            self._serve()
        except Refusal as refusal:
            self._refuse(refusal)
        except (Gone, OSError):
            pass
        finally:
            self.server.forget(self)
            self._close_tls()
            self.socket.close()

    def _secure(self) -> None:
        """Do the TLS handshake, where there is TLS; until it is done the connection is one that waits."""
        config = self.server.protection.now()
        if config.context is None:
            return
        try:
            with gevent.Timeout(self.server.limits.read, Gone):
                if (first := self.socket.recv(1, socket.MSG_PEEK)) and not TLS_HANDSHAKE.startswith(first):
                    raise Refusal("400 Bad Request", "Client sent an HTTP request to an HTTPS server.")
                self.socket = config.context.wrap_socket(self.socket, server_side=True, do_handshake_on_connect=False)
                self.socket.do_handshake()
        except OSError as error:
            # Not for the usual log: a stranger can make any number of handshakes fail.
            log.debug("no TLS with %s: %s", self.client_address[0], error)
            self._drain()
            raise Gone from None
        if not config.admits(self.socket.getpeercert()):
            raise Refusal("403 Forbidden", "The certificate has no name that is let in.")

    def _close_tls(self) -> None:
        """Say that all has been said, as TLS wants it, and do not wait for the same from the client."""
        if isinstance(self.socket, SSLSocket):
            with suppress(OSError, ValueError):
                self.socket.settimeout(0.0)
                self.socket.unwrap()

    def _serve(self) -> None:
        """Read and answer requests, as long as both sides want to."""
        self._read_and_answer()
        while not self.close_connection:
            self.server.waits(self)
            with gevent.Timeout(self.server.limits.idle, Gone):
                self._received = self._received or self._receive()
            self._read_and_answer()

    def _read_and_answer(self) -> None:
        late = Refusal("408 Request Timeout", f"No whole request came in {self.server.limits.read:g} seconds.")
        with gevent.Timeout(self.server.limits.read, late):
            request = self._read()
        self.server.answers(self, vital=request.path in VITAL)
        self.close_connection = not request.keep_alive
        self._answer(request)
        self.close_connection |= not self.server.started

    # Reading

    def _read(self) -> Request:
        """Read one request's head; an empty line before it is let pass (RFC 9112, section 2.2)."""
        self._received = self._received or self._receive()
        if self._received.startswith(TLS_HANDSHAKE):
            raise Refusal("400 Bad Request", "This is http, not https.")
        too_long, too_large = "414 URI Too Long", "431 Request Header Fields Too Large"
        request = parse_line(self._read_line(MOST_LINE, too_long) or self._read_line(MOST_LINE, too_long))
        left = self.server.limits.head
        for _ in range(MOST_HEADERS + 1):
            line = self._read_line(left, too_large)
            if not line:
                request.check()
                return request
            left -= len(line)
            request.add(line)
        raise Refusal(too_large, "Too many headers.")

    def _read_line(self, most: int, too_long: str) -> bytes:
        """Read a line of at most so many bytes; its end, CR LF or LF, is left out."""
        seen = 0
        while (end := self._received.find(b"\n", seen)) < 0 and len(self._received) <= most:
            seen = len(self._received)
            self._received += self._receive()
        if end < 0 or end > most + 1:
            raise Refusal(too_long, f"A line is longer than {most} bytes.")
        line = bytes(self._received[:end])
        del self._received[: end + 1]
        return line.removesuffix(b"\r")

    def _receive(self) -> bytearray:
        """Wait for some bytes from the client."""
        data = self.socket.recv(8192)
        if not data:
            raise Gone
        return bytearray(data)

    # Answering

    def _environ(self, request: Request) -> dict[str, Any]:
        """Return what the application is called with (PEP 3333)."""
        environ: dict[str, Any] = self.server.get_environ()
        secured = self.socket if isinstance(self.socket, SSLSocket) else None
        environ |= {
            "REQUEST_METHOD": request.method,
            "PATH_INFO": request.path,
            "QUERY_STRING": request.query,
            "SERVER_PROTOCOL": request.version,
            "REMOTE_ADDR": str(self.client_address[0]),
            # As Apache's mod_ssl has it. A certificate that is not asked for, or not verified, is none here.
            "SSL_CLIENT_VERIFY": "SUCCESS" if secured and secured.getpeercert() else "NONE",
            "wsgi.url_scheme": "https" if secured else "http",
            "wsgi.input": BytesIO(),
            **request.headers,
        }
        return environ

    def _answer(self, request: Request) -> None:
        """Let the application answer. Its exceptions are logged and become a 503; a client too slow is cut off."""
        self.application = self.server.application
        self.request_version = request.version
        self.environ = self._environ(request)
        self.status = None
        self.headers_sent = self.response_use_chunked = False
        deadline = gevent.Timeout(self.server.limits.write)
        try:
            with deadline:
                self.run_application()
        except (Gone, Refusal):
            raise
        except Exception:
            log.exception("a mistake of the collector's in answering %r", request.path)
            self._excuse("The collector made a mistake; its log has more.")
        except gevent.Timeout as timeout:
            if timeout is not deadline:
                raise
            self._excuse("The answer took too long.")

    def _excuse(self, text: str) -> None:
        """Answer 503; where half an answer is sent, reset the connection: nobody shall take it for a whole one."""
        if not self.headers_sent:
            raise Refusal("503 Service Unavailable", text)
        self.abandon()
        raise Gone

    def abandon(self) -> None:
        """End the connection in the middle of an answer: what is on its way is thrown away, as is what keeps it."""
        self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.socket.close()

    def _sendall(self, data: bytes) -> None:
        # Mapped here, so that an OSError of the application is seen for what it is.
        try:
            if len(data) > PIECE:
                self.server.sends(self, data)
            for start in range(0, len(data), PIECE):
                self.socket.sendall(memoryview(data)[start : start + PIECE])
                give_way()
        except OSError:
            raise Gone from None

    def finalize_headers(self) -> None:
        """Add the headers that every answer has."""
        super().finalize_headers()
        headers = cast("list[tuple[bytes, bytes]]", self.response_headers)
        headers.append((b"Server", b"collector"))
        if self.close_connection and self.request_version == "HTTP/1.1":
            headers.append((b"Connection", b"close"))

    def _refuse(self, refusal: Refusal) -> None:
        """Send a refusal."""
        self.server.waits(self)
        try:
            with gevent.Timeout(self.server.limits.linger, Gone):
                self.socket.sendall(rendered(refusal))
        except (Gone, OSError):
            return
        self._close_tls()
        self._drain()

    def _drain(self) -> None:
        """End our side, and for a moment drop what the client still sends.

        Closing with it unread would reset the connection, and the client might never see what we said last.
        """
        try:
            with gevent.Timeout(self.server.limits.linger, Gone):
                self.socket.settimeout(None)
                self.socket.shutdown(socket.SHUT_WR)
                while self.socket.recv(65536):
                    give_way()
        except (Gone, OSError):
            pass


def rendered(refusal: Refusal) -> bytes:
    """Return a refusal as a whole HTTP response."""
    body = f"{refusal.text}\n".encode()
    lines = [
        f"HTTP/1.1 {refusal.status}",
        f"Date: {formatdate(usegmt=True)}",
        "Server: collector",
        "Connection: close",
        "Content-Type: text/plain; charset=utf-8",
        f"Content-Length: {len(body)}",
        *(["Retry-After: 5"] if refusal.status.startswith("503") else []),
    ]
    return "".join(f"{line}\r\n" for line in [*lines, ""]).encode() + body


class Server(WSGIServer):
    """Serves an application on a listening socket, between `start()` and `stop(timeout)`."""

    def __init__(
        self, listener: socket.socket, application: Application, limits: Limits, protection: Protection
    ) -> None:
        # With SERVER_NAME given pywsgi asks no name server at its start.
        super().__init__(listener, application, log=None, error_log=None, environ={"SERVER_NAME": "collector"})
        self.limits = limits
        self.protection = protection
        self._waiting: OrderedDict[Connection, None] = OrderedDict()
        self._answering: set[Connection] = set()
        self._pages: OrderedDict[int, tuple[int, set[Connection]]] = OrderedDict()
        """By the identity of each long answer its length, and who is reading it."""
        self._greenlets = Group()
        self._quiet_until = 0.0

    def stop(self, timeout: float | None = None) -> None:
        """Stop listening, let answers under way end for so many seconds, then close every connection."""
        self.close()
        for connection in list(self._waiting):
            connection.socket.close()
        self._greenlets.join(timeout=self.limits.write if timeout is None else timeout)
        for connection in [*self._waiting, *self._answering]:
            connection.socket.close()
        self._greenlets.kill(timeout=1)

    # What a connection says of itself

    def answers(self, connection: Connection, vital: bool) -> None:
        """Note that a connection has sent a whole request. If too many are being answered only a vital one may be."""
        if connection not in self._waiting:
            raise Gone
        if len(self._answering) >= self.limits.connections and not vital:
            raise Refusal("503 Service Unavailable", "Too many requests are being answered.")
        del self._waiting[connection]
        self._answering.add(connection)

    def sends(self, connection: Connection, page: bytes) -> None:
        """Note that a connection is being sent a long answer. Where those take too much, the oldest ones are cut off.

        Scrapes of the same moment share their page; who reads slowly keeps one alive that nobody else needs.
        """
        _, readers = self._pages.setdefault(id(page), (len(page), set()))
        readers.add(connection)
        while len(self._pages) > 1 and sum(length for length, _ in self._pages.values()) > self.limits.pages:
            _, (_, slow) = self._pages.popitem(last=False)
            for reader in slow:
                reader.abandon()
            self._complain("long answers take over %d MB: the slowest readers are cut off", self.limits.pages // 10**6)

    def _has_sent(self, connection: Connection) -> None:
        for page, (_, readers) in list(self._pages.items()):
            readers.discard(connection)
            if not readers:
                del self._pages[page]

    def waits(self, connection: Connection) -> None:
        """Note that a connection has been answered."""
        self._has_sent(connection)
        self._answering.discard(connection)
        self._waiting[connection] = None

    def forget(self, connection: Connection) -> None:
        """Note that a connection has ended."""
        self._has_sent(connection)
        self._answering.discard(connection)
        self._waiting.pop(connection, None)

    # Accepting; all of this runs in the hub, where nothing may block

    def do_handle(self, sock: socket.socket, address: Any) -> None:
        """Take a new connection, and where there are too many close the one that has waited longest."""
        if len(self._waiting) + len(self._answering) >= self.limits.connections:
            self._make_room()
            self._complain("%d connections, the most there may be: idle ones are closed", self.limits.connections)
        connection = Connection(sock, address, self)
        self._waiting[connection] = None
        self._greenlets.spawn(connection.handle)

    def do_read(self) -> Any:
        """Accept a connection. An error is no reason to print a traceback, nor to give up."""
        try:
            return super().do_read()
        except OSError as error:
            if self.is_fatal_error(error):
                raise
            self._complain("cannot accept a connection: %s", error.strerror)
            if not self._make_room():
                self.stop_accepting()
                gevent.spawn_later(PAUSE, self._accept_again)
            return None

    def _accept_again(self) -> None:
        if self.started:
            self.start_accepting()

    def _make_room(self) -> bool:
        """Close the connection that has waited longest; say whether there was one."""
        if not self._waiting:
            return False
        oldest, _ = self._waiting.popitem(last=False)
        oldest.socket.close()
        return True

    def _complain(self, message: str, *words: object) -> None:
        """Log a trouble, but not every time: a flood of connections shall not be a flood of lines."""
        if monotonic() >= self._quiet_until:
            self._quiet_until = monotonic() + QUIET
            gevent.spawn(log.warning, message, *words)


def serve(
    listener: socket.socket, site: Application, limits: Limits | None = None, protection: Protection | None = None
) -> Server:
    """Make a server of an application on a bound and listening socket; without protection everybody is let in."""
    protection = protection or Protection()
    return Server(listener, Guard(site, protection), limits or Limits(), protection)


def bind(host: str, port: int) -> socket.socket:
    """Listen on a host's first address; with no host, or `::`, on every address, IPv4 and IPv6.

    OSError says what was wanted. A port that something listens on already is refused: there is no SO_REUSEPORT.
    """
    try:
        if not host and has_dualstack_ipv6():
            return _listen(socket.AF_INET6, ("::", port))
        found = socket.getaddrinfo(host or None, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)
        return _listen(found[0][0], found[0][4])
    except OSError as error:
        where = f"[{host}]" if ":" in host else host or "*"
        raise OSError(error.errno, f"cannot listen on {where}:{port}: {error.strerror}") from None


def _listen(family: int, address: Any) -> socket.socket:
    listener = socket.socket(family, socket.SOCK_STREAM)
    try:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        if family == socket.AF_INET6:
            listener.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, int(address[0] != "::"))
        listener.bind(address)
        listener.listen(BACKLOG)
    except OSError:
        listener.close()
        raise
    return listener
