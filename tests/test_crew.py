"""The crew: jobs are done, all of them, by few greenlets, and nothing is left of one that is over."""

import weakref

import gevent
import pytest
from gevent import getcurrent
from gevent.event import Event
from rig.wait import until

from collector import crew as crews
from collector.crew import SPARE, Crew


class Thing:
    """Something that a job is given."""


def test_one_does_what_comes_one_after_another() -> None:
    """Jobs that come when the one before is over are all done by one greenlet."""
    crew = Crew()
    doers: list[object] = []

    def job() -> None:
        doers.append(getcurrent())

    for _ in range(10):
        crew.begin(job)
        gevent.idle()

    assert len(doers) == 10
    assert len(set(doers)) == 1
    crew.stop()


def test_as_many_as_there_are_jobs_at_once() -> None:
    """Jobs that wait keep no other waiting; of those who did them some are kept, and all end with the crew."""
    crew, leave = Crew(), Event()
    done: list[int] = []

    def job(number: int) -> None:
        leave.wait()
        done.append(number)

    for number in range(3 * SPARE):
        crew.begin(job, number)
    gevent.idle()
    assert len(crew._all) == 3 * SPARE
    leave.set()
    until(lambda: len(done) == 3 * SPARE, "all are done")
    until(lambda: len(crew._all) == SPARE, "some are kept")
    assert sorted(done) == list(range(3 * SPARE))

    crew.stop()
    until(lambda: not crew._all, "all have ended")
    assert not crew._idle


def test_nothing_is_kept_of_a_job() -> None:
    """What a job was given is forgotten when it is over."""
    crew, done = Crew(), Event()
    thing = Thing()
    is_there = weakref.ref(thing)

    crew.begin(lambda _: done.set(), thing)
    del thing
    done.wait()
    gevent.idle()

    assert is_there() is None
    crew.stop()


def test_a_job_that_fails_costs_no_other(crashes: list[str]) -> None:
    """An exception ends who did the job, and is shown; the jobs after it are done."""
    crew, done = Crew(), Event()

    def fail() -> None:
        raise ValueError("no")

    crew.begin(fail)
    gevent.idle()
    crew.begin(done.set)

    assert done.wait(10)
    assert ["ValueError('no')" in crash for crash in crashes] == [True]
    crashes.clear()
    crew.stop()


def test_who_is_killed_is_handed_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    """Who was killed while it waited for a job is not there for the next one, which somebody else does."""
    monkeypatch.setattr(crews, "SPARE", 2)
    crew = Crew()
    done: list[int] = []
    crew.begin(done.append, 1)
    until(lambda: bool(crew._idle), "it waits")
    gevent.killall(list(crew._all))

    crew.begin(done.append, 2)

    until(lambda: done == [1, 2], "the other job is done")
    crew.stop()
