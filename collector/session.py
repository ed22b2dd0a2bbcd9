"""Session: one machine's login, kept from poll to poll."""

from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field
from time import monotonic, time
from typing import NamedTuple

from collector import probe, targets
from collector.config import Machine
from collector.errors import ConnectionClosed, OutputTooLarge, PollError, ShellFailed, drop_frames
from collector.probe import Answer, Program, Ready
from collector.renewal import Kept, Renewal
from collector.ssh.connection import Connection
from collector.ssh.phase import POLL, SHELL, Deadline
from collector.ssh.slots import Turn
from collector.ssh.transport import Agreement

MOST_ANSWER = 2**20
"""Bytes of an answer, and of what may come before READY. A machine of 256 processors has 300 kB to say."""

Connect = Callable[[Machine, Deadline, str, Turn], Connection]
"""Log in to a machine within a deadline, in a turn that one has, and run a command."""

Blame = Callable[[PollError], PollError]
"""Return the error to tell: that of the jump host on the way, if the fault is there."""


class Reading(NamedTuple):
    """One answer and the clocks around it: `sent` is the collector's wall clock when it asked; in seconds."""

    answer: Answer
    sent: float
    round_trip: float

    @property
    def on_the_way(self) -> float:
        """Seconds of the round trip in which the machine did not work on the answer."""
        # A clock that was stepped meanwhile tells nothing.
        return self.round_trip - self.answer.took if self.answer.took <= self.round_trip else self.round_trip

    @property
    def clock_offset(self) -> float:
        """Seconds that the machine is ahead, if the way there takes as long as the way back."""
        return self.answer.clock - (self.sent + self.on_the_way / 2)

    @property
    def clock_offset_error(self) -> float:
        """Seconds by which the offset can be off at most."""
        return self.on_the_way / 2 + self.answer.clock_error


@dataclass(slots=True)
class Trace:
    """How one poll went, for who wants to know: all that the machine said, and what took how many seconds.

    `greeting` is what came before the probe was ready, and that it is, `answer` what came after the question, each with
    the `token` in it. `waited` is for a slot; what did not happen has no time.
    """

    token: str = ""
    greeting: bytearray = field(default_factory=bytearray)
    answer: bytearray = field(default_factory=bytearray)
    waited: float | None = None
    login_seconds: float | None = None
    round_trip: float | None = None


class Session:
    """A kept login on one machine, with the probe running on it.

    Args:
        machine: where, and how long things may take.
        connect: logs in.
        slot: makes the turn of each login, which waits while too many others are under way.
        program: the probe, which can read all files that are ever wanted.
        wanted: returns the files to read in the next poll; it is told whether that is the first of a session.
        blame: says whose fault an error is.
        trusted: of Pause.

    `waited` is how long the last poll waited for its slot, `login_seconds` how long the last login took, `ready` what
    the probe of the last login that got so far said of itself, and `agreement` what that login agreed on.
    """

    def __init__(
        self,
        machine: Machine,
        connect: Connect,
        slot: Callable[[], Turn],
        program: Program,
        wanted: Callable[[bool], tuple[str, ...]],
        *,
        blame: Blame = lambda error: error,
        trusted: Callable[[], object] = lambda: None,
    ) -> None:
        self._machine = machine
        self._connect = connect
        self._slot = slot
        self._program = program
        self._wanted = wanted
        self._asked: tuple[str, ...] = ()
        self._blame = blame
        self._renewal = Renewal(machine, self._log_in_anew, trusted)
        self._connection: Connection | None = None
        self._token = ""
        self._since = 0.0
        self._number = 0
        self._logins = 0
        self._is_left = False
        self.waited = 0.0
        self.login_seconds: float | None = None
        self.ready: Ready | None = None
        self.agreement: Agreement | None = None

    @property
    def is_open(self) -> bool:
        """Whether there is a connection."""
        return self._connection is not None and self._connection.is_open

    def poll(self, trace: Trace | None = None) -> Reading:
        """Ask once, after logging in if need be; a `trace` is filled in as far as that gets.

        A kept connection found dead before any byte of the answer is replaced, once: its end (an sshd upgraded,
        a firewall that has forgotten it) says nothing of the machine. Any error closes the connection, and so does the
        answer of a machine whose session is not to be kept.

        Raises:
            PollError
        """
        self.waited = 0.0
        try:
            if fresh := self._renewal.take():
                self._adopt(fresh)
            reading = self._read(trace)
        except BaseException as error:
            self.close()
            if isinstance(error, PollError) and (blamed := self._blame(error)) is not error:
                raise blamed from error
            raise
        self._finish()
        return reading

    def _read(self, trace: Trace | None) -> Reading:
        if self.is_open:
            try:
                return self._ask(trace)
            except _DeadBeforeAnswer as error:
                drop_frames(error)
        self.close()
        with self._slot() as turn:
            try:
                self._adopt(self._log_in(turn, trace))
            finally:
                self.waited = turn.waited
                if trace is not None:
                    trace.waited = turn.waited
        return self._ask(trace)

    def _finish(self) -> None:
        """Do with the session what is to be done after an answer."""
        if not self._machine.keep:
            self.close()
        elif self._connection is not None:
            self._renewal.consider(Kept(self._connection, self._token, self._since))

    def _adopt(self, kept: Kept) -> None:
        """Ask over this login from now on."""
        if self._connection is not None:
            self._connection.close()
        self._connection, self._token, self._since = kept
        self._number = 0

    def _log_in_anew(self) -> Kept:
        """Log in besides the session that there is."""
        with self._slot() as turn:
            return self._log_in(turn)

    def _log_in(self, turn: Turn, trace: Trace | None = None) -> Kept:
        """Log in and start the probe; the caller has a slot."""
        if self._is_left:
            raise ConnectionClosed("no longer in the configuration")
        deadline, token = Deadline(self._machine.login_timeout), probe.new_token()
        connection = self._connect(self._machine, deadline, probe.COMMAND, turn)
        self._logins += 1
        self.login_seconds = connection.login_seconds
        self.agreement = connection.agreement
        said = bytearray()
        if trace is not None:
            trace.greeting, trace.token, trace.login_seconds = said, token, connection.login_seconds
        try:
            self.ready = _start_probe(connection, self._program, token, deadline, said)
        except BaseException:
            connection.close()
            raise
        return Kept(connection, token, monotonic())

    def _ask(self, trace: Trace | None) -> Reading:
        connection = self._connection
        assert connection is not None
        self._number += 1
        said = bytearray()
        if trace is not None:
            trace.answer, trace.token = said, self._token
        before, self._asked = self._asked, self._wanted(self._number == 1)
        # The probe knows what it was asked for before.
        is_the_same = self._asked is before and self._number > 1
        question = probe.ask(self._number, () if is_the_same else self._asked)
        sent, started = time(), monotonic()
        try:
            with Deadline(self._machine.timeout).during(POLL):
                connection.send(question)
                while not probe.is_whole(said, self._token, self._number):
                    said += connection.receive()
                    if len(said) > MOST_ANSWER:
                        raise OutputTooLarge(f"more than {MOST_ANSWER} bytes in answer to one question")
        except ConnectionClosed as error:
            if not said:
                raise _DeadBeforeAnswer(*error.args) from error
            raise
        round_trip = connection.received_at - started
        if trace is not None:
            trace.round_trip = round_trip
        return Reading(probe.split(said, self._token, self._number, self._asked), sent, round_trip)

    def release(self) -> None:
        """Let a renewal be tried that was to wait: somebody has reloaded the configuration."""
        self._renewal.release()

    def take_logins(self) -> int:
        """Return how many logins succeeded since this was last asked."""
        logins, self._logins = self._logins, 0
        return logins

    def close(self) -> None:
        """Hang up, if there is a connection, and end a renewal."""
        self._renewal.cancel()
        if self._connection is not None:
            self._connection.close()
            self._connection = None

    def leave(self) -> None:
        """Hang up for good: a poll that is under way, or waits for a slot, does not log in because of that."""
        self._is_left = True
        self.close()


def _start_probe(connection: Connection, sent: Program, token: str, deadline: Deadline, said: bytearray) -> Ready:
    """Start the probe, and return what it says of itself; what the machine says until then is added to `said`.

    Raises:
        ShellFailed: with what the machine said instead, and what that makes of it.
    """
    try:
        with deadline.during(SHELL):
            # Who has hung up already may have said why.
            with suppress(EOFError):
                connection.send(probe.compose(token, sent))
            while (line := probe.find_ready(said, token)) is None:
                said += _receive(connection)
                if len(said) > MOST_ANSWER:
                    raise ShellFailed("the login shell never stops talking")
    except ShellFailed as error:
        raise ShellFailed(f"{error}: {targets.explain(said)}") from None
    return probe.read_ready(line, sent)


def _receive(connection: Connection) -> bytes:
    try:
        return connection.receive()
    except EOFError:
        if not connection.has_program_ended:
            raise
        raise ShellFailed("the login shell ended before the probe could start") from None


class _DeadBeforeAnswer(ConnectionClosed):
    """A connection ended before it said a word of an answer."""
