"""Our series beside those of a real node_exporter on the same machine: names, types, labels and values.

It is asked before and after the poll: what it has of a counter lies on both sides of what we have, and so does a gauge
that stood still. What differs for a reason is in a table of docs/node_exporter.md, and nothing else may.
"""

import os
import re
import signal
import socket
import subprocess
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from fnmatch import fnmatch
from pathlib import Path
from urllib.request import urlopen

import pytest
from prometheus_client.parser import text_string_to_metric_families
from rig.needs import program
from rig.polls import poll
from rig.sshd import Sshd
from rig.wait import until

from collector.gather import SETS

pytestmark = pytest.mark.needs("root", "namespaces", "setpriv", "sshd", "nsenter", "prometheus-node-exporter")

PAGE = Path(__file__).parents[1] / "docs/node_exporter.md"
EXPLAINED = re.findall(r"^\| `(node_\S+)` \|", PAGE.read_text(), re.MULTILINE)
"""Names of families, or patterns, that may differ."""

NEWER = re.findall(r"^\| the label `(\w+)` \|", PAGE.read_text(), re.MULTILINE)
"""Labels that the node_exporter here may not have yet."""

MOVES = 0.25
"""The share by which a gauge that moved meanwhile may lie beside both values; small ones by a half."""

OURS_TOO = re.compile("node_(filefd_allocated|procs_running|sockstat_.*|netstat_Tcp_CurrEstab)")
"""What our own session adds to, while node_exporter's does not: these are moving, too."""

EXACT = 1e-12
"""The share by which two that compute a value in different ways may differ."""

FLAGS = (
    "--log.level=error",
    "--collector.filesystem.mount-points-exclude=^/(dev|proc|run/credentials/.+|sys|var/lib/docker/.+|"
    "var/lib/containers/storage/.+)($|/)",
    r"--collector.diskstats.device-exclude=^(z?ram|loop|fd|(h|s|v|xv)d[a-z]|nvme\d+n\d+p)\d+$",
    "--collector.netdev.device-exclude=^$",
)
"""What is left out by default in the newest version; Debian leaves out more."""

Labels = tuple[tuple[str, str], ...]


@dataclass(frozen=True, slots=True)
class Page:
    """Each series of a machine, and the type of each family by its name."""

    values: dict[tuple[str, Labels], float]
    types: dict[str, str]

    def labels(self, name: str) -> set[Labels]:
        """The labels of each series of a family."""
        return {labels for family, labels in self.values if family == name}


def read(text: str) -> Page:
    """Read what node_exporter says."""
    page = Page({}, {})
    for family in text_string_to_metric_families(text):
        for name, labels, value, *_ in family.samples:
            if name.startswith("node_"):
                page.types[name] = {"unknown": "untyped"}.get(family.type, family.type)
                page.values[name, tuple(sorted(labels.items()))] = value
    return page


@pytest.fixture(scope="module")
def exporter(shared_sshd: Sshd) -> Iterator[Callable[[], Page]]:
    """Asks a node_exporter that runs where the shells of our polls do."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    inside = ["nsenter", f"--target={shared_sshd.pid}", "--mount", "--pid"]
    argv = [*inside, program("prometheus-node-exporter"), f"--web.listen-address=127.0.0.1:{port}", *FLAGS]
    with subprocess.Popen(argv, start_new_session=True) as process:

        def ask() -> Page:
            with urlopen(f"http://127.0.0.1:{port}/metrics", timeout=30) as answer:
                return read(answer.read().decode())

        def answers() -> bool:
            with suppress(OSError):
                return bool(ask())
            return False

        until(answers, "node_exporter answers")
        yield ask
        os.killpg(process.pid, signal.SIGKILL)


@pytest.fixture(scope="module")
def look(shared_sshd: Sshd, exporter: Callable[[], Page]) -> Callable[[], tuple[Page, Page, Page]]:
    """Tells what node_exporter says, what we have from a poll after that, and what node_exporter says then."""

    def look() -> tuple[Page, Page, Page]:
        before = exporter()
        standing = poll(shared_sshd.login("bash"), gather=SETS["node"])
        after = exporter()
        assert standing.snapshot is not None
        ours = Page({}, {})
        for metric, values, value in standing.snapshot.samples:
            ours.types[metric.name] = metric.kind
            known = {name for labels in before.labels(metric.name) for name, _ in labels}
            pairs = zip(metric.labels, values, strict=True)
            labels = tuple(sorted(pair for pair in pairs if not known or pair[0] in known or pair[0] not in NEWER))
            ours.values[metric.name, labels] = value
        return before, ours, after

    return look


@pytest.fixture(scope="module")
def pages(look: Callable[[], tuple[Page, Page, Page]]) -> tuple[Page, Page, Page]:
    """What is told once."""
    return look()


def is_explained(name: str) -> bool:
    """Whether the page says why a family differs."""
    return any(fnmatch(name, pattern) for pattern in EXPLAINED)


def test_names_and_types(pages: tuple[Page, Page, Page]) -> None:
    """Each family of ours is one of node_exporter's, and of the same type."""
    before, ours, _ = pages

    assert len(ours.types) > 50
    assert {
        (name, kind, before.types.get(name))
        for name, kind in ours.types.items()
        if before.types.get(name) != kind and not is_explained(name)
    } == set()


def test_labels(pages: tuple[Page, Page, Page]) -> None:
    """Each family that both have has the same series, unless some came or went meanwhile."""
    before, ours, after = pages

    for name in ours.types.keys() & before.types.keys():
        if not is_explained(name):
            assert ours.labels(name) >= before.labels(name) & after.labels(name), name
            assert ours.labels(name) <= before.labels(name) | after.labels(name), name


def misfits(before: Page, ours: Page, after: Page) -> dict[tuple[str, Labels], str]:
    """The series of ours that do not lie between node_exporter's, nor near them if they moved, and how far off."""
    found = {}
    for series in ours.values.keys() & before.values.keys() & after.values.keys():
        low, high = sorted((before.values[series], after.values[series]))
        value, slack = ours.values[series], EXACT * max(abs(low), abs(high))
        if ours.types[series[0]] != "counter" and (low != high or OURS_TOO.fullmatch(series[0])):
            slack = MOVES * max(abs(low), abs(high)) + 0.5
        if not low - slack <= value <= high + slack and not is_explained(series[0]):
            found[series] = f"{value} is not in {low} … {high}"
    return found


def test_values(look: Callable[[], tuple[Page, Page, Page]]) -> None:
    """Each value of ours lies between node_exporter's; a gauge that went up and down meanwhile does so another time."""
    unfit = misfits(*look())

    for _ in range(20):
        if not unfit:
            break
        now = misfits(*look())
        unfit = {series: now[series] for series in unfit.keys() & now.keys()}

    assert not unfit
