"""One row of the matrix: what befalls a machine, and what must be seen of it."""

from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Generic, Protocol, TypeVar

import paramiko
from rig.logins import Login, Server, login
from rig.proxy import Proxy
from rig.scripted import SshServer
from rig.servers import Behaviour, RawServer, silent_port
from rig.sshd import Sshd


class Ill(Protocol):
    """A machine that a fault befalls; `login` is its section of collector.ini."""

    login: Login


P = TypeVar("P", bound=Ill)


class Patient:
    """A machine that a fault befalls: a real sshd behind a proxy, which can be made to lead elsewhere.

    `login` is its section of collector.ini.
    """

    def __init__(self, directory: Path, well: Sshd, proxy: Proxy) -> None:
        self.directory = directory
        self.well = well
        self.proxy = proxy
        self.login: Login = login(proxy, well.key, directory)

    @property
    def known_hosts(self) -> Path:
        """What the collector knows of its host key."""
        return self.login["known_hosts"][0]

    @property
    def host_key(self) -> paramiko.PKey:
        """The private half of its host key, for another server in its place."""
        return paramiko.PKey.from_path(str(self.well.host_keys[0].path))

    def sshd(self, **wanted: Any) -> Sshd:
        """Make another sshd with its host key; see rig/sshd.py for all it takes."""
        folder = self.directory / "sshd"
        folder.mkdir()
        return Sshd(folder, [self.well.key], **{"host_keys": self.well.host_keys, **wanted})

    @contextmanager
    def replaced_by(self, server: Server) -> Iterator[None]:
        """Have another server in its place: the session that there is ends, and every login from then on is there."""
        self.proxy.target = server.address
        self.proxy.hang_up()
        yield
        self.proxy.target = self.well.address
        self.proxy.hang_up()

    @contextmanager
    def not_listening(self) -> Iterator[tuple[str, int]]:
        """Have nobody listen where it is; the address is free meanwhile."""
        address = self.proxy.address
        self.proxy.close()
        self.proxy.hang_up()
        yield address
        self.proxy.listen()

    @contextmanager
    def unknown_as(self, text: str) -> Iterator[None]:
        """Have known_hosts say `text` while its session has ended."""
        good = self.known_hosts.read_text()
        self.known_hosts.write_text(text)
        self.proxy.hang_up()
        yield
        self.known_hosts.write_text(good)


Befall = Callable[[Patient], AbstractContextManager[object]]
"""Make a fault; leaving the context heals it."""


@dataclass(frozen=True)
class Fault(Generic[P]):
    """One row: what befalls, and what the log must say of the machine meanwhile, in this order.

    `reasons` is empty when the machine stays up; the last one is `up` when it is up again before it is healed.
    `options` are those of its section.
    """

    befall: Callable[[P], AbstractContextManager[object]]
    reasons: tuple[str, ...]
    options: Mapping[str, str] = field(default_factory=dict)

    @property
    def ends_up(self) -> bool:
        """Whether the machine is up while it lasts, in the end."""
        return self.reasons[-1:] in ((), ("up",))


def fault(befall: Callable[[P], AbstractContextManager[object]], *reasons: str, **options: str) -> Fault[P]:
    """Return a row."""
    return Fault(befall, reasons, options)


def meets(make: Callable[[Patient], AbstractContextManager[Server]]) -> Befall:
    """Have a server in the machine's place."""

    @contextmanager
    def befall(patient: Patient) -> Iterator[None]:
        with make(patient) as server, patient.replaced_by(server):
            yield

    return befall


def raw(behaviour: Behaviour) -> Befall:
    """Have something in the machine's place that never gets as far as SSH."""
    return meets(lambda _: RawServer(behaviour))


def scripted(*script: Any, **options: Any) -> Befall:
    """Have an SSH server in the machine's place that refuses, falls silent, or follows a script."""
    return meets(lambda patient: SshServer(*script, host_key=patient.host_key, **options))


def sshd(**wanted: Any) -> Befall:
    """Have another real sshd in the machine's place."""
    return meets(lambda patient: patient.sshd(**wanted))


def strikes(strike: Callable[[Proxy], object], heal: Callable[[Proxy], object] = lambda proxy: None) -> Befall:
    """Have something happen on the way to the machine."""

    @contextmanager
    def befall(patient: Patient) -> Iterator[None]:
        strike(patient.proxy)
        yield
        heal(patient.proxy)

    return befall


@contextmanager
def closed(patient: Patient) -> Iterator[None]:
    """Nothing listens where the machine was."""
    with patient.not_listening():
        yield


@contextmanager
def full(patient: Patient) -> Iterator[None]:
    """A listener whose queue is full: nobody answers an attempt to connect."""
    with patient.not_listening() as address, silent_port(address):
        yield
