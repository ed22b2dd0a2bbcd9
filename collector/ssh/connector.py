"""Logs in to machines: what they share, identities, known hosts, jump hosts and login slots."""

from collections.abc import Callable, Collection, Iterable
from functools import partial
from socket import socket
from time import monotonic
from typing import TypeVar

from collector.config import Hop, Login, Machine
from collector.errors import JumpDown, PollError
from collector.ssh.auth import log_in
from collector.ssh.connection import Connection, open_channel
from collector.ssh.dial import descriptors, dial
from collector.ssh.hostkeys import AnotherKindKnown, HostKeys, Trust
from collector.ssh.identities import Identities
from collector.ssh.jump import Jump
from collector.ssh.known_hosts import HostKey
from collector.ssh.phase import TRUST, Deadline
from collector.ssh.resolve import Resolver
from collector.ssh.resting import RestingTransport
from collector.ssh.slots import MOST_ASIDE, Slots, Turn
from collector.ssh.transport import TunedTransport, shake_hands

Entered = TypeVar("Entered", bound=TunedTransport)

IDLE = 2.0
"""Seconds for which a server sees a connection without a word of us, while there is no slot for it, at most."""


class Connector:
    """What the sessions of all machines share.

    `logins` is how many may be under way at once, `jump_logins` how many of them through one jump host.
    """

    def __init__(
        self, identities: Identities, logins: int, jump_logins: int = 8, host_keys: HostKeys | None = None
    ) -> None:
        self.identities = identities
        self.host_keys = host_keys or HostKeys()
        self._dial = partial(dial, Resolver())
        self._slots = Slots(logins, int(min(MOST_ASIDE, descriptors() // 4)))
        self._jump_logins = jump_logins
        self._jumps: dict[tuple[Hop, ...], Jump] = {}

    @property
    def jumps(self) -> Iterable[Jump]:
        """The jump hosts on the ways to all machines."""
        return self._jumps.values()

    def resize(self, logins: int, jump_logins: int) -> None:
        """Let other numbers of logins be under way."""
        self._slots.resize(logins)
        self._jump_logins = jump_logins
        for jump in self.jumps:
            jump.slots.resize(jump_logins)

    def add(self, machine: Machine) -> None:
        """Know the jump hosts on the way to a machine; they are logged in to when it is polled."""
        for end in range(1, len(machine.jumps) + 1):
            hops = machine.jumps[:end]
            if hops not in self._jumps:
                way = self._jumps.get(hops[:-1])
                trusted = self.host_keys.trust(hops[-1]).state
                self._jumps[hops] = Jump(hops[-1], way, self._dial, self._enter, trusted, logins=self._jump_logins)

    def assign(self, machines: Iterable[Machine]) -> None:
        """Keep the jump hosts of these machines, all of which are added, and hang up at the others; end every pause."""
        intervals: dict[tuple[Hop, ...], list[float]] = {}
        for machine in machines:
            for end in range(1, len(machine.jumps) + 1):
                intervals.setdefault(machine.jumps[:end], []).append(machine.interval)
        for hops in self._jumps.keys() - intervals.keys():
            self._jumps.pop(hops).close()
        for hops, jump in self._jumps.items():
            jump.machines, jump.interval = len(intervals[hops]), min(intervals[hops])
            jump.pause.release()

    def slot(self, machine: Machine) -> Turn:
        """Return a context that waits for a slot to log in to a machine, and has it for as long as it lasts.

        Raises:
            JumpDown: there is no way to it now; nobody waits for that.
        """
        jump = self._jump(machine)
        if jump:
            jump.check()
        # Those of the jump hosts first: whoever waits there keeps no machine elsewhere waiting.
        return Turn(*[hop.slots for hop in (jump.hops if jump else ())], self._slots)

    def certificate_expiry(self, login: Login) -> float | None:
        """Return when the certificate ends that the next login shows (seconds since 1970); None: never, or none."""
        return self.identities.expiry(login.identity_files)

    def connect(self, machine: Machine, deadline: Deadline, command: str, turn: Turn) -> Connection:
        """Log in to a machine and start a program, in a turn that the caller has; waiting for it again takes no time.

        Raises:
            PollError: of whatever phase failed; nothing is left open then.
        """
        started, waited = monotonic(), turn.waited
        transport = self._enter(machine, partial(self._reach, machine, deadline), deadline, RestingTransport, turn)
        login_seconds = monotonic() - started - (turn.waited - waited)
        try:
            channel, inbox = open_channel(transport, command, deadline)
        except BaseException:
            transport.hang_up()
            raise
        return Connection(transport, channel, inbox, login_seconds)

    def look(self, machine: Machine, deadline: Deadline, turn: Turn, kinds: Collection[str] = ()) -> HostKey:
        """Go as far as the key exchange, and return the host key that a machine shows; nothing of us is sent to it.

        The caller has the turn. With `kinds` it is asked for a key of one of these types, and without for the one that
        a login would ask for.

        Raises:
            PollError: of whatever phase failed; Incompatible if the machine has no key of these types.
        """
        sock = _arrive(partial(self._reach, machine, deadline), deadline, turn)
        transport = TunedTransport(sock, *machine.algorithms)
        turn.watch(transport.progress)
        try:
            if kinds:
                transport.accept_host_keys(kinds)
            else:
                self._prefer_known(transport, self.host_keys.trust(machine), deadline)
            shake_hands(transport, deadline)
            return transport.shown_host_key
        finally:
            transport.hang_up()

    def _reach(self, machine: Machine, deadline: Deadline) -> socket:
        """Connect to a machine, through the jump hosts on the way. Raises PollError."""
        jump, host, port = self._jump(machine), machine.host, machine.port
        return jump.reach(host, port, deadline) if jump else self._dial(host, port, deadline)

    def blame(self, machine: Machine, error: PollError) -> PollError:
        """Return the error to tell of a machine: that of a jump host on the way, if the fault is there."""
        jump = self._jumps.get(machine.jumps)
        return jump.blame(error) if jump else error

    def _jump(self, machine: Machine) -> Jump | None:
        """Return the last jump host on the way to a machine, if there is any."""
        if not machine.jumps:
            return None
        if machine.jumps not in self._jumps:
            raise JumpDown(f"{machine.jumps[-1].name}: no longer in the configuration")
        return self._jumps[machine.jumps]

    def _enter(
        self,
        login: Login,
        reach: Callable[[], socket],
        deadline: Deadline,
        kind: type[Entered],
        turn: Turn | None = None,
    ) -> Entered:
        """Shake hands over a socket, check who is there, and log in; reached again if another key is to be asked for.

        Raises:
            PollError: nothing is left open then.
        """
        try:
            return self._enter_once(login, reach, deadline, kind, turn)
        except AnotherKindKnown:
            return self._enter_once(login, reach, deadline, kind, turn)

    def _enter_once(
        self, login: Login, reach: Callable[[], socket], deadline: Deadline, kind: type[Entered], turn: Turn | None
    ) -> Entered:
        transport = kind(_arrive(reach, deadline, turn) if turn else reach(), *login.algorithms)
        if turn:
            turn.watch(transport.progress)
        trust = self.host_keys.trust(login)
        try:
            self._prefer_known(transport, trust, deadline)
            shake_hands(transport, deadline)
            with deadline.during(TRUST):
                trust.check(transport.shown_host_key)
            log_in(transport, login.user, self.identities[login.identity_files], deadline)
        except BaseException:
            transport.hang_up()
            raise
        return transport

    def _prefer_known(self, transport: TunedTransport, trust: Trust, deadline: Deadline) -> None:
        with deadline.during(TRUST):
            trust.refresh()
            transport.prefer_host_keys(trust.kinds(), trust.has_authority)


def _arrive(reach: Callable[[], socket], deadline: Deadline, turn: Turn) -> socket:
    """Connect, beside the slots if that takes long, and return with the slots. Raises PollError."""
    while True:
        with turn.aside():
            sock = reach()
        waited = turn.waited
        try:
            is_in_time = turn.resume(IDLE)
            if not is_in_time:
                # It is there, and will be again.
                sock.close()
                turn.resume()
        except BaseException:
            sock.close()
            raise
        deadline.postpone(turn.waited - waited)
        if is_in_time:
            return sock
