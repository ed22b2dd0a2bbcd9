"""The rig itself: what the other tests stand on really does what it says."""

import configparser
import gc
import itertools
import os
import signal
import socket
import struct
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from functools import partial
from pathlib import Path
from typing import Any

import gevent
import paramiko
import pytest
from rig import scripted
from rig.keys import KINDS, host_name, known_hosts, make_key
from rig.limit import limit
from rig.link import Link
from rig.logins import Login, write_ini
from rig.needs import require
from rig.private import companions, state
from rig.proxy import Proxy
from rig.scripted import STALLS, SshServer, shell
from rig.servers import BANNER, BEHAVIOURS, RawServer, drips, kexinit, packet, preamble, says, says_nothing
from rig.sshd import Sshd, loopback
from rig.strike import NEWKEYS, TAG, Place, Strike
from rig.users import BASH, SH, User, own_file
from rig.wait import until

TESTS = Path(__file__).parent
ACCOUNTS = [Path("/etc/passwd"), Path("/etc/shadow"), Path("/etc/group")]

Start = Callable[..., Sshd]
Log = Callable[..., Login]


def connected(server: RawServer | SshServer | Proxy) -> socket.socket:
    """A connection to a server."""
    return socket.create_connection(server.address)


def received(connection: socket.socket, most: int = 1 << 30) -> bytes:
    """What comes, until its end or until it is so many bytes."""
    parts: list[bytes] = []
    while sum(map(len, parts)) < most and (part := connection.recv(65536)):
        parts.append(part)
    return b"".join(parts)


def run(login: Login, command: str = "echo hello") -> bytes:
    """What a paramiko client gets for a command from a server that known_hosts knows; whatever paramiko raises."""
    known = paramiko.HostKeys(str(login["known_hosts"][0])).lookup(host_name(login["host"], login["port"]))
    (host_key,) = (known or {}).values()
    with socket.create_connection((login["host"], login["port"])) as connection:
        transport = paramiko.Transport(connection)
        try:
            transport.connect(host_key, login["user"], pkey=paramiko.PKey.from_path(login["key_file"]))
            channel = transport.open_session()
            channel.exec_command(command)
            channel.shutdown_write()
            return b"".join(iter(partial(channel.recv, 65536), b""))
        finally:
            transport.close()
            transport.packetizer.complete_handshake()  # Its timer would stay for 15 s.


def alive(pid: int) -> bool:
    """Whether there is such a process that has not ended."""
    return state(pid) not in ("", "Z", "X")


# needs.py and limit.py


def test_missing_program_skips(monkeypatch: pytest.MonkeyPatch) -> None:
    """A program that is not there skips the test and is named."""
    monkeypatch.delenv("CI", raising=False)

    with pytest.raises(pytest.skip.Exception, match="needs the program no-such-program"):
        require("sh", "no-such-program")


def test_missing_program_fails_in_ci(monkeypatch: pytest.MonkeyPatch) -> None:
    """In CI nothing is skipped."""
    monkeypatch.setenv("CI", "true")

    with pytest.raises(pytest.fail.Exception, match="needs the program no-such-program"):
        require("sh", "no-such-program")


def test_mark_is_looked_at(run_pytest: Callable[..., subprocess.CompletedProcess[str]]) -> None:
    """The mark `needs` skips, with its reason in the report, and fails in CI."""
    text = "import pytest\n@pytest.mark.needs('no-such-program')\ndef test_it(): pass\n"

    skipped, failed = run_pytest(text), run_pytest(text, CI="true")

    assert 0 == skipped.returncode
    assert "needs the program no-such-program\n" in skipped.stdout
    assert 1 == failed.returncode
    assert "needs the program no-such-program (nothing is skipped in CI)\n" in failed.stdout


def test_limit_ends_a_test_that_waits_for_ever() -> None:
    """A test over its limit fails, and says where every greenlet stood."""

    def forgotten() -> None:
        gevent.sleep(1000)

    other = gevent.spawn(forgotten)
    stderr = os.dup(2)
    with (
        pytest.raises(pytest.fail.Exception, match=r"(?s)still running after 0\.1 s.*in forgotten"),
        limit(0.1, stderr),
    ):
        gevent.sleep(1000)
    other.kill()
    os.close(stderr)


def test_limit_ends_a_process_whose_hub_is_stuck(
    run_pytest: Callable[..., subprocess.CompletedProcess[str]],
) -> None:
    """Where no greenlet can run any more, the process is ended with its stacks."""
    text = (
        "import rig.limit, pytest\nfrom gevent.monkey import get_original\nrig.limit.GRACE = 0.1\n"
        "@pytest.mark.limit(0.1)\ndef test_it(): get_original('time', 'sleep')(1000)\n"
    )

    ended = run_pytest(text)

    assert (1, True) == (ended.returncode, "in test_it" in ended.stderr)


def test_dead_greenlet_fails_the_test(run_pytest: Callable[..., subprocess.CompletedProcess[str]]) -> None:
    """An exception that a greenlet dies of is not just printed."""
    text = "import gevent\ndef test_it(): gevent.spawn(int, 'x'); gevent.sleep(0.01)\n"

    ended = run_pytest(text)

    assert (1, True) == (ended.returncode, "greenlets died" in ended.stdout)


@pytest.fixture
def run_pytest(tmp_path: Path) -> Callable[..., subprocess.CompletedProcess[str]]:
    """Runs pytest on a test with our conftest, in a process and a folder of its own."""
    (tmp_path / "conftest.py").write_text((TESTS / "conftest.py").read_text())
    (tmp_path / "pytest.ini").write_text(f"[pytest]\npythonpath = {TESTS}\naddopts = -p no:cacheprovider -rs\n")

    def run(text: str, **environment: str) -> subprocess.CompletedProcess[str]:
        (tmp_path / "test_it.py").write_text(text)
        ours = {name: value for name, value in os.environ.items() if name != "CI"}
        environment = {**ours, "PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1", **environment}
        argv = [sys.executable, "-m", "pytest", "test_it.py"]
        return subprocess.run(argv, cwd=tmp_path, env=environment, capture_output=True, text=True, check=False)

    return run


# keys.py and logins.py


@pytest.mark.needs("ssh-keygen")
@pytest.mark.parametrize("kind", KINDS)
def test_keys_are_what_openssh_makes(tmp_path: Path, kind: str) -> None:
    """ssh-keygen opens our private keys, also those with a passphrase, and finds the same public half."""
    key = make_key(tmp_path / "key", kind, passphrase=b"secret")

    said = subprocess.check_output(["ssh-keygen", "-y", "-P", "secret", "-f", key.path], text=True)

    assert key.public == said.strip()
    assert 0o600 == key.path.stat().st_mode & 0o777


def test_known_hosts_names_ports(tmp_path: Path) -> None:
    """A port other than 22 stands in brackets."""
    path = known_hosts(tmp_path / "known_hosts", [("192.0.2.1", 22), ("192.0.2.2", 2222)], ["ssh-ed25519 AAAA"])

    assert "192.0.2.1 ssh-ed25519 AAAA\n[192.0.2.2]:2222 ssh-ed25519 AAAA\n" == path.read_text()


def test_ini_is_written(tmp_path: Path, login: Log) -> None:
    """collector.ini has a section for each machine, and no empty one."""
    with RawServer(says_nothing) as server:
        path = write_ini(tmp_path / "collector.ini", {"ssh0": login(server)}, interval="1s")

    parser = configparser.ConfigParser()
    parser.read(path)
    assert ["collector", "ssh0"] == parser.sections()
    assert str(server.address[1]) == parser["ssh0"]["port"]
    assert server.address[0] in Path(parser["ssh0"]["known_hosts"]).read_text()


# sshd.py


@pytest.mark.parametrize("user", [SH, BASH], ids=["sh", "bash"])
def test_users_log_in_with_their_shell(shared_sshd: Sshd, user: User) -> None:
    """The shared server's users exist for it, have the shell they are named for, and a home of their own."""
    said = shared_sshd.ssh("whoami; echo $0; cd && pwd; ls -A", user=user.name).split()

    assert [user.name, user.name, f"/run/home/{user.name}", ".ssh"] == said


def test_host_has_no_new_user(sshd: Start) -> None:
    """The accounts are seen by the server alone: the host's files, mounts and /run are as before."""
    before = (
        [path.read_bytes() for path in ACCOUNTS],
        Path("/proc/self/mounts").read_text(),
        os.path.exists("/run/sshd"),
    )
    server = sshd(users=[User("ghost")])

    assert "ghost\n" == server.ssh("whoami", user="ghost")
    assert before == (
        [path.read_bytes() for path in ACCOUNTS],
        Path("/proc/self/mounts").read_text(),
        os.path.exists("/run/sshd"),
    )


def test_server_ends_with_all_it_started(sshd: Start) -> None:
    """Nothing is left after stop(), not even what a session left in the background."""
    server = sshd()
    server.ssh("setsid sleep 1000 >/dev/null 2>&1 </dev/null &")
    pids = [server.pid, *server.pids]
    assert len(pids) > 1

    server.stop()

    assert not any(alive(pid) for pid in pids)


@pytest.mark.needs("root", "namespaces", "setpriv", "sshd", "ssh")
def test_server_ends_when_the_test_is_killed(tmp_path: Path) -> None:
    """A test process that gets a SIGKILL leaves no sshd behind."""
    program = (
        "import sys, time; from pathlib import Path; from rig.keys import *; from rig.sshd import *\n"
        "with Sshd(Path(sys.argv[1]), [make_key(Path(sys.argv[1]) / 'key')]) as server:\n"
        "    server.ssh('setsid sleep 1000 >/dev/null 2>&1 </dev/null &')\n"
        "    print(server.pid, flush=True); time.sleep(1000)"
    )
    argv = [sys.executable, "-c", program, str(tmp_path)]
    with subprocess.Popen(argv, stdout=subprocess.PIPE, env={**os.environ, "PYTHONPATH": str(TESTS)}) as test:
        assert test.stdout is not None
        pid = int(test.stdout.readline())
        pids = [pid, *companions(pid)]
        test.kill()

    until(lambda: not any(alive(pid) for pid in pids), "sshd and its sessions are gone")
    assert len(pids) > 1


def test_many_addresses(sshd: Start) -> None:
    """One server is a hundred machines, each with its line in known_hosts, and is not seen from outside loopback."""
    server = sshd(addresses=loopback(100))
    logins = server.logins("bash")

    assert 100 == len({login["host"] for login in logins.values()})
    assert "sh\n" == server.ssh("whoami", address=logins["ssh99"]["host"])
    assert "rdomain lo" in server.log


def test_killed_sessions(sshd: Start) -> None:
    """kill_sessions() ends the logins and leaves the server."""
    server = sshd()
    with socket.create_connection(server.address) as connection:
        assert connection.recv(8).startswith(b"SSH-2.0-")
        until(lambda: len(server.sessions) == 1, "there is a session")

        server.kill_sessions()

        assert not server.sessions
    assert "sh\n" == server.ssh("whoami")


def test_frozen_server(sshd: Start) -> None:
    """A frozen server takes connections, says nothing, and goes on when it is thawed."""
    server = sshd()
    server.freeze()
    with socket.create_connection(server.address) as connection:
        assert "T" == state(server.pid)
        server.thaw()
        assert connection.recv(8).startswith(b"SSH-2.0-")


def test_restarted_server(sshd: Start) -> None:
    """After stop() and start() it is the same server, on the same port, with the same key."""
    server = sshd()
    server.stop()
    with pytest.raises(ConnectionRefusedError):
        socket.create_connection(server.address)

    server.start()

    assert "sh\n" == server.ssh("whoami")


def test_options_replace_settings(sshd: Start) -> None:
    """What the test says holds instead of the rig's setting: with MaxStartups 1 a second client is sent away."""
    server = sshd(MaxStartups="1:100:1")
    with socket.create_connection(server.address) as holder:
        assert holder.recv(8).startswith(b"SSH-2.0-")
        with socket.create_connection(server.address) as second:
            assert not received(second).startswith(b"SSH-2.0-")

    assert "MaxStartups" in server.log


def test_match_block(sshd: Start) -> None:
    """A Match block comes last, and a forced command reads what is in a user's home."""
    server = sshd(
        users=[SH, User("forced", files={"program.sh": "echo forced, not $SSH_ORIGINAL_COMMAND"})],
        match="Match User forced\n  ForceCommand /bin/sh /run/home/forced/program.sh",
    )

    assert ("asked\n", "forced, not echo asked\n") == (
        server.ssh("echo asked"),
        server.ssh("echo asked", user="forced"),
    )


@pytest.mark.parametrize(
    "user",
    [
        User("bad", shell="/usr/sbin/nologin"),
        User("bad", shell="/bin/false"),
        User("bad", shell="/no/such/shell"),
        User("bad", locked=True),
        User("bad", expired=True),
    ],
    ids=["nologin", "false", "no shell", "locked", "expired"],
)
def test_users_that_get_nowhere(sshd: Start, user: User) -> None:
    """An account without a usable shell, a locked and an expired one run no command."""
    with pytest.raises(subprocess.CalledProcessError) as error:
        sshd(users=[user]).ssh("echo here", user="bad")

    assert "here" not in error.value.stdout


def test_noisy_start_file(sshd: Start) -> None:
    """A user's own start file is read, and may be written during the test."""
    server = sshd(users=[User("bash", "/bin/bash", files={".bashrc": "echo noise"})])
    assert "noise\nquiet\n" == server.ssh("echo quiet", user="bash")

    own_file(server.home("bash") / ".bashrc", "echo other")
    own_file(server.home("bash") / "a" / "b", "text")

    assert "other\ntext" == server.ssh("cat a/b", user="bash")


def test_key_is_taken_away(sshd: Start) -> None:
    """authorized_keys is read at each login."""
    server = sshd()
    assert "sh\n" == server.ssh("whoami")

    server.authorized_keys("sh").write_text("")

    with pytest.raises(subprocess.CalledProcessError):
        server.ssh("whoami")


def test_machine_without_a_program(sshd: Start) -> None:
    """A program that the machine shall not have is nowhere there, and still on the host."""
    server = sshd(without=["bash", "date"])

    assert "gone\n" == server.ssh("command -v bash date || { [ -e /bin/bash ] || echo gone; }")
    assert Path("/bin/bash").exists()


@pytest.mark.needs("busybox")
def test_machine_with_other_programs(sshd: Start) -> None:
    """The machine's sh and date can be BusyBox."""
    server = sshd(without=["bash"], over={"/bin/sh": "/bin/busybox", "/bin/date": "/bin/busybox"})

    assert 2 == server.ssh("date --help 2>&1; /bin/sh --help 2>&1").count("BusyBox")


def test_machine_with_other_files(sshd: Start, tmp_path: Path) -> None:
    """A file of the machine can be any other, below /proc too."""
    tmp_path.joinpath("meminfo").write_text("MemTotal: 1 kB\n")
    server = sshd(over={"/proc/meminfo": tmp_path / "meminfo"})

    assert "MemTotal: 1 kB\n" == server.ssh("cat /proc/meminfo")


def test_environment_of_sessions(sshd: Start) -> None:
    """Sessions can be given an environment that is not the client's."""
    server = sshd(SetEnv="TMOUT=1 LC_ALL=de_DE.UTF-8")

    assert "1 de_DE.UTF-8\n" == server.ssh("echo $TMOUT $LC_ALL")


def test_bad_option_is_reported(sshd: Start) -> None:
    """A server that does not start says why."""
    with pytest.raises(RuntimeError, match="Bad configuration option: NoSuchOption"):
        sshd(NoSuchOption="yes")


# servers.py


@pytest.mark.parametrize("name", BEHAVIOURS)
def test_raw_server_ends(name: str) -> None:
    """Whatever a server is about to say, it ends when the test does, and nothing dies of it."""
    with RawServer(BEHAVIOURS[name]) as server, connected(server) as client, suppress(OSError):
        until(lambda: server.connections == 1, "it took the connection")
        client.sendall(BANNER)
        client.settimeout(0.02)
        received(client, 100_000)


def test_what_raw_servers_send() -> None:
    """The bytes are those of the state, and closing is not resetting."""
    with RawServer(BEHAVIOURS["SSH 1.5"]) as server, connected(server) as client:
        assert b"SSH-1.5-Old\r\n" == client.recv(100)
    with RawServer(BEHAVIOURS["throttles"]) as server, connected(server) as client:
        assert b"Not allowed at this time\r\n" == received(client)
    with RawServer(BEHAVIOURS["closes"]) as server, connected(server) as client:
        assert b"" == received(client)
    with RawServer(BEHAVIOURS["resets"]) as server, pytest.raises(ConnectionResetError), connected(server) as client:
        received(client)
    with RawServer(preamble(1_000_000)) as server, connected(server) as client:
        assert received(client, 1_000_000 + len(BANNER)).endswith(b"\r\n" + BANNER)
    with RawServer(drips(b"SSH")) as server, connected(server) as client:
        assert [b"S", b"S", b"H"] == [client.recv(100) for _ in range(3)]


def test_packets_are_well_formed() -> None:
    """The length of a packet is what it says, a multiple of the block, with padding enough (RFC 4253 §6)."""
    for payload in (b"", b"x", b"x" * 7, b"x" * 8, b"x" * 1000):
        data = packet(payload)
        assert (0, len(data) - 4) == (len(data) % 8, int.from_bytes(data[:4], "big"))
        assert 4 <= data[4] < 12


def test_kexinit_is_understood() -> None:
    """A client takes our KEXINIT for one, and answers with its half of the exchange."""
    answers: list[bytes] = []

    def listens(connection: socket.socket) -> None:
        while chunk := connection.recv(65536):
            answers.append(chunk)

    with RawServer(says(BANNER, kexinit(), then=listens)) as server, connected(server) as client:
        session = paramiko.Transport(client)
        session.start_client(event=(event := threading.Event()))
        until(lambda: b"\x1e\x00\x00\x00\x20" in b"".join(answers), "the client sends KEX_ECDH_INIT")
        assert not event.is_set()
        session.close()


# scripted.py


def test_scripted_server_runs_a_real_shell(login: Log) -> None:
    """With `shell()` it is an ordinary server."""
    with SshServer(shell()) as server:
        assert b"hello\n" == run(login(server))
        assert ([b"echo hello"], 1, 1) == (server.commands, server.connections, server.logins)


@pytest.mark.needs("ssh")
def test_scripted_server_is_known_to_openssh(login: Log) -> None:
    """The ssh program can use it too."""
    with SshServer(shell()) as server:
        machine = login(server)
        options = [f"-oUserKnownHostsFile={machine['known_hosts'][0]}", "-oBatchMode=yes", "-oIdentityAgent=none"]
        place = ["-i", str(machine["key_file"]), "-p", str(machine["port"]), f"sh@{machine['host']}"]
        argv = ["ssh", "-F", "none", *options, *place, "cat; exit 0"]

        assert b"through\n" == subprocess.check_output(argv, input=b"through\n")


@pytest.mark.parametrize("stage", STALLS)
def test_scripted_server_stalls(login: Log, stage: str) -> None:
    """It falls silent where it is told to, and the client waits there for ever."""
    with SshServer(shell(), stall=stage) as server:
        client = gevent.spawn(_try, run, login(server))
        server.stalled.wait()
        assert not client.ready()
        assert (0 if stage in ("kex", "kex reply", "newkeys", "service") else 1) == server.logins
        assert (1 if stage == "exec" else 0) == len(server.commands)
        server.hang_up()
        client.join()


@pytest.mark.parametrize(
    ("refusal", "error"),
    [
        ("auth", paramiko.AuthenticationException),
        ("channel", paramiko.ChannelException),
        ("exec", paramiko.SSHException),
    ],
)
def test_scripted_server_refuses(login: Log, refusal: str, error: type[Exception]) -> None:
    """It refuses what it is told to."""
    with SshServer(shell(), refuse=refusal) as server, pytest.raises(error):
        run(login(server))


def test_scripts(login: Log) -> None:
    """Scripts say what they are told, and end the channel."""
    with SshServer(scripted.says(b"garbage\0", then=scripted.exits(3))) as server:
        assert b"garbage\0" == run(login(server))
    with SshServer(scripted.drips(b"abc", every=0.001)) as server:
        assert b"abc" == run(login(server))
    with SshServer(scripted.sends_eof) as server:
        assert b"" == run(login(server))


def test_flood_does_not_end(login: Log) -> None:
    """An endless output goes on as long as the client takes it, window after window."""
    with SshServer(scripted.floods()) as server, Proxy(server) as proxy:
        client = gevent.spawn(_try, run, login(proxy))
        until(lambda: proxy.down.bytes > 3_000_000, "3 MB have come")
        assert not client.ready()
        proxy.hang_up()
        client.join()


def test_output_is_altered(login: Log) -> None:
    """`alter` sees the command's output as it comes, and the client sees what it makes of it."""

    def half(chunks: Iterator[bytes]) -> Iterator[bytes]:
        yield next(chunks)[:3]

    with SshServer(shell(half)) as server:
        assert b"hel" == run(login(server), "echo hello; sleep 1000")


def test_shell_ends_with_what_it_started(login: Log) -> None:
    """When `alter` has enough, the command's own children go too."""

    def first(chunks: Iterator[bytes]) -> Iterator[bytes]:
        yield next(chunks)

    with SshServer(shell(first)) as server:
        pid = int(run(login(server), "sleep 1000 >/dev/null & echo $!; wait"))

    until(lambda: not alive(pid), "the command's child is gone")


@pytest.mark.parametrize("options", [{}, {"stall": "kex"}, {"stall": "exec"}, {"refuse": "auth"}], ids=str)
def test_servers_leave_nothing(login: Log, options: dict[str, Any]) -> None:
    """After its `with` a server has no greenlet and no descriptor left, wherever its clients stood."""
    _visit(login, options)  # What is made once for all is not left behind.
    before = _held()

    _visit(login, options)

    until(lambda: _held() == before, "descriptors and greenlets are as before")


def _visit(login: Log, options: dict[str, Any]) -> None:
    """A client of a scripted server behind a proxy, at the end of what it can reach or in the middle of it."""
    with SshServer(shell(), **options) as server, Proxy(server) as proxy:
        client = gevent.spawn(_try, run, login(proxy))
        until(lambda: server.stalled.is_set() or client.ready(), "the client is as far as it gets")
        server.hang_up()
        client.join()


def _held() -> tuple[int, int]:
    """Open descriptors, and greenlets that are not dead."""
    gc.collect()
    greenlets = [thing for thing in gc.get_objects() if isinstance(thing, gevent.Greenlet) and not thing.dead]
    return len(os.listdir("/proc/self/fd")), len(greenlets)


def _try(call: Callable[..., object], *arguments: object) -> None:
    """Run something whose failure is not the point."""
    with suppress(paramiko.SSHException, EOFError, OSError):
        call(*arguments)


# proxy.py


@pytest.fixture
def echo() -> Iterator[RawServer]:
    """A server that sends back what it gets."""

    def echoes(connection: socket.socket) -> None:
        while chunk := connection.recv(65536):
            connection.sendall(chunk)

    with RawServer(echoes) as server:
        yield server


def test_proxy_carries_a_login(shared_sshd: Sshd, login: Log) -> None:
    """SSH works through the proxy, with the server's own host key."""
    with Proxy(shared_sshd) as proxy:
        assert b"hello\n" == run(login(proxy))
        assert 1 == proxy.connections
        until(lambda: proxy.open == 0, "the connection has ended")
        assert min(proxy.up.bytes, proxy.down.bytes) > 1000


def test_proxy_delays_each_way(echo: RawServer) -> None:
    """A round trip takes the two delays."""
    with Proxy(echo) as proxy, connected(proxy) as client:
        proxy.up.delay, proxy.down.delay = 0.1, 0.05
        begin = time.monotonic()
        client.sendall(b"x")
        received(client, 1)

        assert time.monotonic() - begin >= 0.15


def test_proxy_narrows(echo: RawServer) -> None:
    """A limited rate gives a byte at a time."""
    with Proxy(echo) as proxy, connected(proxy) as client:
        proxy.down.rate = 50
        client.sendall(b"abc")

        assert [b"a", b"b", b"c"] == [client.recv(100) for _ in range(3)]


def test_proxy_blackhole(echo: RawServer) -> None:
    """Nothing comes through a black hole, nothing is lost in it, and new connections are taken."""
    with Proxy(echo) as proxy, connected(proxy) as client:
        client.sendall(b"before")
        assert b"before" == received(client, 6)
        proxy.blackhole()
        client.sendall(b"during")
        with connected(proxy):
            until(lambda: proxy.connections == 2, "a second connection is taken")
        client.settimeout(0.05)
        with pytest.raises(TimeoutError):
            client.recv(100)
        client.settimeout(None)

        proxy.restore()

        assert b"during" == received(client, 6)


def test_proxy_stops_reading(echo: RawServer) -> None:
    """A way that is held fills up, so that the sender can send no more."""
    with Proxy(echo) as proxy, connected(proxy) as client:
        proxy.up.hold()
        client.settimeout(0.2)

        with pytest.raises(TimeoutError):
            client.sendall(b"x" * 100_000_000)


@pytest.mark.parametrize("at", [0, 1, 5, 9, 10])
def test_proxy_cuts(echo: RawServer, at: int) -> None:
    """The connection ends when so many bytes have gone, whatever pieces they come in."""
    with Proxy(echo) as proxy:
        proxy.down.strike = Strike("cut", byte=at)
        with connected(proxy) as client:
            with suppress(OSError):  # With nothing allowed through it may have ended already.
                client.sendall(b"0123456789")
            assert b"0123456789"[:at] == received(client)


def test_proxy_cuts_by_reset(echo: RawServer) -> None:
    """A cut can be an RST."""
    with Proxy(echo) as proxy:
        proxy.up.strike = Strike("reset", byte=3)
        with connected(proxy) as client:
            client.sendall(b"0123456789")
            with pytest.raises(ConnectionResetError):
                received(client)


def test_proxy_holds(echo: RawServer) -> None:
    """A connection can be held after so many bytes; the rest never comes, and the client ends it as any other."""
    with Proxy(echo) as proxy:
        proxy.down.strike = Strike("hold", byte=3)
        with connected(proxy) as client:
            client.sendall(b"0123456789")
            assert b"012" == received(client, 3)
            client.settimeout(0.2)
            with pytest.raises(TimeoutError):
                client.recv(1)
        until(lambda: proxy.open == 0, "the connection has ended")


def test_proxy_corrupts(echo: RawServer) -> None:
    """One bit of one byte can be another one, in whatever piece it comes."""
    with Proxy(echo) as proxy:
        proxy.down.strike = Strike("corrupt", byte=3, bit=2)
        with connected(proxy) as client:
            client.sendall(b"0123456789")
            assert b"0127456789" == received(client, 10)


@pytest.mark.parametrize("sizes", [[1 << 16], [1], [7, 3, 1]], ids=str)
def test_packets_are_found(sizes: list[int]) -> None:
    """Where packets begin is known as soon as it can be: after the banner, and with the tags that come with keys."""
    clear = [packet(b"\x14" + bytes(40)), packet(bytes([NEWKEYS]))]
    sealed = [struct.pack(">I", size) + os.urandom(size + TAG) for size in (16, 64)]
    before = b"a greeting\r\nSSH-2.0-Raw\r\n"
    stream, place = b"".join([before, *clear, *sealed]), Place()

    for size in itertools.cycle(sizes):
        chunk, stream = stream[:size], stream[size:]
        place.look(chunk)
        if not stream:
            break

    lengths = [len(before), *map(len, [*clear, *sealed])]
    starts = [place.of(Strike("cut", packet=number)) for number in range(6)]
    assert [*itertools.accumulate(lengths), None] == starts


def test_proxy_strikes_at_a_packet(shared_sshd: Sshd, login: Log) -> None:
    """A login can be struck at a packet: the fourth of the server's is the first after its new keys."""
    with Proxy(shared_sshd) as proxy:
        proxy.down.strike = Strike("cut", packet=3)
        with pytest.raises((EOFError, OSError, paramiko.SSHException)):
            run(login(proxy))
        before = proxy.down.bytes
        proxy.down.strike = Strike("cut", packet=3, byte=4)
        with pytest.raises((EOFError, OSError, paramiko.SSHException)):
            run(login(proxy))
        assert proxy.down.bytes == 2 * before + 4


def test_proxy_ends_connections(echo: RawServer) -> None:
    """hang_up() is an end for the client, reset() an error; either leaves the proxy in place."""
    with Proxy(echo) as proxy:
        with connected(proxy) as client:
            until(lambda: proxy.open == 1, "it is open")
            proxy.hang_up()
            assert b"" == received(client)
        with connected(proxy) as client:
            until(lambda: proxy.open == 1, "it is open")
            proxy.reset()
            with pytest.raises(ConnectionResetError):
                received(client)
        assert (2, 0) == (proxy.connections, proxy.open)


def test_proxy_passes_a_half_close(echo: RawServer) -> None:
    """An end of one way leaves the other, until that has ended too."""
    with Proxy(echo) as proxy, connected(proxy) as client:
        client.sendall(b"last")
        client.shutdown(socket.SHUT_WR)

        assert b"last" == received(client)


def test_proxy_without_server() -> None:
    """A target that refuses is a connection that is reset."""
    with RawServer(says_nothing) as server:
        address = server.address
    with Proxy(address) as proxy, pytest.raises(ConnectionResetError), connected(proxy) as client:
        received(client)


# link.py


@pytest.mark.needs("root", "namespaces", "tun", "nsenter", "ip")
def test_link_is_late_and_reaches_a_server(sshd: Start) -> None:
    """Six machines at the far end are reached from the near one, after the delay."""
    with Link(delay=0.02) as (near, far):
        server = sshd(within=far, addresses=far.addresses(6))
        begin = time.monotonic()

        assert "sh\n" == server.ssh("whoami", address=server.addresses[5], within=near)
        assert time.monotonic() - begin >= 0.1
        with near.entered(), socket.create_connection(server.address) as connection:
            assert connection.recv(8).startswith(b"SSH-2.0-")


@pytest.mark.needs("root", "namespaces", "tun", "ip")
def test_link_changes_and_leaves_nothing() -> None:
    """A line that loses everything is dead until it is mended; afterwards there is no namespace."""
    with Link() as link:
        near, far = link
        with far.entered():
            listener = socket.create_server((far.address, 0))
        with near.entered():
            client = socket.create_connection(listener.getsockname())
        with listener, client, listener.accept()[0] as server:
            link.change(loss=1.0)
            client.sendall(b"x")
            server.settimeout(0.1)
            with pytest.raises(TimeoutError):
                server.recv(1)
            link.change(loss=0.0)
            server.settimeout(None)
            assert b"x" == server.recv(1)
            assert os.stat(near.path).st_ino != os.stat("/proc/self/ns/net").st_ino

    assert not os.path.exists(near.path)


@pytest.mark.needs("root", "namespaces", "tun", "ip")
def test_link_ends_when_the_test_is_killed() -> None:
    """A test process that gets a SIGKILL leaves no line behind."""
    program = (
        "import time; from rig.link import Link\n"
        "with Link() as link: print(link.near.path.split('/')[2], flush=True); time.sleep(1000)"
    )
    with subprocess.Popen(
        [sys.executable, "-c", program], stdout=subprocess.PIPE, env={**os.environ, "PYTHONPATH": str(TESTS)}
    ) as test:
        assert test.stdout is not None
        pid = int(test.stdout.readline())
        assert alive(pid)
        test.send_signal(signal.SIGKILL)

    until(lambda: not alive(pid), "the line is gone")
