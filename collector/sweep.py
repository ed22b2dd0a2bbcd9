"""The sweep: a greenlet for each machine that is due, and what becomes of its answer.

A sweep spreads its machines over the interval by a stable hash of their names: 10,000 machines make a steady stream,
not a burst, and a machine is asked at the same moment of every interval.
"""

import hashlib
import logging
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from math import inf
from time import monotonic, time

import gevent
from gevent.event import Event

from collector.crew import Crew
from collector.errors import Bug, JumpDown, PollError, drop_frames
from collector.exposition import render
from collector.gather import Gathering
from collector.pause import Pause
from collector.session import Session, Trace
from collector.snapshot import Failure, Snapshot, Standing

log = logging.getLogger(__name__)

EARLY, TOGETHER = 0.1, 16
"""Seconds by which a machine may be asked before its moment, and how many may be asked at once for that.

A wake-up of an idle process costs as much as a poll. More at once would wait for each other's answers to be parsed.
"""

LATE, CATCH_UP = 0.5, 4.0
"""Seconds by which a moment is late when everything stood still, and how many times as fast as usual that is made good.

All at once would be a burst that makes everything stand still again.
"""

WELCOME = 15.0
"""Seconds within which a machine is first polled, however long its interval."""


@dataclass(slots=True, eq=False)
class Post:
    """One machine at work: its session, the pause after its failures, its standing, and whether a poll is under way.

    `offset` is its place in the interval, in seconds; what is due before `since` (monotonic) is its welcome's, not the
    sweep's. `expiry` returns when its certificate ends, in seconds since 1970. `moment` is the due moment for which the
    poll under way is; one that was asked for has none, until one comes. `asked` is when one last was, and `ended` when
    the last poll ended (monotonic).
    """

    standing: Standing
    session: Session
    gathering: Gathering
    pause: Pause
    offset: float
    expiry: Callable[[], float | None] = lambda: None
    since: float = 0.0
    asked: float = -inf
    ended: float = -inf
    is_busy: bool = False
    is_gone: bool = False
    moment: "tuple[float, Figures] | None" = None
    _over: Event | None = None

    def wait(self, seconds: float) -> bool:
        """Wait for the end of the poll under way, for so long at most; return whether it has come."""
        if self._over is None:
            self._over = Event()
        return self._over.wait(seconds)

    def wake(self) -> None:
        """Let those go on who wait."""
        if self._over is not None:
            self._over.set()
            self._over = None

    def leave(self) -> None:
        """Poll no more: the machine is no longer in the configuration, or not as it was."""
        self.is_gone = True
        self.session.leave()
        self.wake()


def place(name: str, interval: float) -> float:
    """Return a machine's place in the interval: 0 to `interval` seconds, by its name alone."""
    digest = hashlib.blake2b(name.encode(), digest_size=8).digest()
    return interval * int.from_bytes(digest, "big") / 2**64


def visit(post: Post, trace: Trace | None = None) -> Snapshot:
    """Poll one machine, now. Never raises: a failure is a snapshot too; what is no PollError is a bug, logged here."""
    session, machine = post.session, post.standing.machine
    started = monotonic()
    try:
        reading = session.poll(trace)
        samples, gathered = post.gathering.read(reading.answer.texts)
    except PollError as error:
        post.pause.lengthen(error)
        failure = Failure(error.reason, str(error), isinstance(error, JumpDown))
        drop_frames(error)
    except Exception as error:
        if post.standing.told != Bug.reason:
            log.exception("bug while polling %s", machine.name)
        session.close()
        post.pause.lengthen(Bug())
        failure = Failure(Bug.reason, f"{type(error).__name__}: {error}")
    else:
        post.pause.end()
        return Snapshot(
            at=time(),
            seconds=monotonic() - started - session.waited,
            samples=samples,
            clock_offset=reading.clock_offset,
            clock_offset_error=reading.clock_offset_error,
            gathered=gathered,
        )
    return Snapshot(at=time(), seconds=monotonic() - started - session.waited, failure=failure)


def settle(post: Post, snapshot: Snapshot) -> None:
    """Enter a snapshot into the machine's standing, and render its lines of the page."""
    standing = post.standing
    standing.snapshot = snapshot
    standing.polls += 1
    standing.logins += post.session.take_logins()
    standing.login_seconds = post.session.login_seconds or standing.login_seconds
    standing.backoff = post.pause.seconds
    standing.ready = post.session.ready or standing.ready
    standing.agreement = post.session.agreement or standing.agreement
    standing.certificate_expiry = post.expiry()
    if snapshot.failure:
        reason = snapshot.failure.reason
        standing.failures[reason] = standing.failures.get(reason, 0) + 1
    else:
        standing.last_success = snapshot.at
    standing.block = render(standing)


def tell(standing: Standing, snapshot: Snapshot) -> None:
    """Log a machine's change of state, once: up, down for another reason, a gatherer with or without data.

    That its jump host is down is no change of its own.
    """
    before, name, failure = standing.snapshot, standing.machine.name, snapshot.failure
    if failure:
        if standing.told != failure.reason and not failure.of_jump:
            standing.told = failure.reason
            log.warning("down", extra={"machine": name, "reason": failure.reason, "text": failure.text})
        return
    if standing.told != "up":
        standing.told = "up"
        log.info("up", extra={"machine": name})
    problems = {name: problem for name, problem in before.gathered if problem} if before else {}
    for gatherer, problem in snapshot.gathered:
        if problem and gatherer not in problems:
            log.warning("no data", extra={"machine": name, "gatherer": gatherer, "text": problem})
        elif gatherer in problems and not problem:
            log.info("data again", extra={"machine": name, "gatherer": gatherer})


@dataclass(slots=True, eq=False)
class Figures:
    """One sweep, in seconds: the greatest time from a due moment to the end of its poll, the sum of all durations.

    `awaited` is the due moment that is handed out next (monotonic).
    """

    interval: str
    number: int
    duration: float = 0.0
    sequential: float = 0.0
    polls: int = 0
    awaited: float = inf
    unfinished: int = 1


class Sweep:
    """The machines of one interval, which is `seconds` long and written as `interval` in the configuration.

    `on_figures` gets a sweep's figures when its last poll has ended. `on_missed` gets how many due moments passed
    while a machine's poll or login was still under way, or while the whole process stood still.
    """

    def __init__(
        self, interval: str, seconds: float, on_figures: Callable[[Figures], None], on_missed: Callable[[int], None]
    ) -> None:
        self.interval = interval
        self._seconds = seconds
        self._on_figures = on_figures
        self._on_missed = on_missed
        self._posts: list[Post] = []
        self._crew = Crew()
        self._under_way: set[Figures] = set()
        self._begun = 0
        self._reported = 0

    def assign(self, posts: Iterable[Post]) -> None:
        """Sweep these machines from now on; those that are new here are polled for the first time soon."""
        known, now = set(self._posts), monotonic()
        self._posts = sorted(posts, key=lambda post: post.offset)
        new = [post for post in self._posts if post not in known]
        soon = min(self._seconds, WELCOME)
        for post in new:
            post.since = now + soon
        self._start([(now + post.offset % soon, post) for post in new])

    def begin(self, due: float, skipped: int) -> None:
        """Begin a sweep that was due at a moment of the monotonic clock, after as many that never began."""
        if skipped:
            self._on_missed(skipped * len(self._posts))
        self._start([(due + post.offset, post) for post in self._posts if due + post.offset >= post.since])

    def ask(self, post: Post, trace: Trace | None = None) -> None:
        """Poll a machine now, whatever its moments; no poll of it may be under way.

        The first moment that comes meanwhile is this poll's, and not missed.
        """
        post.is_busy = True
        self._crew.begin(self._poll, post, trace)

    def overdue(self) -> float:
        """Return by how many seconds the most belated due moment is late; negative when the next is yet to come."""
        return max((monotonic() - figures.awaited for figures in self._under_way), default=-inf)

    def stop(self) -> None:
        """End every poll that is under way, and hand out no more."""
        self._crew.stop()

    def _start(self, moments: list[tuple[float, Post]]) -> None:
        if moments:
            self._begun += 1
            self._crew.begin(self._hand_out, sorted(moments, key=lambda moment: moment[0]), self._begun)

    def _hand_out(self, moments: list[tuple[float, Post]], number: int) -> None:
        figures = Figures(self.interval, number)
        self._under_way.add(figures)
        together, pause = 0, TOGETHER * min(self._seconds / CATCH_UP, WELCOME) / len(moments)
        for due, post in moments:
            now = monotonic()
            figures.awaited = max(due, now)
            wait = due - now
            if -self._seconds < wait < -LATE and together == TOGETHER:
                wait = pause
            if wait > EARLY or (wait > 0 and together == TOGETHER):
                gevent.sleep(wait)
                together = 0
            together += 1
            self._send(post, min(due, monotonic()), figures)
        figures.awaited = inf
        self._end(figures)

    def _send(self, post: Post, due: float, figures: Figures) -> None:
        if post.is_gone:
            return
        if post.moment or monotonic() - due > self._seconds:
            self._on_missed(1)
        elif post.is_busy or not post.pause.is_on:
            post.moment = due, figures
            figures.unfinished += 1
            if not post.is_busy:
                self.ask(post)

    def _poll(self, post: Post, trace: Trace | None) -> None:
        try:
            snapshot = visit(post, trace)
            if post.is_gone:
                post.session.close()
            else:
                tell(post.standing, snapshot)
                settle(post, snapshot)
            post.ended = monotonic()
            if post.moment:
                due, figures = post.moment
                figures.polls += 1
                figures.sequential += snapshot.seconds
                figures.duration = max(figures.duration, post.ended - due)
        finally:
            moment, post.moment, post.is_busy = post.moment, None, False
            post.wake()
            if moment:
                self._end(moment[1])

    def _end(self, figures: Figures) -> None:
        figures.unfinished -= 1
        if figures.unfinished:
            return
        self._under_way.discard(figures)
        # A sweep with a slow login can end after those that began later.
        if figures.polls and figures.number > self._reported:
            self._reported = figures.number
            self._on_figures(figures)
