"""Jump: one jump host, with the one connection that all machines behind it share."""

import logging
import re
import socket
from collections.abc import Callable
from functools import partial
from math import inf
from typing import cast

import gevent
from paramiko.ssh_exception import ChannelException, SSHException

from collector import errors
from collector.config import Hop, Login
from collector.errors import SOON, Bug, JumpDown, JumpFailed, PollError
from collector.pause import Pause
from collector.ssh.dial import connect_to
from collector.ssh.phase import Deadline, Phase, describe
from collector.ssh.slots import Slots
from collector.ssh.trunk import Trunk

log = logging.getLogger(__name__)

MOST_ASIDE = 64
"""Machines behind one jump host that it may be connecting to besides: each is a descriptor of its sshd."""

SUSPECT = 0.3
"""Seconds without a byte of a jump host, though it was asked for one, until a poll that is cut off is its failure."""

WHY = (
    (re.compile("refused", re.IGNORECASE), errors.ConnectionRefused),
    (re.compile("timed? ?out", re.IGNORECASE), errors.ConnectTimeout),
    (re.compile("no route|unreachable|is down", re.IGNORECASE), errors.Unreachable),
    (re.compile("not known|name resolution|no address|not resolve|unknown host", re.IGNORECASE), errors.NameUnresolved),
)
"""What a jump host says of a machine that it cannot connect to: strerror(3) and gai_strerror(3), mostly."""

PROHIBITED, CONNECT_FAILED = 1, 2
"""Codes of CHANNEL_OPEN_FAILURE (RFC 4254 §5.1): it may not be, and what is in `WHY`."""

MAY_WE = "its AllowTcpForwarding and PermitOpen, and the options of our key in its authorized_keys, have to allow it"

OWN_WORDS = (
    errors.HostKeyUnknown,
    errors.HostKeyChanged,
    errors.HostKeyRevoked,
    errors.Incompatible,
    errors.OutputTooLarge,
    errors.ProtocolViolation,
    errors.LocalFailure,
)
"""What is the machine's failure, or ours, even if its jump host has died in the meantime."""

Dial = Callable[[str, int, Deadline], socket.socket]
"""Connect to a port of a host."""

Enter = Callable[[Login, Callable[[], socket.socket], Deadline, type[Trunk]], Trunk]
"""Shake hands over a socket that is made by a call, check who is there, and log in."""


class Jump:
    """One jump host: the connection that all machines behind it share, made when the first of them wants it.

    Args:
        hop: where, and as whom.
        way: the jump host before it, if there is one.
        dial: connects to it, where there is none.
        enter: logs in over a socket.
        trusted: of Pause.
        logins: how many may be under way through it at once.

    `machines` is how many are configured behind it, `interval` the shortest of their intervals in seconds; `logins`
    counts those that succeeded.
    """

    def __init__(
        self, hop: Hop, way: "Jump | None", dial: Dial, enter: Enter, trusted: Callable[[], object], *, logins: int
    ) -> None:
        self.name = hop.name
        self.slots = Slots(logins, MOST_ASIDE)
        self.pause = Pause(trusted)
        self.machines = 0
        self.interval = inf
        self.logins = 0
        self._hop = hop
        self._way = way
        self._dial = dial
        self._enter = enter
        self._trunk: Trunk | None = None
        self._opening: gevent.Greenlet[..., None] | None = None
        self._why = f"{self.name}: no connection yet"
        self._is_closed = False
        self._told: str | None = None
        self._phase = Phase(f"a connection to the jump host {self.name}", JumpDown, JumpDown, JumpDown)

    @property
    def is_up(self) -> bool:
        """Whether there is a connection, as far as is known here."""
        return self._trunk is not None and self._trunk.is_alive_here

    @property
    def hops(self) -> "list[Jump]":
        """The jump hosts on the way to the machines behind this one, the first one first."""
        return [*(self._way.hops if self._way else []), self]

    def check(self) -> None:
        """Do nothing if a machine behind it may be tried, and raise JumpDown at once, without any traffic, if not."""
        for jump in self.hops:
            if not jump.is_up and jump.pause.is_on:
                raise JumpDown(jump._why)

    def reach(self, host: str, port: int, deadline: Deadline) -> socket.socket:
        """Return a way to a machine, which serves as a socket.

        A kept connection that is found dead by this is replaced at once, once.

        Raises:
            PollError: it cannot be reached, as the jump host says; JumpDown if that itself cannot.
        """
        was_up = self.is_up
        try:
            return self._stream(host, port, deadline)
        except PollError:
            if self.is_up or not was_up:
                raise
        return self._stream(host, port, deadline)

    def _stream(self, host: str, port: int, deadline: Deadline) -> socket.socket:
        trunk = self._connected(deadline)
        with deadline.during(connect_to(host, port)):
            try:
                return cast(socket.socket, trunk.open_stream(host, port))
            except ChannelException as refusal:
                raise self._explained(refusal, host, port) from None
            except (EOFError, OSError, SSHException) as error:
                raise JumpDown(f"{self.name}: {describe(error)}") from None

    def blame(self, error: PollError) -> PollError:
        """Return the error to tell of a machine behind it: the jump host's, if that has died or gives no answer.

        One that was silent until now is asked, and has a moment to answer.
        """
        if isinstance(error, (JumpFailed, *OWN_WORDS)):
            return error
        for jump in self.hops:
            if not jump.is_up:
                return JumpDown(jump._why)
            if jump._trunk is not None and not jump._trunk.answers(SUSPECT):
                return JumpDown(f"{jump.name}: no answer for {jump._trunk.outbox.quiet_for:.1f} s")
        return error

    def close(self) -> None:
        """Hang up, for good; no machine is behind it any more."""
        self._is_closed = True
        self._why = f"{self.name}: no longer in the configuration"
        if self._opening is not None:
            self._opening.kill(block=False)
        if self._trunk is not None:
            self._trunk.hang_up()

    def _connected(self, deadline: Deadline) -> Trunk:
        """Return the connection; if there is none, log in, once for all who want it meanwhile.

        Raises:
            JumpDown
        """
        if not self.is_up and not self._is_closed:
            self.check()
            self._opening = opening = self._opening or gevent.spawn(self._open)
            with deadline.during(self._phase):
                opening.join()
        if self._trunk is None or not self.is_up:
            raise JumpDown(self._why)
        return self._trunk

    def _open(self) -> None:
        """Log in, in a greenlet that is nobody's: whoever waits for it may be cut off, and the others wait on."""
        try:
            trunk = self._log_in()
        except JumpDown as error:
            self._why = str(error)
        except PollError as error:
            self._fail(error)
        except Exception as error:
            log.exception("bug while logging in to the jump host %s", self.name)
            self._fail(Bug(f"{type(error).__name__}: {error}"))
        else:
            self._succeed(trunk)
        finally:
            self._opening = None

    def _log_in(self) -> Trunk:
        hop, deadline = self._hop, Deadline(self._hop.login_timeout)
        if self._way is None:
            return self._enter(hop, partial(self._dial, hop.host, hop.port, deadline), deadline, Trunk)
        try:
            return self._enter(hop, partial(self._way.reach, hop.host, hop.port, deadline), deadline, Trunk)
        except PollError as error:
            blamed = self._way.blame(error)
            if blamed is error:
                raise
            raise blamed from error

    def _succeed(self, trunk: Trunk) -> None:
        if self._is_closed:
            trunk.hang_up()
            return
        self._trunk = trunk
        gevent.spawn(trunk.watch)
        self.logins += 1
        self.pause.end()
        self._why = f"{self.name}: the connection ended"
        if self._told is not None:
            self._told = None
            log.info("jump up", extra={"jump": self.name})

    def _fail(self, error: PollError) -> None:
        """Leave it alone for a while, but after a failure of the network for no longer than to the next poll."""
        self.pause.lengthen(error, max(SOON.first, self.interval) if error.backoff is SOON else inf)
        self._why = f"{self.name}: {error.reason}: {error}"
        if self._told != error.reason:
            self._told = error.reason
            log.warning("jump down", extra={"jump": self.name, "reason": error.reason, "text": str(error)})

    def _explained(self, refusal: ChannelException, host: str, port: int) -> PollError:
        """Return the error of a machine to which the jump host does not let us through."""
        text = f"the jump host {self.name} said of {host} port {port}: {refusal.text}"
        if refusal.code == CONNECT_FAILED:
            for pattern, kind in WHY:
                if pattern.search(refusal.text):
                    return kind(text)
        return JumpFailed(f"{text}; {MAY_WE}" if refusal.code == PROHIBITED else text)
