"""The command `trust`: shows the host keys of machines that are not known yet, asks, and adds them to known_hosts.

It connects as far as the key exchange, in which a machine proves that it has the key; nothing of us is sent. Whether
the key is the right one only people can tell, or a list of fingerprints that they made: nothing else ever adds a key.
"""

import os
import re
import sys
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, fields, replace
from functools import partial
from pathlib import Path

import gevent

from collector.atomic import locked
from collector.atomic import replace as replace_file
from collector.config import Login, Machine
from collector.daemon import read
from collector.errors import ConfigError, HostKeyUnknown, PollError
from collector.once import FAILED, chosen
from collector.report import Progress
from collector.ssh.connector import Connector
from collector.ssh.hostkeys import AnotherKindKnown, HostKeys, Trust
from collector.ssh.known_hosts import HostKey, Index, fingerprint, lines
from collector.ssh.known_hosts import fields as fields_of
from collector.ssh.phase import Deadline

KINDS = (
    ("ssh-ed25519",),
    ("ecdsa-sha2-nistp256", "ecdsa-sha2-nistp384", "ecdsa-sha2-nistp521"),
    ("ssh-rsa",),
)
"""The types of keys that a machine is asked for; of each row it has one or none."""

SHA256 = re.compile(r"SHA256:[A-Za-z0-9+/]{43}")
LISTED_TYPE = re.compile(r"\([A-Z0-9-]+\)")

Vouched = Mapping[str, frozenset[str]]
"""From a fingerprint to the names of the machines that may have it; none: any may."""


@dataclass(slots=True)
class Found:
    """What a machine has shown: keys that can be added, or why there is none; neither if it is known already."""

    machine: Machine
    name: str
    """What known_hosts calls it."""
    keys: list[HostKey] = field(default_factory=list)
    errors: list[PollError] = field(default_factory=list)


def run(path: Path, sections: Sequence[str], yes_from: Path | None) -> int:
    """Add the keys of unknown machines that somebody vouches for; return the exit code. Raises ConfigError, OSError."""
    vouched = read_vouched(yes_from) if yes_from else None
    config, keys = read(path, known_hosts_needed=False)
    connector = Connector(keys, config.logins, config.jump_logins, HostKeys(missing_are_empty=True))
    known = added = left = 0
    for hosts in stages(chosen(config, sections)):
        trusted: list[tuple[Found, list[HostKey]]] = []
        try:
            for found in examine_all(connector, hosts):
                show(found)
                good = choose(found, vouched)
                trusted.append((found, good))
                known += not found.keys and not found.errors
                added += bool(good)
                left += bool(found.errors) or len(good) < len(found.keys)
        finally:
            add_all(trusted)
    print(f"{known} known, {added} added, {left} not added")
    return FAILED if left else 0


def read_vouched(path: Path) -> Vouched:
    """Return the fingerprints of a file.

    A line is what `ssh-keygen -l` prints, or a fingerprint and a comment, or a machine's name and its fingerprint.

    Raises:
        ConfigError: a line is nothing of that, or the file cannot be read.
    """
    try:
        text = path.read_text(encoding="utf-8", errors="replace")
    except OSError as error:
        what = "name a file of fingerprints, as ssh-keygen -l prints them"
        raise ConfigError([f"{path}: {error.strerror}; {what}"]) from error
    vouched: dict[str, frozenset[str]] = {}
    problems = []
    for number, line in enumerate(text.splitlines(), 1):
        words = line.split()
        if not words or words[0].startswith("#"):
            continue
        whose, shown = _vouched_by(words)
        if not SHA256.fullmatch(shown):
            problems.append(f"{path}:{number}: no fingerprint; write SHA256:..., or what ssh-keygen -l prints")
        # Who may be anybody's may be anybody's, whatever another line says.
        vouched[shown] = vouched.get(shown, whose) | whose if whose and vouched.get(shown, whose) else frozenset()
    if problems:
        raise ConfigError(problems)
    return vouched


def _vouched_by(words: Sequence[str]) -> tuple[frozenset[str], str]:
    """Return the machine that a line names, if any, and the fingerprint."""
    if SHA256.fullmatch(words[0]):
        return frozenset(), words[0]
    # ssh-keygen -l begins with the number of bits, and ends with the type.
    is_listed = words[0].isdigit() and LISTED_TYPE.fullmatch(words[-1])
    return frozenset() if is_listed else frozenset({words[0]}), "".join(words[1:2])


def stages(machines: Iterable[Machine]) -> Iterator[list[Machine]]:
    """Yield the hosts to look at: first those that are reached at once, then those behind one of them, and so on."""
    hosts: dict[object, Machine] = {}
    for machine in machines:
        for depth, jump in enumerate(machine.jumps):
            settings = {field.name: getattr(jump, field.name) for field in fields(Login)}
            hosts.setdefault(_identity(jump), replace(machine, name=jump.name, jumps=machine.jumps[:depth], **settings))
        hosts.setdefault(_identity(machine), machine)
    depths = {len(host.jumps) for host in hosts.values()}
    return ([host for host in hosts.values() if len(host.jumps) == depth] for depth in sorted(depths))


def _identity(login: Login) -> object:
    return login.host, login.port, login.host_key_alias, login.known_hosts


def examine_all(connector: Connector, machines: Sequence[Machine]) -> list[Found]:
    """Look at machines, as many at once as may be logged in to at once."""
    progress = Progress(len(machines))
    greenlets = [gevent.spawn(examine, connector, machine) for machine in machines]
    try:
        while not all(greenlet.ready() for greenlet in greenlets):
            gevent.wait(greenlets, timeout=0.2)
            progress.show(sum(greenlet.ready() for greenlet in greenlets))
    finally:
        progress.clear()
        gevent.killall(greenlets)
    return [greenlet.get() for greenlet in greenlets]


def examine(connector: Connector, machine: Machine) -> Found:
    """Look at the keys of a machine, unless it is known."""
    trust = connector.host_keys.trust(machine)
    found = Found(machine, trust.name)
    connector.add(machine)
    try:
        with connector.slot(machine) as turn:
            deadline = Deadline(machine.login_timeout)
            _examine(partial(connector.look, machine, deadline, turn), trust, found)
    except PollError as error:
        found.errors.append(error)
    return found


def _examine(look: Callable[..., HostKey], trust: Trust, found: Found) -> None:
    key = look()
    try:
        try:
            trust.check(key)
        except AnotherKindKnown:
            trust.check(look())
    except HostKeyUnknown:
        _look_at_all(look, trust, found, key)


def _look_at_all(look: Callable[..., HostKey], trust: Trust, found: Found, first: HostKey) -> None:
    """Take the first key, and ask for those of the other types."""
    for kinds in KINDS:
        try:
            key = first if first.kind in kinds else look(kinds)
        except PollError:
            # It has none of this type, or takes no more connections for now: what there is will do.
            continue
        try:
            # Somebody else may have made the file meanwhile.
            trust.refresh()
            trust.check(key)
        except HostKeyUnknown:
            found.keys.append(key)
        except PollError as error:
            found.errors.append(error)


def show(found: Found) -> None:
    """Print what a machine has shown, as ssh-keygen -l does."""
    machine = found.machine
    if found.keys or found.errors:
        print(f"{machine.name}, {machine.host} port {machine.port}:")
    for error in found.errors:
        print(f"  {error.reason}: {error}")
    for key in found.keys:
        print(f"  {listed(key, machine.name)}", flush=True)


def listed(key: HostKey, comment: str) -> str:
    """Return a key's line of ssh-keygen -l."""
    kind = key.kind.removeprefix("ssh-").partition("-")[0].upper()
    *_, last = fields_of(key.blob)
    bits = {"ED25519": 256, "RSA": int.from_bytes(last, "big").bit_length()}.get(kind) or int(key.kind[-3:])
    return f"{bits} {fingerprint(key.blob)} {comment} ({kind})"


def choose(found: Found, vouched: Vouched | None) -> list[HostKey]:
    """Return the keys that may be added: those that are vouched for, or all if whoever sits there says so."""
    machine = found.machine
    if not found.keys:
        return []
    if vouched is not None:
        names = {machine.name, machine.host, found.name}
        good = [key for key in found.keys if _is_vouched_for(vouched.get(fingerprint(key.blob)), names)]
        for key in found.keys:
            print(f"  {'added' if key in good else 'not added, nobody vouches for it'}: {fingerprint(key.blob)}")
        return good
    if not sys.stdin.isatty():
        print("  not added: there is no terminal to ask at, and no --yes-from FILE")
        return []
    keys = "the key" if len(found.keys) == 1 else f"the {len(found.keys)} keys"
    try:
        answer = input(f"Add {keys} of {machine.name} to {machine.known_hosts[0]}? [y/N] ")
    except EOFError:
        answer = ""
        print()
    return found.keys if answer.strip().lower() in ("y", "yes") else []


def _is_vouched_for(whose: frozenset[str] | None, names: set[str]) -> bool:
    return whose is not None and (not whose or bool(whose & names))


def add_all(trusted: Iterable[tuple[Found, Sequence[HostKey]]]) -> None:
    """Add keys to the files of their machines, each file once."""
    by_file: dict[Path, list[tuple[str, HostKey]]] = {}
    for found, keys in trusted:
        by_file.setdefault(found.machine.known_hosts[0], []).extend((found.name, key) for key in keys)
    for path, added in by_file.items():
        if added:
            add(path, added)


def add(path: Path, keys: Iterable[tuple[str, HostKey]]) -> None:
    """Add keys, each with its name, to a known_hosts file, which is there as a whole at any time. Raises OSError."""
    # A link stays one: what it leads to is replaced.
    path = Path(os.path.realpath(path))
    path.parent.mkdir(mode=0o700, exist_ok=True)
    with locked(path.parent):
        text = path.read_bytes() if path.is_file() else b""
        index = Index(path, text)
        if text and not text.endswith(b"\n"):
            text += b"\n"
        for name, key in keys:
            if not index.of_key(name, key.blob):
                text += lines([name], key.kind, key.blob).encode()
        replace_file(path, text)
