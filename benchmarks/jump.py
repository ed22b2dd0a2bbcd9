"""A fleet behind one jump host: logins while all is well, and what its death and return look like.

    .venv/bin/python -m benchmarks.jump --machines 100 --polls 1000
    .venv/bin/python -m benchmarks.jump --machines 10 --polls 10000 --interval 0.1

A real sshd is the jump host, another one is all machines, on an address each; the daemon polls them through it until
`--polls` are done in all. Then the jump host's sshd is killed, and started again after a while. The machines' sshd
drops whoever comes while `--logins` are under way, and says so in its log. Needs root (the servers
run in namespaces of their own, with users of their own).
"""

from gevent import monkey

monkey.patch_all()

import argparse
import re
import tempfile
from collections import Counter
from pathlib import Path
from time import monotonic

import gevent
from rig.keys import make_key
from rig.logins import write_ini
from rig.sshd import Sshd, loopback
from rig.wait import until

from benchmarks.daemon import Daemon


class Counted:
    """How many logins are under way on a server: connections that have not been let in yet; `most` is the most seen."""

    def __init__(self, server: Sshd) -> None:
        self._server = server
        self.most = 0
        self._greenlet = gevent.spawn(self._count)

    def _count(self) -> None:
        while True:
            starting = sum(_is_starting(pid) for pid in self._server.sessions)
            self.most = max(self.most, starting)
            gevent.sleep(0.005)

    def stop(self) -> None:
        """Count no more."""
        self._greenlet.kill()


def _is_starting(pid: int) -> bool:
    try:
        title = Path(f"/proc/{pid}/cmdline").read_bytes()
    except OSError:
        return False
    return b"[accepted]" in title or b"[net]" in title


def main() -> None:
    """Run one measurement and print it."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--machines", type=int, default=100)
    parser.add_argument("--polls", type=int, default=1000, help="polls in all before the jump host is killed")
    parser.add_argument("--interval", type=float, default=1.0, help="seconds between two polls of a machine")
    parser.add_argument("--logins", type=int, default=10, help="[collector] logins; jump_logins is 8")
    parser.add_argument("--down", type=float, default=5.0, help="seconds for which the jump host is gone")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        directory = Path(folder)
        for name in ("bastion", "targets"):
            (directory / name).mkdir()
        key = make_key(directory / "key")
        startups = f"{options.logins}:100:{options.logins}"
        targets = Sshd(directory / "targets", [key], addresses=loopback(options.machines), MaxStartups=startups)
        bastion = Sshd(directory / "bastion", [key], addresses=["127.0.0.1"])
        with bastion, targets:
            jump = {**bastion.login("sh"), "enabled": "no"}
            machines = {name: {**login, "jump": "bastion"} for name, login in targets.logins("bash").items()}
            interval = f"{options.interval:g}s"
            sections = {"bastion": jump, **machines}
            limits = {"listen": "127.0.0.1:0", "interval": interval, "logins": options.logins}
            with Daemon(write_ini(directory / "collector.ini", sections, **limits)) as daemon:
                measure(daemon, bastion, targets, options)


def measure(daemon: Daemon, bastion: Sshd, targets: Sshd, options: argparse.Namespace) -> None:
    """Poll, kill, start again, and print what was seen."""
    counted, began = Counted(targets), monotonic()
    until(lambda: daemon.scrape().total("ssh_up") == options.machines, "all machines are up", 120)
    report("all up after", monotonic() - began, counted.most)
    polls, used = daemon.scrape().total("ssh_polls_total"), daemon.used
    while (page := daemon.scrape()).total("ssh_polls_total") < options.polls:
        gevent.sleep(0.5)  # A scrape costs too, and is in the figure.
    polled = page.total("ssh_polls_total")
    failed, missed = page.total("ssh_poll_failures_total"), page.total("collector_polls_missed_total")
    cost = 1000 * (daemon.used - used) / max(polled - polls, 1)
    print(f"polls {polled:.0f}, failed {failed:.0f}, missed {missed:.0f}, {cost:.2f} ms each")
    print(f"ssh_logins_total: {sorted(values(daemon, 'ssh_logins_total'))}")
    print(f"in the logs: {accepted(bastion)} login on the jump host, {accepted(targets)} on the machines")

    bastion.stop()
    died = monotonic()
    until(lambda: down(daemon)["jump"] == options.machines, "all machines say jump", 120)
    report(f"killed: all {options.machines} say jump after", monotonic() - died)
    gevent.sleep(max(0.0, options.down - (monotonic() - died)))
    counted.most = 0
    bastion.start()
    back = monotonic()
    until(lambda: daemon.scrape().total("ssh_up") == options.machines, "all machines are back", 120)
    report("started again: all back after", monotonic() - back, counted.most)
    counted.stop()
    print(f"dropped by the machines' MaxStartups: {targets.log.count('drop connection')}")
    print(f"ssh_logins_total: {sorted(values(daemon, 'ssh_logins_total'))}")
    print(f"ssh_jump_logins_total: {values(daemon, 'ssh_jump_logins_total')}")
    print(f"reasons: {sorted(reasons(daemon))}")


def report(what: str, seconds: float, most: int | None = None) -> None:
    """Print a time, and how many logins were under way at most."""
    print(f"{what} {seconds:.2f} s" + ("" if most is None else f", at most {most} logins at once"))


def accepted(server: Sshd) -> int:
    """How many logins a server's own log has."""
    return server.log.count("Accepted publickey")


def values(daemon: Daemon, name: str) -> set[float]:
    """The different values of a family."""
    return {value for _, value in daemon.scrape().values(name)}


def reasons(daemon: Daemon) -> set[str]:
    """Why polls have failed so far."""
    return {reason(labels) for labels, _ in daemon.scrape().values("ssh_poll_failures_total")}


def down(daemon: Daemon) -> Counter[str]:
    """How many machines are down now, by reason."""
    return Counter(reason(labels) for labels, _ in daemon.scrape().values("ssh_failure_info"))


def reason(labels: str) -> str:
    """The reason among the labels of a sample."""
    found = re.search('reason="(.*?)"', labels)
    return found[1] if found else ""


if __name__ == "__main__":
    main()
