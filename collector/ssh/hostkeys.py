"""Who is trusted: known_hosts, as sshd(8) describes it under SSH_KNOWN_HOSTS FILE FORMAT.

A reader of our own, because paramiko's takes 25 s for 10,000 lines, dies on one bad line and ignores `@revoked`.
Nothing here ever adds a key.
"""

import base64
import binascii
import hashlib
import hmac
import logging
import os
import re
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import NamedTuple

from collector.errors import HostKeyChanged, HostKeyRevoked, HostKeyUnknown, LocalFailure

log = logging.getLogger(__name__)


class Known(NamedTuple):
    """One key of known_hosts: its type (`ssh-ed25519`), its blob, whether it is revoked, and the line it is from."""

    kind: str
    blob: bytes
    revoked: bool
    line: int


class Hashed(NamedTuple):
    """A name that `ssh-keygen -H` has hashed."""

    salt: bytes
    digest: bytes
    known: Known

    def is_of(self, name: str) -> bool:
        """Tell whether this is the name."""
        return hmac.digest(self.salt, name.encode(), "sha1") == self.digest


class Patterned(NamedTuple):
    """A list of names with wildcards or a negation, `*.example.org,!bad.example.org`."""

    patterns: tuple[str, ...]
    known: Known

    def is_of(self, name: str) -> bool:
        """Tell whether one of the patterns fits and none forbids the name."""
        forbidden = any(_fits(pattern[1:], name) for pattern in self.patterns if pattern.startswith("!"))
        return not forbidden and any(_fits(pattern, name) for pattern in self.patterns)


def _fits(pattern: str, name: str) -> bool:
    """Tell whether a pattern of ssh, in which only `*` and `?` are special, fits the whole name."""
    expression = "".join({"*": ".*", "?": "."}.get(character) or re.escape(character) for character in pattern)
    return re.fullmatch(expression, name) is not None


@dataclass(slots=True)
class Index:
    """The keys of one file. `problems` has a line for each line that could not be read: it costs only itself."""

    plain: dict[str, list[Known]] = field(default_factory=dict)
    others: list[Hashed | Patterned] = field(default_factory=list)
    problems: list[str] = field(default_factory=list)
    _found: dict[str, list[Known]] = field(default_factory=dict)

    def keys(self, host: str, port: int) -> list[Known]:
        """Return what the file says of a host."""
        name = host.lower() if port == 22 else f"[{host.lower()}]:{port}"
        if name not in self._found:
            others = [other.known for other in self.others if other.is_of(name)]
            self._found[name] = self.plain.get(name, []) + others
        return self._found[name]

    def add(self, number: int, text: str) -> None:
        """Index one line.

        Raises:
            ValueError: it is not a line of known_hosts; the text says why.
        """
        words = text.split()
        if not words or words[0].startswith("#"):
            return
        marker = words.pop(0) if words[0].startswith("@") else ""
        if marker == "@cert-authority":
            raise ValueError("host certificates are not supported yet")
        if marker not in ("", "@revoked"):
            raise ValueError(f"unknown marker {marker}")
        if len(words) < 3:
            raise ValueError("fewer than three fields (names, type, key)")
        known = Known(words[1], _blob(words[1], words[2]), marker == "@revoked", number)
        self._file(words[0].lower() if not words[0].startswith("|") else words[0], known)

    def _file(self, names: str, known: Known) -> None:
        if names.startswith("|"):
            try:
                _, method, salt, digest = names.split("|")
                self.others.append(Hashed(base64.b64decode(salt), base64.b64decode(digest), known))
            except (ValueError, binascii.Error):
                raise ValueError("a hashed name that is none") from None
            if method != "1":
                raise ValueError(f"unknown way of hashing names: {method}")
        elif set(names) & set("*?!"):
            self.others.append(Patterned(tuple(names.split(",")), known))
        else:
            for name in names.split(","):
                self.plain.setdefault(name, []).append(known)


def _blob(kind: str, text: str) -> bytes:
    """Decode a key, which begins with the name of its type."""
    try:
        blob = base64.b64decode(text, validate=True)
    except binascii.Error:
        raise ValueError("a key that is not base64") from None
    name = kind.encode()
    if not blob.startswith(len(name).to_bytes(4, "big") + name):
        raise ValueError(f"a key that is not of type {kind}")
    return blob


def read_index(path: Path) -> Index:
    """Read a known_hosts file. Raises OSError."""
    index = Index()
    for number, line in enumerate(path.read_text(encoding="utf-8", errors="replace").splitlines(), 1):
        try:
            index.add(number, line)
        except ValueError as error:
            index.problems.append(f"{path}:{number}: {error}")
    return index


class KnownHosts:
    """One known_hosts file; read again when it has changed, and the last good reading stays when it cannot be read."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._index: Index | None = None
        self._state: object = None

    def state(self) -> object:
        """Return something that differs once the file has been written or replaced."""
        try:
            status = os.stat(self._path)
        except OSError as error:
            return error.errno
        return status.st_mtime_ns, status.st_ino, status.st_size

    def index(self) -> Index:
        """Return the file's keys as they are now.

        Raises:
            LocalFailure: it cannot be read and never could.
        """
        state = self.state()
        if self._index is None or state != self._state:
            self._state = state
            try:
                self._index = read_index(self._path)
                for problem in self._index.problems:
                    log.warning("known_hosts: line ignored: %s", problem)
            except OSError as error:
                if self._index is None:
                    raise LocalFailure(f"cannot read known_hosts: {error}") from error
                log.error("cannot read known_hosts, the keys read before stay in force: %s", error)
        return self._index

    def check(self, host: str, port: int, kind: str, blob: bytes) -> None:
        """Do nothing when the host is known by this key, and raise when not.

        Raises:
            HostKeyUnknown, HostKeyChanged, HostKeyRevoked: the text has the fingerprint and what to do.
        """
        known = self.index().keys(host, port)
        mine = f"its {kind} key {fingerprint(blob)}"
        same = [entry for entry in known if entry.blob == blob]
        if any(entry.revoked for entry in same):
            raise HostKeyRevoked(f"{mine} is revoked by {self._path}:{same[0].line}")
        if same:
            return
        others = [entry for entry in known if not entry.revoked]
        if others:
            where = ", ".join(f"{entry.kind} {fingerprint(entry.blob)} (line {entry.line})" for entry in others)
            raise HostKeyChanged(f"{mine} is not the one in {self._path}: {where}; find out why before you replace it")
        name = host if port == 22 else f"[{host}]:{port}"
        raise HostKeyUnknown(
            f"{mine} is not in {self._path}; compare it with the machine's own, then add a line for {name}"
        )

    def kinds(self, host: str, port: int) -> list[str]:
        """Return the types of the keys that are known for a host, so that it can be asked for one of these."""
        return [entry.kind for entry in self.index().keys(host, port) if not entry.revoked]


def fingerprint(blob: bytes) -> str:
    """Return a key's fingerprint as `ssh-keygen -l` prints it, `SHA256:...`."""
    return "SHA256:" + base64.b64encode(hashlib.sha256(blob).digest()).decode().rstrip("=")


def lines(names: Iterable[str], kind: str, blob: bytes) -> str:
    """Return the text of a known_hosts file that has one key for each name."""
    key = f"{kind} {base64.b64encode(blob).decode()}"
    return "".join(f"{name} {key}\n" for name in names)
