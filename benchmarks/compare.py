"""The collector beside what a user would pick instead: the same machines, the same data, one run.

    .venv/bin/python -m benchmarks.compare --machines 100 --rounds 5 --only collector parallel_ssh

The machines are addresses of a real sshd, whose users have bash. In each round every contender has its turn of a few
seconds, in which it polls all machines once a second or, where that is too fast for it, as fast as it can. What counts
is the processor time of the contender and of every process that it starts; sshd's is in a column of its own. The
collector's own includes parsing, rendering, and a scrape a second.
"""

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import asdict, dataclass
from functools import partial
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
from benchmarks.peers import NAMES, Targets, ansible
from benchmarks.processor import Account
from benchmarks.table import spread, table

OURS = "collector"

LABELS = {OURS: "**collector**, parsed and rendered"}

SERVERS, CLIENTS = 0, 1
"""The cores."""

NEEDED = {"parallel_ssh": "pssh", "asyncssh_exec": "asyncssh", "asyncssh_shell": "asyncssh"}
"""What must be installed for a peer, besides what the collector needs."""


@dataclass(frozen=True, slots=True)
class Turn:
    """One contender's turn: how many machines it polled, and seconds of processor, its own and sshd's."""

    polls: int
    own: float
    servers: float


@dataclass(frozen=True, slots=True)
class Result:
    """A contender over all rounds: milliseconds for each poll (median, least, greatest), and its cost over ours."""

    name: str
    label: str
    polls: int
    own_ms: Mapping[str, float]
    server_ms: Mapping[str, float]
    ratio: float


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

    def turn(self, servers: Account, seconds: float) -> Turn:
        """Poll once a second, or as fast as it can, for so long; at least once."""
        assert self._process.stdin is not None
        assert self._account is not None
        own, theirs, began, polls, rounds = self._account.used, servers.used, monotonic(), 0, 0
        while not rounds or monotonic() - began < seconds:
            sleep(max(0.0, began + rounds - monotonic()))
            self._process.stdin.write("\n")
            self._process.stdin.flush()
            answered = int(self._hear())
            if not answered:
                raise RuntimeError(f"{self._name} got no answer")
            polls, rounds = polls + answered, rounds + 1
        return Turn(polls, self._account.used - own, servers.used - theirs)


@contextmanager
def polling(server: Sshd, directory: Path, user: str = "bash") -> Iterator[Daemon]:
    """The collector, polling all machines of a server once a second; all are up."""
    ini = write_ini(directory / "collector.ini", server.logins(user), listen="127.0.0.1:0", interval="1s")
    with Daemon(ini, CLIENTS if len(os.sched_getaffinity(0)) > 1 else None) as daemon:
        until(lambda: daemon.scrape().total("ssh_up") == len(server.addresses), "all machines are up", 60)
        sleep(1.5)
        yield daemon


def turn(daemon: Daemon, servers: Account, seconds: float) -> Turn:
    """Let the collector poll for so long, and scrape it once a second."""
    own, theirs, before = daemon.used, servers.used, daemon.scrape().total("ssh_polls_total")
    for _ in range(max(1, round(seconds))):
        sleep(1.0)
        last = daemon.scrape()
    return Turn(int(last.total("ssh_polls_total") - before), daemon.used - own, servers.used - theirs)


def ours(server: Sshd, servers: Account, directory: Path, seconds: float) -> Turn:
    """The collector's turn; it does not run in those of others."""
    with polling(server, directory) as daemon:
        return turn(daemon, servers, seconds)


def main() -> None:
    """Compare, print, and write JSON if asked to."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--machines", type=int, default=100)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--seconds", type=float, default=3.0, help="the length of a turn")
    parser.add_argument("--only", nargs="+", choices=(OURS, *NAMES), help="these contenders; else all installed")
    parser.add_argument("--json", type=Path)
    options = parser.parse_args()
    results = compare(options.machines, options.rounds, options.seconds, options.only or contenders())
    print(show(results))
    if options.json:
        options.json.write_text(json.dumps([asdict(result) for result in results], indent=1))


def contenders() -> list[str]:
    """Return all that are installed."""
    missing = {name for name, package in NEEDED.items() if find_spec(package) is None}
    if ansible.program() is None:
        missing.add("ansible")
    return [OURS, *(name for name in NAMES if name not in missing)]


def compare(machines: int, rounds: int, seconds: float, names: Sequence[str]) -> list[Result]:
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
            if name == OURS:
                turns[name] = partial(ours, server, servers, directory, seconds)
            else:
                peer = stack.enter_context(Peer(name, targets(server, directory / name)))
                turns[name] = partial(peer.turn, servers, seconds)
        taken: dict[str, list[Turn]] = {name: [] for name in names}
        for _ in range(rounds):
            for name, take in turns.items():
                taken[name].append(take())
    return ranked(taken)


def bind(cores: Iterable[int], core: int) -> None:
    """Bind this process, and what it starts from now on, to a core, if there are two."""
    if len(set(cores)) > 1:
        os.sched_setaffinity(0, {core})


def targets(server: Sshd, directory: Path) -> Targets:
    """The machines as a peer is told them."""
    return Targets(server.addresses, server.port, "bash", str(server.key.path), str(server.known_hosts), str(directory))


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
        results.append(Result(name, label, polls, spread(own), spread(servers), ratio))
    return sorted(results, key=lambda result: result.ratio)


def show(results: Sequence[Result]) -> str:
    """Return the results as a table, ratios first."""
    return table(
        ("per poll of one machine", "times ours", "CPU ms", "least", "greatest", "on the target ms", "polls"),
        [
            (
                result.label, result.ratio, result.own_ms["median"], result.own_ms["least"], result.own_ms["greatest"],
                result.server_ms["median"], result.polls,
            )
            for result in results
        ],
    )  # fmt: skip


if __name__ == "__main__":
    main()
