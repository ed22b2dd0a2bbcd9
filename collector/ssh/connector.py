"""Logs in to machines: the keys and known hosts, each file read once for all of them, and the login slots."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import gevent
from gevent.lock import Semaphore
from paramiko import PKey

from collector.config import Machine
from collector.ssh.auth import BadKey, load_key
from collector.ssh.hostkeys import KnownHosts
from collector.ssh.phase import Deadline
from collector.ssh.transport import Connection, connect


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

    def __init__(self, keys: Keys, logins: int) -> None:
        self.keys = keys
        self.slots = Slots(logins)
        self._known_hosts: dict[Path, KnownHosts] = {}

    def known_hosts(self, machine: Machine) -> KnownHosts:
        """Return the known hosts that a machine is checked against."""
        path = machine.known_hosts
        if path not in self._known_hosts:
            self._known_hosts[path] = KnownHosts(path)
        return self._known_hosts[path]

    def connect(self, machine: Machine, deadline: Deadline, command: str) -> Connection:
        """Log in to a machine and start a program. Raises PollError."""
        return connect(machine, self.keys[machine.key_file], self.known_hosts(machine), deadline, command)
