"""What a poll costs the machine that is asked: processor and memory, beside node_exporter and beside `exec`.

    .venv/bin/python -m benchmarks.target --machines 10 --rounds 3 --seconds 20

As many machines of each sort, asked once a second: sessions of a real sshd with the probe on them (the processes of
the session and its shell), the same with an `exec` of `date; cat` for each poll, and node_exporters with the same three
collectors, scraped as Prometheus does. Once a second is faster than a fleet is polled: caches are warmer for all alike.
The memory is that of one alone, besides what the sshd that is there anyway has in common with it.
"""

import argparse
import http.client
import json
import os
import socket
import statistics
import subprocess
import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path
from time import monotonic, sleep

from rig.keys import make_key
from rig.needs import lack
from rig.private import children, companions, private
from rig.sshd import Sshd, loopback
from rig.wait import until

from benchmarks.compare import CLIENTS, SERVERS, Peer, Task, bind, polling, targets, turn
from benchmarks.processor import Account, proportional
from benchmarks.table import spread, table

PROBE, SH, EXEC, AGENT = "probe", "sh", "exec", "agent"

LABELS = {
    PROBE: "**the probe in bash**: no process started",
    SH: "the probe where there is no bash: one `date`",
    EXEC: "`exec` of `date; cat`, kept connection (asyncssh)",
    AGENT: "node_exporter, the same three collectors",
}

EXPORTER = "prometheus-node-exporter"
COLLECTORS = [f"--collector.{name}" for name in ("disable-defaults", "meminfo", "loadavg", "time")]


@dataclass(frozen=True, slots=True)
class Asked:
    """A few seconds of polls: how many, seconds of the targets' processor, megabytes that each target holds."""

    polls: int
    used: float
    held: float


@dataclass(frozen=True, slots=True)
class Cost:
    """What a poll costs a target: milliseconds (median, least, greatest) and megabytes; `ratio` is to the probe's."""

    name: str
    label: str
    polls: int
    ms: Mapping[str, float]
    mb: float
    ratio: float


def main() -> None:
    """Measure, print, and write JSON if asked to."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--machines", type=int, default=10)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--seconds", type=float, default=10.0)
    parser.add_argument("--json", type=Path)
    options = parser.parse_args()
    costs = measure(options.machines, options.rounds, options.seconds)
    print(show(costs))
    if options.json:
        options.json.write_text(json.dumps([asdict(cost) for cost in costs], indent=1))


def measure(machines: int, rounds: int, seconds: float) -> list[Cost]:
    """Ask machines of each sort in turn; one of each alone tells its memory."""
    asked = ask_all(machines, rounds, seconds)
    single = asked if machines == 1 else ask_all(1, 1, 1.0)
    alone = {name: one.held for name, one in single[0].items()}
    return [cost(name, [one[name] for one in asked], [one[PROBE] for one in asked], alone[name]) for name in alone]


def ask_all(machines: int, rounds: int, seconds: float) -> list[dict[str, Asked]]:
    """Ask so many machines of each sort, in turn."""
    cores = os.sched_getaffinity(0)
    with ExitStack() as stack:
        directory = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        stack.callback(os.sched_setaffinity, 0, cores)
        bind(cores, SERVERS)
        bash = stack.enter_context(machines_of(directory / "bash", machines))
        sh = stack.enter_context(machines_of(directory / "sh", machines, without=["bash"]))
        asks: dict[str, Callable[[float], Asked]] = {
            PROBE: partial(ask_probe, *bash, "bash"),
            SH: partial(ask_probe, *sh, "sh"),
            EXEC: partial(ask_exec, *bash),
        }
        if not lack(EXPORTER):
            asks[AGENT] = partial(ask_agents, *stack.enter_context(agents(machines)))
        bind(cores, CLIENTS)
        return [{name: ask(seconds) for name, ask in asks.items()} for _ in range(rounds)]


@contextmanager
def machines_of(directory: Path, count: int, without: Sequence[str] = ()) -> Iterator[tuple[Sshd, Account]]:
    """An sshd for so many machines, and its account."""
    directory.mkdir()
    key = make_key(directory / "key")
    with Sshd(directory, [key], addresses=loopback(count), without=without) as server, Account(server.pid) as account:
        yield server, account


def cost(name: str, asked: Sequence[Asked], probe: Sequence[Asked], held: float) -> Cost:
    """Return the cost over all rounds; the ratio is the median of each round's own."""
    each = [1000 * one.used / one.polls for one in asked]
    ratio = statistics.median(mine * its.polls / (1000 * its.used) for mine, its in zip(each, probe, strict=True))
    return Cost(name, LABELS[name], sum(one.polls for one in asked), spread(each), held, ratio)


def ask_probe(server: Sshd, account: Account, user: str, seconds: float) -> Asked:
    """Let the collector poll; what it is scraped for meanwhile is its own cost."""
    task = Task(seconds)
    with polling(server, server.directory, task, user) as daemon:
        taken = turn(daemon, server, account, task)
        return Asked(taken.polls, taken.servers, proportional(server.pids) / len(server.addresses))


def ask_exec(server: Sshd, account: Account, seconds: float) -> Asked:
    """Let asyncssh run a command on kept connections."""
    with Peer("asyncssh_exec", targets(server, server.directory / "exec")) as peer:
        taken = peer.turn(account, Task(seconds))
        return Asked(taken.polls, taken.servers, proportional(server.pids) / len(server.addresses))


@contextmanager
def agents(count: int) -> Iterator[tuple[Account, Sequence[int], Sequence[int]]]:
    """So many node_exporters: their account, their processes, their ports."""
    ports = free_ports(count)
    each = " ".join([EXPORTER, *COLLECTORS, "--web.listen-address=127.0.0.1:$port"])
    script = f"for port in {' '.join(map(str, ports))}; do {each} & done; wait"
    argv = private(["sh", "-c", script], over={})
    with subprocess.Popen(argv, stderr=subprocess.DEVNULL) as process:
        try:
            until(lambda: all(map(listens, ports)), "node_exporter listens")
            (first,) = children(process.pid)
            pids = companions(first)
            with Account(first) as account:
                yield account, pids, ports
        finally:
            process.kill()


def ask_agents(account: Account, pids: Sequence[int], ports: Sequence[int], seconds: float) -> Asked:
    """Scrape as Prometheus does: over kept connections, gzip, once a second."""
    connections = [http.client.HTTPConnection("127.0.0.1", port, timeout=10) for port in ports]
    scrape(connections)
    before, began, polls = account.used, monotonic(), 0
    while not polls or monotonic() - began < seconds:
        scrape(connections)
        polls += len(connections)
        sleep(max(0.0, began + polls / len(connections) - monotonic()))
    spent = account.used - before
    for connection in connections:
        connection.close()
    return Asked(polls, spent, proportional(pids) / len(ports))


def scrape(connections: Sequence[http.client.HTTPConnection]) -> None:
    """Fetch each exporter's page."""
    for connection in connections:
        connection.request("GET", "/metrics", headers={"Accept-Encoding": "gzip"})
        response = connection.getresponse()
        if response.status != 200 or not response.read():
            raise RuntimeError(f"node_exporter says {response.status}")


def free_ports(count: int) -> list[int]:
    """Return ports that are free now, all of them at once."""
    with ExitStack() as stack:
        sockets = [stack.enter_context(socket.create_server(("127.0.0.1", 0))) for _ in range(count)]
        return [int(one.getsockname()[1]) for one in sockets]


def listens(port: int) -> bool:
    """Tell whether a port takes connections."""
    with socket.socket() as client:
        return not client.connect_ex(("127.0.0.1", port))


def show(costs: Sequence[Cost]) -> str:
    """Return the costs as a table, ratios first."""
    return table(
        ("a poll on the target", "times the probe's", "CPU ms", "least", "greatest", "MB (PSS)", "polls"),
        [
            (cost.label, cost.ratio, cost.ms["median"], cost.ms["least"], cost.ms["greatest"], cost.mb, cost.polls)
            for cost in costs
        ],
    )


if __name__ == "__main__":
    main()
