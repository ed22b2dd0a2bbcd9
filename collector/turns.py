"""How whoever computes for long lets everybody else have a turn, and does so while counting."""

from collections.abc import Iterable, Iterator
from typing import TypeVar

import gevent

Thing = TypeVar("Thing")

AT_A_TIME = 1000
"""Things that are counted, or looked at, before others have their turn."""

AT_ONCE = 1e-9
"""Seconds: a timer that is due as soon as it is set."""


def give_way() -> None:
    """Let everybody else run who can: after sockets and timers have been looked at.

    `gevent.sleep(0)` gives way only to greenlets that are ready. The loop looks at sockets and timers after fifty such
    turns, so that fifty pieces of a millisecond are fifty milliseconds for whoever waits for an answer.
    """
    gevent.sleep(AT_ONCE)


def count(truths: Iterable[bool]) -> int:
    """Count what is true."""
    return sum(in_turns(truths))


def in_turns(things: Iterable[Thing]) -> Iterator[Thing]:
    """Yield things; others have their turn now and then."""
    for number, thing in enumerate(things, 1):
        yield thing
        if number % AT_A_TIME == 0:
            give_way()
