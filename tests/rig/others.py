r"""Other SSH servers than OpenSSH, as real: dropbear, tinyssh, and one made of asyncssh. Needs root and namespaces.

    with Dropbear(tmp_path, [key], users=[User("fish", "/usr/bin/fish")], host_keys=("ed25519", "rsa")) as server:
        login(server, user="fish")                      # or server.login("fish")
        server.authorized_keys("fish").write_text(...)
        server.log

`AsyncSsh` and `TinySsh` are made alike; the latter has one host key, an Ed25519 one. `SERVERS` has all by name.
We listen, and dropbear and tinyssh get each connection as inetd would give it to them (inetd.py).
"""

import socket
import subprocess
import sys
from abc import ABC, abstractmethod
from collections.abc import Iterable, Mapping, Sequence
from contextlib import ExitStack
from functools import cached_property
from pathlib import Path
from types import TracebackType
from typing import Self

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    PublicFormat,
    load_ssh_private_key,
)

from rig.keys import Key, known_hosts, make_key
from rig.logins import Login
from rig.needs import program
from rig.private import private
from rig.sshd import Sshd
from rig.users import BASH, HOMES, SH, User, make_homes, own_file, write_accounts

HERE = Path(__file__).parent


class Server(ABC):
    """One server on a free port of 127.0.0.1 and all that it started."""

    def __init__(
        self,
        directory: Path,
        keys: Sequence[Key],
        *,
        users: Iterable[User] = (SH, BASH),
        host_keys: Sequence[str | Key] = ("ed25519",),
        over: Mapping[str, Path | str] | None = None,
        without: Iterable[str] = (),
    ) -> None:
        """Files go to `directory`; the rest is as with `rig.sshd.Sshd`."""
        self.directory = directory
        self.key = keys[0]
        self.host_keys = [
            key if isinstance(key, Key) else make_key(directory / f"host_{key}", key) for key in host_keys
        ]
        self.publics = tuple(key.public for key in self.host_keys)
        self._users = tuple(users)
        make_homes(directory / "home", self._users)
        for user in self._users:
            own_file(self.authorized_keys(user.name), "".join(f"{key.public}\n" for key in keys))
        accounts = write_accounts(directory, self._users)
        self._over = {**accounts, str(HOMES): directory / "home", "/etc/shells": self._shells(), **(over or {})}
        self._without = tuple(without)

    @abstractmethod
    def argv(self) -> list[str]:
        """What follows the descriptor in the arguments of `listener`; host keys are where the server looks for them."""

    def __enter__(self) -> Self:
        with ExitStack() as stack:
            self._listener = stack.enter_context(socket.create_server(("127.0.0.1", 0)))
            self.address: tuple[str, int] = self._listener.getsockname()
            descriptor = self._listener.fileno()
            log = stack.enter_context((self.directory / "log").open("wb"))
            argv = private(
                [sys.executable, str(HERE / self.listener), str(descriptor), *self.argv()],
                over=self._over,
                without=self._without,
                folders=[str(HOMES)],
            )
            self._process = subprocess.Popen(
                argv, stdin=subprocess.DEVNULL, stdout=log, stderr=log, pass_fds=[descriptor]
            )
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        # unshare --kill-child: with it goes the whole namespace.
        self._process.kill()
        self._process.wait()

    listener = "inetd.py"
    """The program of ours that has the socket."""

    @property
    def log(self) -> str:
        """All that the server has written so far."""
        return (self.directory / "log").read_text(errors="replace")

    def home(self, user: str) -> Path:
        """A user's home as we see it; the user sees it as /run/home/<user>."""
        return self.directory / "home" / user

    def authorized_keys(self, user: str) -> Path:
        """The file with the keys that let `user` in; read at each login."""
        return self.home(user) / ".ssh" / "authorized_keys"

    @cached_property
    def known_hosts(self) -> Path:
        """A file that knows the host keys."""
        return known_hosts(self.directory / "known_hosts", [self.address], self.publics)

    def login(self, user: str = "sh") -> Login:
        """How `user` logs in."""
        host, port = self.address
        return Login(host=host, port=port, user=user, key_file=self.key.path, known_hosts=(self.known_hosts,))

    def _shells(self) -> Path:
        """A copy of /etc/shells in which every user's shell is a good one: dropbear looks there."""
        path = self.directory / "shells"
        path.write_text(Path("/etc/shells").read_text() + "".join(f"{user.shell}\n" for user in self._users))
        return path


class Dropbear(Server):
    """Dropbear, which keeps its host keys in a format of its own."""

    def argv(self) -> list[str]:
        """The program, and its host keys converted."""
        argv = [program("dropbear"), "-i", "-s"]
        for key in self.host_keys:
            own = self.directory / f"{key.path.name}.dropbear"
            convert = [program("dropbearconvert"), "openssh", "dropbear", str(key.path), str(own)]
            subprocess.run(convert, check=True, capture_output=True)
            argv += ["-r", str(own)]
        return argv


class TinySsh(Server):
    """TinySSH, which has one host key, the 64 bytes of its two halves."""

    def argv(self) -> list[str]:
        """The program, and the folder with its host key."""
        (key,) = self.host_keys
        private_key = load_ssh_private_key(key.path.read_bytes(), None)
        assert isinstance(private_key, Ed25519PrivateKey)
        secret = private_key.private_bytes(Encoding.Raw, PrivateFormat.Raw, NoEncryption())
        public = private_key.public_key().public_bytes(Encoding.Raw, PublicFormat.Raw)
        folder = self.directory / "tinyssh"
        folder.mkdir()
        (folder / ".ed25519.sk").write_bytes(secret + public)
        (folder / "ed25519.pk").write_bytes(public)
        return [program("tinysshd"), "-v", str(folder)]


class AsyncSsh(Server):
    """A server made of asyncssh, which runs each command by the login shell as the user (asyncssh_server.py)."""

    listener = "asyncssh_server.py"

    def argv(self) -> list[str]:
        """The host keys, which it reads as they are."""
        return [str(key.path) for key in self.host_keys]


SERVERS: dict[str, type[Server | Sshd]] = {
    "OpenSSH": Sshd,
    "dropbear": Dropbear,
    "asyncssh": AsyncSsh,
    "tinyssh": TinySsh,
}
