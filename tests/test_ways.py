"""`jump`: from the text to the hosts on the way to each machine."""

from collections.abc import Callable, Mapping
from pathlib import Path

import pytest

from collector.config import Config, Hop, load
from collector.errors import ConfigError

GATHERERS: Mapping[str, tuple[str, ...]] = {"time": (), "memory": (), "load": ()}

Write = Callable[..., Path]


@pytest.fixture
def write(tmp_path: Path) -> Write:
    """`write(text, name="collector.ini")` makes a file in a folder that has a key and known hosts; returns its path."""
    for name in ("key", "hosts", "other"):
        (tmp_path / name).touch()

    def write(text: str, name: str = "collector.ini") -> Path:
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
        return path

    return write


DEFAULTS = "[defaults]\nuser = monitor\nkey_file = key\nknown_hosts = hosts\n"


def loaded(path: Path) -> Config:
    """Load a file."""
    return load(path, gatherers=GATHERERS)


def ways(path: Path) -> dict[str, list[str]]:
    """The names of the hops to each machine."""
    return {machine.name: [hop.name for hop in machine.jumps] for machine in loaded(path).machines}


def test_a_section(write: Write, tmp_path: Path) -> None:
    """A section is a jump host with its own options, polled or not."""
    path = write(
        DEFAULTS + "[web1]\nhost = 192.0.2.10\njump = bastion\n"
        "[bastion]\nhost = 192.0.2.1\nport = 2222\nuser = hop\nkey_file = other\nlogin_timeout = 5s\nenabled = no\n"
    )
    expected = Hop(
        name="bastion",
        host="192.0.2.1",
        port=2222,
        user="hop",
        key_file=tmp_path / "other",
        known_hosts=(tmp_path / "hosts",),
        login_timeout=5.0,
    )
    (machine,) = loaded(path).machines
    assert (expected,) == machine.jumps


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("192.0.2.1", ("me", "192.0.2.1", 22)),
        ("hop@192.0.2.1", ("hop", "192.0.2.1", 22)),
        ("hop@bastion.example.org:2222", ("hop", "bastion.example.org", 2222)),
        ("[2001:db8::1]", ("me", "2001:db8::1", 22)),
        ("hop@[2001:db8::1]:2222", ("hop", "2001:db8::1", 2222)),
    ],
)
def test_a_host(write: Write, tmp_path: Path, text: str, expected: tuple[str, str, int]) -> None:
    """A host that is no section has the machine's options, but not its port."""
    user, host, port = expected
    path = write(
        DEFAULTS + f"[web1]\nhost = 192.0.2.10\nport = 2200\nuser = me\nkey_file = other\njump = {text}\n"
        "login_timeout = 7s\n"
    )
    wanted = Hop(
        name=text,
        host=host,
        port=port,
        user=user,
        key_file=tmp_path / "other",
        known_hosts=(tmp_path / "hosts",),
        login_timeout=7.0,
    )
    (machine,) = loaded(path).machines
    assert (wanted,) == machine.jumps


def test_a_machines_password_is_not_for_its_jump_host(write: Write, tmp_path: Path) -> None:
    """A host that is no section does not get the password of the machine behind it; that of [defaults] is for all."""
    (tmp_path / "secret").touch()
    own = "[web1]\nhost = 192.0.2.10\njump = 192.0.2.1\npassword_file = secret\n"
    (machine,) = loaded(write(DEFAULTS + own)).machines
    assert [tmp_path / "secret", None] == [machine.password_file, machine.jumps[0].password_file]

    (machine,) = loaded(write(DEFAULTS + "password_file = secret\n" + own)).machines
    assert [tmp_path / "secret", None] == [machine.password_file, machine.jumps[0].password_file]

    (machine,) = loaded(
        write(DEFAULTS + "password_file = secret\n" + own.replace("password_file = secret\n", ""))
    ).machines
    assert [tmp_path / "secret"] * 2 == [machine.password_file, machine.jumps[0].password_file]


def test_a_chain(write: Write) -> None:
    """Hops stand as they are passed; what the first has as its own way comes before, what others have does not."""
    path = write(
        DEFAULTS + "[web1]\nhost = 192.0.2.10\njump = inner,\n  hop@192.0.2.9, last\n"
        "[inner]\nhost = 192.0.2.2\njump = outer\n[outer]\nhost = 192.0.2.1\n"
        "[last]\nhost = 192.0.2.3\njump = outer\n"
    )
    expected = {
        "web1": ["outer", "inner", "hop@192.0.2.9", "last"],
        "inner": ["outer"],
        "outer": [],
        "last": ["outer"],
    }
    assert expected == ways(path)


def test_a_jump_host_for_all(write: Write) -> None:
    """In [defaults] it holds for all but the jump host itself; on the way to a part of a chain are those before it."""
    path = write(
        DEFAULTS + "jump = outer, inner\n[web1]\nhost = 192.0.2.10\n[outer]\nhost = 192.0.2.1\n"
        "[inner]\nhost = 192.0.2.2\n[direct]\nhost = 192.0.2.11\njump = none\n[other]\nhost = 192.0.2.12\njump = web1\n"
    )
    expected = {
        "web1": ["outer", "inner"],
        "outer": [],
        "inner": ["outer"],
        "direct": [],
        "other": ["outer", "inner", "web1"],
    }
    assert expected == ways(path)


def test_a_section_of_another_file(write: Write) -> None:
    """Sections of all files can be jump hosts, for machines of all files."""
    path = write(DEFAULTS + "[collector]\ninclude = more.ini\n[web1]\nhost = 192.0.2.10\njump = bastion\n")
    write("[bastion]\nhost = 192.0.2.1\n[web2]\nhost = 192.0.2.11\njump = web1\n", "more.ini")
    assert {"web1": ["bastion"], "bastion": [], "web2": ["bastion", "web1"]} == ways(path)


def test_the_same_hop_is_equal(write: Write) -> None:
    """Machines with the same way have equal hops, which is by what they share a connection."""
    path = write(
        DEFAULTS + "jump = hop@192.0.2.1\n[web1]\nhost = 192.0.2.10\n[web2]\nhost = 192.0.2.11\nport = 23\n"
        "[web3]\nhost = 192.0.2.12\nkey_file = other\n"
    )
    first, second, third = loaded(path).machines
    assert first.jumps == second.jumps != third.jumps
    assert hash(first.jumps) == hash(second.jumps)


def test_a_lone_word_may_be_a_host(write: Write) -> None:
    """A word that is like no section's name is a host; one that is, is one with a port, or a user."""
    path = write(
        DEFAULTS + "[gate1]\nhost = 192.0.2.1\n[web1]\nhost = 192.0.2.10\njump = bastion\n"
        "[web2]\nhost = 192.0.2.11\njump = gate2:22\n"
    )
    assert {"gate1": [], "web1": ["bastion"], "web2": ["gate2:22"]} == ways(path)


def test_files_of_a_jump_host(write: Write, tmp_path: Path) -> None:
    """A jump host's key must be there as a machine's, polled or not; that of an unused section need not."""
    path = write(
        DEFAULTS + "[web1]\nhost = 192.0.2.10\njump = bastion\n"
        "[bastion]\nhost = 192.0.2.1\nenabled = no\nkey_file = missing\n"
        "[unused]\nhost = 192.0.2.2\nenabled = no\nkey_file = missing\n"
    )
    with pytest.raises(ConfigError) as caught:
        loaded(path)
    (problem,) = caught.value.problems
    assert problem.startswith(f"{path}:11: [bastion] key_file: {tmp_path / 'missing'}: No such file")


def test_keep_and_max_age(write: Write) -> None:
    """Sessions are kept for ever unless [defaults] or the machine says otherwise; `none` ends an inherited age."""
    path = write(
        DEFAULTS + "max_age = 1d\n[web1]\nhost = 192.0.2.10\n[web2]\nhost = 192.0.2.11\nmax_age = none\nkeep = no\n"
        "[collector]\njump_logins = 3\n"
    )
    config = loaded(path)
    assert [(True, 86_400.0), (False, None)] == [(machine.keep, machine.max_age) for machine in config.machines]
    assert 3 == config.jump_logins


def test_ten_thousand_machines(write: Write) -> None:
    """A large fleet behind a jump host in [defaults] loads, each machine with the same hop."""
    machines = "".join(f"[web{number}]\nhost = 10.0.{number >> 8}.{number & 255}\n" for number in range(10_000))
    path = write(DEFAULTS + "jump = bastion\n[bastion]\nhost = 192.0.2.1\n" + machines)
    found = loaded(path).machines
    assert 10_001 == len(found)
    assert 2 == len({machine.jumps for machine in found})
