"""No test runs for ever.

A test over its limit fails where it stands, with the stacks of all greenlets, and the next one runs. Where the hub
itself is stuck no greenlet can do that: `GRACE` seconds later faulthandler, which needs neither hub nor interpreter
lock, writes what is running and ends the process with exit code 1.

    @pytest.mark.limit(300)         # seconds, for each of set-up, call and tear-down; 120 unless told
"""

import faulthandler
import gc
import traceback
from collections.abc import Iterator
from contextlib import contextmanager

import gevent
import pytest
from greenlet import greenlet

SECONDS = 120.0
GRACE = 15.0
LINES = 5000
"""A test with thousands of greenlets does not want thousands of stacks."""


@contextmanager
def limit(seconds: float, stderr: int) -> Iterator[None]:
    """Fail the test after `seconds`, end the process `GRACE` later; `stderr` is a descriptor that nobody captures."""
    faulthandler.dump_traceback_later(seconds + GRACE, exit=True, file=stderr)
    try:
        with gevent.Timeout(seconds) as timeout:
            yield
    except gevent.Timeout as error:
        if error is not timeout:
            raise
        pytest.fail(f"still running after {seconds:g} s. All greenlets then:\n{stacks()}")
    finally:
        faulthandler.cancel_dump_traceback_later()


def stacks() -> str:
    """What every greenlet is doing; gevent's own report also has its locals, which can be megabytes."""
    told: list[str] = []
    for one in gc.get_objects():
        if isinstance(one, greenlet) and one.gr_frame is not None:
            told += [repr(one), *"".join(traceback.format_stack(one.gr_frame)).splitlines()]
    return "\n".join(told[:LINES])
