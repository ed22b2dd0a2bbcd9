"""asyncssh: a connection kept for each machine, one exec for each poll."""

import asyncio

import asyncssh

from benchmarks.peers import Poll, Targets, is_whole

LABEL = "asyncssh, kept connection, one `exec`"


async def log_in(targets: Targets) -> list[asyncssh.SSHClientConnection]:
    """Log in to all machines, a few at a time."""
    slots = asyncio.Semaphore(16)

    async def one(host: str) -> asyncssh.SSHClientConnection:
        async with slots:
            return await asyncssh.connect(
                host,
                targets.port,
                username=targets.user,
                client_keys=[targets.key],
                known_hosts=targets.known_hosts,
                agent_path=None,
                config=None,
                gss_host=None,
            )

    return await asyncio.gather(*map(one, targets.hosts))


def connect(targets: Targets) -> Poll:
    """Connect to all machines."""
    runner = asyncio.Runner()
    connections = runner.run(log_in(targets))

    async def ask(connection: asyncssh.SSHClientConnection) -> bool:
        result = await connection.run(targets.command, encoding=None)
        return isinstance(result.stdout, bytes) and is_whole(result.stdout)

    async def ask_all() -> int:
        return sum(await asyncio.gather(*map(ask, connections)))

    return lambda: runner.run(ask_all())
