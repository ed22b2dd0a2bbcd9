"""The schedule: calls on a grid of the monotonic clock, whatever the wall clock does."""

import os
import subprocess
import sys
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path
from time import monotonic

import gevent
import pytest
from hypothesis import given
from hypothesis import strategies as st
from rig.wait import until

from collector.schedule import EARLY, Grid, Schedule, Steady

FAKED = """
from gevent import monkey
monkey.patch_all()
import os, sys
from time import monotonic, time
import gevent
from collector.schedule import Schedule

jumps, moments = [], []
schedule = Schedule(jumps.append)
schedule.every(0.5, lambda due, skipped: moments.append((due, monotonic() - due, skipped)))
schedule.start()
gevent.sleep(1.7)
with open(os.environ["FAKETIME_TIMESTAMP_FILE"], "w") as file:
    file.write(sys.argv[1])
gevent.sleep(4.3)
schedule.stop()
intervals = [round(later[0] - earlier[0], 6) for earlier, later in zip(moments, moments[1:])]
hours = round(jumps[0] / 3600) if jumps else 0
print(len(jumps), hours, max(intervals) <= 1.5, len(moments) >= 9, min(intervals))
"""


@pytest.fixture
def schedule() -> Iterator[Schedule]:
    """A schedule that runs; it is stopped at the end."""
    made = Schedule(lambda seconds: None)
    greenlets = made.start()
    yield made
    made.stop()
    gevent.killall(greenlets)


def test_calls_at_steady_moments(schedule: Schedule) -> None:
    """A call happens now and then at each interval, with the moment it is due, and none is passed over."""
    calls: list[tuple[float, int]] = []
    schedule.every(0.1, lambda due, skipped: calls.append((due, skipped)))

    until(lambda: len(calls) >= 5, "five calls")

    steps = [later - earlier for (earlier, _), (later, _) in pairwise(calls)]
    missed = [skipped for _, skipped in calls]
    assert [round(step / 0.1) for step in steps] == [1 + skipped for skipped in missed[1:]]


def test_cancelled_is_not_called(schedule: Schedule) -> None:
    """After a cancel there is no call, and the others go on."""
    gone, goes_on = [], []
    steady = schedule.every(0.05, lambda due, skipped: gone.append(due))
    schedule.every(0.05, lambda due, skipped: goes_on.append(due))
    until(lambda: gone, "a first call")

    schedule.cancel(steady)
    before, others = len(gone), len(goes_on)
    until(lambda: len(goes_on) > others + 3, "calls of the other")

    assert len(gone) == before


def test_a_mistake_in_a_call_does_not_end_it(schedule: Schedule, caplog: pytest.LogCaptureFixture) -> None:
    """A call that raises is logged, and called again at the next moment."""
    calls = []

    def call(due: float, skipped: int) -> None:
        calls.append(due)
        raise ValueError("a mistake")

    schedule.every(0.05, call)
    until(lambda: len(calls) >= 3, "three calls")

    assert "a mistake" in caplog.text


def test_moments_that_were_slept_through_are_counted() -> None:
    """A call that comes late by some intervals is made once, and is told how many moments have passed."""
    calls: list[tuple[float, int]] = []
    steady = Steady(Grid(monotonic() - 10.5, 1.0), lambda due, skipped: calls.append((due, skipped)))

    steady()
    steady()

    assert [skipped for _, skipped in calls] == [10]


@given(st.floats(0.1, 1e5), st.floats(0, 1e7), st.floats(0, 1e6))
def test_grid(interval: float, start: float, after: float) -> None:
    """The last moment that has come is not later than now but for the tolerance, and the next is."""
    grid, now = Grid(start, interval), start + after
    number = grid.number(now)

    assert grid.moment(number) <= now + min(EARLY, interval / 10) + 1e-6
    assert grid.moment(number + 1) > now + min(EARLY, interval / 10) - 1e-6


@pytest.mark.needs("faketime")
@pytest.mark.parametrize(("step", "hours"), [("+3600", 1), ("-3600", -1), ("+86400", 24)])
def test_wall_clock_steps(step: str, hours: int, tmp_path: Path) -> None:
    """A step of the wall clock by an hour or a day neither stops nor bunches the calls, and is told once."""
    stamp = tmp_path / "faketime"
    stamp.write_text("+0")
    library = next(Path("/usr/lib").glob("*/faketime/libfaketime.so.1"))
    environment = {
        **os.environ,
        "LD_PRELOAD": str(library),
        "FAKETIME_TIMESTAMP_FILE": str(stamp),
        "FAKETIME_NO_CACHE": "1",
        "FAKETIME_DONT_FAKE_MONOTONIC": "1",
    }

    said = subprocess.run(
        [sys.executable, "-c", FAKED, step], env=environment, capture_output=True, text=True, check=True
    ).stdout.split()

    assert said[:4] == ["1", str(hours), "True", "True"]
    assert float(said[4]) >= 0.49
