"""The command `demo`: a fleet on this machine, made for the purpose, and the daemon polling it.

One SSH server on 127.0.0.1 stands for all machines, and each of their sessions is a real `sh` of this machine. It
takes one key, made for this run, and runs nothing but what the probe needs: no other user of the machine gets in.
"""

import argparse
import contextlib
import socket
import subprocess
import tempfile
from pathlib import Path
from threading import Event
from typing import IO

import gevent
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from gevent.server import StreamServer
from gevent.subprocess import Popen
from paramiko import Channel, Ed25519Key, PKey, ServerInterface
from paramiko.common import AUTH_FAILED, AUTH_SUCCESSFUL, OPEN_FAILED_ADMINISTRATIVELY_PROHIBITED, OPEN_SUCCEEDED

from collector import daemon
from collector.config import values
from collector.probe import COMMAND
from collector.ssh.known_hosts import lines
from collector.ssh.transport import TunedTransport

MOST = 1000

USER = "demo"

INI = """\
[collector]
listen = {listen}
interval = 5s

[defaults]
port = {port}
user = demo
key_file = key
known_hosts = known_hosts
"""


def machines(text: str) -> int:
    """Read a number of machines. Raises what argparse reports."""
    if not text.isascii() or not text.isdecimal() or not 1 <= int(text) <= MOST:
        raise argparse.ArgumentTypeError(f"not a number of machines, 1 to {MOST}: {text!r}")
    return int(text)


def address(text: str) -> str:
    """Return an address that `listen` takes. Raises what argparse reports."""
    try:
        values.listen(text)
    except ValueError as error:
        raise argparse.ArgumentTypeError(str(error)) from None
    return text


def run(count: int, listen: str) -> int:
    """Make a fleet and poll it, until SIGTERM or SIGINT; return the exit code. Raises ConfigError, OSError."""
    # Only its owner can read the folder; it is gone at the end.
    with tempfile.TemporaryDirectory(prefix="collector-demo-") as folder:
        fleet = DemoFleet(Path(folder))
        try:
            return daemon.run(fleet.configure(count, listen))
        finally:
            fleet.stop()


class DemoFleet:
    """An SSH server on a free port of 127.0.0.1, and in a folder of our own all that is needed to log in to it."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._key = make_key(folder / "key")
        self._host_key = make_key(folder / "host_key")
        self._server = StreamServer(("127.0.0.1", 0), self._serve)
        self._server.start()

    def configure(self, count: int, listen: str) -> Path:
        """Write a configuration of so many machines and what it names; return its path."""
        name = f"[127.0.0.1]:{self._server.server_port}"
        key_line = lines([name], self._host_key.get_name(), self._host_key.asbytes())
        (self._folder / "known_hosts").write_text(key_line)
        sections = "".join(f"\n[ssh{number}]\nhost = 127.0.0.1\n" for number in range(count))
        path = self._folder / "collector.ini"
        path.write_text(INI.format(listen=listen, port=self._server.server_port) + sections)
        return path

    def stop(self) -> None:
        """Take no more logins, and end those that are there with their shells."""
        self._server.stop(timeout=1)

    def _serve(self, sock: socket.socket, _: object) -> None:
        transport = TunedTransport(sock)
        transport.add_server_key(self._host_key)
        door = Door(self._key)
        try:
            transport.start_server(event=Event(), server=door)
            transport.join()
        finally:
            transport.hang_up()
            door.close()


class Door(ServerInterface):
    """Who gets in, and to what: one user with one key, to one `sh` on a channel."""

    def __init__(self, key: PKey) -> None:
        self._key = key
        self._shells: list[Popen[bytes]] = []

    def get_allowed_auths(self, username: str) -> str:
        """Take keys only."""
        return "publickey"

    def check_auth_publickey(self, username: str, key: PKey) -> int:
        """Take one key."""
        ours = username == USER and key == self._key
        return AUTH_SUCCESSFUL if ours else AUTH_FAILED

    def check_channel_request(self, kind: str, chanid: int) -> int:
        """Take sessions only: nothing is forwarded."""
        if kind == "session":
            return OPEN_SUCCEEDED
        return OPEN_FAILED_ADMINISTRATIVELY_PROHIBITED

    def check_channel_exec_request(self, channel: Channel, command: bytes) -> bool:
        """Run what the probe runs, and nothing else."""
        if command != COMMAND.encode() or self._shells:
            return False
        shell = Popen(["/bin/sh"], stdin=subprocess.PIPE, stdout=subprocess.PIPE, bufsize=0)
        assert shell.stdin is not None
        assert shell.stdout is not None
        self._shells.append(shell)
        gevent.spawn(_pour_in, channel, shell.stdin)
        gevent.spawn(_pour_out, shell.stdout, channel)
        return True

    def close(self) -> None:
        """End the shell."""
        for shell in self._shells:
            shell.kill()
            shell.wait()


def _pour_in(channel: Channel, stdin: IO[bytes]) -> None:
    with contextlib.suppress(OSError, EOFError):
        while data := channel.recv(65536):
            stdin.write(data)
    with contextlib.suppress(OSError):
        stdin.close()


def _pour_out(stdout: IO[bytes], channel: Channel) -> None:
    with contextlib.suppress(OSError, EOFError):
        while data := stdout.read(65536):
            channel.sendall(data)
    with contextlib.suppress(OSError, EOFError):
        channel.close()


def make_key(path: Path) -> Ed25519Key:
    """Make a key, write it to a file that only its owner can read, and return it."""
    pem = Ed25519PrivateKey.generate().private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.OpenSSH, serialization.NoEncryption()
    )
    path.touch(mode=0o600)
    path.write_bytes(pem)
    return Ed25519Key.from_private_key_file(str(path))
