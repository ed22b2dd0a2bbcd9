"""The tutorial's way: paramiko's SSHClient connects for each poll and runs three commands."""

from itertools import cycle, islice

import paramiko

from benchmarks.peers import Poll, Targets, is_whole

LABEL = "the tutorial's way: paramiko connects, three commands"

COMMANDS = ("date +%s.%N", "cat /proc/meminfo", "cat /proc/loadavg")

AT_ONCE = 20
"""Machines for each call of `poll`, one after another: all of them would take seconds."""


def connect(targets: Targets) -> Poll:
    """Connect to nothing yet."""
    hosts = cycle(targets.hosts)
    key = paramiko.Ed25519Key.from_private_key_file(targets.key)

    def ask(host: str) -> bool:
        with paramiko.SSHClient() as client:
            client.set_missing_host_key_policy(paramiko.AutoAddPolicy())
            client.connect(
                host, targets.port, targets.user, pkey=key, allow_agent=False, look_for_keys=False, timeout=10
            )
            return is_whole("".join(client.exec_command(command)[1].read().decode() for command in COMMANDS))

    return lambda: sum(map(ask, islice(hosts, min(AT_ONCE, len(targets.hosts)))))
