"""Whether anything grows with time: the collector against a real sshd on loopback, one address a machine.

    .venv/bin/python -m benchmarks.soak --machines 50 --interval 1 --seconds 600 --every 60

A line each `--every` seconds: the collector's processor per poll in between, scrapes included, what it holds, and how
many polls failed or were missed.
"""

import argparse
import tempfile
from pathlib import Path
from time import monotonic, sleep

from rig.keys import make_key
from rig.logins import write_ini
from rig.sshd import Sshd, loopback
from rig.wait import until

from benchmarks.daemon import Daemon
from benchmarks.processor import used

COLUMNS = ("seconds", "polls", "ms/poll", "cpu %", "rss MB", "fds", "logins", "failed", "missed")


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
            logins, interval = server.logins(options.user), f"{options.interval:g}s"
            ini = write_ini(directory / "collector.ini", logins, listen="127.0.0.1:0", interval=interval)
            with Daemon(ini) as daemon:
                until(lambda: daemon.scrape().total("ssh_up") == options.machines, "all machines are up", 60)
                watch(daemon, options.seconds, options.every)


def watch(daemon: Daemon, seconds: float, every: float) -> None:
    """Print a line every so often."""
    print("  ".join(f"{column:>8}" for column in COLUMNS))
    began = then = monotonic()
    before = look(daemon)
    while monotonic() - began < seconds:
        sleep(every)
        seen, now = look(daemon), monotonic()
        polls, spent = seen["polls"] - before["polls"], seen["used"] - before["used"]
        row = {**seen, "seconds": now - began, "polls": polls}
        row |= {"ms/poll": 1000 * spent / max(polls, 1), "cpu %": 100 * spent / (now - then)}
        print("  ".join(f"{row[column]:8.6g}" for column in COLUMNS), flush=True)
        before, then = seen, now


def look(daemon: Daemon) -> dict[str, float]:
    """What the collector has done and holds now."""
    page = daemon.scrape()
    return {
        "polls": page.total("ssh_polls_total"),
        "used": used(daemon.pid),
        "rss MB": daemon.resident,
        "fds": daemon.descriptors,
        "logins": page.total("ssh_logins_total"),
        "failed": page.total("ssh_poll_failures_total"),
        "missed": page.total("collector_polls_missed_total"),
    }


if __name__ == "__main__":
    main()
