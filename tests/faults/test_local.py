"""This machine's own limits, and the daemon's life in bad times."""

import signal
import subprocess
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest
from rig.daemon import COLLECTOR, Daemon
from rig.logins import Login, write_ini
from rig.needs import program
from rig.scripted import SshServer
from rig.servers import RawServer, says_nothing
from rig.sshd import Sshd, loopback
from rig.wait import until

MANY = 64
STORM = 200

Start = Callable[..., Daemon]
Servers = Callable[..., Sshd]


@pytest.fixture
def start(tmp_path: Path) -> Iterator[Start]:
    """`start({"ssh0": login, …})`: a daemon that polls these machines each second."""
    with ExitStack() as stack:

        def start(machines: dict[str, Login], *runner: str) -> Daemon:
            ini = write_ini(tmp_path / "x.ini", machines, listen="127.0.0.1:0", interval="1s", logins=STORM)
            arguments, argv = ("run", "--config", str(ini)), [*runner, *COLLECTOR]
            return stack.enter_context(Daemon(tmp_path / "log", *arguments, program=argv))

        yield start


def test_descriptors_run_out(sshd: Servers, start: Start) -> None:
    """Machines for which there is no descriptor are `local`, the page is served on, and more descriptors heal it."""
    fleet = sshd(addresses=loopback(MANY)).logins()
    daemon = start(fleet, program("prlimit"), "--nofile=64:1024")
    until(lambda: daemon.get("/-/ready")[0] == 200, "every machine was polled")

    page = daemon.page()
    down = MANY - page["collector_machines_up"]
    assert 0 < down < MANY
    assert down == daemon.log.count("reason=local")
    assert page["process_open_fds"] < 64
    assert "Traceback" not in daemon.log

    subprocess.run([program("prlimit"), f"--pid={daemon.process.pid}", "--nofile=1024:1024"], check=True)

    until(lambda: daemon.page()["collector_machines_up"] == MANY, "all are up", 60)
    assert down == daemon.log.count("reason=local")
    assert 0 == daemon.end()


def test_the_end_in_a_storm_of_logins(sshd: Servers, login: Callable[..., Login], start: Start) -> None:
    """SIGTERM while all log in, or try to, ends the daemon with 0 at once, quietly, and no session stays."""
    server = sshd(addresses=loopback(STORM // 2))
    with RawServer(says_nothing) as silent, SshServer(stall="auth") as stalls:
        fleet = server.logins()
        for number in range(STORM // 4):
            fleet |= {f"silent{number}": login(silent), f"stalls{number}": login(stalls)}
        daemon = start(fleet)
        until(lambda: silent.connections > 5 and server.sessions, "logins are under way")

        daemon.process.send_signal(signal.SIGTERM)

        assert 0 == daemon.process.wait(5)
    until(lambda: not server.sessions, "no session stays")
    assert "Traceback" not in daemon.log
    assert "Exception" not in daemon.log


def test_a_storm_of_reloads(shared_sshd: Sshd, start: Start) -> None:
    """A thousand SIGHUPs are a few reloads; no session is touched, no poll is missed, and the end comes as ever."""
    daemon = start(shared_sshd.logins())
    until(lambda: daemon.page()["collector_machines_up"] == 6, "all are up")

    for _ in range(1000):
        daemon.process.send_signal(signal.SIGHUP)
    until(lambda: "the configuration is loaded" in daemon.log, "a reload")
    before = daemon.page()["ssh_polls_total" + '{instance="ssh0"}']
    until(lambda: daemon.page()["ssh_polls_total" + '{instance="ssh0"}'] >= before + 2, "two polls more")

    page = daemon.page()
    assert [1.0] * 6 == [value for series, value in page.items() if series.startswith("ssh_logins_total")]
    assert page["collector_polls_missed_total"] == 0
    assert page["collector_machines_up"] == 6
    daemon.process.send_signal(signal.SIGHUP)
    assert 0 == daemon.end()


def test_killed_and_started_again(sshd: Servers, start: Start) -> None:
    """After kill -9 a new daemon has the whole page soon, with no more logins at once than it may have."""
    server = sshd(addresses=loopback(MANY))
    first = start(server.logins())
    until(lambda: first.page()["collector_machines_up"] == MANY, "all are up", 60)
    first.process.kill()

    second = start(server.logins())

    until(lambda: second.get("/-/ready")[0] == 200, "every machine was polled", 60)
    assert MANY == second.page()["collector_machines_up"]
    until(lambda: len(server.sessions) == MANY, "the sessions of the first have ended")


def test_two_by_mistake(shared_sshd: Sshd, start: Start, tmp_path: Path) -> None:
    """A second daemon on the same port ends with 1 and one line, and has logged in nowhere."""
    first = start(shared_sshd.logins())
    until(lambda: first.page()["collector_machines_up"] == 6, "all are up")
    port = first.url("").rpartition(":")[2]
    logins = shared_sshd.log.count("Accepted publickey")

    ini = write_ini(tmp_path / "second.ini", shared_sshd.logins(), listen=f"127.0.0.1:{port}")
    second = subprocess.run([*COLLECTOR, "run", "--config", str(ini)], capture_output=True, text=True, check=False)

    assert 1 == second.returncode
    assert 1 == len(second.stderr.splitlines())
    assert "Address already in use" in second.stderr
    assert logins == shared_sshd.log.count("Accepted publickey")
