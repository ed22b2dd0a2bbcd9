"""A poll now, because somebody asks, on real sessions: never beside another, and no due moment is lost by it."""

from collections.abc import Callable, Iterator
from time import monotonic

import gevent
import pytest
from gevent.event import Event
from rig.logins import Login
from rig.proxy import Proxy
from rig.scripted import SshServer, shell
from rig.servers import RawServer, says_nothing
from rig.wait import until
from test_sweep import Rig, machine, rig

from collector.polling import ASKED_EVERY, Asked
from collector.session import Trace
from collector.sweep import Figures, Post

__all__ = ["rig"]

SELDOM = 3600.0
"""Seconds: an interval in which no moment comes by itself, but for the first, which `quiet` waits for."""


class Gate:
    """A way to hold a machine's answers back, from the first one after READY on: `shell(gate)`."""

    def __init__(self) -> None:
        self.opened = Event()
        self.opened.set()
        self.held = 0

    def __call__(self, chunks: Iterator[bytes]) -> Iterator[bytes]:
        """Yield what comes while it is open."""
        for chunk in chunks:
            self.held += not self.opened.is_set()
            self.opened.wait()
            yield chunk


def post_of(rig: Rig, name: str = "ssh0") -> Post:
    """A machine at work."""
    return rig.polling._posts[name]


def quiet(rig: Rig, there: Login, login_timeout: float = 10.0) -> Post:
    """A machine that is polled only when somebody asks, and that nobody has asked for."""
    rig.apply(machine(there, interval=SELDOM, login_timeout=login_timeout))
    post = post_of(rig)
    # Its first poll is due within 15 s.
    rig.polling._sweeps[SELDOM][0]._crew.stop()
    return post


def due(rig: Rig, post: Post, figures: Figures) -> None:
    """Let a moment of a machine come."""
    sweep, _ = rig.polling._sweeps[post.standing.machine.interval]
    sweep._under_way.add(figures)
    sweep._send(post, monotonic(), figures)


def test_who_asks_gets_a_poll_of_now(rig: Rig, login: Callable[..., Login]) -> None:
    """The machine is polled although none of its moments has come, and its standing is of that poll."""
    with SshServer(shell()) as server:
        post = quiet(rig, login(server))
        assert post.standing.snapshot is None

        assert Asked.POLLED is rig.polling.ask("ssh0", 10)

        assert post.standing.up
        assert 1 == post.standing.polls


def test_an_unknown_machine_cannot_be_asked(rig: Rig) -> None:
    """A name that is none is a KeyError, and no poll."""
    with pytest.raises(KeyError):
        rig.polling.ask("nobody", 1)


def test_polls_of_a_machine_are_never_in_parallel(rig: Rig, login: Callable[..., Login]) -> None:
    """Many who ask at once have one poll between them, and so do those who ask right after it."""
    gate = Gate()
    with SshServer(shell(gate)) as server:
        post = quiet(rig, login(server))
        gate.opened.clear()
        asking = [gevent.spawn(rig.polling.ask, "ssh0", 10) for _ in range(50)]
        until(lambda: gate.held, "the poll is under way")
        gate.opened.set()

        assert {Asked.POLLED} == {greenlet.get() for greenlet in asking}
        assert Asked.POLLED is rig.polling.ask("ssh0", 10)
        assert (1, 1) == (post.standing.polls, server.connections)


def test_a_machine_is_asked_once_a_second_at_most(rig: Rig, login: Callable[..., Login]) -> None:
    """However often somebody asks, a second lies between two polls, and the last one is the answer until then."""
    with SshServer(shell()) as server:
        post = quiet(rig, login(server))
        began = monotonic()
        while monotonic() < began + 2.5 * ASKED_EVERY:
            assert Asked.POLLED is rig.polling.ask("ssh0", 10)
            gevent.sleep(0)

        assert 2 <= post.standing.polls <= 3


def test_a_scheduled_poll_under_way_is_the_answer(rig: Rig, login: Callable[..., Login]) -> None:
    """Who asks while the machine's own poll is under way waits for that one."""
    gate = Gate()
    with SshServer(shell(gate)) as server:
        post = quiet(rig, login(server))
        gate.opened.clear()
        due(rig, post, Figures("1h", 1))
        until(lambda: gate.held, "the poll is under way")
        asking = gevent.spawn(rig.polling.ask, "ssh0", 10)
        gate.opened.set()

        assert Asked.POLLED is asking.get()
        assert 1 == post.standing.polls


def test_the_moment_that_comes_meanwhile_is_this_polls(rig: Rig, login: Callable[..., Login]) -> None:
    """A due moment during a poll that was asked for counts as polled by it, a second one as missed; none is lost."""
    gate = Gate()
    with SshServer(shell(gate)) as server:
        post = quiet(rig, login(server))
        gate.opened.clear()
        asking = gevent.spawn(rig.polling.ask, "ssh0", 10)
        until(lambda: gate.held, "the poll is under way")
        taken, missed = Figures("1h", 10), Figures("1h", 11)
        due(rig, post, taken)
        assert 0 == rig.missed
        due(rig, post, missed)
        assert 1 == rig.missed
        gate.opened.set()
        asking.get()

        assert 1 == post.standing.polls
        assert (1, 0) == (taken.polls, missed.polls)
        # `_hand_out` holds one of each itself.
        assert (1, 1) == (taken.unfinished, missed.unfinished)
        assert taken.duration > 0
        assert post.moment is None


def test_scheduled_polls_go_on_as_they_were(rig: Rig, login: Callable[..., Login]) -> None:
    """While somebody asks all the time every due moment is polled, none is missed, and others do not notice."""
    with SshServer(shell()) as server:
        there = login(server)
        rig.apply(machine(there, "ssh0", interval=1.5), machine(there, "ssh1", interval=1.5))
        until(lambda: rig.polling.fleet.complete, "the first polls")
        stopped = Event()

        def pester() -> None:
            while not stopped.is_set():
                rig.polling.ask("ssh0", 10)
                gevent.sleep(0.001)

        pestering = gevent.spawn(pester)
        before = rig.polls("ssh0")
        until(lambda: rig.polls("ssh1") >= 4, "three more polls of the other")
        stopped.set()
        pestering.get()

        assert 0 == rig.missed
        # Its own, and between two of them one that was asked for.
        assert 3 <= rig.polls("ssh0") - before <= 10
        assert 1 == rig.polling.fleet["ssh0"].logins


def test_who_gives_up_ends_nothing(rig: Rig, login: Callable[..., Login]) -> None:
    """When the time is over the answer is that it is, and the poll goes on to its own end."""
    gate = Gate()
    with SshServer(shell(gate)) as server:
        post = quiet(rig, login(server))
        gate.opened.clear()

        assert Asked.LATE is rig.polling.ask("ssh0", 0.2)

        gate.opened.set()
        until(lambda: post.standing.up, "the poll's own end")
        assert 1 == post.standing.polls


def test_a_machine_in_its_pause_is_left_alone(rig: Rig, login: Callable[..., Login]) -> None:
    """After a failure nobody's question shortens the pause: the machine is not asked, until the pause is over."""
    with RawServer(says_nothing) as server:
        there = login(server)
    post = quiet(rig, there)
    assert Asked.POLLED is rig.polling.ask("ssh0", 10)
    assert {"refused": 1} == post.standing.failures

    for trace in (None, Trace()):
        assert Asked.LEFT_ALONE is rig.polling.ask("ssh0", 10, trace)
    assert 1 == post.standing.polls

    post.pause.release()
    until(lambda: rig.polling.ask("ssh0", 10) is Asked.POLLED and post.standing.polls == 2, "it is asked again")


def test_a_reload_wakes_who_waits(rig: Rig, login: Callable[..., Login]) -> None:
    """Who waits for a machine that a reload takes away, or changes, is told so at once."""
    with RawServer(says_nothing) as server:
        there = login(server)
        for changed in ((), (machine(there, interval=0.5, login_timeout=60.0),)):
            post = quiet(rig, there, login_timeout=60.0)
            asking = gevent.spawn(rig.polling.ask, "ssh0", 60)
            until(lambda post=post: post.is_busy, "the login is under way")  # type: ignore[misc]
            rig.apply(*changed)
            assert Asked.GONE is asking.get(timeout=5)
            rig.apply()


def test_a_new_interval_can_be_asked_at_once(rig: Rig, login: Callable[..., Login]) -> None:
    """In the midst of a reload that takes one interval away and brings another the machine can be asked."""
    with SshServer(shell()) as server, Proxy(server) as proxy:
        there = login(proxy)
        rig.apply(machine(there, interval=0.2))
        until(lambda: rig.polls("ssh0"), "a poll")
        reloading = gevent.spawn(rig.apply, machine(there, interval=0.3))
        answers = set()
        while not reloading.ready():
            answers.add(rig.polling.ask("ssh0", 10))
            gevent.sleep(0)

        answers.add(rig.polling.ask("ssh0", 10))
        assert answers <= {Asked.POLLED, Asked.GONE}


def test_a_trace_is_of_a_poll_of_its_own(rig: Rig, login: Callable[..., Login]) -> None:
    """Who wants to see all gets a new poll, also right after another: the login in the first, the answer in both."""
    with SshServer(shell()) as server:
        post = quiet(rig, login(server))
        first, second = Trace(), Trace()
        assert Asked.POLLED is rig.polling.ask("ssh0", 10, first)
        assert Asked.POLLED is rig.polling.ask("ssh0", 10, second)

        assert 2 == post.standing.polls
        assert first.login_seconds is not None
        assert first.waited is not None
        assert (None, None) == (second.login_seconds, second.waited)
        assert b" READY " in first.greeting
        assert b"" == second.greeting
        for trace in (first, second):
            assert trace.token.encode() in trace.answer
            assert trace.round_trip is not None


def test_a_trace_of_a_machine_that_is_always_polled(rig: Rig, login: Callable[..., Login]) -> None:
    """A machine that is polled ten times a second finds the time for one that is shown."""
    with SshServer(shell()) as server:
        rig.apply(machine(login(server), interval=0.1, timeout=0.1))
        until(lambda: rig.polls("ssh0") >= 2, "it is polled")
        trace = Trace()

        assert Asked.POLLED is rig.polling.ask("ssh0", 10, trace)
        assert trace.answer


def test_a_trace_shows_how_far_a_failure_got(rig: Rig, login: Callable[..., Login]) -> None:
    """Half an answer, after which the machine hung up, is in the trace."""

    def half(chunks: Iterator[bytes]) -> Iterator[bytes]:
        before = b""
        while not before.endswith(b"\n") or b" READY " not in before:
            chunk = next(chunks)
            before += chunk
            yield chunk
        yield next(chunks)[:20]

    with SshServer(shell(half)) as server:
        post = quiet(rig, login(server))
        trace = Trace()
        assert Asked.POLLED is rig.polling.ask("ssh0", 10, trace)

        assert not post.standing.up
        assert 20 == len(trace.answer)
        assert trace.round_trip is None


def test_nothing_is_kept_without_a_trace(rig: Rig, login: Callable[..., Login]) -> None:
    """Of a machine's words nothing is kept after the poll that was shown."""
    with SshServer(shell()) as server:
        post = quiet(rig, login(server))
        rig.polling.ask("ssh0", 10, Trace())
        held = [getattr(post.session, name) for name in vars(post.session)]

        assert not [one for one in held if isinstance(one, Trace | bytearray)]
