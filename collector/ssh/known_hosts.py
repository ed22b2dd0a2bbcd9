"""known_hosts -> an index: the format, as sshd(8) describes it under SSH_KNOWN_HOSTS FILE FORMAT.

A reader of our own, because paramiko's takes 25 s for 10,000 lines, dies on one bad line, and knows neither wildcards
nor `@revoked` nor `@cert-authority`.

What a name with a hash or a wildcard stands for is found only by trying: each has a salt of its own, so that 10,000
hosts in a file of 10,000 hashed lines are 10^8 HMACs, some minutes. A key that a host has shown is looked up the other
way round: the few lines that have this very key are tried for the host's name.
"""

import base64
import binascii
import hashlib
import hmac
import re
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import NamedTuple, Protocol

AUTHORITY = "@cert-authority"
REVOKED = "@revoked"
MARKERS = ("", AUTHORITY, REVOKED)

QUICK = 500
"""Names with a hash or a wildcard that may be tried at once: about half a millisecond."""


class HostKey(NamedTuple):
    """A key that a machine shows: its type (`ssh-ed25519`), its blob, and the blob of the certificate around it."""

    kind: str
    blob: bytes
    certificate: bytes = b""

    def __str__(self) -> str:
        return f"{self.kind} key {fingerprint(self.blob)}"


class Names(Protocol):
    """Whose key a line has."""

    def is_of(self, name: str) -> bool:
        """Tell whether this is, or may be, the name."""
        ...


class Plain(NamedTuple):
    """Names as they are, in lower case."""

    names: tuple[str, ...]

    def is_of(self, name: str) -> bool:
        """Tell whether the name is one of these."""
        return name in self.names


class Hashed(NamedTuple):
    """A name that `ssh-keygen -H` has hashed."""

    salt: bytes
    digest: bytes

    def is_of(self, name: str) -> bool:
        """Tell whether this is the name."""
        return hmac.digest(self.salt, name.encode(), "sha1") == self.digest


class Patterned(NamedTuple):
    """A list of names with wildcards or a negation, `*.example.org,!bad.example.org`."""

    wanted: re.Pattern[str]
    unwanted: re.Pattern[str]

    def is_of(self, name: str) -> bool:
        """Tell whether one of the patterns fits and none forbids the name."""
        return bool(self.wanted.fullmatch(name)) and not self.unwanted.fullmatch(name)


class Entry(NamedTuple):
    """A line: whose key it is, what is said of the key (one of MARKERS), its type and blob, and where that stands."""

    names: Names
    marker: str
    kind: str
    blob: bytes
    file: Path
    line: int

    @property
    def place(self) -> str:
        """The file and the line, as messages name them."""
        return f"{self.file}:{self.line}"

    def __str__(self) -> str:
        return f"{self.kind} {fingerprint(self.blob)} ({self.place})"


class Index:
    """The lines of one file.

    `problems` has a text for each line that cannot be read: it costs only itself. `is_cut` tells that the last line is
    such a one and has no end: somebody is still writing it, or could not go on.
    """

    def __init__(self, file: Path, text: bytes) -> None:
        self.file = file
        self.problems: list[str] = []
        self.is_cut = False
        self._by_name: dict[str, list[Entry]] = {}
        self._others: list[Entry] = []
        self._others_by_key: dict[bytes, list[Entry]] = {}
        self._other_authorities: list[Entry] = []
        self._found: dict[str, list[Entry]] = {}
        for number, line in enumerate(text.split(b"\n"), 1):
            self.is_cut = not self._add(number, line)

    def __len__(self) -> int:
        return sum(map(len, self._by_name.values())) + len(self._others)

    def _add(self, number: int, line: bytes) -> bool:
        """Enter a line, and return whether it can be read."""
        try:
            entry = parse(line, self.file, number)
        except ValueError as error:
            self.problems.append(f"{self.file}:{number}: {error}")
            return False
        if entry:
            self._enter(entry)
        return True

    def _enter(self, entry: Entry) -> None:
        if isinstance(entry.names, Plain):
            for name in set(entry.names.names):
                self._by_name.setdefault(name, []).append(entry)
            return
        self._others.append(entry)
        self._others_by_key.setdefault(entry.blob, []).append(entry)
        if entry.marker == AUTHORITY:
            self._other_authorities.append(entry)

    def is_quick(self, name: str) -> bool:
        """Tell whether `of` costs less than a millisecond."""
        return name in self._found or len(self._others) <= QUICK

    def of(self, name: str) -> list[Entry]:
        """Return every line of a name; the names with a hash or a wildcard are tried, once."""
        if name not in self._found:
            others = [entry for entry in self._others if entry.names.is_of(name)]
            self._found[name] = self._by_name.get(name, []) + others
        return self._found[name]

    def surely_of(self, name: str) -> list[Entry]:
        """Return the lines of a name that are found without trying, and the certificate authorities'."""
        others = [entry for entry in self._other_authorities if entry.names.is_of(name)]
        return self._by_name.get(name, []) + others

    def is_quick_with(self, name: str, blob: bytes) -> bool:
        """Tell whether `of_key` costs less than a millisecond; it does not where many machines have the same key."""
        return name in self._found or len(self._others_by_key.get(blob, ())) <= QUICK

    def of_key(self, name: str, blob: bytes) -> list[Entry]:
        """Return the lines of a name that have this key."""
        if name in self._found:
            return [entry for entry in self._found[name] if entry.blob == blob]
        plain = [entry for entry in self._by_name.get(name, ()) if entry.blob == blob]
        return plain + [entry for entry in self._others_by_key.get(blob, ()) if entry.names.is_of(name)]


def parse(line: bytes, file: Path, number: int) -> Entry | None:
    """Return what a line says, or None if it is empty or a comment.

    Raises:
        ValueError: it is no line of known_hosts; the text says why.
    """
    words = [word.decode("utf-8", "replace") for word in line.split(None, 4)]
    if not words or words[0].startswith("#"):
        return None
    marker = words.pop(0) if words[0].startswith("@") else ""
    if marker not in MARKERS:
        raise ValueError(f"an unknown marker: {marker[:40]!a}")
    if len(words) < 3:
        raise ValueError("fewer than three fields (names, type, key)")
    return Entry(_names(words[0]), marker, words[1], _blob(words[1], words[2]), file, number)


def _names(text: str) -> Names:
    if text.startswith("|"):
        return _hashed(text)
    words = text.lower().split(",")
    if not set(text) & set("*?!"):
        return Plain(tuple(words))
    unwanted = [word[1:] for word in words if word.startswith("!")]
    return Patterned(_pattern([word for word in words if not word.startswith("!")]), _pattern(unwanted))


def _hashed(text: str) -> Hashed:
    fields = text.split("|")
    if len(fields) != 4 or fields[1] != "1":
        raise ValueError("a hashed name that is none, or is hashed in an unknown way")
    try:
        salt, digest = (base64.b64decode(field, validate=True) for field in fields[2:])
    except ValueError:
        raise ValueError("a hashed name that is not base64") from None
    if len(salt) != hashlib.sha1().digest_size or len(digest) != hashlib.sha1().digest_size:
        raise ValueError("a hashed name of the wrong length")
    return Hashed(salt, digest)


def _pattern(patterns: Iterable[str]) -> re.Pattern[str]:
    """Return what fits if one of these fits the whole name; only `*` and `?` are special in patterns of ssh."""
    return re.compile("|".join(map(_expression, patterns)) or r"(?!)", re.DOTALL)


def _expression(pattern: str) -> str:
    """Return a pattern of ssh as an expression that takes no longer the more stars there are."""
    first, *others = (re.escape(part).replace(r"\?", ".") for part in pattern.split("*"))
    if not others:
        return first
    # What stands between two stars is best taken where it first fits: nothing is gained by trying further on.
    *middle, last = others
    return first + "".join(f"(?>.*?{part})" for part in middle) + ".*" + last


def _blob(kind: str, text: str) -> bytes:
    """Decode a key: fields with their lengths before them, of which the first is its type."""
    try:
        blob = base64.b64decode(text, validate=True)
    except (binascii.Error, ValueError):
        raise ValueError("a key that is not base64") from None
    try:
        first, *others = fields(blob)
    except ValueError:
        raise ValueError("a key that is cut off, or no key") from None
    if first != kind.encode() or not others:
        raise ValueError(f"a key that is not of type {kind[:40]!a}")
    return blob


def fields(blob: bytes) -> Iterator[bytes]:
    """Yield the fields of a key's blob. Raises ValueError when they do not fill it."""
    start = 0
    while start < len(blob):
        begin = start + 4
        start = begin + int.from_bytes(blob[start:begin], "big")
        if len(blob) < start:
            raise ValueError("cut off")
        yield blob[begin:start]


def name_of(host: str, port: int) -> str:
    """Return what known_hosts calls a host."""
    return host.lower() if port == 22 else f"[{host.lower()}]:{port}"


def fingerprint(blob: bytes) -> str:
    """Return a key's fingerprint as `ssh-keygen -l` prints it, `SHA256:...`."""
    return "SHA256:" + base64.b64encode(hashlib.sha256(blob).digest()).decode().rstrip("=")


def lines(names: Iterable[str], kind: str, blob: bytes) -> str:
    """Return the text of a known_hosts file that has one key for each name."""
    key = f"{kind} {base64.b64encode(blob).decode()}"
    return "".join(f"{name} {key}\n" for name in names)
