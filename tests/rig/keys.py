"""Key pairs in OpenSSH's format, and known_hosts files.

    key = make_key(tmp_path / "id_rsa", "rsa", passphrase=b"secret")
    known_hosts(tmp_path / "known_hosts", [("127.0.0.1", 2222)], [key.public])

No ssh-keygen is needed; tests of what only it can make (certificates, hashed known_hosts) run it on these files.
"""

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from cryptography.hazmat.primitives.serialization import (
    BestAvailableEncryption,
    Encoding,
    KeySerializationEncryption,
    NoEncryption,
    PrivateFormat,
    PublicFormat,
)

PrivateKey = ed25519.Ed25519PrivateKey | rsa.RSAPrivateKey | ec.EllipticCurvePrivateKey

KINDS: dict[str, Callable[[], PrivateKey]] = {
    "ed25519": ed25519.Ed25519PrivateKey.generate,
    "rsa": partial(rsa.generate_private_key, 65537, 2048),
    "rsa-3072": partial(rsa.generate_private_key, 65537, 3072),
    "ecdsa": partial(ec.generate_private_key, ec.SECP256R1()),
    "ecdsa-384": partial(ec.generate_private_key, ec.SECP384R1()),
    "ecdsa-521": partial(ec.generate_private_key, ec.SECP521R1()),
}


@dataclass(frozen=True, slots=True)
class Key:
    """A key pair: the file of the private half (mode 0600), and the public half as "type base64"."""

    path: Path
    public: str


def make_key(path: Path, kind: str = "ed25519", passphrase: bytes | None = None) -> Key:
    """Make a key pair of a kind of `KINDS` in `path` and `path`.pub."""
    private = KINDS[kind]()
    lock: KeySerializationEncryption = BestAvailableEncryption(passphrase) if passphrase else NoEncryption()
    path.touch(mode=0o600)
    path.write_bytes(private.private_bytes(Encoding.PEM, PrivateFormat.OpenSSH, lock))
    public = private.public_key().public_bytes(Encoding.OpenSSH, PublicFormat.OpenSSH).decode()
    path.with_name(f"{path.name}.pub").write_text(f"{public} test\n")
    return Key(path, public)


def known_hosts(path: Path, addresses: Iterable[tuple[str, int]], publics: Iterable[str]) -> Path:
    """Write a known_hosts file with a line for each (host, port) and public key; returns `path`."""
    publics = tuple(publics)
    path.write_text("".join(f"{host_name(*address)} {public}\n" for address in addresses for public in publics))
    return path


def host_name(host: str, port: int) -> str:
    """A host as known_hosts names it."""
    return host if port == 22 else f"[{host}]:{port}"
