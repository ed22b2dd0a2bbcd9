"""What a poll costs, and whether anything grows: the daemon against a real sshd on loopback, one address a machine.

    .venv/bin/python benchmarks/cost.py --machines 100 --interval 1 --seconds 30
    .venv/bin/python benchmarks/cost.py --machines 50 --interval 1 --seconds 600 --every 60

Needs root (the sshd runs in namespaces of its own, with users of its own). A line each `--every` seconds: the daemon's
processor per poll in between, scrapes included, what it holds, and how many polls failed or were missed.
"""

from gevent import monkey

monkey.patch_all()

import argparse
import os
import subprocess
import sys
import tempfile
import urllib.request
from pathlib import Path
from time import monotonic

import gevent

sys.path.insert(0, str(Path(__file__).parents[1] / "tests"))

from rig.keys import make_key
from rig.logins import write_ini
from rig.sshd import Sshd, loopback
from rig.wait import until

TICKS = os.sysconf("SC_CLK_TCK")
COLUMNS = ("seconds", "polls", "ms/poll", "cpu %", "rss MB", "fds", "threads", "logins", "failed", "missed")


class Daemon:
    """A running daemon, seen from outside."""

    def __init__(self, ini: Path) -> None:
        argv = [sys.executable, "-m", "collector", "run", "--config", str(ini)]
        self._process = subprocess.Popen(argv, stderr=subprocess.PIPE, text=True)
        assert self._process.stderr is not None
        self._proc = Path(f"/proc/{self._process.pid}")
        line = self._process.stderr.readline()
        self._url = line[line.index("http://") : line.index("/ from")] + "/metrics"
        gevent.spawn(self._process.stderr.read)

    def page(self) -> str:
        """Its metrics."""
        with urllib.request.urlopen(self._url) as response:
            text: str = response.read().decode()
        return text

    def look(self) -> dict[str, float]:
        """What it has done and holds now."""
        page = self.page()
        user, system = self._proc.joinpath("stat").read_text().rpartition(")")[2].split()[11:13]
        status = dict(line.split(":", 1) for line in self._proc.joinpath("status").read_text().splitlines())
        return {
            "polls": total(page, "ssh_polls_total"),
            "cpu": (int(user) + int(system)) / TICKS,
            "rss MB": int(status["VmRSS"].split()[0]) / 1024,
            "fds": len(os.listdir(self._proc / "fd")),
            "threads": int(status["Threads"]),
            "logins": total(page, "ssh_logins_total"),
            "failed": total(page, "ssh_poll_failures_total"),
            "missed": total(page, "collector_polls_missed_total"),
            "up": total(page, "ssh_up"),
        }

    def stop(self) -> None:
        """End it."""
        self._process.terminate()
        self._process.wait()


def total(page: str, name: str) -> float:
    """The sum of a family's values."""
    return sum(float(line.split()[-1]) for line in page.splitlines() if line.startswith((f"{name}{{", f"{name} ")))


def main() -> None:
    """Run one measurement and print it."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--machines", type=int, default=100)
    parser.add_argument("--interval", type=float, default=1.0, help="seconds between two polls of a machine")
    parser.add_argument("--seconds", type=float, default=30.0)
    parser.add_argument("--every", type=float, default=10.0)
    parser.add_argument("--user", default="bash", help="the targets' login shell: bash or sh")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        directory = Path(folder)
        key = make_key(directory / "key")
        with Sshd(directory, [key], addresses=loopback(options.machines)) as server:
            logins = server.logins(options.user)
            interval = f"{options.interval:g}s"
            ini = write_ini(directory / "collector.ini", logins, listen="127.0.0.1:0", interval=interval)
            daemon = Daemon(ini)
            try:
                measure(daemon, options)
            finally:
                daemon.stop()


def measure(daemon: Daemon, options: argparse.Namespace) -> None:
    """Print a line every so often."""
    until(lambda: daemon.look()["up"] == options.machines, "all machines are up", 60)
    print("  ".join(f"{column:>8}" for column in COLUMNS))
    began = then = monotonic()
    before = daemon.look()
    while monotonic() - began < options.seconds:
        gevent.sleep(options.every)
        seen, now = daemon.look(), monotonic()
        polls, cpu = seen["polls"] - before["polls"], seen["cpu"] - before["cpu"]
        row = {**seen, "seconds": now - began, "polls": polls}
        row |= {"ms/poll": 1000 * cpu / polls, "cpu %": 100 * cpu / (now - then)}
        print("  ".join(f"{row[column]:8.6g}" for column in COLUMNS), flush=True)
        before, then = seen, now


if __name__ == "__main__":
    main()
