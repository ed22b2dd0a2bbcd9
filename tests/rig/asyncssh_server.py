"""An SSH server that runs commands as sshd does, by the login shell: `asyncssh_server.py DESCRIPTOR HOST_KEYS`."""

import asyncio
import os
import pwd
import socket
import sys
from contextlib import suppress
from pathlib import Path

import asyncssh


class Server(asyncssh.SSHServer):
    """Lets in whom the user's own authorized_keys lets in."""

    def connection_made(self, conn: asyncssh.SSHServerConnection) -> None:
        """Remember the connection."""
        self._connection = conn

    def begin_auth(self, username: str) -> bool:
        """Read the user's keys."""
        keys = Path(pwd.getpwnam(username).pw_dir, ".ssh/authorized_keys")
        self._connection.set_authorized_keys(str(keys))
        return True


async def run(process: "asyncssh.SSHServerProcess[bytes]") -> None:
    """Run what was asked for, or what the key's line forces."""
    user = pwd.getpwnam(str(process.get_extra_info("username")))
    environment = {"HOME": user.pw_dir, "USER": user.pw_name, "SHELL": user.pw_shell, "PATH": os.defpath}
    pipe = asyncio.subprocess.PIPE
    child = await asyncio.create_subprocess_exec(
        user.pw_shell,
        *(["-c", process.command] if process.command else []),
        stdin=pipe,
        stdout=pipe,
        stderr=asyncio.subprocess.STDOUT,
        user=user.pw_uid,
        group=user.pw_gid,
        extra_groups=[],
        cwd=user.pw_dir,
        env=environment,
    )
    assert child.stdin is not None
    assert child.stdout is not None
    feeder = asyncio.create_task(feed(process.stdin, child.stdin))
    while data := await child.stdout.read(65536):
        process.stdout.write(data)
    process.exit(await child.wait())
    await feeder


async def feed(source: "asyncssh.SSHReader[bytes]", target: asyncio.StreamWriter) -> None:
    """Give the client's input to the program, and its end too."""
    with suppress(OSError, asyncssh.Error):  # One of them went away.
        while data := await source.read(65536):
            target.write(data)
            await target.drain()
    target.close()


async def main() -> None:
    """Serve for ever."""
    listener = socket.socket(fileno=int(sys.argv[1]))
    # gss_host: or every login waits for a resolver.
    server = await asyncssh.create_server(
        Server, sock=listener, server_host_keys=sys.argv[2:], process_factory=run, encoding=None, gss_host=None
    )
    await server.wait_closed()


asyncio.run(main())
