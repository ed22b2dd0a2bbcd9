"""Our series beside those of a real node_exporter on the same machine: names, types, labels and values.

It is asked before and after the poll: what it has of a counter lies on both sides of what we have, and so does a gauge
that stood still. What differs for a reason is in a table of docs/node_exporter.md, and nothing else may.
"""

import os
import re
import signal
import socket
import subprocess
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from fnmatch import fnmatch
from pathlib import Path
from urllib.request import urlopen

import pytest
from prometheus_client.parser import text_string_to_metric_families
from rig.needs import program
from rig.polls import outcome, poll
from rig.said import CUT, FIXTURES, texts
from rig.sshd import Sshd
from rig.wait import until

from collector.gather import GATHERERS, SETS, parse
from collector.metric import Metric
from collector.probe import is_pattern, matches

pytestmark = pytest.mark.needs("root", "namespaces", "setpriv", "sshd", "nsenter", "prometheus-node-exporter")

PAGE = Path(__file__).parents[1] / "docs/node_exporter.md"
EXPLAINED = re.findall(r"^\| `((?:node|process)_\S+)` \|", PAGE.read_text(), re.MULTILINE)
"""Names of families, or patterns, that may differ."""

NEWER = re.findall(r"^\| the label `(\w+)` \|", PAGE.read_text(), re.MULTILINE)
"""Labels that the node_exporter here may not have yet."""

NEWER_VALUES = re.findall(r"^\| the (?:method|state) `(\w+)` \|", PAGE.read_text(), re.MULTILINE)
"""Values of labels that it may have no series of yet."""

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


def without_newer(metric: Metric, values: Sequence[str], page: Page) -> Labels:
    """Return the labels of a sample of ours, but for those that an older node_exporter does not have yet."""
    known = {name for labels in page.labels(metric.name) for name, _ in labels}
    pairs = zip(metric.labels, values, strict=True)
    return tuple(sorted(pair for pair in pairs if not known or pair[0] in known or pair[0] not in NEWER))


@contextmanager
def running(*flags: str, inside: Sequence[str] = ()) -> Iterator[Callable[[], Page]]:
    """Run a node_exporter, and ask it."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    argv = [*inside, program("prometheus-node-exporter"), f"--web.listen-address=127.0.0.1:{port}", *flags]
    with subprocess.Popen(argv, start_new_session=True) as process:

        def ask() -> Page:
            with urlopen(f"http://127.0.0.1:{port}/metrics", timeout=30) as answer:
                return read(answer.read().decode())

        def answers() -> bool:
            with suppress(OSError):
                return bool(ask())
            return False

        try:
            until(answers, "node_exporter answers")
            yield ask
        finally:
            os.killpg(process.pid, signal.SIGKILL)


@pytest.fixture(scope="module")
def exporter(shared_sshd: Sshd) -> Iterator[Callable[[], Page]]:
    """Asks a node_exporter that runs where the shells of our polls do."""
    with running(*FLAGS, inside=["nsenter", f"--target={shared_sshd.pid}", "--mount", "--pid"]) as ask:
        yield ask


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
            ours.values[metric.name, without_newer(metric, values, before)] = value
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


def test_what_is_only_told_if_asked(shared_sshd: Sshd) -> None:
    """Sockets, processes and threads by state: we have the same, and also the states that nothing is in."""
    flags = ("--log.level=error", "--collector.disable-defaults", "--collector.processes", "--collector.tcpstat")
    with running(*flags, inside=["nsenter", f"--target={shared_sshd.pid}", "--mount", "--pid"]) as ask:
        standing = poll(shared_sshd.login("bash"), gather=("processes", "threads"))
        page = ask()
    assert outcome(standing) == "up"
    assert standing.snapshot is not None
    # A machine that has run many tests has more sockets than an answer can hold.
    sockets = parse(GATHERERS["tcpstat"], {file: Path(file).read_text() for file in GATHERERS["tcpstat"].files})
    found = [*standing.snapshot.samples, *sockets]
    ours = {(metric.name, tuple(zip(metric.labels, values, strict=True))): value for metric, values, value in found}
    theirs = {series: value for series, value in page.values.items() if re.match("node_(processes|tcp)_", series[0])}

    assert {metric.name: metric.kind for metric, *_ in found} == {name: page.types[name] for name, _ in theirs}
    assert {series for series, value in theirs.items() if value} <= ours.keys()
    for name in ("max_threads", "max_processes"):
        assert ours[f"node_processes_{name}", ()] == theirs[f"node_processes_{name}", ()]


COLLECTORS: Mapping[str, tuple[str, ...]] = {
    "bonding": ("bonding",),
    "cpu": ("cpu_state",),
    "cpufreq": ("cpufreq", "cpufreqinfo"),
    "dmi": ("dmi",),
    "edac": ("edac",),
    "hwmon": ("hwmon", "hwmoninfo"),
    "infiniband": ("infiniband",),
    "ipvs": ("ipvs",),
    "meminfo_numa": ("numa",),
    "nfs": ("nfs",),
    "nfsd": ("nfsd",),
    "nvme": ("nvme",),
    "powersupplyclass": ("power_supply",),
    "thermal_zone": ("thermal_zone", "cooling_device"),
    "time": ("clocksource",),
    "xfs": ("xfs",),
    "zfs": ("zfs",),
}
"""Which of our gatherers have what a collector of node_exporter's reads of what the machine here may not have."""

FAMILIES = re.compile(
    "node_(bonding|cooling|cpu_(core|frequency|isolated|online|package|scaling)|dmi|edac|hwmon|infiniband|ipvs|memory_numa|nfsd?|nvme"
    "|power_supply|thermal|time_clocksource|[xz]fs)_.*"
)
SYSTEMS = ("server", "raspberrypi4", "laptop", "tablet", "debian12")


def fixtures_of(system: str) -> dict[str, dict[str, str]]:
    """What the machine said to each gatherer of which there is a fixture."""
    paths = [FIXTURES / name / f"{system}.txt" for names in COLLECTORS.values() for name in names]
    return {
        path.parent.name: texts(path.parent.name, path.read_text().partition(CUT)[0]) for path in paths if path.exists()
    }


def files_of(said: Mapping[str, Mapping[str, str]]) -> dict[str, str]:
    """Return the text of each file of a machine, and of each link where it leads."""
    found: dict[str, str] = {}
    for given in said.values():
        for file, text in given.items():
            found |= matches(text) if is_pattern(file) else {file: text}
    return found


def build(root: Path, files: Mapping[str, str]) -> None:
    """Make a tree like those of /proc and /sys; what was refused on the machine is not there.

    Where a thermal zone or a cooling device refused, older node_exporters have none of them.
    """
    refused = {
        path.rpartition("/")[0] for path, text in files.items() if path.endswith(("/temp", "/cur_state")) and not text
    }
    files = {path: text for path, text in files.items() if path.rpartition("/")[0] not in refused}
    (root / "proc").mkdir()
    (root / "sys/class/net").mkdir(parents=True)
    for path, text in files.items():
        if path.endswith("/device/.") and text:
            device = root / text.strip("/\n")
            device.mkdir(parents=True, exist_ok=True)
            place = root / path.removesuffix("/device/.").strip("/")
            place.mkdir(parents=True, exist_ok=True)
            (place / "device").symlink_to(device)
    for path, text in files.items():
        if text.strip() not in {"", "<unknown>"} and not path.endswith("/."):
            put(root / path.strip("/"), text)
    build_more(root, files)


def put(path: Path, text: str) -> None:
    """Write a file into directories that may not be there yet."""
    path.parent.parent.mkdir(parents=True, exist_ok=True)
    path.parent.mkdir(exist_ok=True)
    path.write_text(text)


def build_more(root: Path, files: Mapping[str, str]) -> None:
    """Make what node_exporter reads and we do not need."""
    masters = []
    for path, text in files.items():
        folder = root / path.strip("/").rpartition("/")[0]
        if path.endswith("/uevent"):
            for line in text.splitlines():
                key, _, value = line.removeprefix("POWER_SUPPLY_").partition("=")
                put(folder / key.lower(), f"{value}\n")
        elif path.endswith("/temp"):
            put(folder / "policy", "step_wise\n")
        elif path.endswith("/bonding/slaves"):
            put(folder / "slaves", text)
            masters.append(folder.parent.name)
            for slave in text.split():
                (folder.parent / f"lower_{slave}").symlink_to(folder.parent.parent / slave)
        elif path.endswith("/scaling_governor"):
            for name in ("related_cpus", "scaling_driver", "scaling_setspeed"):
                put(folder / name, "0\n")
    for name in ("stat", "cpuinfo"):
        (root / "proc" / name).symlink_to(f"/proc/{name}")
    put(root / "sys/class/net/bonding_masters", " ".join(masters) + "\n")


@pytest.mark.parametrize("system", SYSTEMS)
def test_what_other_machines_have(system: str, tmp_path: Path) -> None:
    """Of the files in a fixture node_exporter makes the same series as we do, also where this machine has no such."""
    said = fixtures_of(system)
    build(tmp_path, files_of(said))
    flags = [f"--collector.{name}" for name in COLLECTORS]
    places = [f"--path.procfs={tmp_path}/proc", f"--path.sysfs={tmp_path}/sys"]
    with running("--log.level=error", "--collector.disable-defaults", *flags, *places) as ask:
        page = ask()
    ours = Page({}, {})
    for name, given in said.items():
        for metric, labels, value in parse(GATHERERS[name], given):
            ours.types[metric.name] = metric.kind
            ours.values[metric.name, without_newer(metric, labels, page)] = value

    assert ours.values
    assert compared(ours).keys() == compared(page).keys()
    assert compared(ours) == pytest.approx(compared(page))
    for name in {name for name, _ in compared(ours)}:
        assert ours.types[name] == page.types[name], name


def has_newer(labels: Labels) -> bool:
    """Whether the node_exporter here may not have a series yet."""
    return any(value in NEWER_VALUES for _, value in labels)


def compared(page: Page) -> dict[tuple[str, Labels], float]:
    """The series of these families; to Prometheus an empty label is none."""
    return {
        (name, tuple(label for label in labels if label[1])): value
        for (name, labels), value in page.values.items()
        if FAMILIES.fullmatch(name) and not is_explained(name) and not has_newer(labels)
    }
