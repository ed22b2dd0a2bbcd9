"""`collector authorize`: with its line in authorized_keys a key answers polls, in every login shell, and no more."""

import hashlib
import logging
import re
import shlex
import socket
import subprocess
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack
from itertools import pairwise, product
from pathlib import Path
from typing import Any

import pytest
from rig.keys import KINDS, Key, make_key
from rig.logins import write_ini
from rig.matrix import Matrix
from rig.needs import program
from rig.others import SERVERS, Server
from rig.polls import GATHER, outcome, poll
from rig.shells import LOGIN_SHELLS, TABLES, give_ash, needed
from rig.sshd import Sshd, client_options
from rig.users import User
from rig.wait import until

from collector import authorize, cli, exposition, probe
from collector.errors import ConfigError
from collector.gather import GATHERERS

pytestmark = pytest.mark.needs("root", "namespaces", "setpriv", "unshare")

FILES = authorize.allowed(GATHER)

RESTRICTED = Matrix(TABLES, "restricted", tuple(LOGIN_SHELLS), ("OpenSSH", "dropbear", "asyncssh"))

Servers = Callable[[str], Server | Sshd]


@pytest.fixture(autouse=True)
def log_as_before() -> Iterator[None]:
    """Takes back how a command that runs here sets up the log: later tests count what is logged."""
    root = logging.getLogger()
    level = root.level
    yield
    root.setLevel(level)
    for handler in [handler for handler in root.handlers if type(handler) is logging.StreamHandler]:
        root.removeHandler(handler)


@pytest.fixture(scope="module")
def servers(tmp_path_factory: pytest.TempPathFactory, key: Key) -> Iterator[Servers]:
    """`servers("dropbear")`: a server with every login shell, which lets the key do nothing but answer polls."""
    started: dict[str, Server | Sshd] = {}
    with ExitStack() as stack:

        def start(name: str) -> Server | Sshd:
            if name not in started:
                server = make(name, tmp_path_factory.mktemp(name), key)
                for user in LOGIN_SHELLS.values():
                    restrict(server, user.name)
                stack.enter_context(server)
                started[name] = server
            return started[name]

        yield start


def make(name: str, folder: Path, key: Key) -> Server | Sshd:
    """A server with every login shell, and with sftp where that is the server's own."""
    options: dict[str, Any] = {"Subsystem": "sftp internal-sftp"} if name == "OpenSSH" else {}
    server = SERVERS[name](folder, [key], users=LOGIN_SHELLS.values(), **options)
    give_ash(server)
    return server


def restrict(server: Server | Sshd, user: str, old: str = "", new: str = "") -> None:
    """Put our line into authorized_keys, as it was when the collector had `new` where it has `old` now."""
    line = authorize.line(server.key.public, GATHER)
    assert old in line
    server.authorized_keys(user).write_text(line.replace(old, new) + "\n")


CELLS = [
    pytest.param(server, shell, marks=pytest.mark.needs(needed(shell)), id=f"{server}-{shell}")
    for shell, server in product(RESTRICTED.rows, RESTRICTED.columns)
]


@pytest.mark.parametrize(("server", "shell"), CELLS)
def test_polls(server: str, shell: str, servers: Servers, regen: bool) -> None:
    """Polls work as ever, whatever the login shell that the forced command goes through."""
    standing = poll(servers(server).login(LOGIN_SHELLS[shell].name))

    assert outcome(standing) == "up"
    assert standing.ready == probe.Ready("bash", "forced", probe.program(FILES).sha256, FILES)
    RESTRICTED.check(shell, server, outcome(standing), regen)


def test_no_cell_is_untested() -> None:
    """The table in the document has the cells that are tested, and no others."""
    assert list(RESTRICTED.cells()) == list(product(RESTRICTED.rows, RESTRICTED.columns))


REFUSED = {
    "a command": ["{to}", "id"],
    "a command with a terminal": ["-tt", "{to}", "id"],
    "our command, and more": ["{to}", "exec /bin/sh; id"],
    "scp": ["{to}", "scp -f /etc/passwd"],
    "a connection through it": ["-W", "127.0.0.1:{port}", "{to}"],
    "a port of its own": ["-N", "-o", "ExitOnForwardFailure=yes", "-R", "127.0.0.1:0:127.0.0.1:{port}", "{to}"],
}
"""Arguments of ssh that would do something if they could."""


@pytest.mark.needs("ssh", "dropbear")
@pytest.mark.parametrize("what", REFUSED)
@pytest.mark.parametrize("server", ["OpenSSH", "dropbear"])
def test_refused(server: str, what: str, servers: Servers) -> None:
    """The key runs no command, has no terminal, copies no file and forwards no port."""
    done = ssh(servers(server), REFUSED[what])

    assert done.returncode != 0
    assert done.stdout == ""
    assert re.search(
        r"the collector and for nothing else|request failed|forwarding failed|administratively prohibited",
        done.stderr,
    )


@pytest.mark.needs("ssh", "dropbear")
@pytest.mark.parametrize("server", ["OpenSSH", "dropbear"])
def test_no_sftp(server: str, servers: Servers) -> None:
    """What asks for sftp gets the probe, or nothing, and not a byte of an answer."""
    done = ssh(servers(server), ["-s", "{to}", "sftp"])

    assert done.returncode != 0
    assert done.stdout == ""


@pytest.mark.needs("ssh", "dropbear")
@pytest.mark.parametrize("server", ["OpenSSH", "dropbear"])
def test_the_same_is_allowed_without_the_line(server: str, tmp_path: Path, key: Key) -> None:
    """Without the restriction the same commands do what they say: what refuses them is our line."""
    with make(server, tmp_path, key) as there:
        assert "uid=" in ssh(there, REFUSED["a command"]).stdout
        assert "SSH-2.0-" in ssh(there, REFUSED["a connection through it"]).stdout
        assert through_local_port(there).startswith(b"SSH-2.0-")


@pytest.mark.needs("ssh", "dropbear")
@pytest.mark.parametrize("server", ["OpenSSH", "dropbear"])
def test_a_local_port_leads_nowhere(server: str, servers: Servers) -> None:
    """A port that ssh forwards from here (-L) is closed as soon as it is used."""
    assert through_local_port(servers(server)) == b""


def through_local_port(server: Server | Sshd) -> bytes:
    """What the server says to a port of its own that ssh forwards to ours."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        free = listener.getsockname()[1]
    argv = command(server, ["-N", "-L", f"127.0.0.1:{free}:127.0.0.1:{{port}}", "{to}"])
    with subprocess.Popen(argv, stdin=subprocess.DEVNULL) as process:
        try:
            client = until(lambda: connected(free), "ssh listens")
            assert client is not None
            with client:
                return client.recv(100)
        finally:
            process.kill()


def connected(port: int) -> socket.socket | None:
    """A connection to a port of this machine, if somebody listens there."""
    try:
        return socket.create_connection(("127.0.0.1", port))
    except ConnectionRefusedError:
        return None


HOSTILE = [
    "1; touch {file}",
    "1 $(touch {file})",
    "1 `touch {file}`",
    "1 /proc/loadavg;touch {file}",
    "1 /proc/loadavg >{file}",
    "1 >{file}",
    "touch {file}",
    ": collector-probe 0123456789abcdef; touch {file}",
    ": collector-probe $(touch {file})",
    "exec /bin/sh -c 'touch {file}'",
    "'; touch {file}; '",
    '"; touch {file}; "',
    "\\\n touch {file}",
    "$(touch {file}) $(touch {file})",
    "[ -n $(touch {file}) ]",
    "a[$(touch {file})] a[$(touch {file})]",
    "-gt -o -f",
    "\x01\x7f\xff\x1d\x1e",
    "x" * 100_000,
]
"""What else could be said to a probe."""

FORBIDDEN = [
    "/etc/passwd",
    "/proc/../etc/passwd",
    "/proc/loadavg/../../etc/passwd",
    "/proc/self/environ",
    "/proc/load*",
    "/proc/loadav?",
    "/proc/loadav[g]",
    "*",
    "!",
    "=",
    "(",
    "-f",
    "/proc/meminfo;",
    "/proc/load\\avg",
    "~/.ssh/authorized_keys",
]
"""Names that are none of the files that the line is for."""


@pytest.mark.needs("dash", "bash", "mksh", "ksh93", "yash", "zsh", "busybox")
@pytest.mark.parametrize("sh", ["dash", "bash", "mksh", "ksh93", "yash", "zsh --emulate sh", "busybox ash"])
@pytest.mark.parametrize("bash", [True, False], ids=["with bash", "without bash"])
def test_any_other_input_is_ignored(sh: str, bash: bool, tmp_path: Path) -> None:
    """Before the greeting and after it, whatever the shell: no command is run, no file written, no other file read."""
    token, file = probe.new_token(), tmp_path / "file"
    hostile = "".join(f"{line.format(file=file)}\n" for line in HOSTILE)
    asked = probe.ask(1, ["/proc/loadavg", *FORBIDDEN]).decode()
    said = f"{hostile}: collector-probe {token}\n{hostile}{asked}2\n"
    line = probe.forced_command(FILES).replace("exec /bin/sh -c", f"exec {sh} -c")
    if sh == "yash":
        # Ends at what is no text, which is good enough.
        said = said.replace("\xff", "")
    if not bash:
        line = line.replace("command -v bash", "false")
    (tmp_path / "empty").mkdir()

    done = subprocess.run(
        ["sh", "-c", line],
        input=said.encode("latin-1"),
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        cwd=tmp_path / "empty",
        check=True,
    )

    assert not file.exists()
    assert not list((tmp_path / "empty").iterdir())
    ready = probe.find_ready(done.stdout, token)
    assert ready is not None
    assert probe.read_ready(ready, probe.program()).files == FILES
    texts = probe.split(
        done.stdout[done.stdout.index(f"{token} 2 ".encode()) :], token, 2, ["/proc/loadavg", *FORBIDDEN]
    ).texts
    assert len(texts.pop("/proc/loadavg").split()) == 5
    assert set(texts.pop("clock")) <= set("0123456789.")
    assert set(texts.values()) == {""}


@pytest.mark.parametrize(
    "said", [b"", b"\n" * 100, b": collector-probe 0123\n", b": collector-probe zzzzzzzzzzzzzzzz\n"]
)
def test_no_greeting_no_word(said: bytes) -> None:
    """Without a greeting that carries a token the probe ends without a word, as a failure."""
    done = subprocess.run(["sh", "-c", probe.forced_command(FILES)], input=said, capture_output=True, check=False)

    assert (done.returncode, done.stdout, done.stderr) == (1, b"", b"")


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("gatherers", [GATHER, tuple(GATHERERS)], ids=["default", "all"])
def test_line(gatherers: tuple[str, ...], kind: str, tmp_path: Path) -> None:
    """The line fits every server and shell, and holds the digest of the program in it."""
    key = make_key(tmp_path / "key", kind)

    line = authorize.line(key.public, gatherers)

    match = re.fullmatch(r"restrict,command=\"([^\"]*)\" (\S+ \S+) collector", line)
    assert match is not None
    assert match[2] == key.public
    assert len(line) <= (authorize.EVERYBODY if gatherers == GATHER else authorize.MOST_LINE)
    assert line.isascii()
    assert line.isprintable()
    assert "!" not in line
    _, _, _, _, _, program, mode, digest, files = shlex.split(match[1])
    assert mode == "forced"
    assert files.split() == list(authorize.allowed(gatherers))
    assert gatherers != GATHER or files == "/proc/loadavg /proc/meminfo"
    assert digest == hashlib.sha256(program.encode()).hexdigest()


def test_a_key_that_is_too_long() -> None:
    """A line that not every server takes is not printed."""
    with pytest.raises(
        ConfigError, match=r"a line of 16000 bytes cannot hold a key of 14700 \(ssh-rsa\); use an Ed25519"
    ):
        authorize.line("ssh-rsa " + "A" * 14700, GATHER)


@pytest.mark.needs("dropbear")
@pytest.mark.parametrize(("server", "most"), [("OpenSSH", authorize.MOST_LINE), ("dropbear", authorize.EVERYBODY)])
def test_the_longest_line_is_taken(server: str, most: int, tmp_path: Path, key: Key) -> None:
    """A line as long as may be, filled up with a comment, lets us in."""
    with SERVERS[server](tmp_path, [key]) as there:
        line = authorize.line(key.public, GATHER)
        there.authorized_keys("sh").write_text(line + "." * (most - len(line)) + "\n")

        assert outcome(poll(there.login("sh"))) == "up"


def test_command(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """`collector authorize` prints one line a key, for all machines or those named, and needs no known_hosts."""
    keys = [make_key(tmp_path / name, kind) for name, kind in (("a", "ed25519"), ("b", "ecdsa"))]
    sections = {f"ssh{number}": {"host": "h", "key_file": keys[number // 2].path} for number in range(4)}
    ini = write_ini(tmp_path / "collector.ini", sections, defaults={"known_hosts": tmp_path / "known_hosts"})

    assert cli.main(["authorize", "--config", str(ini)]) == 0
    every = capsys.readouterr()
    assert cli.main(["authorize", "--config", str(ini), "ssh3"]) == 0
    one = capsys.readouterr()
    assert cli.main(["authorize", "--config", str(ini), "ssh9"]) == 2

    assert every.out.splitlines() == [authorize.line(key.public, GATHER) for key in keys]
    assert one.out.splitlines() == [authorize.line(keys[1].public, GATHER)]
    assert every.err == one.err == ""
    assert "[ssh9]: no such machine" in capsys.readouterr().err


def test_a_line_that_some_servers_do_not_take(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """A line for all gatherers is printed, with a word on servers that take no such line."""
    machine = {"host": "h", "key_file": make_key(tmp_path / "key").path, "gather": "all"}
    ini = write_ini(tmp_path / "collector.ini", {"ssh0": machine})

    assert cli.main(["authorize", "--config", str(ini)]) == 0

    out, err = capsys.readouterr()
    assert len(out) > authorize.EVERYBODY
    assert f"a line of {len(out) - 1} bytes: dropbear takes 4000" in err


def test_a_key_may_read_what_its_machines_gather(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """A line has the files of the gatherers of all machines with that key, or of those named, and no others."""
    one, two = [make_key(tmp_path / name) for name in "ab"]
    sections = {
        "ssh0": {"host": "h", "key_file": one.path, "gather": "cpu, netdev"},
        "ssh1": {"host": "h", "key_file": one.path, "gather": "time, stat, sockstat"},
        "ssh2": {"host": "h", "key_file": two.path, "gather": "time"},
    }
    ini = write_ini(tmp_path / "collector.ini", sections, defaults={"known_hosts": tmp_path / "known_hosts"})

    assert cli.main(["authorize", "--config", str(ini)]) == 0
    every = capsys.readouterr().out.splitlines()
    assert cli.main(["authorize", "--config", str(ini), "ssh1"]) == 0
    named = capsys.readouterr().out.splitlines()

    assert every == [
        authorize.line(one.public, ["time", "cpu", "netdev", "stat", "sockstat"]),
        authorize.line(two.public, ["time"]),
    ]
    assert named == [authorize.line(one.public, ["time", "stat", "sockstat"])]
    assert authorize.allowed(["stat", "load", "cpu"]) == ("/proc/stat", "/proc/loadavg")
    assert authorize.allowed(["time"]) == ()


@pytest.mark.parametrize("gatherers", [("time",), tuple(GATHERERS)], ids=["clock", "all"])
def test_lines_for_little_and_for_all(gatherers: tuple[str, ...], sshd: Callable[..., Sshd]) -> None:
    """With the line for the clock alone, or for everything, polls give what they give without the line."""
    server = sshd(users=[User("free"), User("bound")])
    server.authorized_keys("bound").write_text(authorize.line(server.key.public, gatherers) + "\n")

    free, bound = [poll(server.login(name), gather=gatherers) for name in ("free", "bound")]

    assert outcome(free) == outcome(bound)
    assert bound.ready == probe.Ready(
        "bash", "forced", probe.program(authorize.allowed(gatherers)).sha256, authorize.allowed(gatherers)
    )


def test_check_tells_who_is_restricted(
    sshd: Callable[..., Sshd], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """`check --connect` says whether a key is restricted, and what is wrong with the line of another version."""
    users = [User(name) for name in ("free", "bound", "older", "fewer", "newer")]
    server = sshd(users=users)
    restrict(server, "bound")
    restrict(server, "older", probe.program(FILES).sha256, "0" * 64)
    restrict(server, "fewer", "/proc/loadavg /proc/meminfo", "/proc/meminfo")
    restrict(server, "newer", "READY${sp}1", "READY${sp}2")
    ini = write_ini(tmp_path / "collector.ini", {user.name: server.login(user.name) for user in users})

    assert cli.main(["check", "--connect", "--config", str(ini)]) == 1

    out = capsys.readouterr().out
    rows = out.splitlines()
    notes = {row.split()[0]: note.strip() for row, note in pairwise([*rows, ""]) if not row.startswith("  ")}
    column = rows[0].index("restricted")
    cells = {row.split()[0]: row[column : column + 10].strip() for row in rows if not row.startswith("  ")}
    again = "put the one there that `collector authorize` prints"
    assert [cells[name] for name in ("free", "bound", "older", "fewer")] == ["no", "yes", "yes", "yes"]
    assert "authorized_keys" not in notes["free"] + notes["bound"]
    assert notes["older"] == f"the line in authorized_keys is of another version of the collector; {again}"
    assert "load: /proc/loadavg is missing" in notes["fewer"]
    assert f"  the line in authorized_keys may not read /proc/loadavg; {again}\n" in out
    assert "speaks version 2 of its protocol, and we speak 1" in notes["newer"]


def test_a_collector_that_asks_for_something_else(sshd: Callable[..., Sshd], monkeypatch: pytest.MonkeyPatch) -> None:
    """The line of a version that was sent another command is recognized by what it says to ours."""
    server = sshd()
    restrict(server, "sh")
    monkeypatch.setattr(probe, "COMMAND", "exec /bin/another")

    standing = poll(server.login("sh"), times=1)

    assert standing.snapshot is not None
    assert standing.snapshot.failure is not None
    assert standing.snapshot.failure.reason == "shell"
    assert "the key's line in authorized_keys is of another version of the collector" in standing.snapshot.failure.text


def test_the_page_says_which_probe_answers(sshd: Callable[..., Sshd]) -> None:
    """`ssh_probe_info` has the digest and how the program came there."""
    server = sshd()
    restrict(server, "bash")

    for user, mode in (("sh", "sent"), ("bash", "forced")):
        lines = str(exposition.render(poll(server.login(user))))
        assert f'ssh_probe_info{{instance="ssh0",mode="{mode}",sha256="{probe.program(FILES).sha256}"}} 1.0\n' in lines


def ssh(server: Server | Sshd, arguments: Sequence[str]) -> "subprocess.CompletedProcess[str]":
    """What the ssh program says, as the user of dash."""
    return subprocess.run(
        command(server, arguments), stdin=subprocess.DEVNULL, capture_output=True, encoding="latin-1", check=False
    )


def command(server: Server | Sshd, arguments: Sequence[str]) -> list[str]:
    """The ssh program with these arguments, in which {to} is the server and {port} its port."""
    *options, to = client_options(server.login("dash"))
    words = [word.format(to=to, port=server.address[1]) for word in arguments]
    return [program("ssh"), *options, "-o", "LogLevel=INFO", *words]
