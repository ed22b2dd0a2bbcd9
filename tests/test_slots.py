"""Slots: few logins at once, and none of them taken by a machine that cannot be connected to, or says nothing more."""

import socket
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack
from typing import Any

import gevent
import gevent.event
import pytest
from rig.logins import Login, Server
from rig.polls import OPTIONS
from rig.scripted import SshServer
from rig.servers import BANNER, RawServer, drips, says, says_nothing, silent_port
from rig.sshd import Sshd
from rig.wait import until

from collector.config import Hop, Machine
from collector.polling import man
from collector.ssh import connector as connecting
from collector.ssh.connector import Connector
from collector.ssh.identities import Identities
from collector.ssh.phase import Deadline
from collector.ssh.slots import Slots, Turn
from collector.sweep import Post, visit

DEAD = 4


def reason(post: Post) -> str:
    """Poll, and return why that failed; `up` if it did not."""
    failure = visit(post).failure
    return failure.reason if failure else "up"


@pytest.fixture
def silent() -> Iterator[int]:
    """A port where nobody answers an attempt to connect."""
    with silent_port() as port:
        yield port


@pytest.fixture
def fleet(silent: int, sshd: Callable[..., Sshd]) -> Iterator[Callable[..., tuple[list[Post], Post]]]:
    """`fleet(logins=2, jumps=…, there_is=…)`: machines that never answer, or are there, and one that is well."""
    with ExitStack() as stack:

        def fleet(
            jumps: tuple[Hop, ...] = (), there_is: Mapping[str, Any] | None = None, **limits: Any
        ) -> tuple[list[Post], Post]:
            dead = there_is or {"host": "127.0.0.1", "port": silent}
            connector, there = Connector(Identities(), **limits), sshd().login("bash")
            stack.callback(connector.assign, ())

            def post(name: str, **changes: Any) -> Post:
                options = {**OPTIONS, **there, "jumps": jumps, "login_timeout": 60.0, **changes}
                made = man(Machine(**{**options, "name": name}), connector)
                stack.callback(made.session.close)
                return made

            return [post(f"dead{number}", **dead) for number in range(DEAD)], post("well")

        yield fleet


def is_up_meanwhile(dead: list[Post], well: Post) -> bool:
    """Whether a machine is logged in to while others are being connected to, all of which came before it."""
    others = [gevent.spawn(reason, one) for one in dead]
    gevent.idle()
    try:
        return reason(well) == "up" and not any(other.ready() for other in others)
    finally:
        gevent.killall(others)


def test_who_is_not_connected_keeps_nobody_waiting(fleet: Callable[..., tuple[list[Post], Post]]) -> None:
    """With two logins at once, and four machines that never answer, another one is logged in to while they all wait."""
    assert is_up_meanwhile(*fleet(logins=2))


def test_nor_behind_a_jump_host(fleet: Callable[..., tuple[list[Post], Post]], sshd: Callable[..., Sshd]) -> None:
    """Nor does a machine that the jump host cannot connect to keep others behind it waiting."""
    there: dict[str, Any] = {**sshd().login("sh")}
    hop = Hop(name="bastion", login_timeout=10.0, **there)

    assert is_up_meanwhile(*fleet((hop,), logins=4, jump_logins=1))


WEDGED: Mapping[str, Callable[[], Server]] = {
    "before the banner": lambda: RawServer(says_nothing),
    "while its banner drips": lambda: RawServer(drips()),
    "in the key exchange": lambda: RawServer(says(BANNER)),
    "in the login": lambda: SshServer(stall="auth"),
    "about the channel": lambda: SshServer(stall="channel"),
    "when the probe is to begin": SshServer,
}
"""Machines that get so far and no further."""


@pytest.mark.parametrize("wedged", WEDGED.values(), ids=WEDGED)
def test_who_says_nothing_more_keeps_nobody_waiting(
    wedged: Callable[[], Server],
    fleet: Callable[..., tuple[list[Post], Post]],
    login: Callable[[Server], Login],
) -> None:
    """Nor do machines that can be connected to, and then say nothing more."""
    with wedged() as server:  # type: ignore[attr-defined]  # each is a context, and a Server
        assert is_up_meanwhile(*fleet(logins=2, there_is=login(server)))


def test_who_is_slow_keeps_its_slot() -> None:
    """Whose progress can be seen has its slot until the end, and who has made none for a while has none any more."""
    slots, steps = Slots(1), iter(range(4))
    seen: list[int] = []

    def progress() -> int:
        seen.append(next(steps, 3))
        return seen[-1]

    with Turn(slots) as turn:
        turn.watch(progress)
        until(lambda: seen[-2:] == [2, 3], "it gets on")
        assert not slots.take(seconds=0)
        assert slots.take(seconds=60)
        assert slots.room == 999
        slots.give()
    assert slots.room == 1000
    with Turn(slots):
        assert not slots.take(seconds=0)


def test_who_is_back_goes_first() -> None:
    """Who has stepped aside has its slot before those that have yet to begin, and these come as they asked."""
    slots = Slots(1)
    done: list[str] = []
    is_connected, leave = gevent.event.Event(), gevent.event.Event()

    def late() -> None:
        with Turn(slots) as turn:
            with turn.aside():
                is_connected.wait()
            assert turn.resume()
            done.append("late")

    def begins(name: str) -> None:
        with Turn(slots):
            done.append(name)
            leave.wait()

    greenlets: list[gevent.Greenlet[..., None]] = [gevent.spawn(late)]
    greenlets += [gevent.spawn(begins, name) for name in ("first", "second")]
    until(lambda: done == ["first"], "the slot is another's")
    is_connected.set()
    gevent.idle()
    leave.set()
    gevent.joinall(greenlets, raise_error=True)

    assert done == ["first", "late", "second"]
    assert slots.take(seconds=0)


def test_no_more_step_aside_than_may() -> None:
    """Where as many are aside as may be, the next one keeps its slot."""
    slots, is_over = Slots(1, most_aside=1), gevent.event.Event()
    aside: list[int] = []

    def waits(number: int) -> None:
        with Turn(slots) as turn, turn.aside():
            aside.append(number)
            is_over.wait()

    greenlets = [gevent.spawn(waits, number) for number in range(3)]
    until(lambda: aside == [0, 1], "the second has the slot")
    assert not slots.take(seconds=1)
    is_over.set()
    gevent.joinall(greenlets, raise_error=True)

    assert aside == [0, 1, 2]
    assert slots.room == 1


def test_who_is_killed_leaves_its_slot() -> None:
    """Whoever is killed, while it waits for a slot, has one or is aside, leaves as many as there were."""
    slots = Slots(2)

    def waits() -> None:
        with Turn(slots) as turn, turn.aside():
            gevent.sleep(60)

    greenlets = [gevent.spawn(waits) for _ in range(6)]
    until(lambda: slots.room < 1000, "one is aside")
    gevent.killall(greenlets)

    with Turn(slots), Turn(slots):
        assert not slots.take(seconds=0)


def test_nobody_is_kept_connected_for_long(monkeypatch: pytest.MonkeyPatch) -> None:
    """Who comes back and finds no slot hangs up soon, and connects anew when it has one; its deadline waits too."""
    monkeypatch.setattr(connecting, "IDLE", 0.1)
    slots, deadline = Slots(1), Deadline(5)
    made: list[socket.socket] = []

    def reach() -> socket.socket:
        if not made:
            until(lambda: slots.room < 1000, "the slot is another's")
        made.append(socket.socket())
        return made[-1]

    def logs_in() -> socket.socket:
        with Turn(slots) as turn:
            return connecting._arrive(reach, deadline, turn)

    login = gevent.spawn(logs_in)
    gevent.idle()
    with Turn(slots):
        until(lambda: made and made[0].fileno() == -1, "it has hung up")
        before = deadline.remaining
        gevent.sleep(1.5)
    with login.get() as sock:
        assert [sock] == made[1:]
        assert deadline.remaining > before - 1


def test_slots_can_be_more_or_fewer() -> None:
    """The number of slots changes while they are in use; a smaller number holds once the others are given back."""
    slots, entered, most = Slots(2), [], [0]
    leave = gevent.event.Event()

    def log_in() -> None:
        with Turn(slots):
            entered.append(1)
            most[0] = max(most[0], len(entered))
            leave.wait()
            entered.pop()

    greenlets = [gevent.spawn(log_in) for _ in range(5)]
    until(lambda: len(entered) == 2, "two are in")
    slots.resize(4)
    until(lambda: len(entered) == 4, "four are in")
    slots.resize(1)
    leave.set()
    gevent.joinall(greenlets, raise_error=True)

    assert 4 == most[0]
    leave.clear()
    greenlets = [gevent.spawn(log_in) for _ in range(3)]
    gevent.idle()
    assert 1 == len(entered)
    leave.set()
    gevent.joinall(greenlets, raise_error=True)
