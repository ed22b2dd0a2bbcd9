r"""A real OpenSSH server on loopback, with users that no other program sees. Needs root, namespaces and sshd.

    with Sshd(tmp_path, [key], users=[User("sh"), User("fish", "/usr/bin/fish")], MaxStartups="1:100:1") as server:
        server.ssh("echo $0", user="fish")      # what the ssh program got
        server.login("sh")                      # host, port, user, key_file, known_hosts
        server.log                              # what sshd wrote, at LogLevel VERBOSE
        server.kill_sessions()                  # every login ends; the server stays

In a test the fixture `sshd` is this class without the first two arguments, and `shared_sshd` is one with the users `sh`
and `bash` on six addresses for the whole run. More examples:

    sshd(addresses=loopback(100))                                   # a hundred machines: server.logins("bash")
    sshd(without=["bash"])                                          # a machine without bash
    sshd(without=["bash"], over={"/bin/sh": "/bin/busybox", "/bin/date": "/bin/busybox"})
    sshd(over={"/proc/meminfo": tmp_path / "meminfo"})              # with another meminfo
    sshd(users=[User("bash", "/bin/bash", files={".bashrc": "echo noise"})], SetEnv="TMOUT=1 LC_ALL=de_DE.UTF-8")
    sshd(match="Match User sh\n  ForceCommand /bin/sh /run/home/sh/probe.sh")
    sshd(within=far, addresses=far.addresses(6))                    # behind a line of rig.link
"""

import os
import random
import re
import signal
import socket
import subprocess
from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress
from functools import cached_property
from pathlib import Path
from types import TracebackType
from typing import Self

from rig.keys import Key, known_hosts, make_key
from rig.link import Namespace
from rig.logins import Login
from rig.needs import program
from rig.private import children, companions, private, state
from rig.users import BASH, HOMES, SH, User, make_homes, own_file, write_accounts
from rig.wait import until

MOST_LISTENERS = 16
"""sshd listens on no more addresses than this."""

PORTS = range(20000, 30000)
"""Below the ports that the kernel gives to clients."""

SETTINGS = {
    "LogLevel": "VERBOSE",
    "PasswordAuthentication": "no",
    "KbdInteractiveAuthentication": "no",
    "AuthorizedKeysFile": ".ssh/authorized_keys",
    "MaxStartups": "1000",
    "UsePAM": "no",
    "UseDNS": "no",
    "PidFile": "none",
}
"""What holds unless the test says otherwise: one server stands for many machines, hence MaxStartups."""


def loopback(count: int) -> tuple[str, ...]:
    """So many addresses of this machine, each a machine of its own to a client."""
    return tuple(f"127.0.{1 + number // 250}.{1 + number % 250}" for number in range(count))


class Sshd:
    """One sshd and all that it started. `options` are lines of sshd_config, spelt as there; a list gives several."""

    def __init__(
        self,
        directory: Path,
        keys: Sequence[Key],
        *,
        users: Iterable[User] = (SH, BASH),
        addresses: Sequence[str] = ("127.0.0.1",),
        port: int = 0,
        host_keys: Sequence[str | Key] = ("ed25519",),
        over: Mapping[str, Path | str] | None = None,
        without: Iterable[str] = (),
        within: Namespace | None = None,
        match: str = "",
        **options: str | Sequence[str],
    ) -> None:
        """Files go to `directory`; every user is let in with each of `keys`; port 0 is a free one.

        `host_keys` are kinds of rig.keys, or keys that are there already (of a server that came before).
        """
        self.directory = directory
        self.key = keys[0]
        self.addresses = tuple(addresses)
        self.port = port or _free_port(self.addresses, within)
        self.host_keys = [
            key if isinstance(key, Key) else make_key(directory / f"host_{key}", key) for key in host_keys
        ]
        self.publics = tuple(key.public for key in self.host_keys)
        self._within = within
        self._log = directory / "log"
        self._process: subprocess.Popen[bytes] | None = None
        users = tuple(users)
        make_homes(directory / "home", users)
        for user in users:
            own_file(self.authorized_keys(user.name), "".join(f"{key.public}\n" for key in keys))
        (directory / "sshd_config").write_text(self._configuration(options, match))
        accounts = write_accounts(directory, users)
        homes = {str(HOMES): directory / "home"}
        self._argv = private(
            [program("sshd"), "-D", "-E", str(self._log), "-f", str(directory / "sshd_config")],
            over={**accounts, **homes, **(over or {})},
            without=without,
            folders=[str(HOMES), "/run/sshd"],
        )

    def start(self) -> Self:
        """Start the server; returns when it listens on all its addresses. After `stop`, start it again."""
        argv = self._within.command(self._argv) if self._within else self._argv
        with self._log.open("ab") as log:
            begin = log.tell()
            self._process = subprocess.Popen(argv, stdin=subprocess.DEVNULL, stdout=log, stderr=log)
        try:
            until(lambda: self._listens(begin), "sshd listens")
        except BaseException:
            self.stop()
            raise
        (self.pid,) = children(self._process.pid)
        return self

    def stop(self) -> None:
        """End the server and all that it started, at once; nothing of it is left when this returns."""
        process, self._process = self._process, None
        if process is None:
            return
        for pid in children(process.pid) or [process.pid]:
            _signal(pid, signal.SIGKILL)
        process.wait()

    def __enter__(self) -> Self:
        return self.start()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()

    @property
    def address(self) -> tuple[str, int]:
        """The first address, and the port."""
        return self.addresses[0], self.port

    @property
    def log(self) -> str:
        """All that sshd has written so far."""
        return self._log.read_text(errors="replace")

    @property
    def sessions(self) -> list[int]:
        """The server's process for each connection, before its login and after."""
        return children(self.pid)

    @property
    def pids(self) -> list[int]:
        """All processes of the connections, shells included; `pid` is the server itself."""
        return companions(self.pid)

    def kill_sessions(self) -> None:
        """End every connection by ending its processes; returns when they are gone. The server goes on."""
        for pid in self.pids:
            _signal(pid, signal.SIGKILL)
        until(lambda: not self.pids, "the sessions are gone")

    def freeze(self) -> None:
        """Stop all processes where they are: connections stay open, and the kernel still accepts new ones."""
        for pid in (self.pid, *self.pids):
            _signal(pid, signal.SIGSTOP)
        until(lambda: all(state(pid) == "T" for pid in (self.pid, *self.pids)), "all processes stand still")

    def thaw(self) -> None:
        """Let all processes go on."""
        for pid in (self.pid, *self.pids):
            _signal(pid, signal.SIGCONT)

    def home(self, user: str) -> Path:
        """A user's home as we see it; the user sees it as /run/home/<user>. Write there with rig.users.own_file."""
        return self.directory / "home" / user

    def authorized_keys(self, user: str) -> Path:
        """The file with the keys that let `user` in; read by sshd at each login."""
        return self.home(user) / ".ssh" / "authorized_keys"

    @cached_property
    def known_hosts(self) -> Path:
        """A file that knows the host keys of all addresses."""
        addresses = [(address, self.port) for address in self.addresses]
        return known_hosts(self.directory / "known_hosts", addresses, self.publics)

    def login(self, user: str = "sh", address: str | None = None) -> Login:
        """How `user` logs in."""
        host = address or self.addresses[0]
        return Login(host=host, port=self.port, user=user, key_file=self.key.path, known_hosts=(self.known_hosts,))

    def logins(self, user: str = "sh") -> dict[str, Login]:
        """The sections ssh0, ssh1, … of a fleet: one for each address."""
        return {f"ssh{number}": self.login(user, address) for number, address in enumerate(self.addresses)}

    def ssh(self, command: str, user: str = "sh", address: str | None = None, within: Namespace | None = None) -> str:
        """What the ssh program prints for `command`; `subprocess.CalledProcessError`, with `stderr`, when it fails."""
        argv = [program("ssh"), *client_options(self.login(user, address)), command]
        argv = within.command(argv) if within else argv
        return subprocess.run(argv, stdin=subprocess.DEVNULL, capture_output=True, text=True, check=True).stdout

    def _listens(self, begin: int) -> bool:
        """Whether the log of this start, from `begin`, says that the server listens on all addresses."""
        said = self._log.read_bytes()[begin:].decode(errors="replace")
        if self._process is None or self._process.poll() is not None:
            raise RuntimeError(f"sshd does not start:\n{said}")
        return said.count("Server listening on") == len(self._listeners())

    def _listeners(self) -> list[str]:
        """The ListenAddress lines; past sshd's limit it is every address that the loopback interface has."""
        if len(self.addresses) <= MOST_LISTENERS:
            return [f"{address}:{self.port}" for address in self.addresses]
        return [f"0.0.0.0:{self.port}" + ("" if self._within else " rdomain lo")]

    def _configuration(self, options: Mapping[str, str | Sequence[str]], match: str) -> str:
        """The text of sshd_config: what the test says replaces the rig's settings; Match blocks stand at the end."""
        own = {"ListenAddress": self._listeners(), "HostKey": [str(key.path) for key in self.host_keys]}
        lines = []
        for name, values in {**own, **SETTINGS, **_no_penalties(), **options}.items():
            lines += [f"{name} {value}\n" for value in ([values] if isinstance(values, str) else values)]
        return "".join(lines) + match + "\n"


def _no_penalties() -> dict[str, str]:
    """Since 9.8 sshd punishes an address whose logins fail; here all clients have the same."""
    version = subprocess.run([program("sshd"), "-V"], capture_output=True, text=True, check=False).stderr
    found = re.search(r"OpenSSH_(\d+)\.(\d+)", version)
    recent = found is not None and (int(found[1]), int(found[2])) >= (9, 8)
    return {"PerSourcePenalties": "no"} if recent else {}


def client_options(login: Login) -> list[str]:
    """Arguments of the ssh program that keep the user's own configuration, keys and agent out."""
    options = {
        "BatchMode": "yes",
        "IdentitiesOnly": "yes",
        "IdentityAgent": "none",
        "StrictHostKeyChecking": "yes",
        "GlobalKnownHostsFile": "none",
        "UserKnownHostsFile": " ".join(map(str, login["known_hosts"])),
        "LogLevel": "ERROR",
    }
    settings = [word for name, value in options.items() for word in ("-o", f"{name}={value}")]
    place = ["-p", str(login["port"]), f"{login['user']}@{login['host']}"]
    return ["-F", "none", *settings, "-i", str(login["key_file"]), *place]


def _free_port(addresses: Sequence[str], within: Namespace | None) -> int:
    """A port on which nobody listens; a namespace that was just made has no listeners at all."""
    while True:
        port = random.choice(PORTS)
        if within or all(_is_free(address, port) for address in addresses[:MOST_LISTENERS]):
            return port


def _is_free(address: str, port: int) -> bool:
    with socket.socket() as listener:
        try:
            listener.bind((address, port))
        except OSError:
            return False
    return True


def _signal(pid: int, number: signal.Signals) -> None:
    """Send a signal to a process that may be gone by now."""
    with suppress(ProcessLookupError):
        os.kill(pid, number)
