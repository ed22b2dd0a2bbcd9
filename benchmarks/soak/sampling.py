"""What is noted now and then while the soak runs, and what is held whenever all machines are well."""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from time import monotonic

import gevent
from gevent.event import Event

from benchmarks.soak.invariants import Invariants, lag
from benchmarks.soak.page import FAILURES, Page
from benchmarks.soak.strikes import Strikes
from benchmarks.soak.ward import Ward
from benchmarks.table import quantile

PAGES = 5
"""Pages from sample to sample."""

GROWTH = 8 * 2**20
"""Bytes of memory that a rest may hold more than the first one: what the allocator keeps."""

LOOKS = 5
"""How often all that is held is counted at each rest: a poll under way, or a page, holds something too."""


@dataclass(frozen=True, slots=True)
class Sample:
    """One moment, `at` seconds from the start; the counters are since the daemon started.

    `used` and `waited` are the daemon's seconds of processor and seconds without one, `memory` is resident, in kB;
    `lag` is the 99th percentile of the hub's lag, `page` the slowest page and `poll` the 99th percentile of the healthy
    machines' polls, in seconds, all since the sample before; `faults` are on.
    """

    at: float
    polls: float
    failed: float
    missed: float
    logins: float
    used: float
    waited: float
    memory: float
    threads: float
    descriptors: float
    sessions: float
    up: float
    faults: int
    lag: float
    page: float
    poll: float


class Sampler:
    """Fetches the page now and then, has it looked at, and takes a sample each `every` seconds, until `stop`."""

    def __init__(
        self,
        ward: Ward,
        invariants: Invariants,
        strikes: Strikes,
        *,
        begin: float,
        every: float,
        tell: Callable[[Sample], None],
    ) -> None:
        self._ward = ward
        self._invariants = invariants
        self._strikes = strikes
        self._begin = begin
        self._every = every
        self._tell = tell
        self.samples: list[Sample] = []
        self.pages = 0
        self.slowest = 0.0
        self.rests: list[dict[str, float]] = []
        self._recent: list[Page] = []
        self._over = Event()

    def run(self) -> None:
        """Look until `stop`; a greenlet of its own."""
        number, after = 1, self._ward.counts()
        then = self._ward.page()
        while not self._over.wait(max(0.0, self._begin + number * self._every / PAGES - monotonic())):
            page = self._ward.page()
            before, after = after, self._ward.counts()
            self.pages += 1
            self.slowest = max(self.slowest, page.seconds)
            self._invariants.look(page)
            if page.status == 200:
                self._recent.append(page)
                self._invariants.account(before, page, after)
            if number % PAGES == 0 and page.status == 200:
                self.samples.append(self._sample(then, page))
                self._tell(self.samples[-1])
                self._recent.clear()
                then = page
            number += 1

    def stop(self) -> None:
        """Have `run` return when it has looked at the page that it has asked for, if any."""
        self._over.set()

    def _sample(self, before: Page, page: Page) -> Sample:
        polls = sorted(one.of(name, "ssh_poll_duration_seconds") for one in self._recent for name in self._ward.healthy)
        return Sample(
            at=page.at - self._begin,
            polls=page.total("ssh_polls_total"),
            failed=page.total(FAILURES),
            missed=page.total("collector_polls_missed_total"),
            logins=page.total("ssh_logins_total"),
            sessions=page.total("collector_sessions"),
            up=page.total("ssh_up"),
            faults=len(self._strikes.on),
            lag=lag(before, page),
            page=max(one.seconds for one in self._recent),
            poll=quantile(polls, 0.99),
            **self._ward.usage(),
        )

    def rest(self) -> None:
        """Count all that is held while all machines are well, and compare it with the first time."""
        looks: list[dict[str, int]] = []
        for _ in range(LOOKS):
            held = self._ward.resources()
            gevent.sleep(self._ward.size.interval / 5)  # The look itself held a descriptor.
            usage = self._ward.usage()
            looks.append(held | {what: int(usage[what]) for what in ("threads", "descriptors")})
        held = least(looks)
        first = self.rests[0] if self.rests else held
        at = monotonic()
        for what, count in held.items():
            if what != "memory" and count > first.get(what, 0):
                self._invariants.complain(at, "resources", f"{count} {what}, {first.get(what, 0):g} at first")
        if len(self.rests) > 1 and held["memory"] > self.rests[1]["memory"] + GROWTH:
            self._invariants.complain(at, "memory", f"{held['memory']} bytes, {self.rests[1]['memory']:g} at first")
        self.rests.append({"at": at - self._begin, **held})


def least(looks: Iterable[Mapping[str, int]]) -> dict[str, int]:
    """Return the least of each count; what one of the looks does not have was there for a moment only."""
    first, *others = looks
    return {what: min(count, *(other.get(what, 0) for other in others)) for what, count in first.items()}
