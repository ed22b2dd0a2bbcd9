"""Two hundred machines of which forty are faulty in twenty ways: what the others notice, and what is left behind.

    .venv/bin/python -m benchmarks.faults pairs [--pairs 5] [--seconds 60] [--warm 60] [--interval 5]
    .venv/bin/python -m benchmarks.faults failures [--count 2000]

`pairs` polls the machines without faults and with them, turn by turn, and compares the 99th percentile of the healthy
ones' poll durations. `failures` lets logins fail in all ways, pauses cut short, and compares what the daemon holds
before and after. Needs root (the sshd runs in namespaces of its own). All servers are on this machine too.
"""

from gevent import monkey

monkey.patch_all()

import argparse
import logging
import os
import re
import statistics
import sys
import tempfile
from collections.abc import Mapping
from contextlib import ExitStack
from pathlib import Path
from time import monotonic
from typing import Any

import gevent

sys.path.insert(0, str(Path(__file__).parents[1] / "tests"))

from faults.answers import ALTERED
from faults.floods import repeats
from faults.handshakes import SCRIPTED as SILENT
from faults.handshakes import SERVERS
from faults.logins import SCRIPTED as REFUSED
from faults.ward import COMMAND, resources
from rig.daemon import COLLECTOR, Daemon
from rig.keys import make_key
from rig.logins import Server, login, write_ini
from rig.scripted import SshServer, shell
from rig.servers import RawServer
from rig.sshd import Sshd, loopback
from rig.wait import until

HEALTHY, FAULTY = 160, 40

FIRST = 200
"""Failures before what is held is first looked at: the first of each kind imports something, or fills a cache."""

WAYS: Mapping[str, Any] = {
    **{name: lambda b=behaviour: RawServer(b) for name, (behaviour, _) in list(SERVERS.items())[:8]},
    "4 GiB": lambda: RawServer(SERVERS["a packet of 4 GiB"][0]),
    "garbage": lambda: RawServer(SERVERS["garbage packets"][0]),
    "flood in the key exchange": lambda: RawServer(repeats(b"\x02\0\0\0\0")),
    "algorithms only": lambda: RawServer(SERVERS["algorithms, then nothing more"][0]),
    **{name: lambda o=options: SshServer(**o) for name, (options, _) in list(SILENT.items())[:2]},
    **{name: lambda o=options: SshServer(**o) for name, (options, _) in list(REFUSED.items())[1:4]},
    "never stops talking": lambda: SshServer(**REFUSED["a program that never stops talking"][0]),
    "an answer without end": lambda: SshServer(shell(ALTERED["an answer without end"][0])),
    "an answer that trickles": lambda: SshServer(shell(ALTERED["an answer that trickles"][0])),
}
"""Twenty ways to be faulty."""


def main() -> None:
    """Run one measurement and print it."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    commands = parser.add_subparsers(dest="command", required=True)
    pairs = commands.add_parser("pairs")
    pairs.add_argument("--pairs", type=int, default=5)
    pairs.add_argument("--seconds", type=float, default=60.0, help="for which each run is looked at")
    pairs.add_argument("--warm", type=float, default=60.0, help="seconds before: pauses are short in the beginning")
    pairs.add_argument("--interval", type=float, default=5.0, help="seconds between two polls of a machine")
    failures = commands.add_parser("failures")
    failures.add_argument("--count", type=int, default=2000)
    options = parser.parse_args()
    # The servers' own words on what becomes of their connections.
    logging.getLogger("paramiko").setLevel(logging.CRITICAL)
    with tempfile.TemporaryDirectory() as folder, ExitStack() as stack:
        directory = Path(folder)
        (directory / "sshd").mkdir()
        key = make_key(directory / "key")
        server = Sshd(directory / "sshd", [key], addresses=loopback(HEALTHY + FAULTY))
        machines = list(stack.enter_context(server).logins("bash").values())
        # The faulty servers are of this process. Elsewhere their work would not be done by the processor that is ours.
        os.nice(19)
        servers: list[Server] = [stack.enter_context(make()) for make in WAYS.values() for _ in range(2)]
        faulty = [login(one, key, directory) for one in servers]
        if options.command == "pairs":
            compare(directory, machines, faulty, options)
        else:
            count(directory, machines[:10], faulty, options.count)


def compare(directory: Path, machines: list[Any], faulty: list[Any], options: argparse.Namespace) -> None:
    """Run without faults and with them, turn by turn."""
    healthy = {f"ssh{number}": there for number, there in enumerate(machines[:HEALTHY])}
    well = {f"well{number}": there for number, there in enumerate(machines[HEALTHY:])}
    ill = {f"ill{number}": there for number, there in enumerate(faulty)}
    ratios = []
    for _ in range(options.pairs):
        without = look(directory, {**healthy, **well}, options)
        with_faults = look(directory, {**healthy, **ill}, options)
        ratios.append(with_faults / without)
        print(f"p99 with faults / without: {ratios[-1]:.2f}", flush=True)
    print(f"median of {len(ratios)} pairs: {statistics.median(ratios):.2f}, worst: {max(ratios):.2f}")


def look(directory: Path, machines: Mapping[str, Any], options: argparse.Namespace) -> float:
    """Poll these machines for a while; return the 99th percentile of the healthy ones' polls, in seconds."""
    every = f"{options.interval:g}s"
    defaults = {"login_timeout": "3s", "timeout": "2s"}
    ini = write_ini(directory / "x.ini", machines, defaults=defaults, listen="127.0.0.1:0", interval=every)
    with Daemon(directory / "log", "run", "--config", str(ini), program=COLLECTOR) as daemon:
        os.setpriority(os.PRIO_PROCESS, daemon.process.pid, 0)
        until(lambda: daemon.page()["collector_machines_up"] >= HEALTHY, "all healthy machines are up", 60)
        gevent.sleep(options.warm)
        before, began, seen, slowest = daemon.page(), monotonic(), [], 0.0
        while monotonic() - began < options.seconds:
            gevent.sleep(options.interval)
            asked = monotonic()
            page = daemon.page()
            slowest = max(slowest, monotonic() - asked)
            seen += values(page, "ssh_poll_duration_seconds", "ssh")
        p99 = statistics.quantiles(seen, n=100)[98]
        up, polls = sum(values(page, "ssh_up", "ssh")), sum(values(page, "ssh_polls_total", "ssh"))
        expected = (monotonic() - began) / options.interval * HEALTHY
        polls -= sum(values(before, "ssh_polls_total", "ssh"))
        kind = "with faults" if any("ill" in name for name in machines) else "without"
        missed = page["collector_polls_missed_total"] - before["collector_polls_missed_total"]
        print(
            f"{kind:>11}: p99 {1000 * p99:.1f} ms, median {1000 * statistics.median(seen):.1f} ms, {up:.0f} up, "
            f"{polls:.0f} polls ({expected:.0f} due), failed {sum(values(page, 'ssh_poll_failures_total', 'ssh')):.0f},"
            f" missed by anybody {missed:.0f}, hub lag p99 below {1000 * lag(page, before):g} ms, "
            f"slowest page {slowest:.2f} s, {len(reasons(page))} reasons",
            flush=True,
        )
        return p99


def count(directory: Path, machines: list[Any], faulty: list[Any], wanted: int) -> None:
    """Let so many polls fail, take the faults away, and print what is held; twice, after some first failures."""
    well = {f"ssh{number}": there for number, there in enumerate(machines)}
    ill = {f"ill{number}": there for number, there in enumerate(faulty)}
    window, place = directory / "window", directory / "x.ini"
    write_few(place, well)
    program = [*COMMAND, str(window), "0.2"]
    with Daemon(directory / "log", "run", "--config", str(place), program=program) as daemon:
        held: list[dict[str, int]] = []
        for failures in (FIRST, wanted, wanted):
            until(lambda: daemon.page()["collector_machines_up"] == len(well), "all are up", 60)
            write_few(place, well | ill)
            assert daemon.get("/-/reload", "POST")[0] == 200
            suffer(daemon, failures)
            write_few(place, well)
            assert daemon.get("/-/reload", "POST")[0] == 200
            gevent.sleep(2)
            held.append(resources(daemon.process.pid, window))
            share = held[-1]["memory"] / held[0]["memory"] - 1
            print(f"after {failures} failures more: {held[-1]}, memory {share:+.1%}", flush=True)


def write_few(place: Path, machines: Mapping[str, Any]) -> None:
    """Write a configuration in which failures come soon."""
    defaults = {"login_timeout": "1s", "timeout": "1s"}
    write_ini(place, machines, defaults=defaults, listen="127.0.0.1:0", interval="1s", web_reload="yes")


def suffer(daemon: Daemon, failures: int) -> None:
    """Wait until so many polls have failed."""
    until(lambda: sum(values(daemon.page(), "ssh_poll_failures_total", "ill")) >= failures, "failures", 900)
    print(f"reasons: {sorted(reasons(daemon.page()))}", flush=True)


def values(page: Mapping[str, float], name: str, instances: str) -> list[float]:
    """The values of a family, of the instances whose names begin so."""
    return [value for series, value in page.items() if series.startswith(f'{name}{{instance="{instances}')]


def reasons(page: Mapping[str, float]) -> set[str]:
    """Why polls have failed."""
    return {match[1] for series in page if (match := re.search(r'reason="(\w+)"', series))}


def lag(page: Mapping[str, float], before: Mapping[str, float]) -> float:
    """The bucket of the hub's lag below which 99 % lie, in seconds."""
    name = "collector_hub_lag_seconds"
    total = page[f"{name}_count"] - before[f"{name}_count"]
    edges = [series for series in page if series.startswith(f"{name}_bucket")]
    good = [series for series in edges if page[series] - before[series] >= 0.99 * total]
    return min(float(re.findall(r'le="(.*)"', series)[0]) for series in good)


if __name__ == "__main__":
    main()
