"""Who is trusted: the known_hosts files, kept as they are on disk, and the judgement on the key that a machine shows.

Nothing here ever adds a key. Files are read, and many names tried, in a thread of their own: everything else goes on.
"""

import errno
import logging
import os
from collections.abc import Callable, Iterable, Iterator
from functools import cache
from pathlib import Path
from time import time
from typing import TypeVar

import gevent
from gevent.lock import Semaphore
from gevent.threadpool import ThreadPool

from collector.config import Login
from collector.errors import HostCertificateBad, HostKeyChanged, HostKeyRevoked, HostKeyUnknown, LocalFailure
from collector.ssh.host_certificate import BadCertificate, HostCertificate
from collector.ssh.known_hosts import AUTHORITY, REVOKED, Entry, HostKey, Index, fingerprint, name_of

log = logging.getLogger(__name__)

T = TypeVar("T")

LOOK_EVERY = 1.0
"""Seconds from one look at the files to the next."""

MOST_BYTES = 64 * 2**20
"""Bytes of a file: some 500,000 lines; /dev/zero would have no end."""

MOST_TOLD = 10
"""Bad lines of a file that are logged one by one."""


class AnotherKindKnown(HostKeyChanged):
    """The machine has shown a key of a type of which none is known, while one of another type is; ask for that."""


@cache
def _threads() -> ThreadPool:
    """Return threads of our own: those of gevent may all be waiting for a resolver."""
    return ThreadPool(2)


def _away(call: Callable[..., T], *arguments: object) -> T:
    """Call something in a thread, and let all other greenlets go on meanwhile."""
    result: T = _threads().apply(call, arguments)
    return result


class KnownHosts:
    """One known_hosts file.

    `index` is the last good reading, or None before there is one. `problem` says why the file as it is now is not in
    force; it is empty when all is well, and until `refresh` was called for the first time.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self.index: Index | None = None
        self.problem = ""
        self._seen: object = None
        self._reading = Semaphore()

    def state(self) -> object:
        """Return something that differs once the file has been written or replaced."""
        try:
            status = os.stat(self.path)
        except OSError as error:
            return error.errno
        # The time of the last change of anything, as chmod can make a file readable again.
        return status.st_ctime_ns, status.st_ino, status.st_size

    @property
    def is_missing(self) -> bool:
        """Whether there is no such file, and never was."""
        return self.index is None and not os.path.lexists(self.path)

    def refresh(self) -> None:
        """Read the file if it has changed. One that is unreadable, or half written, leaves what was read before."""
        if self.state() == self._seen:
            return
        with self._reading:
            state = self.state()
            if state != self._seen:
                read = _away(_read, self.path)
                # What kept us from reading may be over while the file stays as it is.
                self._seen = None if isinstance(read, OSError) else state
                self._take(read)

    def _take(self, read: Index | OSError) -> None:
        before, self.problem = self.problem, self._problem_of(read)
        if not self.problem:
            assert isinstance(read, Index)
            self.index = read
            _tell(read)
        elif self.problem != before:
            in_force = "nothing" if self.index is None else "what was read before"
            log.error("known_hosts: %s: %s; %s is in force", self.path, self.problem, in_force)

    def _problem_of(self, read: Index | OSError) -> str:
        """Return why what was read cannot be put in force; empty if it can."""
        if isinstance(read, OSError):
            return read.strerror or str(read)
        had_keys = self.index is not None and len(self.index) > 0
        if had_keys and not len(read):
            return "it has no keys any more"
        if had_keys and read.is_cut:
            return "its last line is cut off"
        return ""


def _read(path: Path) -> Index | OSError:
    try:
        with path.open("rb") as file:
            text = file.read(MOST_BYTES + 1)
        if len(text) > MOST_BYTES:
            raise OSError(errno.EFBIG, f"over {MOST_BYTES // 2**20} MiB")
        return Index(path, text)
    except OSError as error:
        return error


def _tell(index: Index) -> None:
    for problem in index.problems[:MOST_TOLD]:
        log.warning("known_hosts: line ignored: %s", problem)
    if len(index.problems) > MOST_TOLD:
        log.warning("known_hosts: %d lines of %s are ignored", len(index.problems), index.file)


class HostKeys:
    """The known_hosts files of all machines, each read once; with `missing_are_empty` one need not be there."""

    def __init__(self, missing_are_empty: bool = False) -> None:
        self._missing_are_empty = missing_are_empty
        self._files: dict[Path, KnownHosts] = {}
        self._needed: set[Path] = set()

    def file(self, path: Path) -> KnownHosts:
        """Return a file; it is not read yet if nobody has asked for it before."""
        return self._files.setdefault(path, KnownHosts(path))

    def trust(self, login: Login) -> "Trust":
        """Return who is trusted to be a host."""
        return Trust(login, [self.file(path) for path in login.known_hosts], self._missing_are_empty)

    def use(self, logins: Iterable[Login]) -> None:
        """Keep the files of these, and no others."""
        paths: set[Path] = set()
        self._needed.clear()
        for login in logins:
            paths.update(login.known_hosts)
            if not login.host_key:
                self._needed.update(login.known_hosts)
        self._files = {path: self.file(path) for path in sorted(paths)}

    def __iter__(self) -> Iterator[KnownHosts]:
        """Yield the files, without those that are not there and need not be, as all who name them have pinned keys."""
        return (file for file in self._files.values() if file.path in self._needed or not file.is_missing)

    def refresh(self) -> None:
        """Read what has changed."""
        for file in list(self._files.values()):
            if file.path in self._needed or not file.is_missing:
                file.refresh()

    def watch(self) -> None:
        """Read for ever what changes."""
        while True:
            gevent.sleep(LOOK_EVERY)
            self.refresh()


class Trust:
    """Who is trusted to be one host: by its pinned keys, or by what the files say of its name."""

    def __init__(self, login: Login, files: Iterable[KnownHosts], missing_are_empty: bool = False) -> None:
        self._files = tuple(files)
        self._may_be_missing = missing_are_empty or bool(login.host_key)
        self._host = (login.host_key_alias or login.host).lower()
        self.name = self._host if login.host_key_alias else name_of(login.host, login.port)
        self._pinned = login.host_key

    def state(self) -> object:
        """Return something that differs once one of the files has been written or replaced."""
        return [file.state() for file in self._files]

    def refresh(self) -> None:
        """Have the files read if they have changed."""
        for file in self._files:
            if not (self._may_be_missing and file.is_missing):
                file.refresh()

    def _indexes(self) -> list[Index]:
        """Return what the files say.

        Raises:
            LocalFailure: one of them cannot be read and never could: it may revoke what another one trusts.
        """
        for file in self._files:
            if file.index is None and self._may_be_missing and not file.is_missing:
                # It has come to be since it was looked for.
                file.refresh()
            if file.index is None and not (self._may_be_missing and file.is_missing):
                raise LocalFailure(f"cannot read known_hosts: {file.path}: {file.problem}")
        return [file.index for file in self._files if file.index is not None]

    @property
    def _names(self) -> set[str]:
        """What the host is called where an authority is trusted for it, or a key revoked: a port need not be said."""
        return {self.name, self._host}

    def kinds(self) -> list[str]:
        """Return the types of the keys that are known for the host, so that it can be asked for one of these.

        Names that it would take long to try are left out; `check` then raises AnotherKindKnown if need be.
        """
        entries = [entry for index in self._indexes() for entry in _soon_of(index, self.name)]
        pinned = [entry.kind for entry in entries if fingerprint(entry.blob) in self._pinned]
        return pinned or [entry.kind for entry in entries if not entry.marker]

    @property
    def has_authority(self) -> bool:
        """Whether a certificate authority is trusted for the host."""
        if self._pinned:
            return False
        names = self._names
        said = (entry for index in self._indexes() for name in names for entry in _soon_of(index, name))
        return any(entry.marker == AUTHORITY for entry in said)

    def check(self, key: HostKey) -> None:
        """Do nothing when the host is trusted by the key that it shows, and raise when not.

        Raises:
            HostKeyUnknown, HostKeyChanged, HostKeyRevoked: the text has the fingerprint and what to do.
            LocalFailure: the files cannot be read.
        """
        while True:
            indexes = self._indexes()
            try:
                self._judge(key)
                return
            except (HostKeyUnknown, HostKeyChanged, HostKeyRevoked):
                # Whoever is refused is left alone until the files change: they must not have changed by now.
                self.refresh()
                if self._indexes() == indexes:
                    raise

    def _judge(self, key: HostKey) -> None:
        _refuse_revoked(self._said(key.blob, self._names), f"its {key}")
        if self._pinned:
            if fingerprint(key.blob) not in self._pinned:
                raise HostKeyChanged(f"its {key} is not one of host_key: {', '.join(self._pinned)}; {FIND_OUT}")
            return
        fault = ""
        try:
            if key.certificate and self._is_vouched_for(key):
                return
        except BadCertificate as error:
            fault = str(error)
        if any(not entry.marker for entry in self._said(key.blob, {self.name})):
            return
        if fault:
            raise HostCertificateBad(f"its {key} has {fault}")
        self._refuse(key)

    def _said(self, blob: bytes, names: Iterable[str]) -> list[Entry]:
        """Return what the files say of a key of the host."""
        said = []
        for index in self._indexes():
            for name in names:
                if index.is_quick_with(name, blob):
                    said += index.of_key(name, blob)
                else:
                    said += [entry for entry in _away(index.of, name) if entry.blob == blob]
        return said

    def _is_vouched_for(self, key: HostKey) -> bool:
        """Tell whether the key has a certificate of an authority that is trusted for the host.

        Raises:
            BadCertificate: it has one, but that is not good.
            HostKeyRevoked: the authority's key is revoked.
        """
        certificate = HostCertificate(key)
        said = self._said(certificate.authority, self._names)
        _refuse_revoked(said, f"its {key} has a certificate, and the authority's key")
        if not any(entry.marker == AUTHORITY for entry in said):
            return False
        certificate.check(self._host, time())
        return True

    def _refuse(self, key: HostKey) -> None:
        """Raise why a key that no line has is not trusted."""
        indexes = self._indexes()
        was_quick = all(index.is_quick(self.name) for index in indexes)
        said = [entry for index in indexes for entry in _all_of(index, self.name)]
        known = [entry for entry in said if not entry.marker]
        files = ", ".join(str(file.path) for file in self._files)
        if not known:
            lacks = " and no certificate of a trusted authority goes with it" if self.has_authority else ""
            raise HostKeyUnknown(
                f"its {key} is not in {files}{lacks}; compare it with the machine's own, "
                f"then let collector trust add a line for {self.name}"
            )
        text = f"its {key} is not the one that is known: {', '.join(map(str, known))}; {REPLACE}"
        if not was_quick and key.kind not in {entry.kind for entry in known}:
            raise AnotherKindKnown(text)
        raise HostKeyChanged(text)


FIND_OUT = "find out why before you replace it"
REPLACE = f"{FIND_OUT} (take that line away, and let collector trust add the new one)"


def _soon_of(index: Index, name: str) -> list[Entry]:
    return index.of(name) if index.is_quick(name) else index.surely_of(name)


def _all_of(index: Index, name: str) -> list[Entry]:
    return index.of(name) if index.is_quick(name) else _away(index.of, name)


def _refuse_revoked(said: Iterable[Entry], whose: str) -> None:
    for entry in said:
        if entry.marker == REVOKED:
            raise HostKeyRevoked(f"{whose} is revoked by {entry.place}; trust it no more, and give the machine another")
