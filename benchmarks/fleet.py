"""A fleet on loopback: thousands of SSH servers in one process, which answer the probe as a real machine did.

    with Fleet(10_000, directory, cpu=0) as fleet:
        write_ini(directory / "collector.ini", fleet.logins(), ...)
        fleet.counts()                          # {"logins": 10000, "answers": 31245, ...} since the last time

Every machine has an address of 127.0.0.0/8 and a host key of its own, and says what tests/fixtures/memory says, with
other numbers in the lines that moved on a real machine within 15 s. The listener is bound to the interface `lo`: the
simulator cannot be reached from outside. It ends with the process that started it.
"""

import json
import os
import random
import resource
import select
import socket
import subprocess
import sys
from base64 import b64encode
from collections import Counter
from collections.abc import Mapping
from hashlib import sha256
from operator import add
from pathlib import Path
from time import monotonic, time
from types import TracebackType
from typing import Any, Self

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from rig.keys import host_name, make_key
from rig.logins import Login
from rig.sshd import loopback

from benchmarks import ROOT
from benchmarks.simulated import Connection, HangUp
from benchmarks.table import quantile

FIXTURES = ROOT / "tests" / "fixtures"

MOVING = frozenset({
    "MemFree", "MemAvailable", "Buffers", "Cached", "Active", "Inactive", "Active(anon)", "Inactive(anon)",
    "Active(file)", "Inactive(file)", "Dirty", "AnonPages", "Mapped", "KReclaimable", "Slab", "SReclaimable",
    "SUnreclaim", "KernelStack", "PageTables", "Committed_AS", "VmallocUsed",
})  # fmt: skip
"""The lines of /proc/meminfo that differed after 15 s on a machine that did a little of everything."""


class Answers:
    """What machines say: recorded texts, in which the numbers move from answer to answer."""

    def __init__(self) -> None:
        text = recorded("memory")
        lines = [line.partition(":") for line in text.splitlines()]
        moving = [(name, int(rest.split()[0])) for name, _, rest in lines if name in MOVING]
        self._base = [number for _, number in moving]
        self._memory = "".join(f"{name}:{' %14d kB' if name in MOVING else rest}\n" for name, _, rest in lines).replace(
            "\n", "\x1e"
        )
        self._noise = [random.randrange(4096) for _ in range(65536)]

    def __call__(self) -> tuple[bytes, dict[bytes, bytes]]:
        """Return the clock and the texts of one answer, as the probe in bash would say them."""
        at = random.randrange(len(self._noise) - len(self._base))
        moved = tuple(map(add, self._base, self._noise[at : at + len(self._base)]))
        one, five, fifteen, tasks = self._noise[at : at + 4]
        load = f"{one / 100:.2f} {five / 100:.2f} {fifteen / 100:.2f} 1/{tasks} {at}\x1e"
        memory = self._memory % moved
        return b"%.6f" % time(), {b"/proc/meminfo": memory.encode(), b"/proc/loadavg": load.encode()}


def recorded(gatherer: str) -> str:
    """Return what a real machine said."""
    return (FIXTURES / gatherer / "debian12.txt").read_text().partition("--- metrics ---\n")[0]


def host_key(number: int) -> Ed25519PrivateKey:
    """Return a machine's host key: its own, and the same in every run."""
    return Ed25519PrivateKey.from_private_bytes(sha256(b"machine %d" % number).digest())


def number_of(address: str) -> int:
    """Return which machine has an address: the inverse of rig.sshd.loopback."""
    _, _, third, fourth = map(int, address.split("."))
    return (third - 1) * 250 + fourth - 1


class Simulator:
    """The process itself: one loop over all sockets."""

    def __init__(self) -> None:
        self._epoll = select.epoll()
        self._listener = socket.socket()
        # Nobody but this machine reaches it, though it has all of 127.0.0.0/8.
        self._listener.setsockopt(socket.SOL_SOCKET, socket.SO_BINDTODEVICE, b"lo")
        self._listener.bind(("0.0.0.0", 0))
        self._listener.listen(4096)
        self._listener.setblocking(False)
        self.port = self._listener.getsockname()[1]
        self._clients: dict[int, tuple[socket.socket, Connection]] = {}
        self._asked: dict[int, float] = {}
        self._gaps: list[float] = []
        self._counts: Counter[str] = Counter()
        self._answers = Answers()

    def run(self) -> None:
        """Serve until standard input ends; each line of it is answered with the counts since the line before."""
        self._epoll.register(self._listener, select.EPOLLIN)
        self._epoll.register(0, select.EPOLLIN)
        while True:
            for descriptor, _ in self._epoll.poll():
                if descriptor in self._clients:
                    self._serve(descriptor)
                elif descriptor:
                    self._accept()
                elif os.read(0, 4096):
                    self._tell()
                else:
                    return

    def _accept(self) -> None:
        for _ in range(16):
            try:
                client, _ = self._listener.accept()
            except BlockingIOError:
                return
            client.setblocking(False)
            client.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            connection = Connection(host_key(number_of(client.getsockname()[0])), self._answers)
            client.send(connection.greet())
            self._clients[client.fileno()] = client, connection
            self._epoll.register(client, select.EPOLLIN)
            self._counts["connections"] += 1

    def _serve(self, descriptor: int) -> None:
        client, connection = self._clients[descriptor]
        was_in, answers = connection.is_logged_in, connection.answers
        try:
            data = client.recv(65536)
            out = connection.feed(data) if data else b""
            # A client that does not take an answer of 2 kB at once is not one that is measured here.
            is_over = not data or (out and client.send(out) < len(out))
        except (HangUp, OSError):
            is_over = True
        self._counts["logins"] += connection.is_logged_in - was_in
        if connection.answers > answers:
            self._note(descriptor, connection.answers - answers)
        if is_over:
            self._counts["ended"] += 1
            self._asked.pop(descriptor, None)
            del self._clients[descriptor]
            client.close()

    def _note(self, descriptor: int, answers: int) -> None:
        now, before = monotonic(), self._asked.get(descriptor)
        self._asked[descriptor] = now
        self._counts["answers"] += answers
        if before is not None:
            self._gaps.append(now - before)

    def _tell(self) -> None:
        gaps, self._gaps = sorted(self._gaps), []
        told: dict[str, float] = {**self._counts, "open": len(self._clients), "answering": len(self._asked)}
        told |= {"gap_min": gaps[0], "gap_p50": quantile(gaps, 0.5), "gap_max": gaps[-1]} if gaps else {}
        self._counts.clear()
        print(json.dumps(told), flush=True)


class Fleet:
    """A running simulator of `count` machines; `cpu` is the core it is bound to, None for any."""

    def __init__(self, count: int, directory: Path, cpu: int | None = None) -> None:
        self._addresses = loopback(count)
        self._directory = directory
        self._cpu = cpu
        self._key = make_key(directory / "fleet_key")

    def __enter__(self) -> Self:
        argv = [sys.executable, "-m", "benchmarks.fleet", *([str(self._cpu)] if self._cpu is not None else [])]
        self._process = subprocess.Popen(argv, cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        self.pid = self._process.pid
        self._port = int(self._hear()["port"])
        lines = []
        for number, address in enumerate(self._addresses):
            public = host_key(number).public_key().public_bytes_raw()
            blob = b"\0\0\0\x0bssh-ed25519" + len(public).to_bytes(4, "big") + public
            lines.append(f"{host_name(address, self._port)} ssh-ed25519 {b64encode(blob).decode()}\n")
        self._directory.joinpath("fleet_known_hosts").write_text("".join(lines))
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        with self._process:
            self._process.kill()

    def logins(self) -> Mapping[str, Login]:
        """The sections ssh0, ssh1, … of the fleet."""
        known = (self._directory / "fleet_known_hosts",)
        return {
            f"ssh{number}": Login(
                host=address, port=self._port, user="monitor", key_file=self._key.path, known_hosts=known
            )
            for number, address in enumerate(self._addresses)
        }

    def counts(self) -> dict[str, float]:
        """What has happened since the last call: `connections`, `logins`, `answers`, `ended`.

        And what is: `open`, `answering` (machines asked at least once), and the least, median and greatest time
        between two questions to one machine since the last call, `gap_min`, `gap_p50` and `gap_max`.
        """
        assert self._process.stdin is not None
        self._process.stdin.write("\n")
        self._process.stdin.flush()
        return self._hear()

    def _hear(self) -> dict[str, Any]:
        assert self._process.stdout is not None
        told: dict[str, Any] = json.loads(self._process.stdout.readline())
        return told


def main() -> None:
    """Be the simulator, bound to the core that the first argument names."""
    if sys.argv[1:]:
        os.sched_setaffinity(0, {int(sys.argv[1])})
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))
    simulator = Simulator()
    print(json.dumps({"port": simulator.port}), flush=True)
    simulator.run()


if __name__ == "__main__":
    main()
