"""asyncssh: a connection kept for each machine with a shell on it, which runs date and cat for each poll."""

import asyncio

import asyncssh

from benchmarks.peers import Poll, Targets, is_whole
from benchmarks.peers.asyncssh_exec import log_in

LABEL = "asyncssh, kept shell, `date` and `cat`"

END = b"end-of-answer\n"


def connect(targets: Targets) -> Poll:
    """Connect to all machines and start a shell on each."""
    runner = asyncio.Runner()

    async def start() -> list[asyncssh.SSHClientProcess[bytes]]:
        connections = await log_in(targets)
        return [await connection.create_process("exec /bin/sh", encoding=None) for connection in connections]

    shells = runner.run(start())

    async def ask(shell: asyncssh.SSHClientProcess[bytes]) -> bool:
        shell.stdin.write(f"{targets.command}; echo {END.decode()}".encode())
        return is_whole(await shell.stdout.readuntil(END))

    async def ask_all() -> int:
        return sum(await asyncio.gather(*map(ask, shells)))

    return lambda: runner.run(ask_all())
