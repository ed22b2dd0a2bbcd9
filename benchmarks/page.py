"""What a scrape costs: seconds to the last byte, its size, and how long nobody else had a turn meanwhile.

    .venv/bin/python -m benchmarks.page [--sizes 1000 5000 10000 20000] [--rounds 7]

Machines that were never asked, with the answers of `benchmarks.fleet`, rendered in another order in each poll: after a
few of them a daemon's lines lie as far apart in memory. Server and machines are in this process, bound to one core, the
client in another on the other one. Nothing is polled meanwhile: what polls add is in growth.py.
"""

from gevent import monkey

monkey.patch_all()

import argparse
import gc
import json
import os
import random
import subprocess
import sys
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from statistics import median
from time import monotonic, process_time, thread_time

import gevent
from prometheus_client import CollectorRegistry

from benchmarks.fleet import Answers
from benchmarks.growth import COLLECTOR
from benchmarks.table import table
from collector import exposition, memory
from collector.config import Machine
from collector.gather import Gathering
from collector.probe import CLOCK
from collector.snapshot import Fleet, Snapshot
from collector.telemetry import Telemetry
from collector.web import Site, bind, serve

GATHER = ("time", "memory", "load")
POLLS = 3
"""Polls of each machine before the first scrape."""
REST = 1.2
"""Seconds between two scrapes: longer than any page is kept."""

CLIENT = """
import http.client, json, os, sys, time
port, encoding, core = int(sys.argv[1]), sys.argv[2], int(sys.argv[3])
if core >= 0:
    os.sched_setaffinity(0, {core})
for _ in sys.stdin:
    began = time.monotonic()
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=60)
    connection.request("GET", "/metrics", headers={"Accept-Encoding": encoding})
    response = connection.getresponse()
    first, size = 0.0, 0
    while data := response.read1(1 << 18):
        first = first or time.monotonic() - began
        size += len(data)
    print(json.dumps([response.status, size, first, time.monotonic() - began]), flush=True)
    connection.close()
"""
"""A program that scrapes once for each line of its standard input, and says how that was."""


@dataclass(frozen=True, slots=True)
class Row:
    """The medians over some scrapes of one size, in one encoding.

    `waited_ms` is the longest that others waited for a turn, `held_ms` the longest that this process computed in one:
    on a busy machine the former is longer. `held_most_ms` is the longest of all scrapes.
    """

    machines: int
    encoding: str
    megabytes: float
    first_ms: float
    last_ms: float
    used_ms: float
    waited_ms: float
    held_ms: float
    held_most_ms: float


def main() -> None:
    """Measure the sizes asked for, and print them."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--sizes", type=int, nargs="+", default=[1000, 5000, 10000, 20000])
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--json", type=Path)
    options = parser.parse_args()
    has_two = len(os.sched_getaffinity(0)) > 1
    if has_two:
        os.sched_setaffinity(0, {COLLECTOR})
    memory.set_up()
    rows = [row for size in options.sizes for row in measure(size, options.rounds, 0 if has_two else -1)]
    print(show(rows))
    if options.json:
        options.json.write_text(json.dumps([asdict(row) for row in rows], indent=1))


def measure(machines: int, rounds: int, core: int) -> list[Row]:
    """Scrape a fleet of one size in both encodings; the client is bound to a core unless that is negative."""
    fleet = made(machines)
    gc.freeze()
    registry = Telemetry(CollectorRegistry()).registry
    site = Site(fleet, lambda openmetrics: exposition.page(fleet, registry, openmetrics), lambda: True, None)
    listener = bind("127.0.0.1", 0)
    server, port = serve(listener, site), listener.getsockname()[1]
    server.start()
    try:
        return [scrapes(machines, encoding, port, rounds, core) for encoding in ("gzip", "identity")]
    finally:
        server.stop(timeout=1)
        gc.unfreeze()


def made(machines: int) -> Fleet:
    """Return machines that were polled a few times."""
    fleet, answers = Fleet(map(machine, range(machines))), Answers()
    gatherings = {standing.machine.name: Gathering(GATHER) for standing in fleet}
    for number in range(1, POLLS + 1):
        for standing in random.sample(list(fleet), machines):
            clock, texts = answers()
            said = {file.decode(): text.decode().replace("\x1e", "\n") for file, text in texts.items()}
            samples, gathered = gatherings[standing.machine.name].read({CLOCK: clock.decode(), **said})
            standing.snapshot = Snapshot(float(clock), random.random() / 100, samples, 0.0, 0.001, gathered)
            standing.polls = number
            standing.block = exposition.render(standing)
    return fleet


def machine(number: int) -> Machine:
    """Return a machine that nobody can reach."""
    options: Mapping[str, object] = {"host": "192.0.2.1", "port": 22, "user": "monitor", "key_file": Path("key")}
    times = {"interval": 15.0, "interval_text": "15s", "timeout": 10.0, "login_timeout": 30.0}
    known = (Path("known_hosts"),)
    return Machine(name=f"ssh{number}", known_hosts=known, gather=GATHER, labels=(), **options, **times)  # type: ignore[arg-type]


def scrapes(machines: int, encoding: str, port: int, rounds: int, core: int) -> Row:
    """Scrape some times, after one that is not counted."""
    argv = [sys.executable, "-c", CLIENT, str(port), encoding, str(core)]
    seen: list[tuple[float, ...]] = []
    with subprocess.Popen(argv, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as client:
        for _ in range(rounds + 1):
            gevent.sleep(REST)
            seen.append(scrape(client))
        assert client.stdin
        client.stdin.close()
    sizes, *times = zip(*seen[1:], strict=True)
    first, last, used, waited, held = (1000 * median(values) for values in times)
    return Row(machines, encoding, median(sizes) / 1e6, first, last, used, waited, held, 1000 * max(times[-1]))


def scrape(client: "subprocess.Popen[str]") -> tuple[float, ...]:
    """Return bytes, and seconds: to the first and the last one, of processor, of the longest wait and turn."""
    assert client.stdin
    assert client.stdout
    turns: list[tuple[float, float]] = []
    watching = gevent.spawn(watch, turns)
    gevent.sleep(0.01)
    turns[:] = []
    before = process_time()
    print(file=client.stdin, flush=True)
    status, size, first, last = json.loads(client.stdout.readline())
    used = process_time() - before
    watching.kill()
    if status != 200:
        raise RuntimeError(f"the page is {status}")
    waits, computed = zip(*turns, strict=True)
    return size, first, last, used, max(waits), max(computed)


def watch(turns: list[tuple[float, float]]) -> None:
    """Note for ever how late a timer of a millisecond fires, and what of that time others have computed."""
    while True:
        due, before = monotonic() + 0.001, thread_time()
        gevent.sleep(0.001)
        turns.append((monotonic() - due, thread_time() - before))


def show(rows: Sequence[Row]) -> str:
    """Return the rows as a table."""
    head = (
        "machines",
        "encoding",
        "MB",
        "first byte ms",
        "last byte ms",
        "CPU ms",
        "longest wait ms",
        "turn ms",
        "of all",
    )
    return table(
        head,
        [
            (
                f"{row.machines:,}", row.encoding, row.megabytes, row.first_ms, row.last_ms, row.used_ms, row.waited_ms,
                row.held_ms, row.held_most_ms,
            )
            for row in rows
        ],
    )  # fmt: skip


if __name__ == "__main__":
    main()
