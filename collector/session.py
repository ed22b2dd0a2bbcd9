"""Session: one machine's login, kept from poll to poll, and how long the machine is left alone when it fails."""

import random
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager, suppress
from math import inf
from time import monotonic, time
from typing import NamedTuple

from collector import probe, targets
from collector.config import Machine
from collector.errors import ConnectionClosed, OutputTooLarge, PollError, ShellFailed
from collector.probe import Answer, Ready
from collector.ssh.connection import Connection
from collector.ssh.phase import POLL, SHELL, Deadline

MOST_ANSWER = 256 * 1024
"""Bytes of an answer, and of what may come before READY."""

Connect = Callable[[Machine, Deadline, str], Connection]
"""Log in to a machine within a deadline and run a command."""


class Reading(NamedTuple):
    """One answer and the clocks around it: `sent` is the collector's wall clock when it asked; in seconds."""

    answer: Answer
    sent: float
    round_trip: float

    @property
    def clock_offset(self) -> float:
        """Seconds that the machine is ahead, if it read its clock half way through the round trip."""
        return self.answer.clock - (self.sent + self.round_trip / 2)

    @property
    def clock_offset_error(self) -> float:
        """Seconds by which the offset can be off at most."""
        return self.round_trip / 2 + self.answer.clock_error


class Session:
    """A kept login on one machine, with the probe running on it.

    Args:
        machine: where, and how long things may take.
        connect: logs in.
        slot: makes a context that is entered for each login, and waits while too many others are under way.
        files: what to read in each poll.

    `waited` is how long the last poll waited for its slot, `login_seconds` how long the last login took, `ready` what
    the probe of the last login that got so far said of itself.
    """

    def __init__(
        self,
        machine: Machine,
        connect: Connect,
        slot: Callable[[], AbstractContextManager[object]],
        files: Sequence[str],
    ) -> None:
        self._machine = machine
        self._connect = connect
        self._slot = slot
        self._files = files
        self._connection: Connection | None = None
        self._token = ""
        self._number = 0
        self._logins = 0
        self.waited = 0.0
        self.login_seconds: float | None = None
        self.ready: Ready | None = None

    @property
    def is_open(self) -> bool:
        """Whether there is a connection."""
        return self._connection is not None and self._connection.is_open

    def poll(self) -> Reading:
        """Ask once, after logging in if need be.

        A kept connection found dead before any byte of the answer is replaced, once: its end (an sshd upgraded,
        a firewall that has forgotten it) says nothing of the machine. Any error closes the connection.

        Raises:
            PollError
        """
        self.waited = 0.0
        try:
            if self.is_open:
                try:
                    return self._ask()
                except _DeadBeforeAnswer:
                    self.close()
            self._open()
            return self._ask()
        except BaseException:
            self.close()
            raise

    def _open(self) -> None:
        """Log in and start the probe."""
        self.close()
        queued = monotonic()
        with self._slot():
            self.waited = monotonic() - queued
            deadline = Deadline(self._machine.login_timeout)
            self._connection = self._connect(self._machine, deadline, probe.COMMAND)
            self._logins += 1
            self.login_seconds = self._connection.login_seconds
            self._token = probe.new_token()
            self._number = 0
            self.ready = self._start_probe(self._connection, deadline)

    def _start_probe(self, connection: Connection, deadline: Deadline) -> Ready:
        """Start the probe, and return what it says of itself.

        Raises:
            ShellFailed: with what the machine said instead, and what that makes of it.
        """
        said = bytearray()
        try:
            with deadline.during(SHELL):
                # Who has hung up already may have said why.
                with suppress(EOFError):
                    connection.send(probe.compose(self._token))
                while (line := probe.find_ready(said, self._token)) is None:
                    said += _receive(connection)
                    if len(said) > MOST_ANSWER:
                        raise ShellFailed("the login shell never stops talking")
        except ShellFailed as error:
            raise ShellFailed(f"{error}: {targets.explain(said)}") from None
        return probe.read_ready(line)

    def _ask(self) -> Reading:
        connection = self._connection
        assert connection is not None
        self._number += 1
        said = bytearray()
        question = probe.ask(self._number, self._files if self._number == 1 else ())
        sent, started = time(), monotonic()
        try:
            with Deadline(self._machine.timeout).during(POLL):
                connection.send(question)
                while not probe.is_whole(said, self._token, self._number):
                    said += connection.receive()
                    if len(said) > MOST_ANSWER:
                        raise OutputTooLarge(f"more than {MOST_ANSWER} bytes in answer to one question")
        except ConnectionClosed as error:
            if not said and self._number > 1:
                raise _DeadBeforeAnswer(*error.args) from error
            raise
        round_trip = connection.received_at - started
        return Reading(probe.split(said, self._token, self._number, self._files), sent, round_trip)

    def take_logins(self) -> int:
        """Return how many logins succeeded since this was last asked."""
        logins, self._logins = self._logins, 0
        return logins

    def close(self) -> None:
        """Hang up, if there is a connection."""
        if self._connection is not None:
            self._connection.close()
            self._connection = None


def _receive(connection: Connection) -> bytes:
    try:
        return connection.receive()
    except EOFError:
        raise ShellFailed("the login shell ended before the probe could start") from None


class _DeadBeforeAnswer(ConnectionClosed):
    """A kept connection ended before it said a word of an answer."""


class Pause:
    """How long a failing machine is left alone: doubled from failure to failure, with jitter, by the kind of failure.

    `trusted` returns something that differs once known_hosts has changed: that ends a pause without end.
    """

    def __init__(self, trusted: Callable[[], object]) -> None:
        self._trusted = trusted
        self._trusted_then: object = None
        self._failures = 0
        self._until = 0.0
        self.seconds: float | None = None

    def lengthen(self, error: PollError) -> None:
        """Choose the wait after one more failure; a fleet that failed together does not come back in step."""
        first, longest = error.backoff
        self.seconds = min(longest, first * 2.0 ** min(self._failures, 30)) * random.uniform(0.75, 1.0)
        self._failures += 1
        self._until = monotonic() + self.seconds
        self._trusted_then = self._trusted()

    def end(self) -> None:
        """Forget the failures: the machine has answered."""
        self._failures = 0
        self._until = 0.0
        self.seconds = None

    def release(self) -> None:
        """Let the next poll happen, whatever happened before: somebody has reloaded the configuration."""
        self._until = 0.0

    @property
    def is_on(self) -> bool:
        """Whether the machine is to be left alone now."""
        if self._until == inf and self._trusted() != self._trusted_then:
            self._until = 0.0
        return monotonic() < self._until
