"""Which machines are polled, and when: the configuration put to work, and changed while it works."""

from collections.abc import Callable, Iterable
from enum import Enum, auto
from functools import partial
from time import monotonic

import gevent

from collector import custom, gather, probe
from collector.config import Config, Machine
from collector.gather import Gathering
from collector.pause import Pause
from collector.schedule import Schedule, Steady
from collector.session import Session, Trace
from collector.snapshot import Fleet, Standing
from collector.ssh.connector import Connector
from collector.sweep import Figures, Post, Sweep, place
from collector.turns import count, give_way

AT_A_TIME = 100
"""Machines that are set up before other greenlets run."""

ASKED_EVERY = 1.0
"""Seconds within which a machine is polled once because somebody asks, and not at all if it has just been polled."""


class Asked(Enum):
    """What became of a question for a poll now: the machine's standing is of it, or has reasons not to be."""

    POLLED = auto()
    """It has been polled, now or within the last second."""
    LEFT_ALONE = auto()
    """It has not been polled: its last poll failed, and the pause after that is not over."""
    LATE = auto()
    """Its poll goes on, or is yet to come."""
    GONE = auto()
    """A reload has changed it, or taken it away."""


def man(machine: Machine, connector: Connector, standing: Standing | None = None) -> Post:
    """Set up what is needed to poll one machine."""
    connector.add(machine)
    slot, blame = partial(connector.slot, machine), partial(connector.blame, machine)
    trusted = connector.host_keys.trust(machine).state
    own = custom.own(machine)
    gathering, program = Gathering(machine.gather, own), probe.program(gather.reader(machine.gather, own).files)
    session = Session(machine, connector.connect, slot, program, gathering.wanted, blame=blame, trusted=trusted)
    pause = Pause(trusted)
    at, expiry = place(machine.name, machine.interval), partial(connector.certificate_expiry, machine)
    return Post(standing or Standing(machine), session, gathering, pause, at, expiry)


class Polling:
    """The machines of the configuration in force, polled on a schedule: one job for each distinct interval."""

    def __init__(
        self,
        schedule: Schedule,
        connector: Connector,
        on_figures: Callable[[Figures], None],
        on_missed: Callable[[int], None],
    ) -> None:
        self.fleet = Fleet()
        self._schedule = schedule
        self._connector = connector
        self._on_figures = on_figures
        self._on_missed = on_missed
        self._posts: dict[str, Post] = {}
        self._sweeps: dict[float, tuple[Sweep, Steady]] = {}

    @property
    def sessions(self) -> int:
        """How many connections are open. While they are counted others have a turn."""
        return count(post.session.is_open for post in self._posts.values())

    def apply(self, config: Config) -> None:
        """Poll the machines of this configuration. What has not changed is not touched; every pause is over."""
        posts = {}
        for number, machine in enumerate(config.machines):
            posts[machine.name] = self._post(machine)
            if number % AT_A_TIME == 0:
                give_way()
        for name, post in self._posts.items():
            if posts.get(name) is not post:
                post.leave()
        self._connector.assign(config.machines)
        self._posts = posts
        self.fleet.replace(post.standing for post in posts.values())
        for post in posts.values():
            post.pause.release()
            post.session.release()
        self._assign(posts.values())

    def _post(self, machine: Machine) -> Post:
        post = self._posts.get(machine.name)
        if post is None:
            return man(machine, self._connector)
        if post.standing.machine == machine:
            return post
        # Its counters go on; what it last said may no longer be true of it.
        return man(machine, self._connector, post.standing.begun_anew(machine))

    def _assign(self, posts: Iterable[Post]) -> None:
        by_interval: dict[float, list[Post]] = {}
        for post in posts:
            by_interval.setdefault(post.standing.machine.interval, []).append(post)
        for seconds, group in by_interval.items():
            if seconds not in self._sweeps:
                text = group[0].standing.machine.interval_text
                sweep = Sweep(text, seconds, self._on_figures, self._on_missed)
                self._sweeps[seconds] = sweep, self._schedule.every(seconds, sweep.begin)
            self._sweeps[seconds][0].assign(group)
        for seconds in self._sweeps.keys() - by_interval.keys():
            sweep, job = self._sweeps.pop(seconds)
            self._schedule.cancel(job)
            sweep.stop()

    def ask(self, name: str, seconds: float, trace: Trace | None = None) -> Asked:
        """Have a machine polled now, if it may be, and wait for so many seconds at most for what comes of it.

        No two polls of a machine are ever under way: one that is will do, and so will one that has just ended. Only a
        `trace` is of a poll of its own, for which there is a wait then. Who gives up ends nothing: the poll goes on.

        Raises:
            KeyError: there is no such machine.
        """
        post, end, is_mine = self._posts[name], monotonic() + seconds, False
        while not post.is_gone:
            now = monotonic()
            if post.is_busy:
                if not post.wait(max(0.0, end - now)):
                    return Asked.LATE
                if trace is None or is_mine:
                    return Asked.GONE if post.is_gone else Asked.POLLED
            elif post.pause.is_on:
                return Asked.LEFT_ALONE
            elif trace is None and now < post.ended + ASKED_EVERY:
                return Asked.POLLED
            elif end <= now:
                return Asked.LATE
            elif now < post.asked + ASKED_EVERY:
                gevent.sleep(min(end, post.asked + ASKED_EVERY) - now)
            else:
                post.asked, is_mine = now, True
                self._sweeps[post.standing.machine.interval][0].ask(post, trace)
        return Asked.GONE

    @property
    def intervals(self) -> set[str]:
        """The distinct intervals, as written."""
        return {sweep.interval for sweep, _ in self._sweeps.values()}

    def overdue(self) -> float:
        """Return by how many seconds the most belated due moment is late; negative when the next is yet to come."""
        return max([self._schedule.overdue(), *(sweep.overdue() for sweep, _ in self._sweeps.values())])

    def stop(self) -> None:
        """Hand out no more, end the polls under way, hang up everywhere."""
        for sweep, _ in self._sweeps.values():
            sweep.stop()
        for post in self._posts.values():
            post.session.close()
        self._connector.assign(())
