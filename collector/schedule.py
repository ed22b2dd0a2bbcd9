"""Calls at steady intervals: the only module that knows APScheduler.

APScheduler reckons by the wall clock: after a step backward it would sleep for as long as the step, after one forward
it would list every run missed. Here the moments lie on a grid of the monotonic clock; a guard notices a step of the
wall clock and tells the scheduler anew when they are.
"""

import logging
import math
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from time import monotonic, time

import gevent
from apscheduler.job import Job
from apscheduler.schedulers.gevent import GeventScheduler
from apscheduler.triggers.base import BaseTrigger

# Two lines for each run otherwise.
logging.getLogger("apscheduler").setLevel(logging.WARNING)

EARLY = 0.05
"""Seconds (or a tenth of the interval) by which a run may come before its moment: the two clocks are not one."""

STEP = 0.5
"""Seconds that the wall clock must gain or lose within GUARD_EVERY to count as a step; NTP slews by 0.0005 at most."""

GUARD_EVERY = 0.25
"""Seconds; for so long a step backward can keep the scheduler asleep."""

Call = Callable[[float, int], None]
"""Called with a moment, in seconds of the monotonic clock, and how many moments were passed over just before it."""


class Grid(BaseTrigger):  # type: ignore[misc]
    """An APScheduler trigger whose moments are `start`, `start + interval`, ... on the monotonic clock."""

    def __init__(self, start: float, interval: float) -> None:
        self.start = start
        self.interval = interval

    def number(self, now: float) -> int:
        """Return the number of the last moment that has come."""
        return math.floor((now - self.start + min(EARLY, self.interval / 10)) / self.interval)

    def moment(self, number: int) -> float:
        """Return when a moment is."""
        return self.start + number * self.interval

    def get_next_fire_time(self, previous_fire_time: datetime | None, now: datetime) -> datetime:
        """Return when the scheduler must run next, by today's relation of the two clocks."""
        clock = monotonic()
        return now + timedelta(seconds=max(0.0, self.moment(self.number(clock) + 1) - clock))


class Steady:
    """One call at steady intervals; it happens once for each moment, however often the scheduler runs it."""

    def __init__(self, grid: Grid, call: Call) -> None:
        self._grid = grid
        self._call = call
        self._last = -1

    def __call__(self) -> None:
        """Call for the last moment that has come, if that has not been done."""
        number = self._grid.number(monotonic())
        skipped = number - self._last - 1
        if skipped >= 0:
            self._last = number
            self._call(self._grid.moment(number), skipped)

    @property
    def next(self) -> float:
        """The next moment, in seconds of the monotonic clock."""
        return self._grid.moment(self._last + 1)


class Schedule:
    """Jobs at steady intervals. `on_jump` is called with the seconds that the wall clock was stepped by."""

    def __init__(self, on_jump: Callable[[float], None]) -> None:
        # One run at a time, late ones run once and are never dropped: a job only hands out due moments, it is over at
        # once.
        self._scheduler = GeventScheduler(
            timezone=UTC, job_defaults={"max_instances": 1, "coalesce": True, "misfire_grace_time": None}
        )
        self._jobs: dict[Steady, Job] = {}
        self._on_jump = on_jump

    def every(self, interval: float, call: Call) -> Steady:
        """Call now and then every `interval` seconds; what is returned is for `cancel`."""
        grid = Grid(monotonic(), interval)
        steady = Steady(grid, call)
        self._jobs[steady] = self._scheduler.add_job(steady, grid, next_run_time=datetime.now(UTC))
        return steady

    def cancel(self, steady: Steady) -> None:
        """Call no more."""
        self._jobs.pop(steady).remove()

    def start(self) -> list["gevent.Greenlet[..., None]"]:
        """Begin; the greenlets returned run until `stop`, and the schedule is dead when one of them ends before."""
        # Returns the greenlet of its loop, which nobody else watches over.
        loop = self._scheduler.start()
        return [loop, gevent.spawn(self._guard)]

    def stop(self) -> None:
        """Call nothing any more."""
        self._scheduler.shutdown(wait=False)

    def overdue(self) -> float:
        """Return by how many seconds the most belated job is late; negative when the next is yet to come."""
        now = monotonic()
        return max((now - steady.next for steady in self._jobs), default=-math.inf)

    def _guard(self) -> None:
        wall, clock = time(), monotonic()
        while True:
            gevent.sleep(GUARD_EVERY)
            before = wall - clock
            wall, clock = time(), monotonic()
            step = wall - clock - before
            if abs(step) > STEP:
                self._rebase()
                self._on_jump(step)

    def _rebase(self) -> None:
        """Tell the scheduler when the moments are by the wall clock as it is now; one that it slept through is now."""
        now, clock = datetime.now(UTC), monotonic()
        for steady, job in self._jobs.items():
            job.modify(next_run_time=now + timedelta(seconds=max(0.0, steady.next - clock)))
