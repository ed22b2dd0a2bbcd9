"""Host certificates, made by ssh-keygen: on a real sshd, and everything that can be wrong with one."""

import base64
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from rig.keys import Key, make_key
from rig.sshd import Sshd

from collector.config import Login, Machine
from collector.errors import CollectorError, HostKeyRevoked, HostKeyUnknown
from collector.polling import man
from collector.ssh.connector import Connector
from collector.ssh.host_certificate import BadCertificate, HostCertificate
from collector.ssh.hostkeys import HostKeys
from collector.ssh.identities import Identities
from collector.ssh.known_hosts import HostKey
from collector.sweep import visit

pytestmark = pytest.mark.needs("ssh-keygen")

Sign = Callable[..., HostKey]


@pytest.fixture
def authority(tmp_path: Path) -> Key:
    """The key of a certificate authority."""
    return make_key(tmp_path / "authority")


@pytest.fixture
def host(tmp_path: Path) -> Key:
    """A host's key."""
    return make_key(tmp_path / "host")


def sign(authority: Key, host: Key, *options: str) -> HostKey:
    """What a host shows whose key is signed with these options of ssh-keygen."""
    argv = ["ssh-keygen", "-q", "-s", str(authority.path), "-I", "id", *options, f"{host.path}.pub"]
    subprocess.run(argv, check=True, capture_output=True)
    text = host.path.with_name(f"{host.path.name}-cert.pub").read_text()
    kind, blob = host.public.split()
    return HostKey(kind, base64.b64decode(blob), base64.b64decode(text.split()[1]))


def verdict(key: HostKey, *lines: str, tmp_path: Path, **options: Any) -> str:
    """What becomes of web1 when it shows this and known_hosts has these lines: "trusted", or why it is not."""
    path = tmp_path / "known_hosts"
    path.write_text("".join(f"{line}\n" for line in lines))
    plain = {"host": "web1", "port": 22, "user": "u", "key_file": Path("k"), "login_timeout": 1.0}
    trust = HostKeys().trust(Login(known_hosts=(path,), **{**plain, **options}))
    trust.refresh()
    try:
        trust.check(key)
    except CollectorError as error:
        return f"{type(error).__name__}: {error}"
    return "trusted"


@pytest.mark.parametrize("authority_kind", ["ed25519", "ecdsa", "rsa"])
@pytest.mark.parametrize("host_kind", ["ed25519", "ecdsa", "rsa"])
def test_every_type_of_key(authority_kind: str, host_kind: str, tmp_path: Path) -> None:
    """A host is trusted by its certificate, whatever the types of the two keys, and on any port."""
    authority, host = make_key(tmp_path / "ca", authority_kind), make_key(tmp_path / "key", host_kind)
    key = sign(authority, host, "-h", "-n", "web1,web2")

    assert "trusted" == verdict(key, f"@cert-authority web* {authority.public}", tmp_path=tmp_path)
    assert "trusted" == verdict(key, f"@cert-authority web1 {authority.public}", tmp_path=tmp_path, port=2222)


WRONG = [
    (("-h", "-n", "web2,db1"), "a certificate for web2, db1; sign one with ssh-keygen -n web1"),
    (("-h", "-n", "web*"), "a certificate for web*;"),
    (("-h",), "a certificate for no name;"),
    (("-n", "web1"), "a user's certificate"),
    (
        ("-h", "-n", "web1", "-V", "20200101:20210101"),
        "valid from 2020-01-01T00:00:00+00:00 to 2021-01-01T00:00:00+00:00",
    ),
    (("-h", "-n", "web1", "-V", "20990101:21000101"), "valid from 2099"),
    (("-h", "-n", "web1", "-O", "critical:verify=yes"), "the critical option verify"),
]


@pytest.mark.parametrize(("options", "expected"), WRONG)
def test_wrong_certificates(options: tuple[str, ...], expected: str, authority: Key, host: Key, tmp_path: Path) -> None:
    """A certificate for another, for no one, for a user, of another time or with conditions vouches for nobody."""
    said = verdict(sign(authority, host, *options), f"@cert-authority * {authority.public}", tmp_path=tmp_path)

    assert said.startswith("HostCertificateBad: its ssh-ed25519 key SHA256:")
    assert expected in said


def test_whose_word_counts(authority: Key, host: Key, tmp_path: Path) -> None:
    """Only an authority that is trusted for this host counts; without one the key itself may be known."""
    key = sign(authority, host, "-h", "-n", "web1")
    other = make_key(tmp_path / "other").public

    assert "HostKeyUnknown" in verdict(key, f"@cert-authority db* {authority.public}", tmp_path=tmp_path)
    assert "HostKeyUnknown" in verdict(key, f"@cert-authority * {other}", tmp_path=tmp_path)
    assert "HostKeyUnknown" in verdict(key, f"web1 {authority.public}", tmp_path=tmp_path).replace("Changed", "Unknown")
    assert "trusted" == verdict(key, f"web1 {host.public}", tmp_path=tmp_path)
    assert "HostKeyChanged" in verdict(key, f"web1 {other}", tmp_path=tmp_path)


def test_a_plain_key_under_an_authority(authority: Key, host: Key, tmp_path: Path) -> None:
    """A host that shows no certificate is unknown where an authority is trusted, and told so."""
    key = sign(authority, host, "-h", "-n", "web1")._replace(certificate=b"")
    said = verdict(key, f"@cert-authority * {authority.public}", tmp_path=tmp_path)

    assert said.startswith("HostKeyUnknown")
    assert "no certificate of a trusted authority" in said


def test_revoked(authority: Key, host: Key, tmp_path: Path) -> None:
    """Neither a revoked authority nor a revoked key is saved by a certificate."""
    key = sign(authority, host, "-h", "-n", "web1")
    trusted = f"@cert-authority * {authority.public}"

    for revoked in (authority.public, host.public):
        said = verdict(key, trusted, f"@revoked * {revoked}", tmp_path=tmp_path)
        assert said.startswith("HostKeyRevoked")
        assert "known_hosts:2" in said


def test_alias(authority: Key, host: Key, tmp_path: Path) -> None:
    """The alias is the name that the certificate must have."""
    key = sign(authority, host, "-h", "-n", "alias")

    line = f"@cert-authority alias {authority.public}"
    assert "trusted" == verdict(key, line, tmp_path=tmp_path, port=2222, host_key_alias="alias")
    assert "HostKeyUnknown" in verdict(key, line, tmp_path=tmp_path)


def test_sha1(tmp_path: Path, host: Key) -> None:
    """What an RSA authority has signed with SHA-1 is not taken, as ssh does not take it."""
    authority = make_key(tmp_path / "rsa", "rsa")
    key = sign(authority, host, "-t", "ssh-rsa", "-h", "-n", "web1")

    assert "signed with SHA-1" in verdict(key, f"@cert-authority * {authority.public}", tmp_path=tmp_path)


def test_a_certificate_of_another_key(authority: Key, host: Key, tmp_path: Path) -> None:
    """The certificate must be that of the key with which the server has signed."""
    key = sign(authority, host, "-h", "-n", "web1")
    other = make_key(tmp_path / "other").public

    with pytest.raises(BadCertificate, match="of another key"):
        HostCertificate(key._replace(blob=base64.b64decode(other.split()[1])))


@pytest.mark.parametrize("kind", ["ed25519", "ecdsa", "rsa"])
def test_a_damaged_certificate_vouches_for_nobody(kind: str, tmp_path: Path) -> None:
    """Whichever byte of a certificate is another, it is not good for this host and key."""
    authority, host = make_key(tmp_path / "ca", kind), make_key(tmp_path / "key", kind)
    key = sign(authority, host, "-h", "-n", "web1", "-V", "always:forever")
    HostCertificate(key).check("web1", 1.8e9)
    for place in range(len(key.certificate)):
        damaged = bytearray(key.certificate)
        damaged[place] ^= 0x55
        with pytest.raises(BadCertificate):
            HostCertificate(key._replace(certificate=bytes(damaged))).check("web1", 1.8e9)
    for size in range(len(key.certificate)):
        with pytest.raises(BadCertificate):
            HostCertificate(key._replace(certificate=key.certificate[:size])).check("web1", 1.8e9)


@pytest.mark.needs("ssh-keygen", "root", "namespaces", "sshd")
@pytest.mark.parametrize("kind", ["ed25519", "ecdsa", "rsa"])
def test_a_real_server(kind: str, sshd: Callable[..., Sshd], authority: Key, tmp_path: Path, host: Key) -> None:
    """A machine whose key is in no file is polled by its certificate, and no more once that is revoked or expired."""
    key = make_key(tmp_path / "host_key", kind)
    sign(authority, key, "-h", "-n", "127.0.0.1")
    server = sshd(host_keys=[key, host], HostCertificate=f"{key.path}-cert.pub")
    path = tmp_path / "known_hosts"
    path.write_text(f"@cert-authority 127.0.0.* {authority.public}\n")
    login = {**server.login(), "known_hosts": (path,)}

    assert "up" == poll(login)
    assert "Accepted publickey for sh" in server.log
    path.write_text(f"@cert-authority 127.0.0.* {authority.public}\n@revoked * {authority.public}\n")
    assert HostKeyRevoked.reason == poll(login)
    path.write_text(f"@cert-authority 127.0.0.* {authority.public}\n")
    sign(authority, key, "-h", "-n", "127.0.0.1", "-V", "20200101:20210101")
    server.stop()
    server.start()
    assert HostKeyUnknown.reason == poll(login)


def poll(login: dict[str, Any]) -> str:
    """How a poll of a machine ends: `up`, or the reason."""
    times: dict[str, Any] = {"interval": 1.0, "interval_text": "1s", "timeout": 5.0, "login_timeout": 10.0}
    post = man(Machine(name="ssh0", gather=("time",), labels=(), **times, **login), Connector(Identities(), 1))
    failure = visit(post).failure
    post.session.close()
    return failure.reason if failure else "up"
