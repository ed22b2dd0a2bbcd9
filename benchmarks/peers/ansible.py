"""Ansible's `raw` module over kept control connections, as many forks as its documentation suggests."""

import os
import shutil
import subprocess
import sys
from itertools import cycle, islice
from pathlib import Path

from benchmarks.peers import Poll, Targets, is_whole

LABEL = "Ansible `raw` over kept control connections"

AT_ONCE = 20


def program() -> str | None:
    """Return where Ansible is, if it is installed."""
    return shutil.which("ansible", path=os.pathsep.join((str(Path(sys.executable).parent), os.environ["PATH"])))


def connect(targets: Targets) -> Poll:
    """Write Ansible's files; its first run opens the control connections."""
    hosts = cycle(targets.hosts)
    configuration = Path(targets.directory, "ansible.cfg")
    configuration.write_text(
        f"""\
[defaults]
home = {targets.directory}
forks = 20
[ssh_connection]
control_path_dir = {targets.directory}
ssh_args = -F none -o ControlMaster=auto -o ControlPersist=600 -o UserKnownHostsFile={targets.known_hosts}
"""
    )
    environment = os.environ | {"ANSIBLE_CONFIG": str(configuration), "LC_ALL": "C.UTF-8"}
    inventory = Path(targets.directory, "hosts")
    login = f"ansible_user={targets.user} ansible_port={targets.port} ansible_ssh_private_key_file={targets.key}"
    inventory.write_text("".join(f"{host} {login}\n" for host in targets.hosts))
    argv = [str(program()), "all", "-i", str(inventory), "-m", "raw", "-a", targets.command]

    def poll(count: int = AT_ONCE) -> int:
        some = ",".join(islice(hosts, min(count, len(targets.hosts))))
        limited = [*argv, "--limit", some]
        done = subprocess.run(limited, env=environment, capture_output=True, text=True, check=False)
        whole = sum(is_whole(answer) for answer in done.stdout.split("| CHANGED"))
        if not whole:
            print(done.stdout[-1000:], done.stderr[-1000:], file=sys.stderr)
        return whole

    poll(len(targets.hosts))
    return poll
