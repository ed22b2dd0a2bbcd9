"""What a process that runs for years does about memory: when Python looks for garbage, and what the C library keeps."""

import ctypes
import gc

import gevent

TIDY_EVERY = 0.25
"""Seconds between two looks for garbage among what is new."""

COLLECT = (10_000, 10, 14_400)
"""Thresholds of the garbage collector (gc.set_threshold).

Neither a poll nor a login leaves anything to it, so it need not look at what has been there for long: that takes half a
second with 10,000 machines, in which everything stands still. By default it would, again and again, at every reload.
The last threshold, in looks at what is new, is an hour.
"""

TRIM, MMAP = -1, -3
"""M_TRIM_THRESHOLD, M_MMAP_THRESHOLD (mallopt(3))."""

MOST_KEPT = 2**20
"""Bytes that malloc keeps of what was freed at its end, and from which what it gives is returned when it is freed.

It would raise both by itself, to some 60 MB once a page of the size has been freed, and never return that again.
"""


def set_up() -> None:
    """Say how memory is to be dealt with; of a C library that has no mallopt(3) nothing is wanted."""
    gc.set_threshold(*COLLECT)
    if mallopt := getattr(ctypes.CDLL(None), "mallopt", None):
        mallopt(TRIM, MOST_KEPT)
        mallopt(MMAP, MOST_KEPT)


def tidy() -> None:
    """Look for garbage for ever, among what is new.

    The garbage collector begins by itself when 10,000 objects more were made than freed since it last did. Polls free
    as many as they make, so that would be sometime, a scrape perhaps; it would then look at all that was made
    meanwhile, which is what every machine last said.
    """
    while True:
        gevent.sleep(TIDY_EVERY)
        gc.collect(1)
