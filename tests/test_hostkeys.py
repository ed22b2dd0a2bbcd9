"""known_hosts: who is trusted, in every form that ssh writes."""

import base64
import os
import subprocess
from pathlib import Path

import pytest
from rig.keys import make_key

from collector.errors import HostKeyChanged, HostKeyRevoked, HostKeyUnknown, LocalFailure
from collector.ssh.hostkeys import KnownHosts, fingerprint


@pytest.fixture
def publics(tmp_path: Path) -> list[str]:
    """Two public keys, as `type base64`."""
    return [make_key(tmp_path / f"key{number}").public for number in range(2)]


def check(path: Path, host: str, public: str, port: int = 22) -> None:
    """Check a host that shows this key."""
    kind, text = public.split()
    KnownHosts(path).check(host, port, kind, base64.b64decode(text))


def written(tmp_path: Path, *lines: str) -> Path:
    """A known_hosts file of these lines."""
    path = tmp_path / "known_hosts"
    path.write_text("".join(f"{line}\n" for line in lines))
    return path


@pytest.mark.parametrize(
    ("names", "host", "port"),
    [
        ("web1", "web1", 22),
        ("web1,192.0.2.1", "192.0.2.1", 22),
        ("WEB1.Example.org", "web1.example.ORG", 22),
        ("[web1]:2222", "web1", 2222),
        ("*.example.org", "web1.example.org", 22),
        ("web?", "web1", 22),
        ("*,!db*", "web1", 22),
        ("[*]:2222", "web1", 2222),
    ],
)
def test_known(tmp_path: Path, publics: list[str], names: str, host: str, port: int) -> None:
    """A host is known by its name, one of several names, any case, its port, a wildcard."""
    check(written(tmp_path, f"{names} {publics[0]} comment"), host, publics[0], port)


@pytest.mark.parametrize(
    ("names", "host", "port"),
    [
        ("web1", "web2", 22),
        ("web1", "web1", 2222),
        ("[web1]:2222", "web1", 22),
        ("*,!web*", "web1", 22),
        ("web?", "web10", 22),
    ],
)
def test_unknown(tmp_path: Path, publics: list[str], names: str, host: str, port: int) -> None:
    """A host with another name or port is unknown, and the error has the fingerprint of its key."""
    with pytest.raises(HostKeyUnknown, match="SHA256:"):
        check(written(tmp_path, f"{names} {publics[0]}"), host, publics[0], port)


def test_changed(tmp_path: Path, publics: list[str]) -> None:
    """A host that shows another key than the known one is refused, and the error has both fingerprints and the line."""
    path = written(tmp_path, "# a comment", f"web1 {publics[0]}")

    with pytest.raises(HostKeyChanged, match=r"SHA256:.*SHA256:.*\(line 2\)"):
        check(path, "web1", publics[1])


def test_revoked(tmp_path: Path, publics: list[str]) -> None:
    """A revoked key is refused even if it is also known."""
    path = written(tmp_path, f"web1 {publics[0]}", f"@revoked * {publics[0]}")

    with pytest.raises(HostKeyRevoked):
        check(path, "web1", publics[0])


@pytest.mark.needs("ssh-keygen")
def test_hashed(tmp_path: Path, publics: list[str]) -> None:
    """Names that ssh-keygen has hashed are found."""
    path = written(tmp_path, f"web1 {publics[0]}", f"[web2]:2222 {publics[1]}")
    subprocess.run(["ssh-keygen", "-q", "-H", "-f", path], check=True, capture_output=True)

    assert "web1" not in path.read_text()
    check(path, "web1", publics[0])
    check(path, "web2", publics[1], 2222)
    with pytest.raises(HostKeyUnknown):
        check(path, "web3", publics[0])


def test_a_bad_line_costs_only_itself(tmp_path: Path, publics: list[str]) -> None:
    """Every line that cannot be read is reported by its number, and the others hold."""
    kind, text = publics[0].split()
    bad = [
        "web1",
        f"web1 {kind}",
        f"web1 {kind} ====",
        f"web1 ssh-rsa {text}",
        "|1|x web1 a b",
        f"@new web1 {publics[0]}",
    ]
    path = written(tmp_path, *bad, f"web1 {publics[0]}")

    known = KnownHosts(path)
    check(path, "web1", publics[0])

    assert [problem.split(":")[1] for problem in known.index().problems] == [str(number) for number in range(1, 7)]


def test_an_edit_is_picked_up(tmp_path: Path, publics: list[str]) -> None:
    """A file that is written anew is read anew; one that has gone leaves the keys that were read before in force."""
    path = written(tmp_path, f"web1 {publics[0]}")
    known = KnownHosts(path)
    before = known.state()
    kind, text = publics[1].split()
    with pytest.raises(HostKeyChanged):
        known.check("web1", 22, kind, base64.b64decode(text))

    replacement = tmp_path / "new"
    replacement.write_text(f"web1 {publics[1]} a longer line\n")
    os.replace(replacement, path)
    known.check("web1", 22, kind, base64.b64decode(text))
    path.unlink()
    known.check("web1", 22, kind, base64.b64decode(text))

    assert known.state() != before


def test_a_file_that_never_was_is_a_local_failure(tmp_path: Path) -> None:
    """Without any known_hosts nobody is trusted, and the reason is ours."""
    with pytest.raises(LocalFailure, match="known_hosts"):
        KnownHosts(tmp_path / "nowhere").index()


@pytest.mark.needs("ssh-keygen")
def test_fingerprints_are_those_of_ssh_keygen(tmp_path: Path) -> None:
    """A fingerprint reads as ssh-keygen -l prints it, so that people can compare."""
    key = make_key(tmp_path / "key")
    printed = subprocess.run(["ssh-keygen", "-l", "-f", key.path], check=True, capture_output=True, text=True).stdout

    assert fingerprint(base64.b64decode(key.public.split()[1])) == printed.split()[1]
