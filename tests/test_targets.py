"""Every target: login shells, servers, key types, what /bin/sh is, and what says so when it cannot be polled.

The tables of docs/targets.md are made of what these tests see: each cell is a test that logs in.
"""

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from itertools import product
from pathlib import Path

import pytest
from rig.keys import Key, make_key
from rig.logins import Login
from rig.matrix import Matrix
from rig.others import SERVERS, Server
from rig.polls import GATHER, outcome, poll
from rig.scripted import Script, SshServer, exits, says, says_nothing
from rig.shells import NO_SHELLS, SHELLS, TABLES, give_ash, needed
from rig.sshd import Sshd
from rig.users import User

from collector import authorize, probe
from collector.snapshot import Standing

pytestmark = pytest.mark.needs("root", "namespaces", "setpriv", "unshare")

KINDS = ("ed25519", "ecdsa", "ecdsa-384", "ecdsa-521", "rsa-3072")

SAID = {
    "rbash": "the account's login shell is a restricted one (rbash), which may not start /bin/sh",
    "nologin": "the account's login shell is nologin; give it a shell",
    "false": "it said nothing (a login shell like /bin/false says nothing)",
}
"""What the text says where the login shell is none."""

MATRICES = {name: Matrix(TABLES, name, tuple(SHELLS), KINDS if name != "tinyssh" else KINDS[:1]) for name in SERVERS}

SH = {
    "dash": ("dash", "/bin/dash"),
    "bash": ("bash", "/bin/bash"),
    "BusyBox": ("busybox", "/bin/busybox"),
    "mksh": ("mksh", "/usr/bin/mksh"),
    "ksh93": ("ksh93", "/usr/bin/ksh93"),
    "yash": ("yash", "/usr/bin/yash"),
    "zsh": ("zsh", "/usr/bin/zsh"),
}
"""What can stand in for /bin/sh: the program's name and path."""

SH_MATRIX = Matrix(TABLES, "/bin/sh", tuple(SH), ("with bash", "without bash"))


@pytest.fixture(scope="module")
def keys(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Key]:
    """A key of each kind."""
    folder = tmp_path_factory.mktemp("keys")
    return {kind: make_key(folder / kind, kind) for kind in KINDS}


Servers = Callable[..., Server | Sshd]


@pytest.fixture(scope="module")
def servers(tmp_path_factory: pytest.TempPathFactory, keys: dict[str, Key]) -> Iterator[Servers]:
    """`servers("dropbear", "rsa-3072")`: a server with every shell and key, and such a host key; one for all tests."""
    started: dict[tuple[str, str], Server | Sshd] = {}
    with ExitStack() as stack:

        def start(name: str, kind: str = "ed25519") -> Server | Sshd:
            if (name, kind) not in started:
                folder, users = tmp_path_factory.mktemp(name), SHELLS.values()
                server = SERVERS[name](folder, list(keys.values()), users=users, host_keys=[kind])
                give_ash(server)
                stack.enter_context(server)
                started[name, kind] = server
            return started[name, kind]

        yield start


CELLS = [
    pytest.param((server, shell, kind), marks=pytest.mark.needs(needed(shell)), id=f"{server}-{shell}-{kind}")
    for server, matrix in MATRICES.items()
    for shell, kind in product(matrix.rows, matrix.columns)
]


@pytest.mark.parametrize("cell", CELLS)
def test_login(cell: tuple[str, str, str], servers: Servers, keys: dict[str, Key], regen: bool) -> None:
    """A login to a server with a host key of one kind, and with a key of that kind, ends as the table says."""
    server, shell, kind = cell
    login: Login = {**servers(server, kind).login(SHELLS[shell].name), "key_file": keys[kind].path}

    standing = poll(login)

    assert outcome(standing) == ("incompatible" if server == "tinyssh" else "shell" if shell in NO_SHELLS else "up")
    if server != "tinyssh":
        assert SAID.get(shell, "") in text(standing)
    MATRICES[server].check(shell, kind, outcome(standing), regen)


def test_tinyssh_says_what_it_lacks(servers: Servers) -> None:
    """The text about a server with chacha20-poly1305 alone says so, and which ciphers we have."""
    said = text(poll(servers("tinyssh").login("dash")))

    assert "no common cipher: the server has only chacha20-poly1305@openssh.com, and we have aes128-gcm@open" in said


SH_CELLS = [
    pytest.param(name, column, marks=pytest.mark.needs(SH[name][0]), id=f"{name} {column}")
    for name, column in product(SH_MATRIX.rows, SH_MATRIX.columns)
]


@pytest.mark.parametrize(("name", "column"), SH_CELLS)
def test_sh(name: str, column: str, sshd: Callable[..., Sshd], tmp_path: Path, regen: bool) -> None:
    """Whatever is /bin/sh runs the probe, or the bash that it finds if it has no clock of its own."""
    sh = tmp_path / "sh"
    sh.write_bytes(Path(SH[name][1]).read_bytes())
    sh.chmod(0o755)
    server = sshd(users=[User("sh")], over={"/bin/sh": sh}, without=["bash"] if column == "without bash" else [])

    standing = poll(server.login("sh"))

    assert outcome(standing) == "up"
    assert standing.ready is not None
    has_clock = name in ("bash", "BusyBox", "mksh")
    assert standing.ready.shell == ("bash" if name == "bash" or (column == "with bash" and not has_clock) else "sh")
    SH_MATRIX.check(name, column, standing.ready.shell, regen)


@pytest.mark.parametrize("matrix", [*MATRICES.values(), SH_MATRIX], ids=[*MATRICES, "sh"])
def test_no_cell_is_untested(matrix: Matrix) -> None:
    """The table in the document has the cells that are tested, and no others."""
    assert list(matrix.cells()) == list(product(matrix.rows, matrix.columns))


NOISE = {
    "bash": {".bashrc": "echo noise; echo noise >&2; set -x; PS4='READY 1 sh '; : $(printf '\\033[2J')\n"},
    "zsh": {".zshenv": "echo noise\nset -x\nPS4='\n'\n"},
    "fish": {".config/fish/config.fish": "echo noise\nset fish_trace 1\n"},
    "tcsh": {".tcshrc": "echo noise\nset echo verbose\n"},
}
"""What start files say that are read even if nobody is there to see it: shell → file → text."""


@pytest.mark.needs("bash", "zsh", "fish", "tcsh")
@pytest.mark.parametrize("forced", [False, True], ids=["sent", "forced"])
def test_noise(forced: bool, sshd: Callable[..., Sshd], tmp_path: Path) -> None:
    """Noisy start files, a trace of every command and a banner take nothing from the answers, and add nothing."""
    users = [User(name, SHELLS[name].shell, files=files) for name, files in NOISE.items()]
    (tmp_path / "banner").write_text("READY 1 bash\n" * 100)
    server = sshd(users=users, Banner=str(tmp_path / "banner"))
    for user in users:
        if forced:
            server.authorized_keys(user.name).write_text(authorize.line(server.key.public, GATHER) + "\n")

        standing = poll(server.login(user.name))

        assert outcome(standing) == "up", user.name
        assert standing.ready is not None
        assert standing.ready.mode == ("forced" if forced else "sent")


ENVIRONMENTS = {
    "a trace": "SHELLOPTS=xtrace",
    "a locale with commas": "LC_ALL=de_DE.UTF-8 LC_NUMERIC=de_DE.UTF-8",
    "a time limit": "TMOUT=1",
    "start files": "BASH_ENV=/etc/passwd ENV=/etc/passwd",
    "no home, no PATH": "HOME=/nowhere PATH=",
    "odd separators": "IFS=/0123456789",
}


@pytest.mark.parametrize("name", ENVIRONMENTS)
@pytest.mark.parametrize("shell", ["dash", "bash"])
def test_environment(name: str, shell: str, sshd: Callable[..., Sshd], tmp_path: Path) -> None:
    """The environment that a login begins with changes nothing."""
    sh = tmp_path / "sh"
    sh.write_bytes(Path(SH[shell][1]).read_bytes())
    sh.chmod(0o755)
    server = sshd(users=[User("sh")], over={"/bin/sh": sh}, SetEnv=ENVIRONMENTS[name])

    standing = poll(server.login("sh"))

    assert outcome(standing) == "up"
    assert standing.snapshot is not None
    assert standing.snapshot.clock_offset_error is not None
    assert standing.snapshot.clock_offset_error < 0.5


@pytest.mark.needs("busybox")
def test_date_without_fractions(sshd: Callable[..., Sshd]) -> None:
    """Where `date` knows whole seconds only, and there is no bash, the clock's error says so."""
    server = sshd(users=[User("sh")], over={"/bin/date": "/bin/busybox"}, without=["bash"])

    standing = poll(server.login("sh"))

    assert outcome(standing) == "up"
    assert standing.snapshot is not None
    assert standing.snapshot.clock_offset_error is not None
    assert 0.5 <= standing.snapshot.clock_offset_error < 1.0


@pytest.mark.parametrize(
    ("system", "expected"),
    [
        ("FreeBSD", "this is FreeBSD, which has no /proc as Linux has it; use an exporter that is made for it"),
        ("\033[2J\007Darwin", "this is Darwin, which"),
        ("Linux", "there is no /proc: mount it, or let the login out of its chroot"),
    ],
)
def test_no_proc(system: str, expected: str, sshd: Callable[..., Sshd], tmp_path: Path) -> None:
    """A machine with a shell but without /proc is `shell`, and says what it is."""
    (tmp_path / "proc").mkdir()
    uname = tmp_path / "uname"
    uname.write_text(f"#!/bin/sh\nprintf '{system}\\n'\n")
    uname.chmod(0o755)
    server = sshd(users=[User("sh")], over={"/bin/uname": uname, "/proc": tmp_path / "proc"})

    standing = poll(server.login("sh"))

    assert outcome(standing) == "shell"
    assert expected in text(standing)


LONG = b"/bin/sh " * 30_000
"""What would take minutes to look through for what follows on `/bin/sh`."""

SENT = probe.compose("0" * 16, probe.program())

STRANGERS = {
    "cmd.exe": (
        b"'exec' is not recognized as an internal or external command,\r\noperable program or batch file.\r\n",
        "this is Windows (cmd.exe), which has no /bin/sh; use windows_exporter",
    ),
    "Windows PowerShell": (
        b"exec : The term 'exec' is not recognized as the name of a cmdlet, function, script file, or operable \r\n"
        b"program.\r\n    + FullyQualifiedErrorId : CommandNotFoundException\r\n",
        "this is Windows (PowerShell)",
    ),
    "PowerShell": (
        b"\x1b[31;1mexec: \x1b[31;1mThe term 'exec' is not recognized as a name of a cmdlet\x1b[0m\r\n",
        "this is Windows (PowerShell)",
    ),
    "Cisco": (
        b"\r\nswitch#exec /bin/sh\r\n         ^\r\n% Invalid input detected at '^' marker.\r\n\r\nswitch#",
        "this is the command line of a network device, which runs no programs; use snmp_exporter",
    ),
    "Huawei": (b"              ^\r\nError: Unrecognized command found at '^' position.\r\n", "a network device"),
    "MikroTik": (b"bad command name exec (line 1 column 1)\r\n", "a network device"),
    "Juniper": (b"error: unknown command: exec\r\n", "a network device"),
    "an echo": (
        probe.compose("0" * 16, probe.program()).replace(b"\n", b"\r\n") + b"\x07\x1b]0;title\x07?\r\n>",
        "it said ",
    ),
    "no sh": (b"bash: line 1: /bin/sh: No such file or directory\n", "the machine has no /bin/sh"),
    "sftp alone": (b"This service allows sftp connections only.\r\n", "the account is for sftp alone"),
    "binary": (bytes(range(256)) * 4, "it said "),
    "a long speech": (LONG, "it said "),
    "a long speech after the error": (b"bad command name exec (line 1 column 1)\r\n" + LONG, "a network device"),
}


@pytest.mark.parametrize("then", [exits(1), says_nothing], ids=["ends", "stays"])
@pytest.mark.parametrize("name", STRANGERS)
def test_strangers(name: str, then: Script, login: Callable[..., Login]) -> None:
    """What is no shell is `shell`, with a text that says what it is and no control characters, if it stays or goes."""
    said, expected = STRANGERS[name]
    with SshServer(says(said, then=then)) as server:
        standing = poll(login(server), times=1, login_timeout=1.0)

    assert outcome(standing) == "shell"
    assert expected in text(standing)
    assert text(standing).isprintable()
    assert len(text(standing)) < 600


def text(standing: Standing) -> str:
    """The text of the failure of the last poll; empty when there is none."""
    assert standing.snapshot is not None
    return standing.snapshot.failure.text if standing.snapshot.failure else ""
