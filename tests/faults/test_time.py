"""Time: the wall clock steps, and the whole process stands still; the polls go on as they were, and none fails."""

import signal
import socket
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from time import monotonic

import gevent
import pytest
from gevent.monkey import get_original
from rig.daemon import Daemon
from rig.logins import write_ini
from rig.sshd import Sshd
from rig.wait import until

from collector.errors import PollTimeout
from collector.ssh.phase import POLL, STANDSTILL, Deadline

INTERVAL = 1.0

STOP = get_original("time", "sleep")

Start = Callable[..., Daemon]


@pytest.fixture
def start(shared_sshd: Sshd, tmp_path: Path) -> Iterator[Start]:
    """`start(LD_PRELOAD=…)`: a daemon that polls six machines each second."""
    with ExitStack() as stack:

        def start(**environment: str) -> Daemon:
            every = f"{INTERVAL:g}s"
            ini = write_ini(tmp_path / "x.ini", shared_sshd.logins("bash"), listen="127.0.0.1:0", interval=every)
            return stack.enter_context(Daemon(tmp_path / "log", "run", "--config", str(ini), **environment))

        yield start


def polls(page: dict[str, float]) -> float:
    """How many polls there were."""
    return sum(value for series, value in page.items() if series.startswith("ssh_polls_total"))


def failures(page: dict[str, float]) -> list[str]:
    """What has failed."""
    return [series for series in page if series.startswith("ssh_poll_failures_total")]


@pytest.mark.needs("faketime")
@pytest.mark.parametrize("step", ["+1", "-1", "+3600", "-3600", "+86400"])
def test_the_wall_clock_steps(step: str, start: Start, tmp_path: Path) -> None:
    """The cadence stays, nothing fails or is missed, the step is told once, and the offsets are right at once."""
    stamp = tmp_path / "faketime"
    stamp.write_text("+0")
    library = next(Path("/usr/lib").glob("*/faketime/libfaketime.so.1"))
    daemon = start(
        LD_PRELOAD=str(library),
        FAKETIME_TIMESTAMP_FILE=str(stamp),
        FAKETIME_NO_CACHE="1",
        FAKETIME_DONT_FAKE_MONOTONIC="1",
    )
    until(lambda: daemon.page()["collector_machines_up"] == 6, "all are up")

    before, began = daemon.page(), monotonic()
    stamp.write_text(step)
    until(lambda: daemon.page()["collector_clock_jumps_total"] == 1, "the step is noticed")
    until(lambda: polls(daemon.page()) >= polls(before) + 24, "four sweeps")
    page, seconds = daemon.page(), monotonic() - began

    assert not failures(page)
    assert page["collector_polls_missed_total"] == 0
    assert polls(page) - polls(before) <= 6 * (seconds / INTERVAL + 2)
    offsets = [value for series, value in page.items() if series.startswith("ssh_clock_offset_seconds")]
    # The machines have the true time.
    assert [-int(step)] * 6 == [round(offset) for offset in offsets]
    assert 1 == daemon.log.count("the wall clock was stepped")


def test_the_process_stands_still(start: Start) -> None:
    """Stopped for some intervals and continued, it fails nothing, says what it missed, and polls as often as before."""
    daemon = start()
    until(lambda: daemon.page()["collector_machines_up"] == 6, "all are up")
    before = daemon.page()

    daemon.process.send_signal(signal.SIGSTOP)
    gevent.sleep(5 * INTERVAL)  # It is this long that is tested.
    daemon.process.send_signal(signal.SIGCONT)
    continued = daemon.page()
    until(lambda: polls(daemon.page()) >= polls(continued) + 12, "two sweeps")
    page = daemon.page()

    assert not failures(page)
    assert page["collector_machines_up"] == 6
    assert 18 <= page["collector_polls_missed_total"] - before["collector_polls_missed_total"] <= 36
    assert polls(continued) - polls(before) <= 3 * 6
    logins = [value for series, value in page.items() if series.startswith("ssh_logins_total")]
    assert [1.0] * 6 == logins


def test_answers_that_came_meanwhile_count() -> None:
    """What came while everything stood still is taken, although the deadline passed; what never comes is cut still."""
    near, far = socket.socketpair()

    def stand_still() -> None:
        far.send(b"x")
        STOP(1.5 * STANDSTILL)

    with near, far:
        # As in a session: another greenlet reads, and wakes the one that has the deadline.
        reader = gevent.spawn(near.recv, 1)
        gevent.spawn(stand_still)
        with Deadline(0.1).during(POLL):
            assert reader.get() == b"x"
        reader = gevent.spawn(near.recv, 1)
        gevent.spawn(STOP, 1.5 * STANDSTILL)
        with pytest.raises(PollTimeout), Deadline(0.1).during(POLL):
            reader.get()
        reader.kill()
