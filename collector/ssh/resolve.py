"""From a host's name to its addresses: not in the hub, and remembered.

getaddrinfo(3) has no deadline and cannot be called off: it is left to threads of its own, so that a name server that
is dead takes none from anybody else, and one lookup of a name serves all who wait for it.
"""

import socket
from collections.abc import Callable, Sequence
from time import monotonic
from typing import NamedTuple

import gevent
from gevent.event import Event
from gevent.monkey import get_original
from gevent.threadpool import ThreadPool

Address = tuple[socket.AddressFamily, tuple[str, int] | tuple[str, int, int, int]]
"""The family, and what connect() takes, with port 0."""

Addresses = tuple[Address, ...]

getaddrinfo: Callable[..., Sequence[tuple[socket.AddressFamily, int, int, str, tuple[str, int]]]]
getaddrinfo = get_original("socket", "getaddrinfo")

THREADS = 16
"""Lookups at once."""

FRESH = 30.0
"""Seconds for which addresses are taken for right without asking again; getaddrinfo does not tell their TTL."""

PATIENCE = 2.0
"""Seconds for which an answer is waited for when there is an older one."""

MOST_ADDRESSES = 16

NO_SUCH_NAME = {socket.EAI_NONAME, socket.EAI_NODATA}
"""Answers, and not the lack of one."""


class Known(NamedTuple):
    """The addresses of a name, and when they were asked for (monotonic)."""

    addresses: Addresses
    at: float


class Resolver:
    """Looks up names, and remembers them: when nobody answers, what was right before is used on."""

    def __init__(self) -> None:
        self._known: dict[str, Known] = {}
        self._under_way: dict[str, Lookup] = {}
        self._pool: ThreadPool | None = None

    def addresses(self, host: str) -> Addresses:
        """Return the addresses of a host, in the order of the resolver; what is an address already waits for nobody.

        Raises:
            socket.gaierror, UnicodeError: there is no such name; or nobody answers, and never did.
        """
        try:
            return _look_up(host, socket.AI_NUMERICHOST)
        except socket.gaierror:
            pass
        known = self._known.get(host)
        if known is None:
            return self._ask(host).wait()
        if monotonic() - known.at < FRESH:
            return known.addresses
        lookup = self._ask(host)
        if not lookup.is_over.wait(PATIENCE):
            return known.addresses
        try:
            return lookup.wait()
        except socket.gaierror as error:
            if error.errno not in NO_SUCH_NAME:
                return known.addresses
            self._known.pop(host, None)
            raise

    def _ask(self, host: str) -> "Lookup":
        """Begin a lookup, or join the one that is under way."""
        if host not in self._under_way:
            self._under_way[host] = Lookup()
            gevent.spawn(self._answer, host, self._under_way[host])
        return self._under_way[host]

    def _answer(self, host: str, lookup: "Lookup") -> None:
        self._pool = self._pool or ThreadPool(THREADS)
        asked = monotonic()
        lookup.found = self._pool.apply(_found, (host,))
        if isinstance(lookup.found, tuple):
            self._known[host] = Known(lookup.found, asked)
        del self._under_way[host]
        lookup.is_over.set()


class Lookup:
    """A lookup, and in the end what it has `found`."""

    def __init__(self) -> None:
        self.is_over = Event()
        self.found: Addresses | Exception = ()

    def wait(self) -> Addresses:
        """Return what was found, or raise it."""
        self.is_over.wait()
        if isinstance(self.found, tuple):
            return self.found
        # A new one for everybody: a traceback grows with every raise.
        raise type(self.found)(*self.found.args)


def _found(host: str) -> Addresses | Exception:
    """Look up a name; gevent would print what is raised in its threads."""
    try:
        return _look_up(host)
    except Exception as error:
        return error


def _look_up(host: str, flags: int = 0) -> Addresses:
    found = getaddrinfo(host, 0, type=socket.SOCK_STREAM, flags=flags)
    return tuple(dict.fromkeys((family, address) for family, *_, address in found))[:MOST_ADDRESSES]
