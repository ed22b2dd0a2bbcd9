"""Who is trusted: what the files say of a host, pinned keys, and files that change, break or go away."""

import base64
import hmac
import os
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import gevent
import pytest
from rig.keys import host_name, make_key
from rig.sshd import Sshd
from rig.wait import until

from collector.config import Hop, Login, Machine
from collector.errors import CollectorError, HostKeyChanged, HostKeyRevoked, HostKeyUnknown, LocalFailure
from collector.polling import man
from collector.ssh.connector import Connector
from collector.ssh.hostkeys import LOOK_EVERY, AnotherKindKnown, HostKeys, KnownHosts, Trust
from collector.ssh.identities import Identities
from collector.ssh.known_hosts import QUICK, HostKey, fingerprint
from collector.sweep import visit


@pytest.fixture
def publics(tmp_path: Path) -> list[str]:
    """Three public keys, the last one of another type, as `type base64`."""
    return [make_key(tmp_path / f"key{kind}{number}", kind).public for number, kind in enumerate(KINDS)]


KINDS = ("ed25519", "ed25519", "ecdsa")


def key_of(public: str) -> HostKey:
    """The host key that has this public half."""
    kind, text = public.split()
    return HostKey(kind, base64.b64decode(text))


def login_with(*paths: Path, **options: Any) -> Login:
    """How to log in to web1, with these files."""
    plain = {"host": "web1", "port": 22, "user": "u", "key_file": Path("k"), "login_timeout": 1.0}
    return Login(known_hosts=paths, **{**plain, **options})


def trust(*paths: Path, host: str = "web1", **options: Any) -> Trust:
    """Who is trusted to be a host, by these files."""
    made = HostKeys().trust(login_with(*paths, host=host, **options))
    made.refresh()
    return made


def verdict(trust: Trust, public: str) -> type[CollectorError] | None:
    """What becomes of a host that shows this key."""
    try:
        trust.check(key_of(public))
    except CollectorError as error:
        return type(error)
    return None


@pytest.fixture
def written(tmp_path: Path) -> Callable[..., Path]:
    """`written(*lines, name="known_hosts")`: a file of these lines."""

    def written(*lines: str, name: str = "known_hosts") -> Path:
        path = tmp_path / name
        path.write_text("".join(f"{line}\n" for line in lines))
        return path

    return written


def test_known_unknown_and_changed(written: Callable[..., Path], publics: list[str]) -> None:
    """A host is known by each of its keys; any other is a change, of another type too; one without a key is unknown."""
    path = written(f"web1 {publics[0]}", f"web2 {publics[1]}", f"web2 {publics[2]}")

    assert [None, HostKeyChanged, HostKeyChanged] == [verdict(trust(path), public) for public in publics]
    assert [HostKeyChanged, None, None] == [verdict(trust(path, host="WEB2"), public) for public in publics]
    assert HostKeyUnknown is verdict(trust(path, host="web3"), publics[0])


def test_errors_say_what_to_compare(written: Callable[..., Path], publics: list[str]) -> None:
    """A refusal has the fingerprint of the key that was shown, and where the known one stands with its own."""
    path = written("# a comment", f"[web1]:2222 {publics[0]}")
    shown, known = (fingerprint(key_of(public).blob) for public in (publics[1], publics[0]))
    with pytest.raises(HostKeyChanged) as changed:
        trust(path, port=2222).check(key_of(publics[1]))
    with pytest.raises(HostKeyUnknown) as unknown:
        trust(path, host="web2", port=2222).check(key_of(publics[1]))

    assert f"ssh-ed25519 key {shown} is not the one that is known: ssh-ed25519 {known} ({path}:2)" in str(changed.value)
    assert f"key {shown} is not in {path}" in str(unknown.value)
    assert "collector trust add a line for [web2]:2222" in str(unknown.value)


def test_revoked(written: Callable[..., Path], publics: list[str]) -> None:
    """A revoked key is refused even if it is also known, in another file or pinned."""
    path, other = written(f"web1 {publics[0]}"), written(f"@revoked * {publics[0]}", name="revoked")
    pin = fingerprint(key_of(publics[0]).blob)

    assert verdict(trust(path), publics[0]) is None
    assert HostKeyRevoked is verdict(trust(path, other), publics[0])
    assert HostKeyRevoked is verdict(trust(other, host_key=(pin,)), publics[0])
    assert HostKeyUnknown is verdict(trust(other), publics[1])
    for_all_ports = written(f"[web1]:2222 {publics[0]}", f"@revoked web1 {publics[0]}")
    assert HostKeyRevoked is verdict(trust(for_all_ports, port=2222), publics[0])


def test_several_files(written: Callable[..., Path], publics: list[str]) -> None:
    """What one of several files knows is known, and one that cannot be read may revoke anything."""
    path, other = written(f"web1 {publics[0]}"), written(f"web2 {publics[1]}", name="other")

    assert verdict(trust(path, other, host="web2"), publics[1]) is None
    assert LocalFailure is verdict(trust(path, other.parent / "nowhere"), publics[0])


def test_pinned_keys(written: Callable[..., Path], publics: list[str]) -> None:
    """A machine with pinned keys shows one of them, whatever known_hosts says, and needs no such file."""
    pins = tuple(fingerprint(key_of(public).blob) for public in publics[1:])
    path = written(f"web1 {publics[0]}")
    verdicts = [verdict(trust(path, host_key=pins), public) for public in publics]

    assert [HostKeyChanged, None, None] == verdicts
    assert verdict(trust(path.parent / "nowhere", host_key=pins), publics[1]) is None
    assert LocalFailure is verdict(trust(path.parent, host_key=pins), publics[1])


def test_kinds(written: Callable[..., Path], publics: list[str]) -> None:
    """A host is asked for a key of a known type, and of a pinned one's where that is known."""
    marked = f"@revoked * {publics[0]}", f"@cert-authority * {publics[0]}"
    path = written(*(f"web1 {public}" for public in publics), *marked)
    pin = fingerprint(key_of(publics[2]).blob)

    assert ["ssh-ed25519", "ssh-ed25519", "ecdsa-sha2-nistp256"] == trust(path).kinds()
    assert trust(path).has_authority
    assert ["ecdsa-sha2-nistp256"] == trust(path, host_key=(pin,)).kinds()
    assert not trust(path, host_key=(pin,)).has_authority


def test_alias(written: Callable[..., Path], publics: list[str]) -> None:
    """An alias is looked up instead of host and port, as ssh does."""
    path = written(f"behind-the-nat {publics[0]}")

    assert verdict(trust(path, host="192.0.2.1", port=2222, host_key_alias="Behind-the-NAT"), publics[0]) is None


def test_many_hashed_lines(written: Callable[..., Path], publics: list[str]) -> None:
    """Among many hashed lines a key is found at once; another type than the known one is asked for when it is not."""
    hashed = "|1|{0}|{0}".format(base64.b64encode(bytes(20)).decode())
    other = make_key(written().with_name("other"), "rsa").public
    mine = "|1|AAAAAAAAAAAAAAAAAAAAAAAAAAA=|" + base64.b64encode(hmac.digest(bytes(20), b"web1", "sha1")).decode()
    path = written(*[f"{hashed} {other}"] * (QUICK + 1), f"{mine} {publics[0]}")

    assert verdict(trust(path), publics[0]) is None
    unresolved = trust(path)
    assert [] == unresolved.kinds()
    assert AnotherKindKnown is verdict(unresolved, publics[2])
    assert ["ssh-ed25519"] == unresolved.kinds()
    assert HostKeyChanged is verdict(unresolved, publics[2])
    assert HostKeyChanged is verdict(trust(path), publics[1])
    assert HostKeyUnknown is verdict(trust(path, host="web2"), publics[1])
    assert HostKeyChanged is verdict(trust(path), other)


@pytest.mark.needs("root", "namespaces", "sshd", "ssh-keygen")
def test_the_known_type_is_asked_for(sshd: Callable[..., Sshd], written: Callable[..., Path]) -> None:
    """A real server with keys of three types is polled though only one is known, in a big hashed file too, at once."""
    server = sshd(host_keys=["ed25519", "ecdsa", "rsa"])
    others = [f"host{number} {server.publics[0]}" for number in range(QUICK)]
    path = written(*others, f"{host_name(*server.address)} {server.publics[2]}")
    for logins in (1, 2):
        post = man(machine({**server.login(), "known_hosts": (path,)}), Connector(Identities(), 1))
        assert visit(post).failure is None
        post.session.close()
        until(lambda: not server.sessions, "the session is over")
        assert logins == server.log.count("Accepted publickey")
        assert 2 * logins - 1 == server.log.count("Connection from")
        subprocess.run(["ssh-keygen", "-q", "-H", "-f", path], check=True, capture_output=True)


@pytest.mark.needs("root", "namespaces", "sshd", "ssh-keygen")
def test_the_known_type_is_asked_for_at_a_jump_host(sshd: Callable[..., Sshd], written: Callable[..., Path]) -> None:
    """A jump host of which one type is known, in a big hashed file, is asked for that at once, like any machine."""
    server = sshd(host_keys=["ed25519", "ecdsa", "rsa"])
    others = [f"host{number} {server.publics[0]}" for number in range(QUICK)]
    path = written(*others, f"{host_name(*server.address)} {server.publics[2]}")
    subprocess.run(["ssh-keygen", "-q", "-H", "-f", path], check=True, capture_output=True)
    there: dict[str, Any] = {**server.login(), "known_hosts": (path,)}
    hop = Hop(name="bastion", login_timeout=10.0, **there)
    connector = Connector(Identities(), 1)
    post = man(machine({**server.login()}, jumps=(hop,)), connector)

    assert visit(post).failure is None
    assert 2 == server.log.count("Accepted publickey")
    post.session.close()
    connector.assign(())


def machine(login: dict[str, Any], **changes: Any) -> Machine:
    """A machine with this login."""
    times = {"interval": 1.0, "interval_text": "1s", "timeout": 5.0, "login_timeout": 10.0}
    options: dict[str, Any] = {"name": "ssh0", "gather": ("time",), "labels": (), **times, **login, **changes}
    return Machine(**options)


# Files that change.


def test_an_edit_is_picked_up(written: Callable[..., Path], publics: list[str]) -> None:
    """A file that is written anew, in its place or by another one, is read anew."""
    path = written(f"web1 {publics[0]}")
    there = trust(path)
    before = there.state()
    assert HostKeyChanged is verdict(there, publics[1])

    replacement = written(f"web1 {publics[1]}", name="new")
    os.replace(replacement, path)
    assert before != there.state()
    assert verdict(there, publics[1]) is None
    written(f"web1 {publics[2]} a longer line")
    assert verdict(there, publics[2]) is None
    there.refresh()
    assert HostKeyChanged is verdict(there, publics[0])


def test_a_refusal_is_by_the_file_as_it_is(written: Callable[..., Path], publics: list[str]) -> None:
    """Whoever would be refused is looked up in the file as it is now: nothing would bring it back after that."""
    there = trust(written())
    assert HostKeyUnknown is verdict(there, publics[0])
    written(f"web1 {publics[0]}")

    assert verdict(there, publics[0]) is None


def become_a_folder(path: Path) -> None:
    """Put a folder in the place of a file."""
    path.unlink()
    path.mkdir()


WORSE: dict[str, Callable[[Path], object]] = {
    "Is a directory": become_a_folder,
    "No such file": lambda path: path.unlink(),
    "no keys": lambda path: path.write_text(""),
    "no keys any more": lambda path: path.write_bytes(bytes(4096)),
    "cut off": lambda path: path.write_text(path.read_text()[:-20]),
}


@pytest.mark.parametrize("what", WORSE)
def test_a_file_that_got_worse(
    what: str, written: Callable[..., Path], publics: list[str], caplog: pytest.LogCaptureFixture
) -> None:
    """A file that is half written, or cannot be read, leaves what was read before in force, and is logged once."""
    path = written(f"web1 {publics[0]}", f"web2 {publics[1]}")
    known = KnownHosts(path)
    known.refresh()
    assert ("", 2) == (known.problem, len(known.index or ()))
    WORSE[what](path)
    for _ in range(3):
        known.refresh()

    assert what in known.problem
    assert known.index is not None
    assert 2 == len(known.index)
    assert 1 == caplog.text.count("what was read before is in force")

    if path.is_dir():
        path.rmdir()
    written(f"web1 {publics[0]}")
    known.refresh()
    assert ("", 1) == (known.problem, len(known.index))


def test_what_kept_us_from_reading_may_end(tmp_path: Path, publics: list[str]) -> None:
    """A file that could not be read is tried again even if it looks the same."""
    path, target = tmp_path / "known_hosts", tmp_path / "folder"
    path.symlink_to(target)
    known = KnownHosts(path)
    known.refresh()
    assert known.index is None
    target.write_text(f"web1 {publics[0]}\n")
    known.refresh()

    assert known.index is not None


def test_a_file_that_never_was_is_a_local_failure(tmp_path: Path, publics: list[str]) -> None:
    """Without any known_hosts nobody is trusted, and the reason is ours."""
    with pytest.raises(LocalFailure, match="nowhere: No such file"):
        trust(tmp_path / "nowhere").check(key_of(publics[0]))


def test_a_file_without_end(publics: list[str]) -> None:
    """What has no end is not read to the end."""
    with pytest.raises(LocalFailure, match="over 64 MiB"):
        trust(Path("/dev/zero")).check(key_of(publics[0]))


def test_bad_lines_are_logged(written: Callable[..., Path], caplog: pytest.LogCaptureFixture) -> None:
    """Bad lines are logged with their numbers, and many of them as a number."""
    trust(written(*["bad"] * 20))

    assert "known_hosts:1: fewer than three fields" in caplog.text
    assert "20 lines of" in caplog.text
    assert 11 == len(caplog.records)


def test_watching(written: Callable[..., Path], publics: list[str], tmp_path: Path) -> None:
    """Files in use are read again by themselves when they change; those that nobody needs are not missed."""
    path = written(f"web1 {publics[0]}")
    host_keys = HostKeys()
    needed = login_with(path)
    host_keys.use([needed, login_with(tmp_path / "nowhere", host_key=("SHA256:x",))])
    host_keys.refresh()
    assert [path] == [file.path for file in host_keys]
    greenlet = gevent.spawn(host_keys.watch)
    try:
        written(f"web1 {publics[0]}", f"web2 {publics[1]}")
        until(lambda: len(host_keys.file(path).index or ()) == 2, "the file is read again", 10 * LOOK_EVERY)
    finally:
        greenlet.kill()
    host_keys.use([])

    assert [] == list(host_keys)
