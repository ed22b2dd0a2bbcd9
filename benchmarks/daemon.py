"""A running collector, seen from outside: its page, its processor time, its memory."""

import gzip
import http.client
import os
import re
import resource
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from time import monotonic
from types import TracebackType
from typing import Self

from rig.wait import until

from benchmarks import ROOT
from benchmarks.processor import resident, used

SERVING = re.compile(r"serving http://([\d.:]+)/")


class Daemon:
    """`collector run` with a configuration, bound to a core unless `cpu` is None; up when the `with` begins.

    It is the collector of another `tree` than this one if asked for.
    """

    def __init__(self, ini: Path, cpu: int | None = None, tree: Path = ROOT) -> None:
        self._ini = ini
        self._cpu = cpu
        self._tree = tree
        self._log = ini.with_suffix(".log")

    def __enter__(self) -> Self:
        # It ends when we do, however we end.
        argv = ["setpriv", "--pdeathsig", "KILL", sys.executable, "-m", "collector", "run", "--config", str(self._ini)]
        with self._log.open("wb") as log:
            self._process = subprocess.Popen(argv, cwd=self._tree, stdin=subprocess.DEVNULL, stderr=log)
        self.pid = self._process.pid
        _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
        resource.prlimit(self.pid, resource.RLIMIT_NOFILE, (most, most))
        if self._cpu is not None:
            os.sched_setaffinity(self.pid, {self._cpu})
        try:
            url = until(self._url, "the collector serves", 60)
        except BaseException:
            self.__exit__(None, None, None)
            raise
        host, _, port = url.rpartition(":")
        self._address = host, int(port)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        with self._process:
            self._process.kill()

    def _url(self) -> str:
        """Return host:port once it serves; nothing before. Raises RuntimeError."""
        said = self._log.read_text(errors="replace")
        if self._process.poll() is not None:
            raise RuntimeError(f"the collector does not start:\n{said}")
        return "".join(SERVING.findall(said))

    @property
    def address(self) -> str:
        """Where it answers: host:port."""
        host, port = self._address
        return f"{host}:{port}"

    @property
    def used(self) -> float:
        """Seconds of processor so far."""
        return used(self.pid)

    @property
    def resident(self) -> float:
        """Megabytes of memory."""
        return resident(self.pid)

    @property
    def descriptors(self) -> int:
        """Open files and sockets."""
        return len(os.listdir(f"/proc/{self.pid}/fd"))

    def scrape(self, encoding: str = "gzip") -> "Scrape":
        """Fetch the page, as Prometheus does."""
        began = monotonic()
        connection = http.client.HTTPConnection(*self._address, timeout=60)
        connection.request("GET", "/metrics", headers={"Accept-Encoding": encoding})
        response = connection.getresponse()
        body = response.read()
        took = monotonic() - began
        connection.close()
        if response.status != 200:
            raise RuntimeError(f"the page is {response.status} {response.reason}")
        return Scrape(body, response.headers.get("Content-Encoding") == "gzip", took)


@dataclass(frozen=True, slots=True)
class Scrape:
    """One page as it came, and how many seconds it took to the last byte. It is read when somebody asks."""

    body: bytes
    is_gzip: bool
    seconds: float

    def values(self, name: str) -> Iterator[tuple[str, float]]:
        """Yield the labels and value of each series of a name."""
        text = (gzip.decompress(self.body) if self.is_gzip else self.body).decode()
        for match in re.finditer(rf"^{name}(?:\{{(.*)\}})? (\S+)$", text, re.MULTILINE):
            yield match[1] or "", float(match[2])

    def total(self, name: str) -> float:
        """Return the sum of the values of a name."""
        return sum(value for _, value in self.values(name))

    def buckets(self, name: str) -> dict[float, float]:
        """Return a histogram: how many observations were at most so much."""
        return {float(labels.split('"')[1]): count for labels, count in self.values(f"{name}_bucket")}
