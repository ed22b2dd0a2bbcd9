"""What a configuration says, once it is good: Config, Machine, and what a login needs to know."""

from dataclasses import dataclass, fields
from pathlib import Path
from typing import NamedTuple

from collector.config.custom import Custom


class IdentityFiles(NamedTuple):
    """What a login proves itself with: `password_file` if there is one, else the key, its certificate beside it or not.

    With `agent` the key is the agent's whose public half is that of `key_file`.
    """

    key_file: Path
    certificate_file: Path | None
    passphrase_file: Path | None
    password_file: Path | None
    agent: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Login:
    """Where to log in, as whom, and who is trusted there; times are in seconds.

    `host_key` are fingerprints (`SHA256:...`): with any, the host must show one of these, whatever `known_hosts` says.
    `host_key_alias` is looked up in `known_hosts` instead of the host, if it is not empty. Algorithms that are not
    named are ours to choose.
    """

    host: str
    port: int
    user: str
    key_file: Path
    known_hosts: tuple[Path, ...]
    login_timeout: float
    host_key: tuple[str, ...] = ()
    host_key_alias: str = ""
    certificate_file: Path | None = None
    passphrase_file: Path | None = None
    password_file: Path | None = None
    agent: bool = False
    kex_algorithms: tuple[str, ...] = ()
    ciphers: tuple[str, ...] = ()
    macs: tuple[str, ...] = ()
    host_key_algorithms: tuple[str, ...] = ()

    @property
    def algorithms(self) -> tuple[tuple[str, ...], ...]:
        """What is offered to the server: key exchanges, ciphers, MACs and types of host keys."""
        return self.kex_algorithms, self.ciphers, self.macs, self.host_key_algorithms

    @property
    def identity_files(self) -> IdentityFiles:
        """The options that say what the login proves itself with."""
        return IdentityFiles(self.key_file, self.certificate_file, self.passphrase_file, self.password_file, self.agent)


LOGIN = tuple(field.name for field in fields(Login))


@dataclass(frozen=True, slots=True, kw_only=True)
class Hop(Login):
    """A jump host; `name` is its section's, or what stands in `jump`."""

    name: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Machine(Login):
    """One machine to poll. `labels` are sorted by name, without `instance`, which is `name`. Times are in seconds.

    `gather` names gatherers; `custom` are those among them that are people's own.
    `jumps` are the hosts on the way, the first one first. A machine that does not `keep` its session is logged in to
    for each poll; a session that is older than `max_age` is renewed.
    """

    name: str
    gather: tuple[str, ...]
    labels: tuple[tuple[str, str], ...]
    interval: float
    interval_text: str
    """The interval as written, `15s`."""
    timeout: float
    custom: tuple[Custom, ...] = ()
    jumps: tuple[Hop, ...] = ()
    keep: bool = True
    max_age: float | None = None


@dataclass(frozen=True, slots=True)
class Config:
    """What the files say: `machines` are the enabled ones in the order of `files`, which are all that were read."""

    files: tuple[Path, ...]
    listen: tuple[str, int]
    """Host and port: no host is all interfaces, port 0 any that is free."""
    logins: int
    web_reload: bool
    machines: tuple[Machine, ...]
    jump_logins: int = 8
    """Logins under way at once through one jump host; `logins` is in all."""
    web_config: Path | None = None
    """The file that says who may see the pages; without one everybody may."""
