"""OpenSSH: a control connection kept for each machine, and a shell loop that runs ssh for each poll."""

import subprocess
from itertools import cycle, islice
from pathlib import Path
from shlex import quote

from benchmarks.peers import Poll, Targets, is_whole

LABEL = "OpenSSH control connections from a shell loop"

AT_ONCE = 20
"""Machines for each call of `poll`, one after another."""


def connect(targets: Targets) -> Poll:
    """Start the control connections; they go to the background and stay there."""
    hosts = cycle(targets.hosts)
    configuration = Path(targets.directory, "ssh_config")
    configuration.write_text(
        f"""\
User {targets.user}
Port {targets.port}
IdentityFile {targets.key}
IdentitiesOnly yes
IdentityAgent none
UserKnownHostsFile {targets.known_hosts}
BatchMode yes
LogLevel ERROR
ControlPath {targets.directory}/%h
"""
    )
    for host in targets.hosts:
        subprocess.run(["ssh", "-F", str(configuration), "-MNf", host], stdin=subprocess.DEVNULL, check=True)

    def poll() -> int:
        some = list(islice(hosts, min(AT_ONCE, len(targets.hosts))))
        loop = f"for host in {' '.join(some)}; do ssh -F {configuration} -n $host {quote(targets.command)}; echo; done"
        said = subprocess.run(["sh", "-c", loop], capture_output=True, text=True, check=True).stdout
        return sum(is_whole(answer) for answer in said.split("\n\n"))

    return poll
