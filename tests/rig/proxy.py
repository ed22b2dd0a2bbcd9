"""A bad network in front of any server: a TCP proxy that is late, slow, silent, or cuts.

    with Proxy(server) as proxy:                    # or Proxy(("127.0.0.1", 2222))
        machine = login(proxy)                      # the host keys are the server's
        proxy.down.delay = proxy.up.delay = 0.1     # seconds; up is to the server, down is to the client
        proxy.down.rate = 1                         # bytes a second
        proxy.down.strike = Strike("cut", byte=1000)    # each connection ends after so many bytes; see rig/strike.py
        proxy.down.hold(); proxy.down.flow()        # one way stands still (a peer that stops reading: up.hold())
        proxy.blackhole(); proxy.restore()          # both ways
        proxy.hang_up(); proxy.reset()              # all connections end now: FIN, RST
        proxy.close(); proxy.listen()               # new connections are refused; and taken again

All of it can change while connections are open. `connections` counts those taken, `open` those not ended yet,
`up.bytes` and `down.bytes` what went through. A delay delays and does not narrow: what is sent together arrives
together.
"""

import socket
import struct
import time
from contextlib import suppress
from types import TracebackType
from typing import Self

import gevent
from gevent.event import Event
from gevent.pool import Pool
from gevent.queue import Queue
from gevent.server import StreamServer

from rig.logins import Server
from rig.servers import stop
from rig.strike import Place, Strike

CHUNK = 65536
UNDER_WAY = 64
"""Chunks that a direction holds before it reads no more, as a real network would."""
STEP = 0.02
"""Seconds between two pieces when the rate is limited."""


class Direction:
    """How one way behaves, of all connections of a proxy."""

    def __init__(self) -> None:
        self.delay = 0.0
        self.rate: float | None = None
        self.strike: Strike | None = None
        self.bytes = 0
        self.flowing = Event()
        self.flowing.set()

    def hold(self) -> None:
        """Forward nothing and read nothing, until `flow`."""
        self.flowing.clear()

    def flow(self) -> None:
        """Go on; nothing is lost."""
        self.flowing.set()


class Proxy:
    """Listens on a free port of 127.0.0.1 and carries each connection to the target, a server or its (host, port)."""

    def __init__(self, target: Server | tuple[str, int]) -> None:
        self.target, self.publics = (target, ()) if isinstance(target, tuple) else (target.address, target.publics)
        self.up = Direction()
        self.down = Direction()
        self.connections = 0
        self._relays: set[_Relay] = set()
        self._port = 0
        self._pool = Pool()
        self._server: StreamServer

    @property
    def address(self) -> tuple[str, int]:
        """Where it listens."""
        return "127.0.0.1", self._port

    @property
    def open(self) -> int:
        """How many connections there are now."""
        return len(self._relays)

    def blackhole(self) -> None:
        """Nothing gets through either way, and neither side is told. New connections are taken, and are as silent."""
        self.up.hold()
        self.down.hold()

    def restore(self) -> None:
        """Both ways flow again."""
        self.up.flow()
        self.down.flow()

    def hang_up(self) -> None:
        """End all connections, both ends, by a FIN."""
        self._end_all(reset=False)

    def reset(self) -> None:
        """End all connections, both ends, by an RST."""
        self._end_all(reset=True)

    def close(self) -> None:
        """Listen no more; the connections that there are go on."""
        self._server.close()

    def listen(self) -> None:
        """Listen again, where it did before."""
        self._server = StreamServer(("127.0.0.1", self._port), self._serve, spawn=self._pool)
        self._server.start()

    def __enter__(self) -> Self:
        self.listen()
        self._port = self._server.server_port or 0
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        stop(self._server)

    def _serve(self, client: socket.socket, _: tuple[str, int]) -> None:
        self.connections += 1
        try:
            server = socket.create_connection(self.target)
        except OSError:
            _linger_not(client)
            return
        relay = _Relay(self, client, server)
        self._relays.add(relay)
        try:
            relay.run()
        finally:
            self._relays.remove(relay)

    def _end_all(self, reset: bool) -> None:
        for relay in self._relays:
            relay.end(reset)
        while self._relays:
            gevent.sleep(0)


class _Relay:
    """One connection: the client's socket, the server's, and two greenlets for each way."""

    def __init__(self, proxy: Proxy, client: socket.socket, server: socket.socket) -> None:
        self._proxy = proxy
        self._client = client
        self._server = server
        self._over = Event()
        self._ways = 2

    def run(self) -> None:
        """Carry bytes until both ways have ended, or until `end`."""
        ways = [_Way(self, self._client, self._server, self._proxy.up)]
        ways += [_Way(self, self._server, self._client, self._proxy.down)]
        greenlets = [gevent.spawn(step) for way in ways for step in (way.read, way.write)]
        with self._client, self._server:
            try:
                self._over.wait()
            finally:
                gevent.killall(greenlets)

    def end(self, reset: bool) -> None:
        """End it now."""
        for connection in (self._client, self._server):
            with suppress(OSError):  # It has ended by itself.
                _linger_not(connection) if reset else connection.shutdown(socket.SHUT_RDWR)
        self._over.set()

    def finish(self, sink: socket.socket) -> None:
        """One way has said all; when both have, the connection is over."""
        self._ways -= 1
        if self._ways:
            sink.shutdown(socket.SHUT_WR)
        else:
            self._over.set()


class _Way:
    """One way of one connection."""

    def __init__(self, relay: _Relay, source: socket.socket, sink: socket.socket, direction: Direction) -> None:
        self._relay = relay
        self._source = source
        self._sink = sink
        self._direction = direction
        self._place = Place()
        self._is_held = False
        self._under_way: Queue[tuple[float, bytes]] = Queue(UNDER_WAY)

    def read(self) -> None:
        """Take bytes in, each with the moment at which it is due on the other side; an empty chunk is the end."""
        chunk = b"-"
        while chunk:
            self._direction.flowing.wait()
            try:
                chunk = self._source.recv(CHUNK)
            except OSError:
                self._relay.end(reset=True)
                return
            self._under_way.put((time.monotonic() + self._direction.delay, chunk))

    def write(self) -> None:
        """Let bytes out when they are due, until the end or the strike that is one."""
        try:
            while not ((strike := self._struck()) and strike.is_end):
                due, chunk = self._under_way.get()
                gevent.sleep(max(0.0, due - time.monotonic()))
                if not chunk:
                    self._direction.flowing.wait()
                    self._relay.finish(self._sink)
                    return
                self._place.look(chunk)
                self._send(chunk)
        except OSError:
            self._relay.end(reset=True)
        else:
            self._relay.end(reset=strike.kind == "reset")

    def _send(self, chunk: bytes) -> None:
        """Send as much of it as the strike allows, no faster than the rate."""
        while chunk:
            self._direction.flowing.wait()
            strike = self._struck()
            self._is_held |= strike is not None and strike.kind == "hold"
            if self._is_held or (strike and strike.is_end):
                return
            piece = chunk[: self._piece(len(chunk))]
            chunk = chunk[len(piece) :]
            if strike and self._place.bytes == self._place.of(strike):
                piece = bytes([piece[0] ^ 1 << strike.bit, *piece[1:]])
            self._sink.sendall(piece)
            self._place.bytes += len(piece)
            self._direction.bytes += len(piece)
            if self._direction.rate:
                gevent.sleep(len(piece) / self._direction.rate)

    def _piece(self, size: int) -> int:
        """Return how many bytes go at once: no more than come before the strike."""
        if self._direction.rate:
            size = min(size, max(1, int(self._direction.rate * STEP)))
        strike = self._direction.strike
        at = self._place.of(strike) if strike else None
        return size if at is None or at <= self._place.bytes else min(size, at - self._place.bytes)

    def _struck(self) -> Strike | None:
        """Return the strike if it has come."""
        strike = self._direction.strike
        at = self._place.of(strike) if strike else None
        return strike if at is not None and at <= self._place.bytes else None


def _linger_not(connection: socket.socket) -> None:
    """Make the connection's end an RST."""
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
