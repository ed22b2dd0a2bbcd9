"""Renewal: an old session is replaced in the background, and the new login is there before the old one goes."""

import logging
from collections.abc import Callable
from time import monotonic
from typing import NamedTuple
from zlib import crc32

import gevent

from collector.config import Machine
from collector.errors import JumpDown, PollError
from collector.pause import Pause
from collector.ssh.connection import Connection

log = logging.getLogger(__name__)


class Kept(NamedTuple):
    """A login with the probe running on it: the token of the probe's answers, and when it began (monotonic)."""

    connection: Connection
    token: str
    since: float


class Renewal:
    """Logs in to a machine anew when its session has reached its age.

    `log_in` waits for a slot, as every login does. When it fails the old session goes on being used, and the next try
    is after the pause that the failure asks for; `trusted` is of Pause.
    """

    def __init__(self, machine: Machine, log_in: Callable[[], Kept], trusted: Callable[[], object]) -> None:
        self._machine = machine.name
        self._age = age(machine)
        self._log_in = log_in
        self._pause = Pause(trusted)
        self._is_told = False
        self._greenlet: gevent.Greenlet[..., None] | None = None
        self._fresh: Kept | None = None

    def consider(self, kept: Kept) -> None:
        """Begin a new login if the session has reached its age, and none is under way."""
        if self._age is None or monotonic() - kept.since < self._age or self._pause.is_on:
            return
        if self._greenlet is None and self._fresh is None:
            self._greenlet = gevent.spawn(self._renew)

    def take(self) -> Kept | None:
        """Return the new login, once, when there is one that is still good."""
        fresh, self._fresh = self._fresh, None
        if fresh is not None and not fresh.connection.is_open:
            fresh.connection.close()
            return None
        return fresh

    def release(self) -> None:
        """Let the next login be tried, whatever happened before: somebody has reloaded the configuration."""
        self._pause.release()

    def cancel(self) -> None:
        """End what is under way, and hang up."""
        if self._greenlet is not None:
            self._greenlet.kill(block=False)
            self._greenlet = None
        if self._fresh is not None:
            self._fresh.connection.close()
            self._fresh = None

    def _renew(self) -> None:
        try:
            fresh = self._log_in()
        except PollError as error:
            if not (self._is_told or isinstance(error, JumpDown)):
                self._is_told = True
                extra = {"machine": self._machine, "reason": error.reason, "text": str(error)}
                log.warning("no new login, the old one stays", extra=extra)
            self._pause.lengthen(error)
        except Exception:
            log.exception("bug while logging in anew to %s", self._machine)
            self._age = None
        else:
            self._pause.end()
            self._is_told = False
            if gevent.getcurrent() is not self._greenlet:
                # Cancelled when there was nothing left to wait for, where the end could have reached it.
                fresh.connection.close()
                return
            self._fresh = fresh
        self._greenlet = None


def age(machine: Machine) -> float | None:
    """Return the age in seconds at which a machine's session is renewed, 0.9 to 1.0 of `max_age` by its name.

    All machines log in when the collector starts; so they do not all do so again together.
    """
    if machine.max_age is None:
        return None
    return machine.max_age * (0.9 + 0.1 * crc32(machine.name.encode()) / 2**32)
