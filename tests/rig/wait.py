"""Waiting for a condition, which is what a test does instead of sleeping."""

from collections.abc import Callable
from typing import TypeVar

import gevent

T = TypeVar("T")


def until(condition: Callable[[], T], what: str, seconds: float = 20.0) -> T:
    """The first true value of `condition()`; `AssertionError` that says `what` did not happen within `seconds`."""
    with gevent.Timeout(seconds, AssertionError(f"not within {seconds:g} s: {what}")):
        while not (value := condition()):
            gevent.sleep(0.002)
    return value
