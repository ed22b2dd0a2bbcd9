"""`collector trust`: the one thing that ever adds a host key, and only one that somebody has compared."""

import os
import re
import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import gevent
import gevent.os
import paramiko
import pytest
from rig.keys import Key, host_name, known_hosts, make_key
from rig.logins import Login, write_ini
from rig.proxy import Proxy
from rig.scripted import SshServer, shell
from rig.servers import RawServer, closes, says_nothing
from rig.sshd import Sshd
from rig.wait import until

from collector import atomic
from collector.config import Hop, Machine
from collector.errors import ConfigError
from collector.polling import man
from collector.ssh.connector import Connector
from collector.ssh.identities import Identities
from collector.ssh.known_hosts import Index, fingerprint
from collector.sweep import visit
from collector.trust import read_vouched, stages

Prints = list[str]


def prints(*publics: str) -> Prints:
    """The fingerprints of public keys."""
    return [fingerprint(paramiko.pkey.PublicBlob.from_string(public).key_blob) for public in publics]


def trust(ini: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    """Run the command without a terminal."""
    argv = [sys.executable, "-m", "collector", "trust", "--config", str(ini), *arguments]
    return subprocess.run(argv, stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False)


@pytest.fixture
def ini(tmp_path: Path, key: Key) -> Callable[..., Path]:
    """`ini(web1=server, …)`: a configuration whose known_hosts is not there yet."""

    def ini(**servers: SshServer | Sshd | RawServer | Proxy) -> Path:
        shared = {"user": "sh", "key_file": key.path, "known_hosts": tmp_path / "known_hosts"}
        sections = {name: {"host": server.address[0], "port": server.address[1]} for name, server in servers.items()}
        return write_ini(tmp_path / "collector.ini", sections, defaults=shared, login_timeout="5s")

    return ini


def test_without_anybody_to_ask(ini: Callable[..., Path], tmp_path: Path) -> None:
    """Without a terminal and a list the keys are shown, nothing is added, and nothing of us is sent."""
    with SshServer() as server:
        done = trust(ini(web1=server))

        host, port = server.address
        assert 1 == done.returncode
        assert f"web1, {host} port {port}:\n  256 {prints(*server.publics)[0]} web1 (ECDSA)\n" in done.stdout
        assert "no --yes-from FILE" in done.stdout
        assert "0 known, 0 added, 1 not added" in done.stdout
        assert 0 == server.logins
    assert not (tmp_path / "known_hosts").exists()


def test_yes_from(ini: Callable[..., Path], tmp_path: Path) -> None:
    """Only keys whose fingerprints somebody has written down are added, and then the machines are known."""
    names = ("any", "named", "listed", "other", "nobody")
    with SshServer() as a, SshServer() as b, SshServer() as c, SshServer() as d, SshServer() as e:
        servers = dict(zip(names, (a, b, c, d, e), strict=True))
        shown = {name: prints(*server.publics)[0] for name, server in servers.items()}
        (tmp_path / "vouched").write_text(
            f"# what the consoles said\n\n{shown['any']} a comment\nnamed {shown['named']}\n"
            f"256 {shown['listed']} root@listed (ECDSA)\nsomebody {shown['other']}\n"
        )
        path = ini(**servers)
        done = trust(path, "--yes-from", str(tmp_path / "vouched"))

        assert 1 == done.returncode
        assert "0 known, 3 added, 2 not added" in done.stdout
        assert 2 == done.stdout.count("nobody vouches for it")
        index = Index(path, (tmp_path / "known_hosts").read_bytes())
        known = {name for name, server in servers.items() if index.of(host_name(*server.address))}
        assert {"any", "named", "listed"} == known

        again = trust(path, "any", "named", "listed")
        assert (0, "3 known, 0 added, 0 not added\n") == (again.returncode, again.stdout)


def test_changed_and_revoked_keys_are_never_replaced(ini: Callable[..., Path], tmp_path: Path) -> None:
    """A machine that shows another key than the known one, or a revoked one, is reported; the file is not touched."""
    with SshServer() as changed, SshServer() as revoked, RawServer(closes) as broken:
        path = ini(changed=changed, revoked=revoked, broken=broken)
        other = make_key(tmp_path / "other").public
        file = known_hosts(tmp_path / "known_hosts", [changed.address], [other])
        file.write_text(file.read_text() + f"@revoked * {revoked.publics[0]}\n")
        before = file.read_bytes()
        vouched = tmp_path / "vouched"
        vouched.write_text("".join(f"{print_}\n" for print_ in prints(*changed.publics, *revoked.publics)))
        done = trust(path, "--yes-from", str(vouched))

    assert 1 == done.returncode
    assert ["host_key_changed", "host_key_revoked", "banner"] == re.findall(r"^  (\w+): ", done.stdout, re.MULTILINE)
    assert "0 known, 0 added, 3 not added" in done.stdout
    assert before == file.read_bytes()


@pytest.mark.parametrize("answer", ["y", "n", ""])
def test_asking(answer: str, ini: Callable[..., Path], tmp_path: Path) -> None:
    """On a terminal each machine is asked about, and only yes is yes."""
    with SshServer() as server:
        argv = [sys.executable, "-m", "collector", "trust", "--config", str(ini(web1=server))]
        ours, theirs = os.openpty()
        with subprocess.Popen(argv, stdin=theirs, stdout=theirs, stderr=theirs, close_fds=True) as process:
            os.close(theirs)
            said = b""
            while b"[y/N]" not in said:
                said += gevent.os.tp_read(ours, 4096)
            os.write(ours, f"{answer}\n".encode())
            code = process.wait()
        os.close(ours)

    file = tmp_path / "known_hosts"
    assert f"Add the key of web1 to {file}?" in said.decode()
    assert (answer != "y") == code
    assert (answer == "y") == file.exists()


@pytest.mark.needs("ssh-keygen", "root", "namespaces", "sshd")
def test_a_real_server(sshd: Callable[..., Sshd], ini: Callable[..., Path], tmp_path: Path) -> None:
    """All keys of a real server are added, as ssh-keygen -l prints them, and ssh itself then finds them good."""
    server = sshd(host_keys=["ed25519", "ecdsa", "rsa"])
    listed = tmp_path / "listed"
    with listed.open("w") as file:
        for key in server.host_keys:
            subprocess.run(["ssh-keygen", "-l", "-f", key.path], stdout=file, check=True)
    path = ini(web1=server)
    done = trust(path, "--yes-from", str(listed))

    theirs = [tuple(line.split()[:2]) for line in listed.read_text().splitlines()]
    assert theirs == re.findall(r"^  (\d+) (SHA256:\S+) web1 ", done.stdout, re.MULTILINE)
    assert 0 == done.returncode
    known = tmp_path / "known_hosts"
    assert sorted(server.known_hosts.read_text().split()) == sorted(known.read_text().split())
    assert "Accepted" not in server.log


def test_a_file_is_replaced_as_a_whole(ini: Callable[..., Path], tmp_path: Path) -> None:
    """What was in the file stays, a missing last newline included; so do its mode, and the link that leads to it."""
    file, link = tmp_path / "real", tmp_path / "known_hosts"
    file.write_text("# mine\nweb9 not a key")
    file.chmod(0o640)
    link.symlink_to(file)
    with SshServer() as server:
        (tmp_path / "vouched").write_text(prints(*server.publics)[0])
        done = trust(ini(web1=server), "--yes-from", str(tmp_path / "vouched"))
        line = f"{host_name(*server.address)} {server.publics[0]}\n"

    assert 0 == done.returncode
    assert link.is_symlink()
    assert f"# mine\nweb9 not a key\n{line}" == file.read_text()
    assert 0o640 == file.stat().st_mode & 0o777
    assert [] == [path for path in tmp_path.iterdir() if path.name.startswith(".")]


def test_a_folder_in_the_way(ini: Callable[..., Path], tmp_path: Path) -> None:
    """What cannot be replaced is left as it is, and said."""
    (tmp_path / "known_hosts").mkdir()
    with SshServer() as server:
        done = trust(ini(web1=server))
    assert 1 == done.returncode
    assert "Is a directory" in done.stdout
    with pytest.raises(OSError, match="no regular file"):
        atomic.replace(tmp_path / "known_hosts", b"")
    assert [] == [path for path in tmp_path.iterdir() if path.name.startswith(".")]


def test_two_at_once_lose_nothing(ini: Callable[..., Path], tmp_path: Path) -> None:
    """Two that add keys to the same file at the same time both succeed."""
    with SshServer() as one, SshServer() as other:
        path = ini(one=one, other=other)
        (tmp_path / "vouched").write_text("\n".join(prints(*one.publics, *other.publics)))
        jobs = [gevent.spawn(trust, path, name, "--yes-from", str(tmp_path / "vouched")) for name in ("one", "other")]
        done = [job.get() for job in jobs]

    assert [0, 0] == [each.returncode for each in done], "\n".join(each.stdout for each in done)
    assert 2 == len((tmp_path / "known_hosts").read_text().splitlines())


def test_vouched_lines(tmp_path: Path) -> None:
    """A line of a list is a fingerprint for any machine, or for the one it names; anything else is refused at once."""
    one, other = f"SHA256:{'a' * 43}", f"SHA256:{'b' * 43}"
    path = tmp_path / "vouched"
    path.write_text(f"web1 {one}\n256 {one}\n256 {other} no comment (ED25519)\nweb1 {other}\n")
    assert {one: {"web1", "256"}, other: frozenset()} == read_vouched(path)

    path.write_text(f"{one}\nnonsense\n256 MD5:16:27 x (RSA)\nweb1\n")
    with pytest.raises(ConfigError) as refused:
        read_vouched(path)
    assert [f"{path}:{line}: no fingerprint" for line in (2, 3, 4)] == [
        problem.partition(";")[0] for problem in refused.value.problems
    ]
    with pytest.raises(ConfigError, match="No such file"):
        read_vouched(tmp_path / "nowhere")


def test_jump_hosts_come_first(tmp_path: Path) -> None:
    """Hosts on the way are looked at before what is behind them, each once."""
    end = machine(host="192.0.2.1")
    inner, outer = (
        Hop(name=host, host=host, port=22, user="u", key_file=Path("k"), known_hosts=(Path("h"),), login_timeout=5.0)
        for host in ("192.0.2.2", "192.0.2.3")
    )
    one, other = replace(end, jumps=(outer, inner)), replace(end, host="192.0.2.4", jumps=(outer,))
    found = [[(host.host, [jump.host for jump in host.jumps]) for host in stage] for stage in stages([one, other])]

    assert [
        [("192.0.2.3", [])],
        [("192.0.2.2", ["192.0.2.3"]), ("192.0.2.4", ["192.0.2.3"])],
        [("192.0.2.1", ["192.0.2.3", "192.0.2.2"])],
    ] == found


def machine(**login: object) -> Machine:
    """A machine, polled each second."""
    plain = {"port": 22, "user": "u", "key_file": Path("k"), "known_hosts": (Path("h"),)}
    times = {"interval": 1.0, "interval_text": "1s", "timeout": 5.0, "login_timeout": 5.0}
    return Machine(**{"name": "ssh0", "gather": ("time",), "labels": (), **plain, **times, **login})  # type: ignore[arg-type]


def test_a_man_in_the_middle(login: Callable[..., Login]) -> None:
    """Whoever takes a machine's place between two polls is refused before anything of us is sent, until he is gone."""
    with SshServer(shell()) as server, SshServer(shell()) as villain, Proxy(server) as line:
        post = man(machine(**login(line)), Connector(Identities(), 1))
        assert visit(post).failure is None
        assert 1 == server.logins
        line.target = villain.address
        line.hang_up()
        until(lambda: not post.session.is_open, "the connection is gone")
        failure = visit(post).failure

        assert failure is not None
        assert "host_key_changed" == failure.reason
        assert (1, 0, []) == (villain.connections, villain.logins, villain.commands)
        assert post.pause.is_on
        assert float("inf") == post.pause.seconds

        line.target = server.address
        post.pause.release()
        assert visit(post).failure is None
        post.session.close()


def test_pinned_keys(login: Callable[..., Login], tmp_path: Path) -> None:
    """A machine with a pinned key needs no known_hosts; with another it is refused before anything of us is sent."""
    with SshServer(shell()) as server:
        there = {**login(server), "known_hosts": (tmp_path / "nowhere",)}
        reasons = []
        for pin in (prints(*server.publics)[0], f"SHA256:{'A' * 43}"):
            post = man(machine(**there, host_key=(pin,)), Connector(Identities(), 1))
            failure = visit(post).failure
            reasons.append(failure and failure.reason)
            post.session.close()

        assert [None, "host_key_changed"] == reasons
        assert 1 == server.logins


def test_a_server_that_stalls(ini: Callable[..., Path]) -> None:
    """One that never answers does not keep the others from being added."""
    with SshServer() as server, RawServer(says_nothing) as silent:
        done = trust(ini(web1=server, web2=silent))

    assert "web1 (ECDSA)" in done.stdout
    assert "banner: waited for an SSH banner" in done.stdout
