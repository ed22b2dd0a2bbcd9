"""What a poll costs on the target and on the wire: no process started, one packet each way."""

import subprocess
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import pytest
from paramiko.common import MSG_CHANNEL_DATA, MSG_CHANNEL_WINDOW_ADJUST, MSG_KEXINIT
from rig.needs import program
from rig.wait import until

from collector import authorize
from collector.config import Machine
from collector.polling import man
from collector.ssh.connector import Connector
from collector.ssh.identities import Identities
from collector.ssh.transport import WINDOW
from collector.ssh.wire import TunedPacketizer
from collector.sweep import Post, visit

POLLS = 5
OPTIONS: dict[str, Any] = {"gather": ("time", "memory", "load"), "labels": (), "interval": 1.0, "interval_text": "1s"}


@pytest.fixture
def post() -> Iterator[Callable[..., Post]]:
    """`post(login)`: what polls one machine; hangs up at the end."""
    with ExitStack() as stack:

        def post(login: Any) -> Post:
            machine = Machine(name="ssh0", timeout=10.0, login_timeout=20.0, **OPTIONS, **login)
            made = man(machine, Connector(Identities(), logins=1))
            stack.callback(made.session.close)
            return made

        yield post


@contextmanager
def traced(pid: int, log: Path) -> Iterator[None]:
    """Write to `log` which processes a process and its children start, meanwhile."""
    argv = [program("strace"), "-f", "-e", "trace=process", "-o", str(log), "-p", str(pid)]
    with subprocess.Popen(argv, stderr=subprocess.PIPE, text=True) as strace:
        assert strace.stderr is not None
        said = strace.stderr.readline()
        assert "attached" in said, said
        yield
        strace.terminate()


def shell_of(server: Any) -> int:
    """The process that runs the probe."""

    def found() -> int | None:
        commands = {pid: Path(f"/proc/{pid}/cmdline").read_bytes() for pid in server.pids}
        return next((pid for pid, command in commands.items() if not command.startswith(b"sshd")), None)

    pid = until(found, "the probe's shell runs")
    assert pid is not None
    return pid


def polls(post: Post) -> None:
    """Poll some times, each with success."""
    for _ in range(POLLS):
        snapshot = visit(post)
        assert snapshot.failure is None
        assert [problem for _, problem in snapshot.gathered] == [None, None, None]


@pytest.mark.needs("strace", "bash")
@pytest.mark.parametrize(("user", "restricted"), [("sh", False), ("bash", False), ("sh", True)])
def test_with_bash_a_poll_starts_no_process(
    user: str, restricted: bool, sshd: Callable[..., Any], post: Callable[..., Post], tmp_path: Path
) -> None:
    """Where there is bash, whatever the login shell and the key's line, no poll forks, clones or executes anything."""
    server = sshd()
    if restricted:
        server.authorized_keys(user).write_text(authorize.line(server.key.public, OPTIONS["gather"]) + "\n")
    made = post(server.login(user))
    polls(made)

    with traced(shell_of(server), tmp_path / "trace"):
        polls(made)

    assert [line for line in (tmp_path / "trace").read_text().splitlines() if "detached" not in line] == []


@pytest.mark.needs("strace")
def test_without_bash_a_poll_starts_one_process(
    sshd: Callable[..., Any], post: Callable[..., Post], tmp_path: Path
) -> None:
    """Where there is no bash each poll runs date, and nothing else."""
    server = sshd(without=["bash"])
    made = post(server.login("sh"))
    polls(made)

    with traced(shell_of(server), tmp_path / "trace"):
        polls(made)

    lines = (tmp_path / "trace").read_text().splitlines()
    executed = [line for line in lines if "execve(" in line]
    assert len(executed) == POLLS
    assert all("/date" in line for line in executed)
    assert len([line for line in lines if "fork(" in line or "clone(" in line]) <= POLLS


def test_a_poll_is_one_packet_each_way(
    shared_sshd: Any, post: Callable[..., Post], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Time, memory and load are asked for in one packet and answered in one, window adjustments aside."""
    made = post(shared_sshd.login("bash"))
    polls(made)
    sent: Counter[int] = Counter()
    received: Counter[int] = Counter()
    send, read = TunedPacketizer.send_message, TunedPacketizer.read_message

    def send_message(self: TunedPacketizer, data: Any) -> None:
        sent[data.asbytes()[0]] += 1
        send(self, data)

    def read_message(self: TunedPacketizer) -> Any:
        kind, message = read(self)
        received[kind] += 1
        return kind, message

    monkeypatch.setattr(TunedPacketizer, "send_message", send_message)
    monkeypatch.setattr(TunedPacketizer, "read_message", read_message)
    polls(made)
    asked, answered = sent.copy(), received.copy()

    # The transport waits in the unpatched read when the first of these polls begins.
    assert asked[MSG_CHANNEL_DATA] == POLLS
    assert answered[MSG_CHANNEL_DATA] in (POLLS - 1, POLLS)
    assert set(asked) | set(answered) <= {MSG_CHANNEL_DATA, MSG_CHANNEL_WINDOW_ADJUST}


def test_a_session_outlives_new_keys_and_its_window(
    sshd: Callable[..., Any], post: Callable[..., Post], received: Counter[int]
) -> None:
    """Keys exchanged anew every 20 kB and more bytes than the window holds cost no poll and no second login."""
    server = sshd(RekeyLimit="20K")
    made = post(server.login("bash"))
    said = 0
    while said < 2 * WINDOW:
        snapshot = visit(made)
        assert snapshot.failure is None
        # An answer is longer than the names of what it says.
        said += len("".join(sample.metric.name for sample in snapshot.samples))

    assert received[MSG_KEXINIT] > 10
    assert made.session.take_logins() == 1
