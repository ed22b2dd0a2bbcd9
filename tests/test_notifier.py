"""What systemd hears from `systemd.Notifier`: real datagrams in a real socket."""

import os
import select
import socket
import time
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path

import pytest

from collector.systemd import Notifier

MOST = 65536


@pytest.fixture
def manager(tmp_path: Path) -> Iterator[socket.socket]:
    """The service manager's end, a socket with a path."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as ours:
        ours.bind(str(tmp_path / "notify"))
        ours.settimeout(10)
        yield ours


@pytest.fixture
def notifier(manager: socket.socket) -> Iterator[Notifier]:
    """A notifier that finds it in its environment, as a service does."""
    with closing(Notifier(environ={"NOTIFY_SOCKET": manager.getsockname()})) as notifier:
        yield notifier


def heard(manager: socket.socket) -> list[str]:
    """The assignments of one datagram."""
    return manager.recv(MOST).decode().split("\n")


@pytest.mark.parametrize(
    ("tell", "expected"),
    [
        (lambda notifier: notifier.ready("6/6 machines up"), ["READY=1", "STATUS=6/6 machines up"]),
        (lambda notifier: notifier.stopping(), ["STOPPING=1"]),
        (lambda notifier: notifier.status("5/6 machines up"), ["STATUS=5/6 machines up"]),
        (lambda notifier: notifier.watchdog(), ["WATCHDOG=1"]),
    ],
    ids=["ready", "stopping", "status", "watchdog"],
)
def test_each_word_is_one_datagram(
    manager: socket.socket, notifier: Notifier, tell: Callable[[Notifier], None], expected: list[str]
) -> None:
    """Each method sends the assignments of sd_notify(3), in one datagram."""
    tell(notifier)
    assert expected == heard(manager)


def test_reloading_says_when(manager: socket.socket, notifier: Notifier) -> None:
    """RELOADING comes with the monotonic time in the same datagram, without which systemd 253 and later refuse it."""
    before = time.monotonic_ns() // 1000
    notifier.reloading()
    reloading, moment = heard(manager)
    assert reloading == "RELOADING=1"
    name, _, microseconds = moment.partition("=")
    assert name == "MONOTONIC_USEC"
    assert before <= int(microseconds) <= time.monotonic_ns() // 1000


def test_a_status_stays_one_assignment(manager: socket.socket, notifier: Notifier) -> None:
    """A newline in a status is a space, so that no text from outside can become an assignment."""
    notifier.status("two lines\nWATCHDOG=trigger")
    assert ["STATUS=two lines WATCHDOG=trigger"] == heard(manager)


def test_an_abstract_address_begins_with_an_at_sign() -> None:
    """`@name` in NOTIFY_SOCKET is a socket of the abstract namespace."""
    name = f"collector-test-{os.getpid()}"
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as manager:
        manager.bind(f"\0{name}")
        manager.settimeout(10)
        with closing(Notifier(f"@{name}")) as notifier:
            notifier.watchdog()
        assert ["WATCHDOG=1"] == heard(manager)


def test_a_full_socket_does_not_hold_us_up(manager: socket.socket, notifier: Notifier) -> None:
    """Datagrams that the manager is too slow for are dropped: nothing waits, nothing is raised."""
    sent = 10_000
    for _ in range(sent):
        notifier.watchdog()
    received = 0
    while select.select([manager], [], [], 0)[0]:
        manager.recv(MOST)
        received += 1
    assert 0 < received < sent


@pytest.mark.parametrize("address", ["/nobody/listens", "@nobody-listens"])
def test_nobody_listens(address: str) -> None:
    """A manager that is gone is no error."""
    with closing(Notifier(address)) as notifier:
        notifier.ready("6/6 machines up")


def test_without_a_manager_nothing_happens() -> None:
    """Outside systemd every method does nothing, and nobody waits for the watchdog."""
    notifier = Notifier(environ={})
    notifier.ready("")
    notifier.reloading()
    notifier.watchdog()
    notifier.stopping()
    assert notifier.watchdog_interval is None


@pytest.mark.parametrize(
    ("environ", "expected"),
    [
        ({"WATCHDOG_USEC": "30000000"}, 10.0),
        ({"WATCHDOG_USEC": "30000000", "WATCHDOG_PID": str(os.getpid())}, 10.0),
        ({"WATCHDOG_USEC": "30000000", "WATCHDOG_PID": "1"}, None),
        ({"WATCHDOG_USEC": ""}, None),
        ({"WATCHDOG_USEC": "soon"}, None),
        ({}, None),
    ],
    ids=["told", "for us", "for another process", "empty", "no number", "not told"],
)
def test_the_watchdog_is_told_three_times_in_its_time(environ: dict[str, str], expected: float | None) -> None:
    """The interval is a third of WATCHDOG_USEC, and only where WATCHDOG_PID is ours or not there."""
    assert expected == Notifier(environ=environ).watchdog_interval
