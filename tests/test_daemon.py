"""The daemon as a process: started, asked, reloaded by signal and by HTTP, stopped, and refused when it cannot run."""

import json
import re
import signal
import socket
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest
from rig.daemon import Daemon
from rig.logins import Login, write_ini
from rig.scripted import SshServer, shell
from rig.sshd import Sshd, loopback
from rig.wait import until

from collector import cli


@pytest.fixture
def start(tmp_path: Path) -> Iterator[Callable[..., Daemon]]:
    """`start("run", "--config", …)`: a daemon; it is killed at the end."""
    with ExitStack() as stack:
        yield lambda *arguments, **environment: stack.enter_context(Daemon(tmp_path / "log", *arguments, **environment))


def up(number: int) -> str:
    """The series that tells whether a machine is up."""
    return f'ssh_up{{instance="ssh{number}"}}'


def test_demo_shows_six_live_machines(start: Callable[..., Daemon]) -> None:
    """`collector demo` needs nothing, shows six machines up with their data, is ready, and ends with 0."""
    daemon = start("demo", "--listen", "127.0.0.1:0")

    until(lambda: daemon.get("/-/ready")[0] == 200, "it is ready")

    page = daemon.get("/metrics")[1]
    assert [line for line in page.splitlines() if line.startswith("ssh_up")] == [
        f"{up(number)} 1.0" for number in range(6)
    ]
    assert page.count("\nnode_time_seconds{") == 6
    assert page.count("\nnode_memory_MemTotal_bytes{") == 6
    assert page.count("\nnode_load1{") == 6
    assert "collector_build_info" in page
    assert "process_cpu_seconds_total" in page
    assert daemon.end(signal.SIGINT) == 0


def test_nobody_else_gets_into_the_demo(start: Callable[..., Daemon], tmp_path: Path) -> None:
    """The demo's server takes its own key only, and leaves nothing behind."""
    daemon = start("demo", "--machines", "1", "--listen", "127.0.0.1:0", TMPDIR=str(tmp_path))
    until(lambda: daemon.metric(up(0)) == 1.0, "it is up")
    (folder,) = tmp_path.glob("collector-demo-*")
    port = re.search(r"port = (\d+)", (folder / "collector.ini").read_text())
    assert port
    argv = ["ssh", "-F", "none", "-o", "BatchMode=yes", "-o", f"UserKnownHostsFile={folder}/known_hosts", "-p", port[1]]

    strange = subprocess.run([*argv, "demo@127.0.0.1", "id"], capture_output=True, text=True, check=False)
    own = subprocess.run(
        [*argv, "-i", str(folder / "key"), "demo@127.0.0.1", "id"], capture_output=True, text=True, check=False
    )

    assert folder.stat().st_mode & 0o077 == 0
    assert strange.returncode == own.returncode == 255
    assert "Permission denied (publickey)" in strange.stderr
    assert "uid" not in own.stdout
    assert daemon.end() == 0
    assert list(tmp_path.glob("collector-demo-*")) == []


@pytest.fixture
def machines(login: Callable[..., Login]) -> Iterator[list[Login]]:
    """Three machines, each a server of its own."""
    with ExitStack() as stack:
        yield [login(stack.enter_context(SshServer(shell()))) for _ in range(3)]


def written(tmp_path: Path, machines: list[Login], **collector: Any) -> Path:
    """A configuration of these machines, ssh0, ssh1, ..."""
    options = {"listen": "127.0.0.1:0", "interval": "500ms", **collector}
    sections = {f"ssh{number}": there for number, there in enumerate(machines)}
    return write_ini(tmp_path / "collector.ini", sections, **options)


def test_reload_by_signal(start: Callable[..., Daemon], tmp_path: Path, machines: list[Login]) -> None:
    """SIGHUP takes a new machine and leaves the others' logins alone; a bad file changes nothing, and says so."""
    ini = written(tmp_path, machines[:2])
    daemon = start("run", "--config", str(ini))
    until(lambda: daemon.metric(up(0)) == daemon.metric(up(1)) == 1.0, "two machines are up")

    written(tmp_path, machines)
    daemon.process.send_signal(signal.SIGHUP)
    until(lambda: daemon.metric(up(2)) == 1.0, "the third machine is up")
    good = ini.read_text()
    ini.write_text(good.replace("host", "hots", 1))
    daemon.process.send_signal(signal.SIGHUP)
    until(lambda: daemon.metric("collector_config_last_reload_successful") == 0.0, "the bad reload is told")

    assert [daemon.metric(f'ssh_logins_total{{instance="ssh{number}"}}') for number in range(3)] == [1.0, 1.0, 1.0]
    assert daemon.metric("collector_machines") == 3.0
    assert "did you mean host?" in daemon.log
    assert daemon.end() == 0


def test_reload_by_http(start: Callable[..., Daemon], tmp_path: Path, machines: list[Login]) -> None:
    """POST /-/reload does as SIGHUP where the configuration lets it, and answers with what is wrong."""
    ini = written(tmp_path, machines[:1], web_reload="yes")
    daemon = start("run", "--config", str(ini))
    until(lambda: daemon.metric(up(0)) == 1.0, "a machine is up")

    written(tmp_path, machines[:2], web_reload="yes")
    assert daemon.get("/-/reload", "POST")[0] == 200
    until(lambda: daemon.metric(up(1)) == 1.0, "another machine is up")
    ini.write_text("[x\n")
    status, text = daemon.get("/-/reload", "POST")

    assert 400 <= status < 500
    assert f"{ini}:1: " in text


def test_a_machine_that_goes_loses_its_series(
    start: Callable[..., Daemon], tmp_path: Path, login: Callable[..., Login]
) -> None:
    """When a machine fails its data series are gone from the next page, ssh_up is 0 and the reason is counted."""
    with SshServer(shell()) as server:
        daemon = start("run", "--config", str(written(tmp_path, [login(server)])))
        until(lambda: daemon.metric('node_load1{instance="ssh0"}') is not None, "it has data")

    until(lambda: daemon.metric(up(0)) == 0.0, "it is down")

    page = daemon.get("/metrics")[1]
    assert not [line for line in page.splitlines() if line.startswith("node_")]
    assert daemon.metric('ssh_poll_failures_total{instance="ssh0",reason="refused"}')
    assert daemon.metric('ssh_backoff_seconds{instance="ssh0"}')
    assert daemon.log.count("level=warning msg=down machine=ssh0 reason=refused") == 1
    assert daemon.get("/-/ready")[0] == 200


def test_known_hosts_while_it_runs(start: Callable[..., Daemon], tmp_path: Path, login: Callable[..., Login]) -> None:
    """A machine that is not in known_hosts is polled as soon as it is; a file that breaks is told."""
    with SshServer(shell()) as server:
        there = login(server)
        (file,) = there["known_hosts"]
        good = file.read_text()
        file.write_text("not a line\n")
        daemon = start("run", "--config", str(written(tmp_path, [there])))
        until(lambda: daemon.metric('ssh_backoff_seconds{instance="ssh0"}') == float("inf"), "it is left alone")
        assert daemon.metric(f'collector_known_hosts_bad_lines{{file="{file}"}}') == 1.0
        assert daemon.metric(f'collector_known_hosts_readable{{file="{file}"}}') == 1.0

        file.write_text(good)
        until(lambda: daemon.metric(up(0)) == 1.0, "it is up")
        file.write_text("")
        until(lambda: daemon.metric(f'collector_known_hosts_readable{{file="{file}"}}') == 0.0, "it is told")
        server.hang_up()
        until(lambda: daemon.metric('ssh_logins_total{instance="ssh0"}') == 2.0, "it is logged in to again")
        assert daemon.metric(f'collector_known_hosts_bad_lines{{file="{file}"}}') == 0.0
        assert daemon.metric(up(0)) == 1.0


def test_bad_configuration_is_exit_2(start: Callable[..., Daemon], tmp_path: Path) -> None:
    """A bad configuration is told with file and line, and is exit code 2."""
    (tmp_path / "collector.ini").write_text("[web1]\nhost = 192.0.2.1\nprot = 22\n")
    daemon = start("run", "--config", str(tmp_path / "collector.ini"))

    assert daemon.process.wait(20) == 2
    assert "collector.ini:3: [web1] prot: " in daemon.log
    assert "port" in daemon.log


def test_port_in_use_is_exit_1(start: Callable[..., Daemon]) -> None:
    """A port that somebody has is told in one line, and is exit code 1."""
    with socket.create_server(("127.0.0.1", 0)) as taken:
        daemon = start("demo", "--listen", f"127.0.0.1:{taken.getsockname()[1]}")

        assert daemon.process.wait(20) == 1
    assert "collector: cannot listen on 127.0.0.1:" in daemon.log
    assert "Address already in use" in daemon.log
    assert "Traceback" not in daemon.log


@pytest.fixture
def collector(tmp_path: Path) -> Callable[..., "subprocess.CompletedProcess[str]"]:
    """`collector("once", …)`: run a command to its end, in an empty folder."""

    def collector(*arguments: str) -> "subprocess.CompletedProcess[str]":
        argv = [sys.executable, "-m", "collector", *arguments]
        return subprocess.run(argv, capture_output=True, text=True, check=False, cwd=tmp_path, timeout=60)

    return collector


Run = Callable[..., "subprocess.CompletedProcess[str]"]


def test_once_table(collector: Run, tmp_path: Path, machines: list[Login]) -> None:
    """`once` prints a row a machine in the order of the file, without colours in a pipe, and the time it took."""
    written(tmp_path, [*machines, {**machines[0], "port": 1}])

    done = collector("once")

    lines = done.stdout.splitlines()
    assert done.returncode == 1
    assert [line.split()[0] for line in lines[:5]] == ["instance", "ssh0", "ssh1", "ssh2", "ssh3"]
    assert lines[1].split()[1] == "up"
    assert lines[4].split()[1] == "refused"
    assert "Connection refused" in lines[5]
    assert re.fullmatch(r"4 machines in \d+\.\d\d s \(one after another: \d+\.\d\d s\)", lines[-1])
    assert "\x1b" not in done.stdout
    assert done.stderr == ""


def test_once_json(collector: Run, tmp_path: Path, machines: list[Login]) -> None:
    """`once --format json` is one object with what the interface names, for the sections asked for."""
    written(tmp_path, machines)

    done = collector("once", "ssh1", "--format", "json", "--config", str(tmp_path / "collector.ini"))

    said = json.loads(done.stdout)
    (machine,) = said["machines"]
    assert done.returncode == 0
    assert sorted(said) == ["machines", "seconds", "sequential_seconds"]
    assert sorted(machine) == sorted(
        ["instance", "up", "reason", "text", "seconds", "clock_offset_seconds", "clock_offset_error_seconds", "series"]
    )
    assert (machine["instance"], machine["up"], machine["reason"]) == ("ssh1", True, None)
    assert {"name": "node_load1", "labels": {"instance": "ssh1"}}.items() <= {
        key: value for series in machine["series"] if series["name"] == "node_load1" for key, value in series.items()
    }.items()


def test_once_prometheus(collector: Run, tmp_path: Path, machines: list[Login]) -> None:
    """`once --format prometheus` is the machines' part of the page."""
    written(tmp_path, machines[:1])

    done = collector("once", "--format", "prometheus")

    assert 'ssh_up{instance="ssh0"} 1.0' in done.stdout.splitlines()
    assert "collector_build_info" not in done.stdout


def test_check(collector: Run, tmp_path: Path, machines: list[Login]) -> None:
    """`check` reads the configuration and contacts nobody; `--connect` shows how each login went."""
    written(tmp_path, [*machines[:1], {**machines[0], "port": 1}])

    read, connected = collector("check"), collector("check", "--connect")

    assert (read.returncode, connected.returncode) == (0, 1)
    assert "2 machines" in read.stdout
    rows = [line.split() for line in connected.stdout.splitlines()]
    assert rows[0][:3] == ["instance", "login", "host"]
    assert rows[1][0] == "ssh0"
    assert rows[1][-3:] == ["time", "memory", "load"]
    assert rows[2][:3] == ["ssh1", "refused", "-"]


def test_unknown_section(collector: Run, tmp_path: Path, machines: list[Login]) -> None:
    """A section that is not there is told with the nearest name."""
    written(tmp_path, machines[:1])

    done = collector("once", "shh0")

    assert done.returncode == 2
    assert "[shh0]" in done.stderr
    assert "did you mean ssh0?" in done.stderr


def test_no_configuration(collector: Run) -> None:
    """Without any configuration the places looked at are told."""
    done = collector("check")

    assert done.returncode == 2
    assert "/etc/collector/collector.ini" in done.stderr
    assert "Traceback" not in done.stderr


def test_version_and_help(collector: Run) -> None:
    """`--version` names the version, and every command has a help, which tells what the list of all does and more."""
    assert re.fullmatch(r"collector \d+\.\d+\.\d+\n", collector("--version").stdout)
    every = collector("--help").stdout
    for command, (text, _) in cli.COMMANDS.items():
        own = collector(command, "--help").stdout
        assert "--log-format" in own
        assert "Exit codes: 0 good" in own
        assert " ".join(own.split()).count(text[1:]) == " ".join(every.split()).count(text) == 1


def test_where_the_demo_cannot_listen(collector: Run) -> None:
    """What the demo is told that is no address is an error of its own argument, not of a file that it makes."""
    done = collector("demo", "--listen", "nowhere")

    assert done.returncode == 2
    assert "argument --listen: not an address and a port: 'nowhere'; write 127.0.0.1:9822" in done.stderr


def test_jump_hosts(start: Callable[..., Daemon], sshd: Callable[..., Sshd], tmp_path: Path) -> None:
    """The daemon shows the health of its jump hosts, and a reload that takes one away hangs up only there."""
    bastion, targets = sshd(), sshd(addresses=loopback(2))
    machines = targets.logins()

    def write(**first: str) -> Path:
        sections = {"bastion": bastion.login(), "ssh0": {**machines["ssh0"], **first}, "ssh1": machines["ssh1"]}
        return write_ini(tmp_path / "x.ini", sections, listen="127.0.0.1:0", interval="0.5s", jump_logins="2")

    daemon = start("run", "--config", str(write(jump="bastion")))
    until(lambda: daemon.metric("collector_machines_up") == 3, "all are up")
    said = {name: daemon.metric(f'ssh_jump_{name}{{jump="bastion"}}') for name in ("up", "machines", "logins_total")}
    assert {"up": 1.0, "machines": 1.0, "logins_total": 1.0} == said
    assert 2 == len(bastion.sessions)

    write()
    daemon.process.send_signal(signal.SIGHUP)

    until(lambda: daemon.metric('ssh_jump_up{jump="bastion"}') is None, "the jump host is gone")
    until(lambda: len(bastion.sessions) == 1, "its own session remains")
    until(lambda: daemon.metric("collector_machines_up") == 3, "all are up")
    logins = [daemon.metric(f'ssh_logins_total{{instance="{name}"}}') for name in ("bastion", "ssh0", "ssh1")]
    assert [1.0, 2.0, 1.0] == logins
    assert 0 == daemon.end()
