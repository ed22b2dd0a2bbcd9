"""Two network namespaces with a slow and lossy line between them. Needs root, namespaces and /dev/net/tun.

    with Link(delay=0.1) as (near, far), Sshd(tmp_path, [key], within=far, addresses=far.addresses(6)) as server:
        server.ssh("whoami", within=near)                   # from near to far: 0.1 s each way
        subprocess.Popen(near.command(["collector", "run", …]))
        with near.entered():                                # or this very process, for a while
            sweep(machines)

    with Link() as link:
        near, far = link
        link.change(loss=1.0)                               # both ways dead, and neither end is told

The namespaces have no names and live as long as the process that forwards their packets (rig/tunnel.py), and that lives
as long as the `with`, or as we do. Every address of 198.19.0.0/16 is `far`'s: 65,000 machines without further work.
"""

import ctypes
import os
import subprocess
import sys
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Self

CLONE_NEWNET = 0x40000000

_libc = ctypes.CDLL(None, use_errno=True)


@dataclass(frozen=True, slots=True)
class Namespace:
    """One end of a link: `address` is its own, `path` the file that stands for the namespace."""

    address: str
    path: str

    def addresses(self, count: int) -> tuple[str, ...]:
        """So many addresses from `address` on; only the far end has more than one."""
        prefix = self.address.rpartition(".")[0].rpartition(".")[0]
        return tuple(f"{prefix}.{number // 250}.{1 + number % 250}" for number in range(count))

    def command(self, argv: Iterable[str]) -> list[str]:
        """The command that runs `argv` inside."""
        return ["nsenter", f"--net={self.path}", *argv]

    @contextmanager
    def entered(self) -> Iterator[None]:
        """Bring the calling thread, with all its greenlets, inside: sockets and processes made now are made there."""
        home = os.open("/proc/thread-self/ns/net", os.O_RDONLY)
        inside = os.open(self.path, os.O_RDONLY)
        try:
            _enter(inside)
            yield
        finally:
            _enter(home)
            os.close(inside)
            os.close(home)


class Link:
    """The line: `delay` and `jitter` in seconds and each way, `loss` as a share of the packets, 0 to 1.

    Packets never overtake one another. Unpacks to its ends, `near` and `far`.
    """

    def __init__(self, delay: float = 0.0, jitter: float = 0.0, loss: float = 0.0) -> None:
        self._quality = {"delay": delay, "jitter": jitter, "loss": loss}

    def __enter__(self) -> Self:
        program = [sys.executable, str(Path(__file__).with_name("tunnel.py"))]
        self._process = subprocess.Popen(program, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        said = self._hear().split()
        if len(said) != 2:
            self.__exit__(None, None, None)
            raise RuntimeError("the line does not come up; tunnel.py says why on standard error")
        here = f"/proc/{self._process.pid}/fd"
        self.near, self.far = Namespace("198.18.0.1", f"{here}/{said[0]}"), Namespace("198.19.0.1", f"{here}/{said[1]}")
        self.change()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        with self._process:
            self._process.kill()

    def __iter__(self) -> Iterator[Namespace]:
        return iter((self.near, self.far))

    def change(self, **quality: float) -> None:
        """Give the line another `delay`, `jitter` or `loss`; holds for packets sent after the return."""
        self._quality |= quality
        assert self._process.stdin is not None
        self._process.stdin.write("{delay} {jitter} {loss}\n".format(**self._quality))
        self._process.stdin.flush()
        self._hear()

    def _hear(self) -> str:
        assert self._process.stdout is not None
        return self._process.stdout.readline()


def _enter(namespace: int) -> None:
    if _libc.setns(namespace, CLONE_NEWNET):
        raise OSError(ctypes.get_errno(), "setns")
