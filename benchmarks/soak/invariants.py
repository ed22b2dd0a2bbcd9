"""What must hold of every page, and from one page to the next."""

from collections.abc import Callable, Collection, Mapping
from dataclasses import asdict, dataclass
from math import inf
from typing import Any

from benchmarks.growth import within
from benchmarks.soak.page import FAILURES, INSTANCE, Page
from benchmarks.soak.ward import SLACK, Size

SLOWEST_PAGE = 1.0
MOST_LAG = 0.2
"""Seconds; the hub's lag is judged by the 99th percentile of a minute."""

LAG_EVERY = 60.0

OLDEST = 1.0
"""Seconds by which a page may be older than its request: what was long in the making is kept (collector.web.site)."""

AT_ONCE = 16
"""Polls that may have been handed out and not begun (collector.sweep.TOGETHER)."""


@dataclass(frozen=True, slots=True)
class Violation:
    """What did not hold, `at` so many seconds from the start."""

    at: float
    what: str
    detail: str

    def told(self) -> dict[str, Any]:
        """The same for JSON."""
        return asdict(self)


HOLDS = {
    "page": f"`/metrics` answers 200 in less than {SLOWEST_PAGE:g} s",
    "healthy": "no healthy machine fails",
    "polled": "each healthy machine is polled once an interval, ± 1 in all",
    "missed": "no due moment is missed",
    "left alone": "no machine is left alone for longer than its pause, an interval and its deadlines",
    "counters": "no counter goes backwards, and none vanishes",
    "accounts": "polls are those that succeeded and those that failed; due moments are polled, missed or in a pause",
    "data": "a machine that is down has no data on the page, and one that is up has",
    "lag": f"the 99th percentile of the hub's lag is below {1000 * MOST_LAG:g} ms in each minute",
    "seen": "each fault is seen with one of its reasons and no other, or the machine stays up",
    "healed": "each machine is up again within its pause, an interval and its deadlines",
    "failures": "each poll that failed is a fault's",
    "resources": "greenlets, transports, threads and descriptors are as before whenever all are well",
    "memory": "at each rest after the first, memory is within 8 MiB of that of the first",
    "log": "the log has nothing but machines that go down and come up, and their known_hosts",
}
"""Each invariant in words."""


class Invariants:
    """Looks at one page after the other; `violations` is what did not hold.

    `begin` is the moment (monotonic) from which times are told.
    """

    def __init__(self, healthy: Collection[str], machines: Collection[str], size: Size, begin: float) -> None:
        self._healthy = frozenset(healthy)
        self._machines = tuple(machines)
        self._interval = size.interval
        self._margin = size.margin
        self._begin = begin
        self._last: Page | None = None
        self._since: dict[str, tuple[float, float]] = {}
        self._from: dict[str, tuple[float, float]] = {}
        self._lag_from: Page | None = None
        self.lags: list[tuple[float, float]] = []
        self.violations: list[Violation] = []
        self.tell: Callable[[Violation], None] = lambda violation: None

    def complain(self, at: float, what: str, detail: str) -> None:
        """Note that something did not hold; `at` is monotonic, `what` is one of HOLDS."""
        assert what in HOLDS
        self.violations.append(Violation(at - self._begin, what, detail))
        self.tell(self.violations[-1])

    def look(self, page: Page) -> None:
        """Look at one page more."""
        before, self._last = self._last, page
        if page.status != 200 or page.seconds >= SLOWEST_PAGE:
            self.complain(page.at, "page", f"{page.status} after {page.seconds:.2f} s")
        if page.status != 200:
            self._last = before
            return
        self._look_at_data(page)
        self._look_at_pauses(page)
        self._look_at_healthy(page)
        self._look_at_lag(page)
        if before:
            self._look_at_counters(before, page)

    def _look_at_data(self, page: Page) -> None:
        for name in self._machines:
            if bool(page.of(name, "ssh_up")) != (name in page.with_data):
                self.complain(page.at, "data", f"{name} has ssh_up {page.of(name, 'ssh_up'):g} and the other thing")

    def _look_at_pauses(self, page: Page) -> None:
        """Each machine's counter of polls goes on before its pause, and what may come on top of it, is over."""
        for name in self._machines:
            polls, pause = page.of(name, "ssh_polls_total"), page.of(name, "ssh_backoff_seconds")
            last, since = self._since.get(name, (-1.0, 0.0))
            if polls != last:
                self._since[name] = polls, page.at
            elif pause != inf and page.at - since > pause + self._margin:
                self.complain(page.at, "left alone", f"{name} for {page.at - since:.1f} s, its pause is {pause:.1f} s")
                self._since[name] = polls, page.at

    def _look_at_healthy(self, page: Page) -> None:
        for name in self._healthy:
            polls = page.of(name, "ssh_polls_total")
            begin, at_begin = self._from.setdefault(name, (page.at, polls))
            due = (page.at - begin) / self._interval
            if abs(polls - at_begin - due) > 1 + (OLDEST + SLACK / 2) / self._interval:
                self.complain(page.at, "polled", f"{name}: {polls - at_begin:g} polls, {due:.1f} were due")
                self._from[name] = page.at, polls

    def _look_at_lag(self, page: Page) -> None:
        self._lag_from = self._lag_from or page
        if page.at - self._lag_from.at >= LAG_EVERY:
            p99 = lag(self._lag_from, page)
            self.lags.append((page.at, p99))
            if p99 >= MOST_LAG:
                self.complain(page.at, "lag", f"p99 {1000 * p99:.0f} ms")
            self._lag_from = page

    def _look_at_counters(self, before: Page, page: Page) -> None:
        for series, value in before.values.items():
            if not series.partition("{")[0].endswith(("_total", "_count", "_bucket")):
                continue
            now = page.values.get(series)
            if now is None or now < value:
                self.complain(page.at, "counters", f"{series} was {value:g} and is {now}")
        for series, value in page.family(FAILURES):
            found = INSTANCE.search(series)
            if found and found[1] in self._healthy and value > before.values.get(series, 0):
                self.complain(page.at, "healthy", f"{series} is {value:g}")
        name = "collector_polls_missed_total"
        if missed := page.total(name) - before.total(name):
            self.complain(page.at, "missed", f"{missed:g} since {page.at - before.at:.1f} s before")

    def account(self, before: Mapping[str, int], page: Page, after: Mapping[str, int]) -> None:
        """Compare a page with the counts of watched.py at least OLDEST before it, and just after it."""
        polls, failed = page.total("ssh_polls_total"), page.total(FAILURES)
        missed = page.total("collector_polls_missed_total")
        if not before["succeeded"] + before["failed"] <= polls <= after["succeeded"] + after["failed"]:
            self.complain(page.at, "accounts", f"{polls:g} polls, but {before} before and {after} after")
        if not before["failed"] <= failed <= after["failed"]:
            self.complain(page.at, "accounts", f"{failed:g} failed, but {before} before and {after} after")
        lost = after["moments"] - after["begun"] - after["alone"] - missed
        if not -missed <= lost <= AT_ONCE:
            self.complain(page.at, "accounts", f"{lost:g} due moments are lost: {after}, {missed:g} missed")


def lag(before: Page, after: Page) -> float:
    """Return the 99th percentile of the hub's lag between two pages, in seconds."""
    then = before.lag
    buckets = [(most, count - then[most]) for most, count in sorted(after.lag.items())]
    return within(buckets, 0.99)
