"""The configuration: what good files mean, and what is said of bad ones."""

import os
import re
import tempfile
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from collector import config
from collector.config import Config, IdentityFiles, Machine, find, load
from collector.config.custom import custom_converters
from collector.config.problems import nearest
from collector.config.values import DAY, collector_converters, duration, labels, machine_converters
from collector.errors import ConfigError

ROOT = Path(__file__).parents[1]
FIXTURES = Path(__file__).parent / "fixtures" / "config"
BAD = sorted(FIXTURES.glob("bad-*.ini"))

GATHERERS: Mapping[str, tuple[str, ...]] = {"time": (), "memory": (), "load": ("minutes",)}
RESERVED = ("gatherer", "reason")

PIECES = (
    *(
        "[web1]",
        "[collector]",
        "[defaults]",
        "[DEFAULT]",
        "[",
        "]",
        "=",
        "\n",
        "\n ",
        " ; ",
        "#",
        ":",
        ",",
        '"',
        "\r",
        "%",
    ),
    *("host", "port", "labels", "gather", "include", "interval", "timeout", "192.0.2.10", "22", "1s", "a=b"),
)
"""What texts that look like configurations are made of."""

Write = Callable[..., Path]


@pytest.fixture(autouse=True)
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A home with a key and known hosts, of a user whose name is `tester`."""
    folder = tmp_path / "home"
    (folder / ".ssh").mkdir(parents=True)
    for name in ("id_ed25519", "known_hosts"):
        (folder / ".ssh" / name).touch()
    monkeypatch.setenv("HOME", str(folder))
    monkeypatch.setenv("LOGNAME", "tester")
    return folder


@pytest.fixture
def write(tmp_path: Path) -> Write:
    """`write(text, name="collector.ini")` makes a file and returns its path."""

    def write(text: str | bytes, name: str = "collector.ini") -> Path:
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(text if isinstance(text, bytes) else text.encode())
        return path

    return write


def loaded(path: Path, **more: Any) -> Config:
    """Load a file, with the gatherers and reserved labels of these tests."""
    return load(path, gatherers=GATHERERS, reserved_labels=RESERVED, **more)


def one(path: Path, **more: Any) -> Machine:
    """Return the only machine of a file."""
    (machine,) = loaded(path, **more).machines
    return machine


def problems(path: Path, **more: Any) -> list[str]:
    """Return what is wrong with a file; nothing if it is good."""
    try:
        loaded(path, **more)
    except ConfigError as error:
        return error.problems
    return []


def named(directory: Path) -> set[str]:
    """Return the names of the entries of a folder."""
    return {path.name for path in directory.iterdir()}


@pytest.fixture
def public() -> Iterator[Path]:
    """A folder that every user may enter; that of pytest is its owner's alone."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        folder.chmod(0o755)
        yield folder


@contextmanager
def as_nobody() -> Iterator[None]:
    """Be a user for whom the modes of files count."""
    if os.getuid() != 0:
        yield
        return
    os.setresuid(65534, 65534, 0)
    try:
        yield
    finally:
        os.setresuid(0, 0, 0)


def expected_of(path: Path) -> list[str]:
    """Return the messages in the comment lines at the head of a file."""
    found = []
    for line in path.read_bytes().removeprefix(b"\xef\xbb\xbf").splitlines():
        if not line.startswith(b"; "):
            break
        found.append(line.removeprefix(b"; ").decode())
    return found


# Bad files.


def test_bad_files_are_found() -> None:
    """The folder holds bad files and what they include, and nothing that no test reads."""
    assert BAD
    assert {path.name for path in BAD} | {"included", ".gitattributes"} == named(FIXTURES)
    included = {name for path in BAD for name in re.findall(rb"included/([a-z0-9]+\.ini)", path.read_bytes())}
    assert named(FIXTURES / "included") <= {name.decode() for name in included}


@pytest.mark.parametrize("path", BAD, ids=[path.stem.removeprefix("bad-") for path in BAD])
def test_bad_file_says_all_that_is_wrong(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The head of each bad file is exactly what is said of it: every problem, in order, with its place."""
    monkeypatch.chdir(FIXTURES)
    expected = expected_of(path)
    assert expected
    assert expected == problems(Path(path.name), credentials=Path("included"))


def test_missing_file(tmp_path: Path) -> None:
    """A file that is not there is the one problem, not also one without machines."""
    path = tmp_path / "missing.ini"
    expected = [f"{path}: cannot be read: No such file or directory; name a file that is there and may be read"]
    assert expected == problems(path)


def test_file_is_a_directory(tmp_path: Path) -> None:
    """A directory in place of the file is said to be one."""
    expected = [f"{tmp_path}: cannot be read: Is a directory; name a file that is there and may be read"]
    assert expected == problems(tmp_path)


def test_what_may_not_be_read(public: Path) -> None:
    """A file, an included file, a folder of these, a key file: all are said when their modes forbid to read them."""
    path, secret, closed = public / "collector.ini", public / "secret", public / "closed"
    path.write_text("[collector]\ninclude = secret, closed/*.ini\n[web1]\nhost = 192.0.2.10\nkey_file = secret\n")
    secret.touch(mode=0)
    closed.mkdir(mode=0)
    with as_nobody():
        of_main, of_others = problems(secret), problems(path)
    cannot = f"{secret}: cannot be read: Permission denied; name a file that is there and may be read"
    listing = f"{path}:2: [collector] include: 'closed/*.ini': Permission denied; name files that are there"
    key = f"{path}:5: [web1] key_file: {secret}: Permission denied; make a key"
    assert [cannot] == of_main
    assert {listing, cannot} <= set(of_others)
    assert [key] == [line[: len(key)] for line in of_others if "key_file" in line]


def test_home_without_a_key(write: Write, home: Path) -> None:
    """Where nobody set a key file the default one is named, once for all machines, with how to make one."""
    (home / ".ssh" / "id_ed25519").unlink()
    path = write("[web1]\nhost = 192.0.2.10\n[web2]\nhost = 192.0.2.11\n")
    key = home / ".ssh" / "id_ed25519"
    hint = "make a key with ssh-keygen -t ed25519 -f FILE, or name another file"
    assert [f"{path}: key_file: {key}: No such file or directory; {hint}"] == problems(path)


def test_credential_without_a_directory(write: Write) -> None:
    """`credential:` outside a systemd service says what to do."""
    path = write("[web1]\nhost = 192.0.2.10\nkey_file = credential:ssh_key\n")
    unset = "credential: needs CREDENTIALS_DIRECTORY, which is not set"
    expected = f"{path}:3: [web1] key_file: {unset}; set it to the folder of the file, or write a path"
    assert [expected] == problems(path)


def test_user_without_a_name(write: Write, monkeypatch: pytest.MonkeyPatch) -> None:
    """A collector whose own user has no name asks for `user`, and takes a machine that sets it."""

    def nobody() -> str:
        raise OSError("no user name")

    monkeypatch.setattr("getpass.getuser", nobody)
    path = write("[web1]\nhost = 192.0.2.10\n[web2]\nhost = 192.0.2.11\nuser = monitor\n")
    hint = "missing, and the user who runs the collector has no name; write user = the name to log in with"
    assert [f"{path}:1: [web1] user: {hint}"] == problems(path)


def test_error_is_all_problems(write: Write) -> None:
    """The text of the error has one line for each problem."""
    with pytest.raises(ConfigError) as caught:
        loaded(write("[web1]\nprot = 22\n[web2]\n"))
    assert caught.value.problems == str(caught.value).splitlines()
    assert 3 == len(caught.value.problems)


# Where the configuration is.


def test_find_argument() -> None:
    """What --config names is taken as it is."""
    assert Path("some/where.ini") == find("some/where.ini")


def test_find_looks_in_order(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Without --config it is ./collector.ini, else the one in /etc, else a problem that names both."""
    system = tmp_path / "etc.ini"
    assert (Path("collector.ini"), Path("/etc/collector/collector.ini")) == config.PLACES
    monkeypatch.setattr(config, "PLACES", (Path("collector.ini"), system))
    monkeypatch.chdir(tmp_path)
    expected = (
        f"no configuration: there is neither collector.ini nor {system}; write one, or name it with --config FILE"
    )
    with pytest.raises(ConfigError, match=f"^{re.escape(expected)}$"):
        find(None)
    system.touch()
    assert system == find(None)
    Path("collector.ini").touch()
    assert Path("collector.ini") == find(None)


# Good files.


def test_least_file(write: Write, home: Path) -> None:
    """A section with a host is a whole configuration: these are the defaults."""
    path = write("[web1]\nhost = 192.0.2.10\n")
    machine = Machine(
        name="web1",
        host="192.0.2.10",
        port=22,
        user="tester",
        key_file=home / ".ssh" / "id_ed25519",
        known_hosts=(home / ".ssh" / "known_hosts",),
        gather=("time", "memory", "load"),
        labels=(),
        interval=15.0,
        interval_text="15s",
        timeout=10.0,
        login_timeout=30.0,
    )
    expected = Config(files=(path,), listen=("127.0.0.1", 9822), logins=64, web_reload=False, machines=(machine,))
    assert expected == loaded(path)


def test_example_loads_and_states_the_defaults(write: Write) -> None:
    """collector.ini is a good file, and what it sets for all machines is what holds without it."""
    example, least = loaded(ROOT / "collector.ini"), loaded(write("[ssh0]\nhost = 192.0.2.10\nuser = monitor\n"))
    assert replace(least, files=example.files, machines=()) == replace(example, machines=())
    assert least.machines[0] == example.machines[0]


def test_example_is_the_reference() -> None:
    """collector.ini has every option that there is, set or in a comment."""
    text = (ROOT / "collector.ini").read_text()
    options = {
        *collector_converters(ROOT, None),
        *machine_converters(ROOT, GATHERERS, RESERVED, None),
        *custom_converters(RESERVED),
    }
    assert options == options & set(re.findall(r"^(?:; )?([a-z_]+) =", text, re.MULTILINE))


def test_example_uses_addresses_for_documentation() -> None:
    """Whoever runs collector.ini as it is connects to nobody's machine."""
    hosts = re.findall(r"^(?:; )?host = (\S+)", (ROOT / "collector.ini").read_text(), re.MULTILINE)
    assert hosts
    assert [] == [host for host in hosts if not host.startswith(("192.0.2.", "2001:db8:"))]


def test_every_option(write: Write, tmp_path: Path) -> None:
    """Every option of [collector] and of a machine ends in its field."""
    write("", "key"), write("", "hosts")
    path = write(
        "[collector]\nlisten = [::1]:0\ninterval = 1m\ntimeout = 2s\nlogin_timeout = 3s\nlogins = 4\nweb_reload = yes\n"
        "[web1]\nhost = web1.example.org\nport = 2222\nuser = me\nkey_file = key\nknown_hosts = hosts\n"
        "gather = load, time\nlabels = role=web, dc=eu\ninterval = 1h30m\ntimeout = 500ms\nlogin_timeout = 1.5\n"
        f"enabled = yes\nhost_key = SHA256:{'a' * 43}, SHA256:{'b' * 43}\nhost_key_alias = nat1\n"
    )
    machine = Machine(
        name="web1",
        host="web1.example.org",
        port=2222,
        user="me",
        key_file=tmp_path / "key",
        known_hosts=(tmp_path / "hosts",),
        gather=("load", "time"),
        labels=(("dc", "eu"), ("role", "web")),
        interval=5400.0,
        interval_text="1h30m",
        timeout=0.5,
        login_timeout=1.5,
        host_key=(f"SHA256:{'a' * 43}", f"SHA256:{'b' * 43}"),
        host_key_alias="nat1",
    )
    expected = Config(files=(path,), listen=("::1", 0), logins=4, web_reload=True, machines=(machine,))
    assert expected == loaded(path)


def test_inheritance(write: Write) -> None:
    """A machine's own option goes before [defaults], that before [collector], and that before ours."""
    path = write(
        "[web1]\nhost = 192.0.2.10\n"
        "[web2]\nhost = 192.0.2.11\nuser = own\ninterval = 3s\ntimeout = 1s\nlabels =\n"
        "[collector]\ninterval = 7s\nlogin_timeout = 8s\n"
        "[defaults]\nuser = shared\ninterval = 5s\nlabels = dc=eu\n"
    )
    first, second = loaded(path).machines
    assert ("shared", 5.0, "5s", 8.0, (("dc", "eu"),)) == (
        first.user,
        first.interval,
        first.interval_text,
        first.login_timeout,
        first.labels,
    )
    assert ("own", 3.0, "3s", 1.0, ()) == (
        second.user,
        second.interval,
        second.interval_text,
        second.timeout,
        second.labels,
    )


@pytest.mark.parametrize(("interval", "timeout"), [("4s", 4.0), ("10s", 10.0), ("1m", 10.0)])
def test_timeout_that_nobody_set(write: Write, interval: str, timeout: float) -> None:
    """It is the lesser of ten seconds and the interval."""
    assert timeout == one(write(f"[web1]\nhost = 192.0.2.10\ninterval = {interval}\n")).timeout


def test_timeout_may_be_the_interval(write: Write) -> None:
    """A timeout as long as the interval is good, and so is a login that outlasts it."""
    machine = one(write("[web1]\nhost = 192.0.2.10\ninterval = 2s\ntimeout = 2000ms\nlogin_timeout = 1m\n"))
    assert (2.0, 2.0, 60.0) == (machine.interval, machine.timeout, machine.login_timeout)


def test_disabled_machine(write: Write) -> None:
    """A section with `enabled = no` is checked, but is no machine, and nobody looks for its files."""
    path = write("[web1]\nhost = 192.0.2.10\nenabled = no\nkey_file = missing\n[web2]\nhost = 192.0.2.11\n")
    assert ["web2"] == [machine.name for machine in loaded(path).machines]
    path = write("[web1]\nhost = 192.0.2.10\nenabled = no\n")
    assert () == loaded(path).machines
    path = write("[web1]\nhost = 192.0.2.10\nenabled = no\nport = 0\n")
    assert [f"{path}:4: [web1] port: not a whole number from 1 to 65535: '0'; write one"] == problems(path)


@pytest.mark.parametrize("word", ["yes", "Yes", "TRUE", "on", "1"])
def test_switch_words(write: Write, word: str) -> None:
    """The words for yes of other ini files are taken, in any case."""
    assert loaded(write(f"[collector]\nweb_reload = {word}\n[web1]\nhost = 192.0.2.10\n")).web_reload


def test_names_and_options(write: Write) -> None:
    """Section names keep their case and blanks inside, option names may have any case."""
    path = write("[ Web 1 ]\nHOST = 192.0.2.10\n[web 1]\nHost=192.0.2.11\n[web 1é]\nhost =192.0.2.12\n")
    assert ["Web 1", "web 1", "web 1é"] == [machine.name for machine in loaded(path).machines]


def test_comments(write: Write) -> None:
    """A comment is a line after ; or #, or what follows a blank and a semicolon; a semicolon in a word is not."""
    text = '# one\n; two\n[web1] ; three\nhost = 192.0.2.10 ; four\n  ; five\nlabels = a=x;y, b="1#2" ; six\n'
    machine = one(write(text))
    assert ("192.0.2.10", (("a", "x;y"), ("b", "1#2"))) == (machine.host, machine.labels)


def test_percent_and_dollar_are_themselves(write: Write) -> None:
    """Nothing is replaced in values."""
    expected = (("full", "90%"), ("name", "%(host)s"), ("shell", "$HOME"))
    path = write("[web1]\nhost = 192.0.2.10\nlabels = full=90%, name=%(host)s, shell=$HOME\n")
    assert expected == one(path).labels


@pytest.mark.parametrize("mark", [b"", b"\xef\xbb\xbf"])
@pytest.mark.parametrize("end", [b"\n", b"\r\n", b"\r"])
def test_byte_order_mark_and_line_ends(write: Write, mark: bytes, end: bytes) -> None:
    """Files of any editor are good: with a byte order mark or not, and with any line ends."""
    text = mark + end.join([b"[web1]", b"host = 192.0.2.10", b"gather = time,", b"  load", b""])
    assert ("192.0.2.10", ("time", "load")) == (one(write(text)).host, one(write(text)).gather)


SETS = {"few": ("time", "load"), "all": tuple(GATHERERS)}


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        ("few", ("time", "load")),
        ("few, memory", ("time", "load", "memory")),
        ("few, +memory", ("time", "load", "memory")),
        ("all, -load", ("time", "memory")),
        ("load, few, all", ("load", "time", "memory")),
        ("all, -few, load", ("memory", "load")),
    ],
)
def test_sets_of_gatherers(words: str, expected: tuple[str, ...], write: Write) -> None:
    """A word can stand for several gatherers, and one with a minus takes away what it stands for."""
    assert expected == one(write(f"[web1]\nhost = 192.0.2.10\ngather = {words}\n"), sets=SETS).gather


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        ("-load, all", "'-load' takes away what is not there; write it behind what has it"),
        ("all, -load, -load", "'-load' is there twice; take one away"),
        ("time, -all", "nothing is left; name a gatherer"),
        ("fwe", "unknown gatherer 'fwe'; did you mean few?"),
        ("all, -laod", "unknown gatherer 'laod'; did you mean load?"),
        ("all, +", "unknown gatherer ''; there are: all, few, load, memory, time"),
    ],
)
def test_bad_sets_of_gatherers(words: str, expected: str, write: Write) -> None:
    """Words that make no sense are refused, with what to write instead."""
    path = write(f"[web1]\nhost = 192.0.2.10\ngather = {words}\n")

    assert problems(path, sets=SETS) == [f"{path}:3: [web1] gather: {expected}"]


def test_lists_over_lines(write: Write) -> None:
    """A list may go on in indented lines, and end in a comma."""
    path = write("[web1]\nhost = 192.0.2.10\ngather =\n  time,\n\n  load,\nlabels = dc=eu,\n    role = web,\n")
    machine = one(path)
    assert (("time", "load"), (("dc", "eu"), ("role", "web"))) == (machine.gather, machine.labels)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("192.0.2.10", "192.0.2.10"),
        ("2001:db8::1", "2001:db8::1"),
        ("[2001:db8::1]", "2001:db8::1"),
        ("fe80::1%eth0", "fe80::1%eth0"),
        ("web_1.example.org.", "web_1.example.org."),
        ("1and1", "1and1"),
        ("xn--wb-bja.example.org", "xn--wb-bja.example.org"),
    ],
)
def test_hosts(write: Write, text: str, expected: str) -> None:
    """Names and addresses of both kinds are hosts; brackets are taken off."""
    assert expected == one(write(f"[web1]\nhost = {text}\n")).host


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("127.0.0.1:9822", ("127.0.0.1", 9822)),
        (":9822", ("", 9822)),
        ("[::]:80", ("::", 80)),
        ("localhost:0", ("localhost", 0)),
    ],
)
def test_listen(write: Write, text: str, expected: tuple[str, int]) -> None:
    """An address and a port; no address is all interfaces."""
    assert expected == loaded(write(f"[collector]\nlisten = {text}\n[web1]\nhost = 192.0.2.10\n")).listen


# Paths and keys.


def test_paths(write: Write, home: Path, tmp_path: Path) -> None:
    """A path begins at the home, at the root, at the folder of its file, or is a credential."""
    credentials = tmp_path / "credentials"
    for name in ("key", "conf.d/key", "credentials/ssh_key", "home/key"):
        write("", name)
    path = write("[defaults]\nkey_file = key\n[web1]\nhost = 192.0.2.10\n[collector]\ninclude = conf.d/*.ini\n")
    write(
        "[relative]\nhost = 192.0.2.11\nkey_file = key\n"
        "[home]\nhost = 192.0.2.12\nkey_file = ~/key\n"
        f"[whole]\nhost = 192.0.2.13\nkey_file = {tmp_path}/key\n"
        "[credential]\nhost = 192.0.2.14\nkey_file = credential:ssh_key\n"
        "[inherited]\nhost = 192.0.2.15\n",
        "conf.d/more.ini",
    )
    expected = {
        "web1": tmp_path / "key",
        "relative": tmp_path / "conf.d" / "key",
        "home": home / "key",
        "whole": tmp_path / "key",
        "credential": credentials / "ssh_key",
        "inherited": tmp_path / "key",
    }
    found = loaded(path, credentials=credentials).machines
    assert expected == {machine.name: machine.key_file for machine in found}


def test_key_problem_is_asked_once_a_key(write: Write, tmp_path: Path) -> None:
    """Each key that an enabled machine uses is looked at once, and those that are not there not at all."""
    for name in ("shared", "own", "off"):
        write("", name)
    path = write(
        "[defaults]\nkey_file = shared\n"
        "[web1]\nhost = 192.0.2.10\n[web2]\nhost = 192.0.2.11\n[web3]\nhost = 192.0.2.12\nkey_file = ./shared\n"
        "[web4]\nhost = 192.0.2.13\nkey_file = own\n[web5]\nhost = 192.0.2.14\nkey_file = missing\n"
        "[web6]\nhost = 192.0.2.15\nkey_file = off\nenabled = no\n"
    )
    asked: list[IdentityFiles] = []
    (missing,) = problems(path, identity_problem=asked.append)
    assert sorted([tmp_path / "shared", tmp_path / "own"]) == sorted(files.key_file for files in asked)
    assert missing.startswith(f"{path}:15: [web5] key_file: {tmp_path / 'missing'}: No such file")


def test_key_problem_is_told_where_the_key_was_set(write: Write) -> None:
    """What is wrong with a key is a problem at each place that names it, among the others."""
    write("", "key")
    path = write(
        "[defaults]\nkey_file = key\n[web1]\nhost = 192.0.2.10\nprot = 22\n[web2]\nhost = 192.0.2.11\n"
        "[web3]\nhost = 192.0.2.12\nkey_file = key\n"
    )
    expected = [
        f"{path}:2: [defaults] key_file: key has a passphrase",
        f"{path}:5: [web1] prot: unknown option; did you mean port?",
        f"{path}:10: [web3] key_file: key has a passphrase",
    ]
    fault = ("key_file", "key has a passphrase")
    assert expected == problems(path, identity_problem=lambda files: fault if files.key_file.name == "key" else None)


# Included files.


def test_include(write: Write, tmp_path: Path) -> None:
    """Machines come in the order of the files, by pattern and by name; a file named twice is read once."""
    path = write("[collector]\ninclude = b.ini, conf.d/*.ini,\n  conf.d/1.ini\n[web1]\nhost = 192.0.2.1\n")
    others = ("b.ini", "conf.d/1.ini", "conf.d/2.ini")
    for number, name in enumerate(others, 2):
        write(f"[web{number}]\nhost = 192.0.2.{number}\n", name)
    write("[web9]\nhost = 192.0.2.9\n", "conf.d/3.ini.old")
    found = loaded(path)
    assert (path, *(tmp_path / name for name in others)) == found.files
    assert [f"192.0.2.{number}" for number in range(1, 5)] == [machine.host for machine in found.machines]


def test_included_defaults(write: Write) -> None:
    """An included file's [defaults] go before those of the main file, for its own machines alone."""
    path = write(
        "[collector]\ninclude = conf.d/*.ini\n[defaults]\nuser = main\nport = 2222\n[web1]\nhost = 192.0.2.1\n"
    )
    write("[web2]\nhost = 192.0.2.2\n[defaults]\nuser = two\n", "conf.d/2.ini")
    write("[web3]\nhost = 192.0.2.3\n", "conf.d/3.ini")
    expected = [("web1", "main", 2222), ("web2", "two", 2222), ("web3", "main", 2222)]
    assert expected == [(machine.name, machine.user, machine.port) for machine in loaded(path).machines]


@pytest.mark.parametrize("pattern", ["conf.d/*.ini", "missing/*.ini"])
def test_wildcard_may_match_nothing(write: Write, tmp_path: Path, pattern: str) -> None:
    """A fleet may begin with no machine at all, as long as it says from where they will come."""
    (tmp_path / "conf.d").mkdir()
    path = write(f"[collector]\ninclude = {pattern}\n")
    assert ((path,), ()) == (loaded(path).files, loaded(path).machines)


# Labels, durations and names.


def test_labels_are_read() -> None:
    """Values may be bare or in quotes, with blanks around; names are sorted."""
    expected = (("a", "1"), ("b_2", "x = y, z #1"), ("c", "two words"))
    assert expected == labels('c = two words, b_2="x = y, z #1" ,a=1,', RESERVED)


@given(
    st.dictionaries(
        st.from_regex(r"[a-zA-Z][a-zA-Z0-9_]{0,9}", fullmatch=True).filter(
            lambda name: name not in {"instance", *RESERVED}
        ),
        st.text(min_size=1).filter(lambda value: value.isprintable() and '"' not in value),
    )
)
@settings(deadline=None)
def test_any_label_can_be_written(wanted: dict[str, str]) -> None:
    """What is printable and has no quotes in it comes back as written."""
    text = ", ".join(f'{name}="{value}"' for name, value in wanted.items())
    assert tuple(sorted(wanted.items())) == labels(text, RESERVED)


@pytest.mark.parametrize(
    ("text", "expected"),
    [("500ms", 0.5), ("15s", 15.0), ("1m", 60.0), ("2h", 7200.0), ("1h30m", 5400.0), ("0.1", 0.1), ("15", 15.0)],
)
def test_durations(text: str, expected: float) -> None:
    """Units, a few of them, or plain seconds."""
    assert expected == duration(text, 0.1, DAY)


@given(number=st.decimals(min_value=0, max_value=10_000, places=3), unit=st.sampled_from(["ms", "s", "m", "h", ""]))
@settings(deadline=None)
def test_duration_is_exact(number: Decimal, unit: str) -> None:
    """Any number with any unit is the float nearest to what it says, whatever its digits."""
    factor = {"ms": "0.001", "s": "1", "m": "60", "h": "3600", "": "1"}[unit]
    assert float(number * Decimal(factor)) == duration(f"{number}{unit}", 0, 1e9)


@given(text=st.text() | st.text("0123456789.hms -+en"))
@settings(deadline=None)
def test_duration_is_in_range_or_refused(text: str) -> None:
    """Any text is seconds between the limits, or a ValueError."""
    try:
        seconds = duration(text, 0.1, DAY)
    except ValueError:
        return
    assert 0.1 <= seconds <= DAY


@given(text=st.lists(st.sampled_from(PIECES) | st.text(max_size=3)).map("".join))
@settings(deadline=None)
def test_any_text_is_a_configuration_or_problems_of_one_line_each(text: str) -> None:
    """Whatever a file holds, it loads, or each problem is one printable line that begins with the file."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "collector.ini"
        path.write_bytes(text.encode("utf-8", "surrogatepass"))
        found = problems(path)
    assert [] == [line for line in found if not (line.startswith(str(path)) and line.isprintable())]


def test_nearest_name() -> None:
    """The nearest name is proposed; where none is near all of them are told."""
    assert "did you mean memory?" == nearest("memmory", GATHERERS)
    assert "there are: load, memory, time" == nearest("disk", GATHERERS)
    names = [f"web{number:03}" for number in range(120)]
    assert f"there are: {', '.join(names[:50])} and 70 more" == nearest("x", names)


# Many machines.


def test_ten_thousand_machines(write: Write) -> None:
    """A large fleet loads whole and in order, each machine with what is its own."""
    text = "[defaults]\nlabels = dc=eu\n" + "".join(
        f"[web{number}]\nhost = 10.0.{number >> 8}.{number & 255}\nport = {number + 1}\n" for number in range(10_000)
    )
    expected = [(f"web{number}", f"10.0.{number >> 8}.{number & 255}", number + 1) for number in range(10_000)]
    machines = loaded(write(text)).machines
    assert expected == [(machine.name, machine.host, machine.port) for machine in machines]
    assert {(("dc", "eu"),)} == {machine.labels for machine in machines}
    path = write(text + "[last]\nhost = 192.0.2.10\nprot = 22\n")
    assert [f"{path}:30005: [last] prot: unknown option; did you mean port?"] == problems(path)


def test_loaded_values_are_frozen(write: Write) -> None:
    """A configuration can be kept and compared: equal files give equal, hashable machines."""
    path = write("[web1]\nhost = 192.0.2.10\n")
    first, second = loaded(path), loaded(path)
    assert hash(first) == hash(second)
    assert not hasattr(first.machines[0], "__dict__")
