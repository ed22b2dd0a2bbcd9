"""Six machines behind a round trip of 200 ms: a sweep on open sessions costs one round trip, not six.

    .venv/bin/python -m benchmarks.latency [--delay 0.1] [--machines 6] [--sweeps 10]

Needs root and /dev/net/tun: the machines are in a namespace of their own behind a line that delays every packet.
"""

from gevent import monkey

monkey.patch_all()

import argparse
import json
import statistics
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path

import gevent
from rig.keys import make_key
from rig.link import Link
from rig.sshd import Sshd
from rig.wait import until

from benchmarks.table import told
from collector.config import Config, Machine
from collector.polling import Polling
from collector.schedule import Schedule
from collector.ssh.connector import Connector
from collector.ssh.identities import Identities
from collector.sweep import Figures


def main() -> None:
    """Run one measurement and print it."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--delay", type=float, default=0.1, help="seconds each way")
    parser.add_argument("--machines", type=int, default=6)
    parser.add_argument("--sweeps", type=int, default=10)
    parser.add_argument("--json", type=Path)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder, Link(delay=options.delay) as (near, far):
        directory = Path(folder)
        addresses = far.addresses(options.machines)
        with Sshd(directory, [make_key(directory / "key")], within=far, addresses=addresses) as server, near.entered():
            figures = measure([machine(name, login) for name, login in server.logins("bash").items()], options.sweeps)
    print(told(figures))
    if options.json:
        options.json.write_text(json.dumps(figures, indent=1))


def machine(name: str, login: Mapping[str, object]) -> Machine:
    """A machine polled each second."""
    times = {"interval": 1.0, "interval_text": "1s", "timeout": 1.0, "login_timeout": 30.0}
    return Machine(name=name, gather=("time", "memory", "load"), labels=(), **times, **login)  # type: ignore[arg-type]


def measure(machines: Sequence[Machine], sweeps: int) -> dict[str, float]:
    """Sweep, and return the medians over some sweeps once every session is open."""
    figures: list[Figures] = []
    schedule = Schedule(lambda seconds: None)
    greenlets = schedule.start()
    polling = Polling(schedule, Connector(Identities(), 64), figures.append, lambda count: None)
    polling.apply(Config((), ("", 0), 64, False, tuple(machines)))
    until(lambda: polling.fleet.up == len(machines), "all machines are up", 60)
    gevent.sleep(1.5)
    figures.clear()
    durations: list[float] = []
    slowest: list[float] = []
    ratios: list[float] = []
    while len(ratios) < sweeps:
        until(lambda: figures, "a sweep ends")
        one = figures.pop(0)
        if one.polls < len(machines):
            continue
        poll = max(standing.snapshot.seconds for standing in polling.fleet if standing.snapshot)
        durations.append(one.duration)
        slowest.append(one.duration / poll)
        ratios.append(one.sequential / one.duration)
    schedule.stop()
    polling.stop()
    gevent.killall(greenlets)
    return {
        "machines": len(machines),
        "sweep_seconds": statistics.median(durations),
        "over_slowest": statistics.median(slowest),
        "under_sequential": statistics.median(ratios),
        "logins": sum(standing.logins for standing in polling.fleet),
    }


if __name__ == "__main__":
    main()
