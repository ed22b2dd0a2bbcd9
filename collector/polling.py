"""Which machines are polled, and when: the configuration put to work, and changed while it works."""

from collections.abc import Callable, Iterable
from functools import partial

from collector import gather, probe
from collector.config import Config, Machine
from collector.gather import Gathering
from collector.pause import Pause
from collector.schedule import Schedule, Steady
from collector.session import Session
from collector.snapshot import Fleet, Standing
from collector.ssh.connector import Connector
from collector.sweep import Figures, Post, Sweep, place
from collector.turns import count, give_way

AT_A_TIME = 100
"""Machines that are set up before other greenlets run."""


def man(machine: Machine, connector: Connector, standing: Standing | None = None) -> Post:
    """Set up what is needed to poll one machine."""
    connector.add(machine)
    slot, blame = partial(connector.slot, machine), partial(connector.blame, machine)
    trusted = connector.host_keys.trust(machine).state
    gathering, program = Gathering(machine.gather), probe.program(gather.files(machine.gather))
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
                post.is_gone = True
                post.session.leave()
        self._posts = posts
        self._connector.assign(config.machines)
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
        for seconds in self._sweeps.keys() - by_interval.keys():
            sweep, job = self._sweeps.pop(seconds)
            self._schedule.cancel(job)
            sweep.stop()
        for seconds, group in by_interval.items():
            if seconds not in self._sweeps:
                text = group[0].standing.machine.interval_text
                sweep = Sweep(text, seconds, self._on_figures, self._on_missed)
                self._sweeps[seconds] = sweep, self._schedule.every(seconds, sweep.begin)
            self._sweeps[seconds][0].assign(group)

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
