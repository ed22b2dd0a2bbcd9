"""What a client must know to log in, and the collector.ini that says so.

    machine = login(server, key, tmp_path)                    # {"host": …, "port": …, "user": …, "key_file": …, …}
    write_ini(tmp_path / "collector.ini", {"ssh0": machine}, interval="1s", defaults={"gather": "time"})

Any server or proxy of the rig will do for `server`. In a test the fixture `login` knows key and folder.
"""

from collections.abc import Iterable, Mapping
from itertools import count
from pathlib import Path
from typing import Any, Protocol, TypedDict

from rig.keys import Key, known_hosts, make_key


class Server(Protocol):
    """Whatever a client connects to: (host, port), and the public halves of its host keys."""

    @property
    def address(self) -> tuple[str, int]:
        """Where it listens."""
        ...

    @property
    def publics(self) -> tuple[str, ...]:
        """Each as "type base64"."""
        ...


class Login(TypedDict):
    """The options of one machine: as keyword arguments, or as a section of collector.ini."""

    host: str
    port: int
    user: str
    key_file: Path
    known_hosts: tuple[Path, ...]


def login(server: Server, key: Key, directory: Path, user: str = "sh") -> Login:
    """How `user` logs in to `server` with `key`; known_hosts becomes a new file in `directory`.

    A server that never gets as far as its host key is given some key, so that the client has no reason to stay away.
    """
    path = _new(directory, "known_hosts")
    publics = server.publics or (make_key(_new(directory, "host_key")).public,)
    known_hosts(path, [server.address], publics)
    host, port = server.address
    return Login(host=host, port=port, user=user, key_file=key.path, known_hosts=(path,))


def write_ini(
    path: Path,
    machines: Mapping[str, Mapping[str, Any]],
    *,
    defaults: Mapping[str, Any] | None = None,
    **collector: object,
) -> Path:
    """Write a collector.ini: [collector] from the keywords, [defaults], a section for each machine; returns `path`."""
    sections = {"collector": collector, "defaults": defaults or {}, **machines}
    path.write_text("\n".join(_section(name, options) for name, options in sections.items() if options))
    return path


def _section(name: str, options: Mapping[str, Any]) -> str:
    lines: Iterable[str] = (f"{option} = {_text(value)}\n" for option, value in options.items())
    return f"[{name}]\n{''.join(lines)}"


def _text(value: object) -> str:
    return ", ".join(map(str, value)) if isinstance(value, tuple) else str(value)


def _new(directory: Path, name: str) -> Path:
    return next(path for number in count() if not (path := directory / f"{name}{number}").exists())
