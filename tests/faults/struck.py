"""Connections that are struck somewhere, many at once: each machine is behind a proxy of its own, and is polled here.

A blow is dealt to one login, or with `in_answer` to the second answer of a session. What must hold for all of them is
looked at here: the poll ends within its deadlines, what is taken for data is what the machine said, and nothing of the
connection is left. Whether the reason fits is for the test to say.
"""

from collections.abc import Iterable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field, replace
from typing import Any, Literal, get_args

import gevent
from rig.keys import known_hosts
from rig.polls import OPTIONS
from rig.proxy import Direction, Proxy
from rig.sshd import Sshd
from rig.strike import Strike
from rig.wait import until

from collector.config import Hop, Machine
from collector.polling import man
from collector.snapshot import Snapshot
from collector.ssh.connector import Connector
from collector.ssh.identities import Identities
from collector.sweep import visit

Way = Literal["up", "down"]
WAYS: tuple[Way, ...] = get_args(Way)

AT_ONCE = 100
LOGIN_TIMEOUT, TIMEOUT = 3.0, 2.0
SLACK = 5.0
"""Seconds by which a poll may end after its deadlines: the processor is not ours alone."""

PATIENT = 10.0
"""Seconds for a login that is looked at again, alone."""


@dataclass(frozen=True)
class Blow:
    """A strike, and at what: a way of a login, or in_answer of the second answer, whose bytes it then counts."""

    strike: Strike
    way: Way = "down"
    in_answer: bool = False


@dataclass
class Seen:
    """What became of a blow: the `reason` of the poll, or `up`; `went` is how many bytes went its way before."""

    blow: Blow
    reason: str
    text: str = ""
    went: int = 0
    problems: list[str] = field(default_factory=list)


class Struck:
    """One machine behind a proxy of its own; or it is its jump host that is, and of that its own, too."""

    def __init__(self, proxy: Proxy, machine: Machine, connector: Connector) -> None:
        self._proxy = proxy
        self._machine = machine
        self._connector = connector
        self._post = man(machine, connector)

    def take(self, blow: Blow) -> Seen:
        """Deal a blow, look, and heal."""
        way: Direction = getattr(self._proxy, blow.way)
        way.bytes, strike = 0, blow.strike
        if blow.in_answer and (failure := visit(self._post).failure):
            return Seen(blow, failure.reason, failure.text, problems=["the login before failed"])
        if blow.in_answer:
            strike = replace(strike, byte=way.bytes + strike.byte)
        way.strike = strike
        snapshot = visit(self._post)
        self._hang_up()
        seen = _seen(blow, snapshot)
        seen.went = way.bytes
        try:
            until(lambda: self._proxy.open == 0, "the connection is gone")
        except AssertionError as error:
            seen.problems.append(str(error))
        way.strike = None
        return seen

    def size_of_an_answer(self) -> int:
        """Poll twice, and return how many bytes came for the second."""
        visit(self._post)
        before = self._proxy.down.bytes
        visit(self._post)
        self._hang_up()
        return self._proxy.down.bytes - before

    def sizes_of_a_login(self) -> dict[Way, int]:
        """Poll once, and return how many bytes went either way."""
        before = {way: getattr(self._proxy, way).bytes for way in WAYS}
        visit(self._post)
        self._hang_up()
        return {way: getattr(self._proxy, way).bytes - before[way] for way in WAYS}

    def is_well(self) -> bool:
        """Whether the next login works."""
        snapshot = visit(self._post)
        self._hang_up()
        return snapshot.failure is None and not _wrong(snapshot)

    def _hang_up(self) -> None:
        """Hang up, and forget what a jump host has done, too."""
        self._post.session.close()
        if self._machine.jumps:
            self._connector.assign(())
            self._connector.add(self._machine)


@contextmanager
def ward(server: Sshd, count: int, behind: Sshd | None = None, **options: Any) -> Iterator[list[Struck]]:
    """So many machines, which all are one server; or jump hosts, with a machine `behind` each that nobody strikes."""
    with ExitStack() as stack:
        proxies = [stack.enter_context(Proxy(server)) for _ in range(count)]
        known = known_hosts(server.directory / "known_struck", [one.address for one in proxies], server.publics)
        shared = Connector(Identities(), logins=count)
        machines = []
        for number, proxy in enumerate(proxies):
            there: dict[str, Any] = {**server.login("bash"), "known_hosts": (known,)}
            there |= {"host": proxy.address[0], "port": proxy.address[1]}
            connector = shared
            if behind:
                connector = Connector(Identities(), logins=1)
                hop = Hop(name=f"hop{number}", login_timeout=LOGIN_TIMEOUT, **there)
                there = {**behind.login("bash"), "jumps": (hop,)}
            times = {"login_timeout": LOGIN_TIMEOUT, "timeout": TIMEOUT, "name": f"struck{number}"}
            machines.append(Struck(proxy, Machine(**{**OPTIONS, **times, **there, **options}), connector))
        yield machines


def deal(server: Sshd, blows: Sequence[Blow], **options: Any) -> list[Seen]:
    """Deal all these blows, and return what was seen; all machines are polled once more when they are through."""
    seen: list[Seen] = []
    left = iter(blows)
    with ward(server, min(AT_ONCE, len(blows)), **options) as machines:

        def work(machine: Struck) -> None:
            taken = [machine.take(blow) for blow in left]
            seen.extend(taken)
            if taken and not machine.is_well():
                taken[-1].problems.append("and the next login does not work")

        # One by one: they do not all log in at the same moment.
        workers = [gevent.spawn_later(0.02 * number, work, machine) for number, machine in enumerate(machines)]
        gevent.joinall(workers, raise_error=True)
    return seen


def again(server: Sshd, blows: Iterable[Blow]) -> list[Seen]:
    """Deal blows one after the other, each with time enough for all that comes before it."""
    with ward(server, 1, login_timeout=PATIENT) as (machine,):
        return [machine.take(blow) for blow in blows]


def size_of_an_answer(server: Sshd) -> int:
    """Return how many bytes the second answer of a session takes."""
    with ward(server, 1) as (machine,):
        return machine.size_of_an_answer()


def _seen(blow: Blow, snapshot: Snapshot) -> Seen:
    failure = snapshot.failure
    seen = Seen(blow, failure.reason if failure else "up", failure.text if failure else "")
    # A session that is found dead is replaced within the poll.
    if snapshot.seconds > 2 * TIMEOUT + PATIENT + SLACK:
        seen.problems.append(f"the poll took {snapshot.seconds:.1f} s")
    if failure is None and (wrong := _wrong(snapshot)):
        seen.problems.append(wrong)
    return seen


def _wrong(snapshot: Snapshot) -> str:
    """Say what of the data is not as this very machine has it; empty when all is."""
    values = {sample.metric.name: sample.value for sample in snapshot.samples}
    with open("/proc/meminfo") as file:
        total = 1024 * int(file.readline().split()[1])
    if values.get("node_memory_MemTotal_bytes") != total:
        return f"MemTotal is {values.get('node_memory_MemTotal_bytes')}, not {total}"
    if missing := {"node_load1", "node_load15", "node_time_seconds"} - values.keys():
        return f"there is no {missing}"
    assert snapshot.clock_offset is not None
    assert snapshot.clock_offset_error is not None
    if abs(snapshot.clock_offset) > snapshot.clock_offset_error + 0.1:
        return f"the clock is off by {snapshot.clock_offset}"
    return ""
