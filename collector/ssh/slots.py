"""Slots: how many logins are under way at once."""

from collections.abc import Iterator
from contextlib import contextmanager

import gevent
from gevent.lock import Semaphore


class Slots:
    """At most so many logins at once; those that wait come in the order in which they asked."""

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._free = Semaphore(limit)

    def resize(self, limit: int) -> None:
        """Let another number in; one that is smaller takes effect as the logins under way end."""
        for _ in range(limit - self._limit):
            self._free.release()
        for _ in range(self._limit - limit):
            gevent.spawn(self._free.acquire)
        self._limit = limit

    @contextmanager
    def login(self) -> Iterator[None]:
        """Wait for a slot, and have it for as long as the context lasts."""
        with self._free:
            yield
