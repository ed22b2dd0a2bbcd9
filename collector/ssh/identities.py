"""Who we are: private keys, certificates and passwords, each read once for the whole daemon and again when it changes.

A secret is in no text, no repr and no exception of this module, and foreign exceptions that could hold one are dropped.
"""

import logging
import os
import stat
import warnings
from base64 import b64decode
from binascii import Error
from collections.abc import Callable, Iterable
from contextlib import suppress
from copy import copy
from dataclasses import dataclass, field
from datetime import UTC, datetime
from io import StringIO
from math import inf
from pathlib import Path
from time import monotonic, time
from typing import Generic, TypeVar

from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric.ec import EllipticCurvePrivateKey
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey
from cryptography.hazmat.primitives.asymmetric.types import PrivateKeyTypes
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    PublicFormat,
    SSHCertificate,
    SSHCertificateType,
    load_pem_private_key,
    load_ssh_private_key,
    load_ssh_public_identity,
)
from paramiko import ECDSAKey, Ed25519Key, Message, PKey, RSAKey
from paramiko.pkey import PublicBlob

from collector.config import IdentityFiles
from collector.errors import LocalFailure

log = logging.getLogger(__name__)

T = TypeVar("T")

MOST = 64 * 1024
"""Bytes of a file with a key, a certificate or a password."""

LEAST_RSA_BITS = 2048
FOREVER = 2**64 - 1
LOOK_EVERY = 60.0
"""Seconds after which a certificate's expiry is looked up in its file again, for the metric."""

CLASSES: dict[type, type[PKey]] = {
    Ed25519PrivateKey: Ed25519Key,
    EllipticCurvePrivateKey: ECDSAKey,
    RSAPrivateKey: RSAKey,
}
MAKE_ONE = "make one with ssh-keygen -t ed25519"
MAGIC = b"openssh-key-v1\0"
OPENSSH = b"-----BEGIN OPENSSH PRIVATE KEY-----"
OTHERS = {
    b"PuTTY-User-Key-File": "is a key of PuTTY; write it as OpenSSH's with puttygen FILE -O private-openssh -o NEW",
    b"-----BEGIN DSA PRIVATE KEY": f"is a DSA key, which sshd no longer takes; {MAKE_ONE}",
    b"ssh-": "is a public key; name the private one, which is beside it without .pub, or write agent = yes",
    b"ecdsa-": "is a public key; name the private one, which is beside it without .pub, or write agent = yes",
    b"sk-": "is the public half of a key on a security key (FIDO), which nobody is here to touch; " + MAKE_ONE,
}
"""What people name instead of a private key, by how it begins."""


class BadIdentity(LocalFailure):
    """A key, certificate, passphrase or password cannot be used; the text says why and what to do.

    `option` is the one at fault, as in collector.ini.
    """

    def __init__(self, option: str, text: str) -> None:
        super().__init__(text)
        self.option = option


@dataclass(frozen=True, slots=True)
class Certificate:
    """A user certificate: its file, and when it ends, in seconds since 1970 (infinite: never)."""

    path: Path
    expiry: float

    @property
    def note(self) -> str:
        """What there is to say of a certificate that has expired; empty if it has not."""
        if self.expiry > time():
            return ""
        return f"the certificate {self.path} expired on {datetime.fromtimestamp(self.expiry, UTC):%Y-%m-%d %H:%M UTC}"


@dataclass(frozen=True, slots=True)
class KeyIdentity:
    """A private key that we have, with its certificate if there is one."""

    key: PKey = field(repr=False)
    certificate: Certificate | None = None

    @property
    def blob(self) -> bytes:
        """The public half."""
        return self.key.asbytes()


@dataclass(frozen=True, slots=True)
class AgentIdentity:
    """A key that the agent has: the public half, and the blob and file of its certificate if there is one."""

    blob: bytes
    certificate: Certificate | None = None
    certificate_blob: PublicBlob | None = None


@dataclass(frozen=True, slots=True)
class PasswordIdentity:
    """A password."""

    password: bytes = field(repr=False)
    certificate: None = None
    blob: None = None


Identity = KeyIdentity | AgentIdentity | PasswordIdentity
"""What one login proves itself with."""


class Loaded(Generic[T]):
    """What was made of some files; made again when one has changed, and if that fails what was made last stays."""

    def __init__(self, files: Iterable[Path], make: Callable[[], T]) -> None:
        self._files = tuple(files)
        self._make = make
        self._tried: object = None
        self._made: object = None
        self._value: T | None = None

    def get(self) -> T:
        """Return it as the files are now. Raises BadIdentity: they are bad and never were good."""
        state = self.state()
        if self._value is None or state != self._tried:
            self._tried = state
            try:
                self._value = self._make()
                self._made = state
            except BadIdentity as error:
                if self._value is None:
                    raise
                log.error("what was read before stays in force: %s", error)
        return self._value

    def state(self) -> object:
        """Return something that differs once a file has been written, replaced, made or deleted."""
        return [_state(path) for path in self._files]

    @property
    def is_current(self) -> bool:
        """Whether it was made, of the files as they are now."""
        return self._value is not None and self.state() == self._made


def _state(path: Path) -> object:
    try:
        status = os.stat(path)
    except OSError as error:
        return error.errno
    return status.st_mtime_ns, status.st_ctime_ns, status.st_ino, status.st_size


class Identities:
    """What the logins of all machines prove themselves with. What `before` has read and is as it was is not read again.

    Reading a key with a passphrase takes a tenth of a second, during which everything stands still.
    """

    def __init__(self, before: "Identities | None" = None) -> None:
        self._keys: dict[tuple[Path, Path | None], Loaded[PKey]] = _current(before._keys if before else {})
        self._identities: dict[IdentityFiles, Loaded[Identity]] = {}
        self._expiries: dict[IdentityFiles, tuple[float, float | None]] = {}

    def __getitem__(self, files: IdentityFiles) -> Identity:
        """Return what a login proves itself with, as the files are now. Raises BadIdentity."""
        if files not in self._identities:
            self._identities[files] = Loaded(_watched(files), lambda: self._make(files))
        return self._identities[files].get()

    def problem(self, files: IdentityFiles) -> tuple[str, str] | None:
        """Read the files, and return which option is wrong with them, if any, and what."""
        try:
            self[files]
        except BadIdentity as error:
            return error.option, str(error)
        return None

    def expiry(self, files: IdentityFiles) -> float | None:
        """Return when the certificate ends that the next login shows (seconds since 1970); None: never, or none."""
        looked, expiry = self._expiries.get(files, (-inf, None))
        if monotonic() - looked > LOOK_EVERY:
            with suppress(BadIdentity):
                certificate = self[files].certificate
                expiry = certificate.expiry if certificate and certificate.expiry < inf else None
            self._expiries[files] = monotonic(), expiry
        return expiry

    def _make(self, files: IdentityFiles) -> Identity:
        if files.password_file:
            return PasswordIdentity(read_secret("password_file", files.password_file))
        if files.agent:
            public = public_half(files.key_file)
            certificate, blob = certificate_of(files, public)
            return AgentIdentity(public, certificate, blob)
        key = copy(self._key(files.key_file, files.passphrase_file))
        certificate, key.public_blob = certificate_of(files, key.asbytes())
        return KeyIdentity(key, certificate)

    def _key(self, path: Path, passphrase_file: Path | None) -> PKey:
        read = self._keys.get((path, passphrase_file))
        if read is None:
            watched = filter(None, (path, passphrase_file))
            read = self._keys[path, passphrase_file] = Loaded(watched, lambda: load_key(path, passphrase_file))
        return read.get()


def _current(keys: dict[tuple[Path, Path | None], Loaded[PKey]]) -> dict[tuple[Path, Path | None], Loaded[PKey]]:
    return {files: copy(key) for files, key in keys.items() if key.is_current}


def _watched(files: IdentityFiles) -> Iterable[Path]:
    if files.password_file:
        return (files.password_file,)
    public = _beside(files.key_file, ".pub") if files.agent else None
    return filter(None, (files.key_file, public, _certificate_file(files), files.passphrase_file))


def _beside(path: Path, ending: str) -> Path:
    return path.with_name(path.name + ending)


def _certificate_file(files: IdentityFiles) -> Path:
    # The agent's key may be named by its public half, as in ssh.
    key = files.key_file.with_suffix("") if files.agent and files.key_file.suffix == ".pub" else files.key_file
    return files.certificate_file or _beside(key, "-cert.pub")


def load_key(path: Path, passphrase_file: Path | None = None) -> PKey:
    """Load a private key: OpenSSH's form, or PEM (PKCS#1, SEC1, PKCS#8). Raises BadIdentity."""
    # What is no private key is said first: nobody is to hide a public one.
    refuse_others(path, read_file("key_file", path))
    data = read_private("key_file", path)
    private = _decrypted(path, data, passphrase_file)
    if isinstance(private, RSAPrivateKey) and private.key_size < LEAST_RSA_BITS:
        few = f"is an RSA key of {private.key_size} bits; take one of {LEAST_RSA_BITS} or more, or {MAKE_ONE}"
        raise BadIdentity("key_file", f"{path} {few}")
    for kind, ours in CLASSES.items():
        if isinstance(private, kind):
            # Paramiko reads no PKCS#8, and this form of all three kinds.
            text = private.private_bytes(Encoding.PEM, PrivateFormat.OpenSSH, NoEncryption())
            return ours.from_private_key(StringIO(text.decode()))
    raise BadIdentity("key_file", f"{path} is not a key of a kind that is used here (Ed25519, ECDSA, RSA); {MAKE_ONE}")


def _decrypted(path: Path, data: bytes, passphrase_file: Path | None) -> PrivateKeyTypes:
    """Return cryptography's private key, which may have a passphrase."""
    with suppress(TypeError):
        return _parsed(path, data, None, "is not a private key, or is damaged; " + MAKE_ONE)
    if passphrase_file is None:
        missing = "has a passphrase; write passphrase_file = a file that holds it, or take it away with ssh-keygen -p"
        raise BadIdentity("key_file", f"{path} {missing}")
    passphrase = read_secret("passphrase_file", passphrase_file)
    return _parsed(path, data, passphrase, f"does not open with the passphrase in {passphrase_file}", "passphrase_file")


def _parsed(path: Path, data: bytes, passphrase: bytes | None, fault: str, option: str = "key_file") -> PrivateKeyTypes:
    """Parse a private key. Raises BadIdentity with the fault, or TypeError: it wants a passphrase."""
    load = load_ssh_private_key if OPENSSH in data else load_pem_private_key
    try:
        with warnings.catch_warnings(action="ignore"):
            return load(data, passphrase)
    except UnsupportedAlgorithm:
        raise BadIdentity(option, f"{path} is of a kind, or encrypted in a way, that is unknown here") from None
    except ValueError:
        raise BadIdentity(option, f"{path} {fault}") from None


def refuse_others(path: Path, data: bytes) -> None:
    """Say what a file is that is no private key that can be used. Raises BadIdentity."""
    kind = _kind(_openssh_public(data)).encode() or data
    for begin, text in OTHERS.items():
        if data.startswith(begin):
            raise BadIdentity("key_file", f"{path} {text}")
    if kind.startswith(b"sk-"):
        touch = "is on a security key (FIDO), which nobody is here to touch; " + MAKE_ONE
        raise BadIdentity("key_file", f"{path} {touch}")
    if kind == b"ssh-dss":
        raise BadIdentity("key_file", f"{path} is a DSA key, which sshd no longer takes; {MAKE_ONE}")


def public_half(path: Path) -> bytes:
    """Return the public half of a key: of `path`.pub if that is there, else of `path` itself. Raises BadIdentity."""
    beside = _beside(path, ".pub")
    named = beside if beside.exists() and path.suffix != ".pub" else path
    data = read_file("key_file", named)
    with suppress(ValueError, IndexError, Error):
        words = data.split()
        blob = b64decode(words[1], validate=True)
        if _kind(blob) == words[0].decode():
            return blob
    if blob := _openssh_public(data):
        return blob
    missing = f"has no public half that can be read; write it with ssh-keygen -y -f {path} > {beside}"
    raise BadIdentity("key_file", f"{named} {missing}")


def _openssh_public(data: bytes) -> bytes:
    """Return the public half in a private key of OpenSSH's form, which is never encrypted; empty if it is none."""
    try:
        body = b64decode(b"".join(line for line in data.splitlines() if not line.startswith(b"-----")))
    except Error:
        return b""
    if not body.startswith(MAGIC):
        return b""
    message = Message(body[len(MAGIC) :])
    for _ in ("cipher", "key derivation", "its options"):
        message.get_binary()
    message.get_int()
    return message.get_binary()


def _kind(blob: bytes) -> str:
    """Return the type that a public key begins with; empty if it is none."""
    name = blob[4 : 4 + int.from_bytes(blob[:4], "big")]
    return name.decode("ascii", "replace") if len(name) < 64 else ""


def certificate_of(files: IdentityFiles, public: bytes) -> tuple[Certificate | None, PublicBlob | None]:
    """Return the certificate of a key, if it has one: the file named, or as ssh does the one beside the key.

    Raises:
        BadIdentity: it is none of a user, or of another key.
    """
    path = _certificate_file(files)
    if files.certificate_file is None and not path.exists():
        return None, None
    text = read_file("certificate_file", path)
    try:
        with warnings.catch_warnings(action="ignore"):
            read = load_ssh_public_identity(text)
            blob = PublicBlob.from_string(text.decode())
    except (ValueError, UnsupportedAlgorithm, Error):
        read = None
    if not isinstance(read, SSHCertificate):
        raise BadIdentity(
            "certificate_file", f"{path} is not a certificate; name the FILE-cert.pub that ssh-keygen -s made"
        )
    _check(path, read, public)
    certificate = Certificate(path, inf if read.valid_before == FOREVER else float(read.valid_before))
    if certificate.note:
        log.warning("%s; logins with it will fail", certificate.note)
    return certificate, blob


def _check(path: Path, read: SSHCertificate, public: bytes) -> None:
    if read.type is not SSHCertificateType.USER:
        fault = "is a certificate of a host; name one of a user (ssh-keygen -s without -h)"
        raise BadIdentity("certificate_file", f"{path} {fault}")
    certified = read.public_key().public_bytes(Encoding.OpenSSH, PublicFormat.OpenSSH)
    if b64decode(certified.split()[1]) != public:
        fault = "is the certificate of another key; compare ssh-keygen -L -f with ssh-keygen -l -f"
        raise BadIdentity("certificate_file", f"{path} {fault}")


def read_secret(option: str, path: Path) -> bytes:
    """Return the one line of a file that nobody else may read, without its end. Raises BadIdentity."""
    data = read_private(option, path)
    line = data.removesuffix(b"\n").removesuffix(b"\r")
    if not line:
        raise BadIdentity(option, f"{path} is empty; write one line into it")
    if b"\n" in line or b"\0" in line:
        raise BadIdentity(option, f"{path} holds more than one line; write one line into it")
    return line


def read_private(option: str, path: Path) -> bytes:
    """Read a file as ssh reads a private key: it is refused if others may read it. Raises BadIdentity."""
    data, status = _read(option, path)
    # What is another user's (root's, with an ACL for us) is for that one to protect, and ssh does not look; but a file
    # that all the world may read is no secret.
    mine = status.st_uid == os.getuid()
    if status.st_mode & (0o077 if mine else 0o007):
        mode = stat.S_IMODE(status.st_mode)
        raise BadIdentity(option, f"{path} can be read by others (mode {mode:04o}); chmod 600 {path}")
    return data


def read_file(option: str, path: Path) -> bytes:
    """Read a small file. Raises BadIdentity."""
    return _read(option, path)[0]


def _read(option: str, path: Path) -> tuple[bytes, os.stat_result]:
    """Read a small file, and say whose it is and what its mode is."""
    try:
        with path.open("rb") as file:
            data, status = file.read(MOST + 1), os.fstat(file.fileno())
    except OSError as error:
        raise BadIdentity(option, f"cannot read {path}: {error.strerror}") from error
    if len(data) > MOST:
        raise BadIdentity(option, f"{path} is too large to be what it should be; name another file")
    return data, status
