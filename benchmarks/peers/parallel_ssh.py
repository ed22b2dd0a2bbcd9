"""parallel-ssh: gevent and libssh2 (C), connections kept by the client, one exec for each poll."""

from pssh.clients import ParallelSSHClient

from benchmarks.peers import Poll, Targets, is_whole

LABEL = "parallel-ssh (libssh2), kept connection, one `exec`"


def connect(targets: Targets) -> Poll:
    """Connect to all machines; the client keeps its connections from command to command."""
    hosts = list(targets.hosts)
    client = ParallelSSHClient(
        hosts, user=targets.user, port=targets.port, pkey=targets.key, pool_size=len(hosts), allow_agent=False
    )

    def poll() -> int:
        output = client.run_command(targets.command)
        client.join(output)
        return sum(host.exit_code == 0 and is_whole("\n".join(host.stdout)) for host in output)

    poll()
    return poll
