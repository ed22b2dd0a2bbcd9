"""Pause: how long what fails is left alone."""

import random
from collections.abc import Callable
from math import inf
from time import monotonic

from collector.errors import PollError


class Pause:
    """How long a failing machine is left alone: doubled from failure to failure, with jitter, by the kind of failure.

    `trusted` returns something that differs once known_hosts has changed: that ends a pause without end.
    """

    def __init__(self, trusted: Callable[[], object]) -> None:
        self._trusted = trusted
        self._trusted_then: object = None
        self._failures = 0
        self._until = 0.0
        self.seconds: float | None = None

    def lengthen(self, error: PollError, at_most: float = inf) -> None:
        """Choose the wait after one more failure; a fleet that failed together does not come back in step.

        A failure after which there is no wait at all is none of the machine's, and makes no later wait longer.
        """
        first, longest = error.backoff
        full = min(longest, at_most, first * 2.0 ** min(self._failures, 30))
        self.seconds = full * random.uniform(0.75, 1.0)
        self._failures += first > 0
        self._until = monotonic() + self.seconds
        self._trusted_then = self._trusted()

    def end(self) -> None:
        """Forget the failures: the machine has answered."""
        self._failures = 0
        self._until = 0.0
        self.seconds = None

    def release(self) -> None:
        """Let the next poll happen, whatever happened before: somebody has reloaded the configuration."""
        self._until = 0.0

    @property
    def is_on(self) -> bool:
        """Whether the machine is to be left alone now."""
        if self._until == inf and self._trusted() != self._trusted_then:
            self._until = 0.0
        return monotonic() < self._until
