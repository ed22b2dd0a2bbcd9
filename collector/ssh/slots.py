"""Slots: how many logins are under way at once.

A login costs processor here, and a place among MaxStartups there, from when it is connected. One that has yet to be
costs nothing, but it can take long: a machine that is gone, or a name server, says nothing until the deadline. So who
is not connected soon steps aside: others have its slots meanwhile, and once it is connected it goes before whoever has
not begun. Who is connected and then hears nothing more (a hung PAM, a wedged sshd) costs nothing either, and goes on
without its slots.
"""

from collections import deque
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from time import monotonic
from types import TracebackType
from typing import Any, Self

from gevent.event import Event
from gevent.hub import get_hub

KEPT = 0.25
"""Seconds for which slots are kept by who is not connected: more than most round trips."""

PATIENCE = 1.0
"""Seconds from one look at a login's progress to the next; after the first without any, others have its slots."""

MOST_ASIDE = 1000


class Slots:
    """At most so many logins at once; those that wait come in the order in which they asked, and who is back first.

    `room` is how many more may step aside.
    """

    def __init__(self, limit: int, most_aside: int = MOST_ASIDE) -> None:
        self._limit = limit
        self._taken = 0
        self._beginning: deque[_Waiter] = deque()
        self._returning: deque[_Waiter] = deque()
        self.room = most_aside

    def resize(self, limit: int) -> None:
        """Let another number in; one that is smaller takes effect as the logins under way end."""
        self._limit = limit
        self._admit()

    def take(self, is_back: bool = False, seconds: float | None = None) -> bool:
        """Wait for a slot, for so long at most, and return whether there was one."""
        if self._taken < self._limit:  # Then nobody waits.
            self._taken += 1
            return True
        waiter, has_it = _Waiter(), False
        (self._returning if is_back else self._beginning).append(waiter)
        try:
            has_it = waiter.wait(seconds)
        finally:
            if not has_it:
                waiter.is_gone = True
                if waiter.is_set():  # It came when nobody waited any more.
                    self.give()
        return has_it

    def give(self) -> None:
        """Give a slot back."""
        self._taken -= 1
        self._admit()

    def _admit(self) -> None:
        while self._taken < self._limit and (queue := self._returning or self._beginning):
            waiter = queue.popleft()
            if not waiter.is_gone:
                self._taken += 1
                waiter.set()


class _Waiter(Event):
    """Who waits for a slot, until it has one or `is_gone`."""

    is_gone = False


class Turn:
    """One login's slots, several if it is on its way through jump hosts; a context that waits for them and has them.

    `waited` is for how many seconds, all in all.
    """

    def __init__(self, *slots: Slots) -> None:
        self._slots: Sequence[Slots] = slots
        self._held: list[Slots] = []
        self._is_aside = False
        self._timer: Any = None  # gevent has no type for it
        self._seen: object = None
        self.waited = 0.0

    def __enter__(self) -> Self:
        self._take(is_back=False)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._come_back()
        self._give()

    @contextmanager
    def aside(self) -> Iterator[None]:
        """Have the slots for a moment only, if what is done takes longer; `resume` has them again."""
        self._every(KEPT, self._step_aside)
        try:
            yield
        finally:
            self._come_back()

    def resume(self, seconds: float | None = None) -> bool:
        """Wait for the slots again if they are not there, for so long at most; return whether they are."""
        return self._take(is_back=True, seconds=seconds)

    def watch(self, progress: Callable[[], object]) -> None:
        """Have the slots from now on for as long as what this returns keeps changing."""
        self._seen = progress()
        self._every(PATIENCE, self._look, progress)

    def _look(self, progress: Callable[[], object]) -> None:
        before, self._seen = self._seen, progress()
        if self._seen == before:
            self._step_aside()

    def _step_aside(self) -> None:
        if self._held and all(slots.room for slots in self._slots):
            self._is_aside = True
            for slots in self._slots:
                slots.room -= 1
            self._give()

    def _come_back(self) -> None:
        """Be no longer aside, nor step there."""
        if self._timer is not None:
            self._timer.stop()
            self._timer.close()
            self._timer = None
        if self._is_aside:
            self._is_aside = False
            for slots in self._slots:
                slots.room += 1

    def _every(self, seconds: float, act: Callable[..., None], *arguments: object) -> None:
        self._come_back()
        self._timer = get_hub().loop.timer(seconds, seconds)
        self._timer.start(act, *arguments)

    def _take(self, is_back: bool, seconds: float | None = None) -> bool:
        began = monotonic()
        try:
            for slots in self._slots[len(self._held) :]:
                rest = None if seconds is None else max(0.0, began + seconds - monotonic())
                if not slots.take(is_back, rest):
                    self._give()
                    return False
                self._held.append(slots)
        except BaseException:
            self._give()
            raise
        finally:
            self.waited += monotonic() - began
        return True

    def _give(self) -> None:
        while self._held:
            self._held.pop().give()
