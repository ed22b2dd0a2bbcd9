"""Logs in to machines: the keys and known hosts, each file read once for all of them, and the login slots."""

from collections.abc import Collection, Iterator
from contextlib import contextmanager
from pathlib import Path
from socket import socket
from time import monotonic

import gevent
from gevent.lock import Semaphore
from paramiko import PKey

from collector.config import Login, Machine
from collector.ssh.auth import BadKey, load_key, log_in
from collector.ssh.connection import Connection, open_channel
from collector.ssh.dial import dial
from collector.ssh.hostkeys import AnotherKindKnown, HostKeys, Trust
from collector.ssh.known_hosts import HostKey
from collector.ssh.phase import TRUST, Deadline
from collector.ssh.transport import TunedTransport, hang_up, shake_hands


class Keys:
    """Private keys, each loaded once."""

    def __init__(self) -> None:
        self._keys: dict[Path, PKey] = {}

    def __getitem__(self, path: Path) -> PKey:
        """Return a key. Raises BadKey."""
        if path not in self._keys:
            self._keys[path] = load_key(path)
        return self._keys[path]

    def problem(self, path: Path) -> str | None:
        """Load a key, and say what is wrong with it, if anything."""
        try:
            self[path]
        except BadKey as error:
            return str(error)
        return None


class Slots:
    """At most so many logins at once; those that wait come in the order in which they asked."""

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._free = Semaphore(limit)

    def resize(self, limit: int) -> None:
        """Let another number in; one that is smaller takes effect as the logins under way end."""
        for _ in range(limit - self._limit):
            self._free.release()
        for _ in range(self._limit - limit):
            gevent.spawn(self._free.acquire)
        self._limit = limit

    @contextmanager
    def login(self) -> Iterator[None]:
        """Wait for a slot, and have it for as long as the context lasts."""
        with self._free:
            yield


class Connector:
    """What the sessions of all machines share."""

    def __init__(self, keys: Keys, logins: int, host_keys: HostKeys | None = None) -> None:
        self.keys = keys
        self.slots = Slots(logins)
        self.host_keys = host_keys or HostKeys()

    def connect(self, machine: Machine, deadline: Deadline, command: str) -> Connection:
        """Log in to a machine and start a program.

        Raises:
            PollError: of whatever phase failed; nothing is left open then.
        """
        started = monotonic()
        try:
            transport = self._enter(machine, self._reach(machine, deadline), deadline)
        except AnotherKindKnown:
            transport = self._enter(machine, self._reach(machine, deadline), deadline)
        login_seconds = monotonic() - started
        try:
            channel, inbox = open_channel(transport, command, deadline)
        except BaseException:
            hang_up(transport)
            raise
        return Connection(transport, channel, inbox, login_seconds)

    def look(self, machine: Machine, deadline: Deadline, kinds: Collection[str] = ()) -> HostKey:
        """Go as far as the key exchange, and return the host key that a machine shows; nothing of us is sent to it.

        With `kinds` it is asked for a key of one of these types, and without for the one that a login would ask for.

        Raises:
            PollError: of whatever phase failed; Incompatible if the machine has no key of these types.
        """
        transport = TunedTransport(self._reach(machine, deadline))
        try:
            if kinds:
                transport.accept_host_keys(kinds)
            else:
                self._prefer_known(transport, self.host_keys.trust(machine), deadline)
            shake_hands(transport, deadline)
            return transport.shown_host_key
        finally:
            hang_up(transport)

    def _reach(self, machine: Machine, deadline: Deadline) -> socket:
        """Connect to a machine. Raises PollError."""
        return dial(machine.host, machine.port, deadline)

    def _enter(self, login: Login, sock: socket, deadline: Deadline) -> TunedTransport:
        """Shake hands over a socket, check who is there, and log in. Raises PollError, with the socket closed."""
        transport = TunedTransport(sock)
        trust = self.host_keys.trust(login)
        try:
            self._prefer_known(transport, trust, deadline)
            shake_hands(transport, deadline)
            with deadline.during(TRUST):
                trust.check(transport.shown_host_key)
            log_in(transport, login.user, self.keys[login.key_file], deadline)
        except BaseException:
            hang_up(transport)
            raise
        return transport

    def _prefer_known(self, transport: TunedTransport, trust: Trust, deadline: Deadline) -> None:
        with deadline.during(TRUST):
            trust.refresh()
            transport.prefer_host_keys(trust.kinds(), trust.has_authority)
