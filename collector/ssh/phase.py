"""The phases of a poll: what is waited for, until when, and which of our errors each foreign exception becomes."""

import errno
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from math import inf
from time import monotonic
from typing import NamedTuple

import gevent
from paramiko.ssh_exception import (
    AuthenticationException,
    ChannelException,
    IncompatiblePeer,
    MessageOrderError,
    SSHException,
)

from collector import errors
from collector.errors import PollError

MOST_WORDS = 1000
"""Characters of what another program has to say about a failure."""


class Phase(NamedTuple):
    """What is waited for, and the error of each way to fail.

    `cut` by the deadline, `broken` when the connection ends, `refused` when the server says no or makes no sense.
    """

    what: str
    cut: type[PollError]
    broken: type[PollError]
    refused: type[PollError]


RESOLVE = Phase("an address", errors.NameUnresolved, errors.NameUnresolved, errors.NameUnresolved)
CONNECT = Phase("a connection", errors.ConnectTimeout, errors.Unreachable, errors.Unreachable)
BANNER = Phase("an SSH banner", errors.BadBanner, errors.BadBanner, errors.BadBanner)
KEX = Phase("a key exchange", errors.KeyExchangeFailed, errors.KeyExchangeFailed, errors.KeyExchangeFailed)
TRUST = Phase("known_hosts", errors.LocalFailure, errors.LocalFailure, errors.LocalFailure)
AUTH = Phase(
    "an answer to the login", errors.AuthenticationFailed, errors.ConnectionClosed, errors.AuthenticationFailed
)
CHANNEL = Phase("a channel", errors.ChannelFailed, errors.ConnectionClosed, errors.ChannelFailed)
SHELL = Phase("a shell that runs the probe", errors.ShellFailed, errors.ConnectionClosed, errors.ShellFailed)
POLL = Phase("an answer", errors.PollTimeout, errors.ConnectionClosed, errors.ProtocolViolation)


STANDSTILL = 1.0
"""Seconds by which a timer is late when the process was stopped, or had no processor."""


class Disconnected(EOFError):
    """The server said goodbye, and why."""


class Damaged(SSHException):
    """What came is no packet, or not the one that was sent: its size, its padding or its MAC is wrong."""


UNREACHABLE = {errno.EHOSTUNREACH, errno.ENETUNREACH, errno.EHOSTDOWN, errno.ENETDOWN, errno.EPROTO}
LOCAL = {errno.EMFILE, errno.ENFILE, errno.ENOBUFS, errno.ENOMEM, errno.EADDRNOTAVAIL, errno.EACCES, errno.EPERM}


def translate(phase: Phase, error: Exception) -> PollError | None:
    """Return our error for a foreign one, or None when it is no failure of the other side but a bug."""
    kind = _kind(phase, error)
    return None if kind is None else kind(f"waiting for {phase.what}: {describe(error)}")


def _kind(phase: Phase, error: Exception) -> type[PollError] | None:  # noqa: PLR0911, PLR0912 (a table)
    """Sort a foreign exception; the special ones stand above the general ones."""
    match error:
        case socket.gaierror() | UnicodeError():
            return errors.NameUnresolved
        case ConnectionRefusedError():
            return errors.ConnectionRefused
        case ConnectionResetError() if phase.cut is errors.ConnectTimeout:
            # Who refuses a connection does not reset it: it was there, and is gone before a word was said.
            return errors.BadBanner
        case TimeoutError():
            return phase.cut
        case OSError() if error.errno in UNREACHABLE:
            return errors.Unreachable
        case OSError() if error.errno in LOCAL:
            return errors.LocalFailure
        case Disconnected() if phase.cut is errors.AuthenticationFailed:
            return errors.AuthenticationFailed
        case OSError() | EOFError():
            return phase.broken
        case IncompatiblePeer():
            return errors.Incompatible
        case MessageOrderError():
            return errors.ProtocolViolation
        case AuthenticationException():
            return errors.AuthenticationFailed
        case ChannelException():
            return errors.ChannelFailed
        case Damaged() if phase.cut not in (errors.BadBanner, errors.KeyExchangeFailed):
            # Neither the key nor the shell has been refused, and no pause of theirs is due.
            return errors.ProtocolViolation
        case SSHException():
            return phase.refused
    return None


def describe(error: Exception) -> str:
    """Return one line about a foreign error."""
    if isinstance(error, OSError) and error.strerror:
        return error.strerror
    if isinstance(error, EOFError) and not error.args:
        return "the other side closed the connection"
    return shown(str(error), MOST_WORDS) or type(error).__name__


def shown(text: str, most: int) -> str:
    """Render what the other side may have said: one line that a terminal survives, of so many characters at most."""
    line = " ".join(text.split())[:most]
    return "".join([letter if letter.isprintable() else "?" for letter in line])


class _Cut(gevent.Timeout):
    """A timeout of a poll; it runs anew when the whole process has stood still: what it waits for may be there."""

    def __init__(self, seconds: float) -> None:
        super().__init__(seconds)
        self._due = monotonic() + seconds

    def _on_expiration(self, greenlet: object, error: BaseException) -> None:
        if monotonic() - self._due > STANDSTILL:
            self._due = inf
            self.timer.start(self._on_expiration, greenlet, error, update=True)
        else:
            super()._on_expiration(greenlet, error)  # type: ignore[misc]  # the stubs do not have it


class Deadline:
    """A hard limit on everything that is done under it, in seconds from now, whatever the wall clock does."""

    def __init__(self, seconds: float) -> None:
        self._seconds = seconds
        self._end = monotonic() + seconds

    @property
    def remaining(self) -> float:
        """Seconds that are left, 0 at least."""
        return max(0.0, self._end - monotonic())

    def postpone(self, seconds: float) -> None:
        """Let it be later by so much: what it is for has not been done meanwhile."""
        self._end += seconds

    @contextmanager
    def during(self, phase: Phase) -> Iterator[None]:
        """Run a phase: cut it at the deadline, and translate what goes wrong in it.

        Raises:
            PollError: of the phase.
        """
        timeout = _Cut(self.remaining)
        try:
            with timeout:
                yield
        except gevent.Timeout as cut:
            if cut is not timeout:
                raise
            raise phase.cut(f"waited for {phase.what}: none within {self._seconds:g} s") from None
        except Exception as error:
            ours = None if isinstance(error, PollError) else translate(phase, error)
            if ours is None:
                raise
            raise ours from error
