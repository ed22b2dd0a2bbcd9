"""Configurations good and bad: what is read from them, and what people are told of their mistakes."""

import getpass
import os
import re
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from collector import config
from collector.config import Config, Machine, find, load
from collector.config.values import duration
from collector.errors import ConfigError

FIXTURES = Path(__file__).parent / "fixtures" / "config"
BAD = sorted(path.name for path in FIXTURES.glob("bad-*.ini"))
GATHERERS = ("time", "memory", "load")
UNITS = {"ms": 0.001, "s": 1, "m": 60, "h": 3600, "": 1}


@pytest.fixture(autouse=True)
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A home folder with a key and a known_hosts, for a user called tester."""
    folder = tmp_path / "home"
    (folder / ".ssh").mkdir(parents=True)
    for name in ("id_ed25519", "known_hosts"):
        (folder / ".ssh" / name).touch()
    monkeypatch.setenv("HOME", str(folder))
    monkeypatch.setenv("LOGNAME", "tester")
    return folder


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A folder for configurations."""
    path = tmp_path / "etc"
    path.mkdir()
    return path


def write(path: Path, text: str) -> Path:
    """Write a file, its folders too."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)
    return path


def read(path: Path, **options: Any) -> Config:
    """Load a configuration; `cpu` is the label of a gatherer."""
    return load(path, gatherers=GATHERERS, reserved_labels=("cpu",), **options)


def machines(path: Path, **options: Any) -> dict[str, Machine]:
    """The machines of a configuration by name."""
    return {machine.name: machine for machine in read(path, **options).machines}


def problems(path: Path, **options: Any) -> list[str]:
    """What is wrong with a configuration, without the folder of its files."""
    with pytest.raises(ConfigError) as caught:
        read(path, **options)
    return [problem.replace(f"{path.parent}/", "") for problem in caught.value.problems]


def all_problems(path: Path) -> list[str]:
    """What is wrong with a configuration, if anything is."""
    try:
        read(path)
    except ConfigError as error:
        return error.problems
    return []


def promised(path: Path) -> list[str]:
    """The messages in the first lines of a bad configuration."""
    lines = path.read_bytes().partition(b"\n\n")[0].decode().split("\n")
    return [line.removeprefix("; ") for line in lines]


def test_there_are_bad_configurations() -> None:
    """The discovery below finds files."""
    assert len(BAD) >= 40


@pytest.mark.parametrize("name", BAD)
def test_bad_configuration(name: str) -> None:
    """A bad configuration says all that is wrong, in the words of its first lines."""
    assert promised(FIXTURES / name) == problems(FIXTURES / name)


def test_example(home: Path) -> None:
    """The example loads, and its documented defaults are those of the code."""
    loaded = read(Path(__file__).parent.parent / "collector.ini")

    assert (("127.0.0.1", 9822), 64, False) == (loaded.listen, loaded.logins, loaded.web_reload)
    assert ["ssh0", "ssh1", "ssh2"] == [machine.name for machine in loaded.machines]
    assert loaded.machines[0] == Machine(
        name="ssh0",
        host="192.0.2.10",
        port=22,
        user="monitor",
        key_file=home / ".ssh" / "id_ed25519",
        known_hosts=home / ".ssh" / "known_hosts",
        gather=GATHERERS,
        labels=(),
        interval=15.0,
        interval_text="15s",
        timeout=10.0,
        login_timeout=30.0,
    )
    assert (("dc", "eu"), ("rack", "4, left"), ("role", "web")) == loaded.machines[1].labels


def test_example_names_every_option(folder: Path) -> None:
    """No option is missing from the example."""
    said = problems(write(folder / "c.ini", "[collector]\nx = 1\n[web1]\nhost = web1\nx = 1\n"))
    options = {option.strip() for problem in said for option in problem.partition("there are:")[2].split(",")}
    example = (Path(__file__).parent.parent / "collector.ini").read_text()

    assert {"listen", "host", "include", "enabled"} <= options
    assert set() == {option for option in options if f"\n{option} = " not in example.replace("\n; ", "\n")}


def test_a_host_is_enough(folder: Path, home: Path) -> None:
    """A machine needs its host only; all else has a default, and the user is the one who runs the collector."""
    path = write(folder / "c.ini", "[web1]\nhost = web1\n")
    ssh = home / ".ssh"
    machine = Machine(
        "web1", "web1", 22, "tester", ssh / "id_ed25519", ssh / "known_hosts", GATHERERS, (), 15.0, "15s", 10.0, 30.0
    )

    assert Config((path,), ("127.0.0.1", 9822), 64, False, (machine,)) == read(path)


def test_syntax() -> None:
    """Comments, indents, case, lists over lines and strange names are read as an ini user expects."""
    loaded = read(FIXTURES / "good-syntax.ini")
    spaced, umlaut = loaded.machines

    assert (("::1", 0), 10_000, True) == (loaded.listen, loaded.logins, loaded.web_reload)
    assert ("spaced name", "fe80::1%eth0", "DOMAIN\\monitor;x") == (spaced.name, spaced.host, spaced.user)
    assert ("load", "time") == spaced.gather
    assert (("a", "1, = # %(x)s"), ("b", "2"), ("c", "%d")) == spaced.labels
    assert ("ümlaut", "web-1.example.org.") == (umlaut.name, umlaut.host)


@pytest.mark.parametrize("end", [b"\n", b"\r\n", b"\r"])
@pytest.mark.parametrize("mark", [b"", b"\xef\xbb\xbf"])
def test_line_ends_and_byte_order_mark(folder: Path, mark: bytes, end: bytes) -> None:
    """A file of another system is read, and its lines are counted, as one of ours."""
    path = folder / "c.ini"
    path.write_bytes(mark + end.join((b"[web1]", b"host = web1", b"prot = 22", b"")))

    assert ["c.ini:3: [web1] prot: unknown option; did you mean port?"] == problems(path)


def test_only_line_ends_end_lines(folder: Path) -> None:
    """What else Python takes for the end of a line neither moves the line numbers nor makes an option."""
    path = folder / "c.ini"
    path.write_bytes("[web1]\nhost = web1\nuser = a\u2028port = 1\x0b\x0cx\nprot = 1\n".encode())

    assert [
        "c.ini:3: [web1] user: holds the control or invisible character '\\u2028'; take it away",
        "c.ini:4: [web1] prot: unknown option; did you mean port?",
    ] == problems(path)


@pytest.mark.parametrize(
    ("listen", "expected"),
    [("127.0.0.1:9822", ("127.0.0.1", 9822)), ("[::1]:1", ("::1", 1)), (":65535", ("", 65535)), ("web:0", ("web", 0))],
)
def test_listen(folder: Path, listen: str, expected: tuple[str, int]) -> None:
    """An address to listen at has a port; without a host it is all interfaces."""
    path = write(folder / "c.ini", f"[collector]\nlisten = {listen}\n[web1]\nhost = web1\n")

    assert expected == read(path).listen


def test_inheritance(folder: Path) -> None:
    """The machine's own goes before [defaults], that before [collector], that before ours; in any order."""
    text = "[collector]\ninterval = 20s\nlogin_timeout = 7s\n[a]\nhost = a\n[b]\nhost = b\ninterval = 5s\nuser = u\n"
    text += "labels =\n"
    found = machines(write(folder / "c.ini", text + "[defaults]\ninterval = 8\nuser = d\nlabels = x=y\nport = 23\n"))

    assert (8.0, "8", 8.0, 7.0, "d", 23, (("x", "y"),)) == facts(found["a"])
    assert (5.0, "5s", 5.0, 7.0, "u", 23, ()) == facts(found["b"])


def facts(machine: Machine) -> tuple[object, ...]:
    """What the tests of inheritance look at."""
    times = (machine.interval, machine.interval_text, machine.timeout, machine.login_timeout)
    return (*times, machine.user, machine.port, machine.labels)


def test_timeout_may_be_mended(folder: Path) -> None:
    """A timeout for all that is above the interval of one machine is no problem where the machine has its own."""
    text = "[collector]\ntimeout = 8s\n[a]\nhost = a\ninterval = 5s\ntimeout = 4s\n[b]\nhost = b\ninterval = 1h\n"
    found = machines(write(folder / "c.ini", text))

    assert (4.0, 8.0) == (found["a"].timeout, found["b"].timeout)


def test_include(folder: Path) -> None:
    """Included files come in order, each with [defaults] of its own over those of the main file."""
    main = write(
        folder / "c.ini",
        "[collector]\ninclude = conf.d/*.ini, more.ini,\n  later/*.ini, *.ini\n"
        "[defaults]\nuser = main\nport = 23\n[m]\nhost = m\n",
    )
    files = (
        write(folder / "conf.d/1.ini", "[defaults]\nuser = one\n[a]\nhost = a\n"),
        write(folder / "conf.d/2.ini", "[b]\nhost = b\n"),
        write(folder / "more.ini", "[c]\nhost = c\nport = 24\n"),
    )
    write(folder / "conf.d/.hidden.ini", "rubbish")
    write(folder / "conf.d/3.ini~", "rubbish")
    loaded = read(main)

    assert (main, *files) == loaded.files
    assert [("m", "main", 23), ("a", "one", 23), ("b", "main", 23), ("c", "main", 24)] == [
        (machine.name, machine.user, machine.port) for machine in loaded.machines
    ]


def test_include_from_a_folder_with_a_strange_name(tmp_path: Path) -> None:
    """A wildcard in the name of the configuration's own folder is none."""
    main = write(tmp_path / "etc[1]*" / "c.ini", "[collector]\ninclude = d/*.ini\n")
    write(main.parent / "d" / "a.ini", "[a]\nhost = a\n")

    assert ["a"] == list(machines(main))


def test_include_may_find_nothing_yet(folder: Path) -> None:
    """Without a machine, and with a pattern that finds no file yet, the configuration is good."""
    assert () == read(write(folder / "c.ini", "[collector]\ninclude = conf.d/*.ini\n")).machines


def test_problems_of_all_files(folder: Path) -> None:
    """The problems of all files come at once, those of a file that cannot be read too."""
    main = write(folder / "c.ini", "[collector]\ninclude = *.ini\nlogins = 0\n[a]\nhost = a\n")
    write(folder / "d.ini", "[a]\nhost = a\n")
    (folder / "e.ini").symlink_to("nowhere")
    (folder / "f.ini").mkdir()
    (folder / "g.ini").write_bytes(b"[b]\n\xff")

    assert [
        "c.ini:3: [collector] logins: not a whole number from 1 to 10000: '0'; write one",
        "d.ini:1: [a]: the same section is at c.ini:4; rename one, or make one of both",
        "e.ini: cannot be read: No such file or directory; name a file that is there and may be read",
        "f.ini: cannot be read: Is a directory; name a file that is there and may be read",
        "g.ini:2: not UTF-8 (the byte 0xff); save the file as UTF-8 text",
    ] == problems(main)


def test_disabled(folder: Path) -> None:
    """A disabled machine is checked but not polled, and its files need not be there; all may be disabled."""
    path = write(folder / "c.ini", "[a]\nhost = a\nenabled = no\nkey_file = nowhere\n")
    assert () == read(path).machines

    path = write(folder / "c.ini", "[defaults]\nenabled = no\n[a]\nhost = a\nport = x\n[b]\nhost = b\nenabled = yes\n")
    assert ["c.ini:5: [a] port: not a whole number from 1 to 65535: 'x'; write one"] == problems(path)


def test_paths(folder: Path, home: Path) -> None:
    """A path is a home's, relative to the file that names it, whole, or a credential."""
    main = write(folder / "c.ini", "[collector]\ninclude = d/*.ini\n[defaults]\nknown_hosts = hosts\n")
    write(folder / "d/1.ini", "[a]\nhost = a\nkey_file = ../key\n[b]\nhost = b\nkey_file = credential:ssh_key\n")
    write(
        folder / "d/2.ini",
        f"[defaults]\nknown_hosts = hosts\n[c]\nhost = c\nkey_file = {home}/k\n[d]\nhost = d\nkey_file = ~/k\n",
    )
    secrets = home / "credentials"
    for file in (folder / "key", folder / "hosts", folder / "d/hosts", home / "k", secrets / "ssh_key"):
        write(file, "")
    found = machines(main, credentials=secrets)

    assert [folder / "d/../key", secrets / "ssh_key", home / "k", home / "k"] == [
        machine.key_file for machine in found.values()
    ]
    assert [folder / "hosts"] * 2 + [folder / "d/hosts"] * 2 == [machine.known_hosts for machine in found.values()]


def test_missing_default_files(folder: Path, home: Path) -> None:
    """Default files that are not there are told of once, however many machines need them, with what to do."""
    for file in (home / ".ssh").iterdir():
        file.unlink()
    key, hosts = problems(write(folder / "c.ini", "[a]\nhost = a\n[b]\nhost = b\n"))

    assert key.startswith(
        f"c.ini: key_file: {home}/.ssh/id_ed25519: No such file or directory; make a key with ssh-keygen"
    )
    assert hosts.startswith(f"c.ini: known_hosts: {home}/.ssh/known_hosts: No such file or directory; ssh-keyscan ")
    assert "compare each fingerprint" in hosts


def test_unreadable_files(folder: Path, home: Path) -> None:
    """A file that may not be read is told of, whatever it is, and so is a folder that may not be listed."""
    path = write(folder / "c.ini", "[collector]\ninclude = d/*.ini\n[a]\nhost = a\n")
    key = home / ".ssh" / "id_ed25519"
    key.chmod(0)
    if os.access(key, os.R_OK):
        pytest.skip("this user (root?) may read any file")
    (folder / "d").mkdir(0)
    said = problems(path)

    assert "c.ini:2: [collector] include: 'd/*.ini': Permission denied; name files that are there" in said
    assert any(problem.startswith(f"c.ini: key_file: {key}: Permission denied; ") for problem in said)

    path.chmod(0)
    assert ["c.ini: cannot be read: Permission denied; name a file that is there and may be read"] == problems(path)


def test_bad_key(folder: Path) -> None:
    """What is wrong with a key that is there is told where the key is named; each key is looked at once."""
    looked: list[Path] = []

    def key_problem(path: Path) -> str | None:
        looked.append(path)
        return f"{path.name} has a passphrase" if path.name == "bad" else None

    for name in ("good", "bad"):
        write(folder / name, "")
    text = "[defaults]\nkey_file = good\n[a]\nhost = a\n[b]\nhost = b\nkey_file = bad\n[c]\nhost = c\nkey_file = bad\n"
    path = write(folder / "c.ini", text + "[d]\nhost = d\nkey_file = none\n")
    said = problems(path, key_problem=key_problem)

    assert ["c.ini:7: [b] key_file: bad has a passphrase", "c.ini:10: [c] key_file: bad has a passphrase"] == said[:2]
    assert said[2].startswith("c.ini:13: [d] key_file: none: No such file")
    assert [folder / "bad", folder / "good"] == sorted(looked)


def test_missing_file(folder: Path) -> None:
    """A configuration that is not there is a problem, and so is a folder."""
    hint = "name a file that is there and may be read"

    assert [f"c.ini: cannot be read: No such file or directory; {hint}"] == problems(folder / "c.ini")
    assert [f"etc: cannot be read: Is a directory; {hint}"] == problems(folder)


def test_no_user_name(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where the user who runs the collector has no name, each machine must have a user."""

    def nobody() -> str:
        raise KeyError("getpwuid(): uid not found: 54321")

    monkeypatch.setattr(getpass, "getuser", nobody)
    missing = "missing, and the user who runs the collector has no name; write user = the name to log in with"

    path = write(folder / "c.ini", "[a]\nhost = a\nuser = x\n[b]\nhost = b\n")

    assert [f"c.ini:4: [b] user: {missing}"] == problems(path)


def test_find(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The file is the one named, else the one here, else the system's, else nobody's."""
    system = folder / "system" / "collector.ini"
    monkeypatch.setattr(config, "PLACES", (Path("collector.ini"), system))
    monkeypatch.chdir(folder)
    assert Path("nowhere.ini") == find("nowhere.ini")

    with pytest.raises(ConfigError) as caught:
        find(None)
    assert [
        f"no configuration: there is neither collector.ini nor {system}; write one, or name it with --config FILE"
    ] == caught.value.problems

    write(system, "")
    assert system == find(None)
    write(folder / "collector.ini", "")
    assert Path("collector.ini") == find(None)


@given(st.integers(1, 10**9), st.sampled_from(sorted(UNITS)))
def test_duration(number: int, unit: str) -> None:
    """Seconds come out as they went in, whatever the unit."""
    assert number * UNITS[unit] == pytest.approx(duration(f"{number}{unit}", 0, float("inf")))


@given(st.integers(0, 99), st.integers(0, 59), st.integers(0, 59), st.integers(0, 999))
def test_compound_duration(hours: int, minutes: int, seconds: int, milliseconds: int) -> None:
    """Units may stand together, greatest first, and sum up to the very millisecond."""
    text = f"{hours}h{minutes}m{seconds}s{milliseconds}ms"

    assert (((hours * 60 + minutes) * 60 + seconds) * 1000 + milliseconds) / 1000 == duration(text, 0, float("inf"))


@given(st.floats(0.001, 86_400).map(lambda seconds: round(seconds, 3)))
def test_decimal_duration(seconds: float) -> None:
    """Seconds with decimals are the number that is written."""
    assert seconds == duration(f"{seconds:.3f}s", 0, float("inf"))


@given(st.text())
def test_any_text_is_a_configuration_or_a_problem(text: str) -> None:
    """Whatever is in the file, it is a configuration or a ConfigError whose problems are a line each."""
    path = write(Path(os.environ["HOME"]) / "any.ini", "")
    path.write_bytes(text.encode(errors="surrogatepass"))
    said = all_problems(path)

    assert [problem.split("\n")[0] for problem in said] == said


LINES = st.sampled_from(
    (
        "[web1]",
        "[ web1",
        "  [defaults]",
        "[collector]",
        "host = a",
        " port = 22",
        "port",
        "= x",
        "labels = a=b,",
        "  c=d",
        "",
        "; x",
        "user = \x1b",
    )
)


@given(st.lists(LINES, max_size=12))
def test_any_lines_are_counted(lines: list[str]) -> None:
    """However lines follow each other, each problem of a line names one that there is, and they are in order."""
    path = write(Path(os.environ["HOME"]) / "any.ini", "\n".join(lines))
    found = [re.match(rf"{re.escape(str(path))}:(\d+): ", problem) for problem in all_problems(path)]
    numbers = [int(match[1]) for match in found if match]

    assert sorted(numbers) == numbers
    assert set(numbers) <= set(range(1, len(lines) + 1))


def test_ten_thousand_machines(folder: Path) -> None:
    """Ten thousand sections are ten thousand machines, in order, each with its own."""
    body = "".join(f'[ssh{i}]\nhost = 10.0.{i >> 8}.{i & 255}\nlabels = n="{i}"  ; own\n' for i in range(10_000))
    found = read(write(folder / "c.ini", body)).machines

    assert [f"ssh{i}" for i in range(10_000)] == [machine.name for machine in found]
    assert ("10.0.39.15", (("n", "9999"),)) == (found[-1].host, found[-1].labels)
