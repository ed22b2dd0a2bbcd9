"""Who computes for long gives way to everybody else, as often as it says so."""

import threading
import time
import weakref

import gevent
from rig.wait import until

from collector.memory import tidy
from collector.turns import AT_A_TIME, count, give_way


def compute(seconds: float) -> None:
    """Let nobody else run for so long."""
    until = time.monotonic() + seconds
    while time.monotonic() < until:
        pass


def test_timers_fire_at_the_next_turn() -> None:
    """A timer that is due while somebody computes fires at the next turn. With gevent.sleep(0) it would not."""
    fired: list[bool] = []
    gevent.spawn_later(0.001, fired.append, True)
    give_way()
    compute(0.005)
    give_way()
    # What is due at the very moment may fire after who has given way.
    give_way()
    assert fired


def test_others_run_while_somebody_counts() -> None:
    """What is true is counted, however many turns that takes, and others have them."""
    turns: list[int] = []

    def others() -> None:
        while True:
            turns.append(1)
            gevent.sleep(0)

    greenlet = gevent.spawn(others)
    assert 2 * AT_A_TIME + 1 == count(number % 2 == 0 for number in range(4 * AT_A_TIME + 1))
    greenlet.kill()
    assert len(turns) >= 4


def test_what_is_new_is_tidied_up() -> None:
    """Garbage that refers to itself is found without anybody making 10,000 objects more than are freed."""
    ring: list[object] = [threading.Event()]
    ring.append(ring)
    left = weakref.ref(ring[0])
    greenlet = gevent.spawn(tidy)
    del ring
    until(lambda: left() is None, "it is freed")
    greenlet.kill()
