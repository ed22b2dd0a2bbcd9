"""The collector beside what a user would pick instead: the same machines, the same data, one run.

    .venv/bin/python -m benchmarks.compare --machines 100 --rounds 5 --only collector parallel_ssh
    .venv/bin/python -m benchmarks.compare --gather node --machines 200 --interval 5 --seconds 60
    .venv/bin/python -m benchmarks.compare --before ../another-commit --only collector before

The machines are addresses of a real sshd, whose users have bash. In each round every contender has its turn of a few
seconds, in which it polls all machines once an interval or, where that is too fast for it, as fast as it can. What
counts is the processor time of the contender and of every process that it starts; sshd's is in a column of its own. The
collector's own includes parsing, rendering, and a scrape an interval, but neither the logins nor the first polls, which
ask for everything. What it asks for every ten minutes is not asked for in a shorter turn, and not of the others at all.
"""

import argparse
import json
import os
import re
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import asdict, dataclass, replace
from functools import partial
from glob import glob
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path
from time import monotonic, sleep
from types import TracebackType
from typing import Self

from rig.keys import make_key
from rig.logins import write_ini
from rig.private import children, private
from rig.sshd import Sshd, loopback
from rig.wait import until

from benchmarks import ROOT
from benchmarks.daemon import Daemon
from benchmarks.peers import COMMAND, NAMES, Targets, ansible
from benchmarks.processor import Account
from benchmarks.table import spread, table
from collector.gather import GATHERERS, SETS, files

OURS, BEFORE = "collector", "before"

LABELS = {OURS: "**collector**, parsed and rendered", BEFORE: "the collector of another commit"}

SERVERS, CLIENTS = 0, 1
"""The cores."""

NEEDED = {"parallel_ssh": "pssh", "asyncssh_exec": "asyncssh", "asyncssh_shell": "asyncssh"}
"""What must be installed for a peer, besides what the collector needs."""


@dataclass(frozen=True, slots=True)
class Task:
    """What all do in a turn of so many seconds: poll each machine every `interval` seconds, for what `gather` says."""

    seconds: float
    interval: float = 1.0
    gather: str = ""

    @property
    def command(self) -> str:
        """What peers run for it."""
        words = self.gather.replace(",", " ").split()
        return fetch([name for word in words for name in SETS.get(word, (word,))]) if words else COMMAND


@dataclass(frozen=True, slots=True)
class Turn:
    """One contender's turn: how many machines it polled, and seconds of processor, its own and sshd's.

    `received` are the bytes that came for it, encryption included, and 0 if it keeps no connections.
    """

    polls: int
    own: float
    servers: float
    received: int


@dataclass(frozen=True, slots=True)
class Result:
    """A contender over all rounds: milliseconds for each poll (median, least, greatest), and its cost over ours.

    `received` are bytes for each poll, 0 if they are not known.
    """

    name: str
    label: str
    polls: int
    own_ms: Mapping[str, float]
    server_ms: Mapping[str, float]
    ratio: float
    received: float = 0.0


class Peer:
    """A peer in a process of its own, with a PID namespace that shows all that it starts; connected in the `with`."""

    def __init__(self, name: str, targets: Targets) -> None:
        self._name = name
        self._targets = targets
        self._account: Account | None = None

    def __enter__(self) -> Self:
        directory = Path(self._targets.directory)
        directory.mkdir(exist_ok=True)
        argv = [sys.executable, "-m", "benchmarks.peers", self._name, str(self._targets.save(directory / "targets"))]
        pipe = subprocess.PIPE
        self._process = subprocess.Popen(private(argv, over={}), cwd=ROOT, stdin=pipe, stdout=pipe, text=True)
        if self._hear() != "ready":
            self.__exit__(None, None, None)
            raise RuntimeError(f"{self._name} does not come up")
        self._account = Account(*children(self._process.pid)).__enter__()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._account is not None:
            self._account.__exit__(None, None, None)
        with self._process:
            self._process.kill()

    def _hear(self) -> str:
        assert self._process.stdout is not None
        return self._process.stdout.readline().strip()

    def turn(self, servers: Account, task: Task) -> Turn:
        """Poll once an interval, or as fast as it can, for so long; at least once."""
        assert self._process.stdin is not None
        assert self._account is not None
        came = received(self._targets.port)
        own, their, began, polls, rounds = self._account.used, servers.used, monotonic(), 0, 0
        while not rounds or monotonic() - began < task.seconds:
            sleep(max(0.0, began + rounds * task.interval - monotonic()))
            self._process.stdin.write("\n")
            self._process.stdin.flush()
            answered = int(self._hear())
            if not answered:
                raise RuntimeError(f"{self._name} got no answer")
            polls, rounds = polls + answered, rounds + 1
        own, their = self._account.used - own, servers.used - their
        return Turn(polls, own, their, received(self._targets.port) - came)


@contextmanager
def polling(server: Sshd, directory: Path, task: Task, user: str = "bash", tree: Path = ROOT) -> Iterator[Daemon]:
    """The collector, polling all machines of a server; all are up, and have been polled again."""
    ini = write_ini(
        directory / "collector.ini",
        server.logins(user),
        listen="127.0.0.1:0",
        interval=f"{task.interval:g}s",
        defaults={"gather": task.gather} if task.gather else {},
    )
    with Daemon(ini, CLIENTS if len(os.sched_getaffinity(0)) > 1 else None, tree) as daemon:
        until(lambda: daemon.scrape().total("ssh_up") == len(server.addresses), "all machines are up", 60)
        sleep(1.5 * task.interval)
        yield daemon


def turn(daemon: Daemon, server: Sshd, servers: Account, task: Task) -> Turn:
    """Let the collector poll for so long, and scrape it once an interval."""
    first = daemon.scrape()
    came, own, their, began = received(server.port), daemon.used, servers.used, monotonic()
    for number in range(1, max(1, round(task.seconds / task.interval)) + 1):
        sleep(max(0.0, began + number * task.interval - monotonic()))
        last = daemon.scrape()
    own, their, came = daemon.used - own, servers.used - their, received(server.port) - came
    return Turn(int(last.total("ssh_polls_total") - first.total("ssh_polls_total")), own, their, came)


def ours(server: Sshd, servers: Account, directory: Path, task: Task, tree: Path = ROOT) -> Turn:
    """The collector's turn; it does not run in those of others."""
    with polling(server, directory, task, tree=tree) as daemon:
        return turn(daemon, server, servers, task)


def theirs(name: str, told: Targets, servers: Account, task: Task) -> Turn:
    """A peer's turn; it connects for it. parallel-ssh's connections do not survive minutes in which it does nothing."""
    with tempfile.TemporaryDirectory() as directory, Peer(name, replace(told, directory=directory)) as peer:
        return peer.turn(servers, task)


def fetch(names: Iterable[str]) -> str:
    """Return the command for the files that these gatherers read with every poll, of which this machine has one.

    The collector does not ask for the others either, once it knows; the machines of a comparison are this one.
    """
    wanted = files(name for name in names if not GATHERERS[name].every)
    there = [file for file in wanted if any(map(os.path.isfile, glob(file)))]
    return f"{{ date +%s.%N; cat {' '.join(there)}; df -P; true; }} 2>/dev/null"


def received(port: int) -> int:
    """Return the bytes that have come over all connections to a port that there are now."""
    argv = ["ss", "-tinH", "state", "established", f"dport = :{port}"]
    said = subprocess.run(argv, capture_output=True, text=True, check=True).stdout
    return sum(map(int, re.findall(r"bytes_received:(\d+)", said)))


def main() -> None:
    """Compare, print, and write JSON if asked to."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--machines", type=int, default=100)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--seconds", type=float, default=3.0, help="the length of a turn")
    parser.add_argument("--interval", type=float, default=1.0, help="seconds from poll to poll, and scrape to scrape")
    parser.add_argument("--gather", default="", help="as in collector.ini, without words that take away")
    parser.add_argument("--before", type=Path, help="a checkout of another commit, which is a contender, too")
    parser.add_argument("--only", nargs="+", choices=(OURS, BEFORE, *NAMES), help="these; else all installed")
    parser.add_argument("--json", type=Path)
    options = parser.parse_args()
    if BEFORE in (options.only or ()) and not options.before:
        parser.error("--only before, but no --before")
    names = options.only or [*contenders(), *([BEFORE] if options.before else [])]
    task = Task(options.seconds, options.interval, options.gather)
    results = compare(options.machines, options.rounds, task, names, options.before)
    print(show(results))
    if options.json:
        options.json.write_text(json.dumps([asdict(result) for result in results], indent=1))


def contenders() -> list[str]:
    """Return all that are installed."""
    missing = {name for name, package in NEEDED.items() if find_spec(package) is None}
    if ansible.program() is None:
        missing.add("ansible")
    return [OURS, *(name for name in NAMES if name not in missing)]


def compare(machines: int, rounds: int, task: Task, names: Sequence[str], before: Path | None = None) -> list[Result]:
    """Give each contender its turn in each round."""
    cores = os.sched_getaffinity(0)
    with ExitStack() as stack:
        directory = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        bind(cores, SERVERS)
        stack.callback(os.sched_setaffinity, 0, cores)
        key = make_key(directory / "key")
        server = stack.enter_context(Sshd(directory, [key], addresses=loopback(machines)))
        servers = stack.enter_context(Account(server.pid))
        bind(cores, CLIENTS)
        turns: dict[str, Callable[[], Turn]] = {}
        for name in names:
            if name in {OURS, BEFORE}:
                tree = ROOT if name == OURS or before is None else before
                turns[name] = partial(ours, server, servers, directory, task, tree)
            else:
                peer = targets(server, directory / name, task.command)
                turns[name] = partial(theirs, name, peer, servers, task)
        taken: dict[str, list[Turn]] = {name: [] for name in names}
        for _ in range(rounds):
            for name, take in turns.items():
                taken[name].append(take())
    return ranked(taken)


def bind(cores: Iterable[int], core: int) -> None:
    """Bind this process, and what it starts from now on, to a core, if there are two."""
    if len(set(cores)) > 1:
        os.sched_setaffinity(0, {core})


def targets(server: Sshd, directory: Path, command: str = COMMAND) -> Targets:
    """The machines as a peer is told them."""
    key, known = str(server.key.path), str(server.known_hosts)
    return Targets(server.addresses, server.port, "bash", key, known, str(directory), command)


def ranked(taken: Mapping[str, Sequence[Turn]]) -> list[Result]:
    """Return the results, the cheapest first. The ratio is the median of each round's own."""
    results = []
    for name, turns in taken.items():
        own = [1000 * turn.own / turn.polls for turn in turns]
        servers = [1000 * turn.servers / turn.polls for turn in turns]
        beside = [1000 * turn.own / turn.polls for turn in taken.get(OURS, turns)]
        ratio = statistics.median(theirs / us for theirs, us in zip(own, beside, strict=True))
        label = LABELS.get(name) or import_module(f"benchmarks.peers.{name}").LABEL
        polls = sum(turn.polls for turn in turns)
        received = statistics.median(turn.received / turn.polls for turn in turns)
        results.append(Result(name, label, polls, spread(own), spread(servers), ratio, received))
    return sorted(results, key=lambda result: result.ratio)


def show(results: Sequence[Result]) -> str:
    """Return the results as a table, ratios first."""
    return table(
        ("per poll of one machine", "times ours", "CPU ms", "least", "greatest", "on the target ms", "bytes", "polls"),
        [
            (
                result.label, result.ratio, result.own_ms["median"], result.own_ms["least"], result.own_ms["greatest"],
                result.server_ms["median"], result.received or "", result.polls,
            )
            for result in results
        ],
    )  # fmt: skip


if __name__ == "__main__":
    main()
