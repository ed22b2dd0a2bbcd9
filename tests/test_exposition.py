"""The page: byte for byte what prometheus_client makes of the same samples, and what promtool and its parsers take."""

import subprocess
from collections.abc import Callable, Iterable, Iterator
from dataclasses import replace
from itertools import chain
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from prometheus_client import CollectorRegistry
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, UnknownMetricFamily
from prometheus_client.exposition import generate_latest
from prometheus_client.metrics_core import Metric as Family
from prometheus_client.openmetrics.exposition import generate_latest as generate_openmetrics
from prometheus_client.openmetrics.parser import text_string_to_metric_families
from prometheus_client.registry import Collector
from prometheus_client.utils import floatToGoString

from collector import exposition
from collector.config import Machine
from collector.exposition import number, own_labels, own_samples, render
from collector.gather import GATHERERS, parse
from collector.metric import NONE, SHAPES, Counter, Gauge, Metric, Sample, Samples, Shape, Untyped
from collector.probe import Ready
from collector.snapshot import Failure, Fleet, Gathered, Snapshot, Standing
from collector.ssh.transport import Agreement
from collector.telemetry import Telemetry

OPTIONS = {"port": 22, "user": "u", "key_file": Path("k"), "known_hosts": (Path("h"),), "gather": ("time",)}
TIMES = {"interval": 15.0, "interval_text": "15s", "timeout": 10.0, "login_timeout": 30.0}
AGREED = Agreement("curve25519-sha256", "aes128-gcm@openssh.com", "ssh-ed25519", 'Odd "server"\\')
FORCED = Ready("bash", "forced", "0" * 64, ())
FAULTS = Untyped("node_vmstat_pgfault", "Faults.")
CPU = Counter("node_cpu_seconds_total", 'Seconds of each "mode",\nby \\cpu.', "cpu", "mode")


def machine(name: str = "ssh0", **labels: str) -> Machine:
    """A machine of this name and labels."""
    return Machine(name=name, host="h", labels=tuple(sorted(labels.items())), **OPTIONS, **TIMES)  # type: ignore[arg-type]


def fleet() -> Fleet:
    """Three machines: one up with all it says, one down after it was up, one not yet polled."""
    memory = parse(GATHERERS["memory"], {"/proc/meminfo": Path("/proc/meminfo").read_text()})
    extra = (CPU(1.5, "0", "user"), CPU(2e9, "0", 'odd "mode"\\\n'), FAULTS(7.0))
    gathered = (Gathered("memory", None), Gathered("load", "no"))
    up = Snapshot(1e9, 0.25, Samples.of([*memory, *extra]), -0.5, 0.001, gathered)
    down = Snapshot(1e9, 0.5, failure=Failure("timeout", "too late"))
    standings = [
        Standing(
            machine("up", dc="eu", zone='"q"\\\n'),
            up,
            5,
            {"closed": 1, "timeout": 2},
            2,
            0.01,
            1e9,
            None,
            FORCED,
            AGREED,
        ),
        Standing(machine("down"), down, 7, {"timeout": 7}, 1, 0.5, 9e8, float("inf")),
        Standing(machine("näw")),
    ]
    fleet = Fleet()
    fleet.replace(standings)
    return fleet


def page(fleet: Fleet, registry: CollectorRegistry, openmetrics: bool = False) -> bytes:
    """The whole page."""
    return b"".join(exposition.page(fleet, registry, openmetrics))


class Oracle(Collector):
    """The same samples through the library's own families."""

    def __init__(self, said: Iterable[tuple[Machine, Samples]], *, labelled: bool = True) -> None:
        self._said = list(said)
        self._is_labelled = labelled

    def collect(self) -> Iterator[Family]:
        """Yield a family for each metric, by name, and in each the machines in the order in which they come."""
        families: dict[str, Family] = {}
        for machine, samples in self._said:
            own = dict(own_labels(machine)) if self._is_labelled else {}
            for metric, labels, value in samples:
                family = families.setdefault(metric.name, self._family(metric))
                family.add_sample(metric.name, own | dict(zip(metric.labels, labels, strict=True)), value)
        for name in sorted(families):
            yield families[name]

    @staticmethod
    def _family(metric: Metric) -> Family:
        kinds: dict[str, Callable[[str, str], Family]] = {
            "counter": CounterMetricFamily,
            "gauge": GaugeMetricFamily,
            "untyped": UnknownMetricFamily,
        }
        return kinds[metric.kind](metric.name, metric.help)


def oracle(fleet: Iterable[Standing], *, labelled: bool = True) -> CollectorRegistry:
    """A registry of the library that collects the fleet, machines of one shape together."""
    by_shape: dict[Shape, list[tuple[Machine, Samples]]] = {}
    for standing in fleet:
        said = standing.snapshot.samples if standing.snapshot else NONE
        for samples in (own_samples(standing), said):
            by_shape.setdefault(samples.shape, []).append((standing.machine, samples))
    registry = CollectorRegistry()
    registry.register(Oracle(chain.from_iterable(by_shape.values()), labelled=labelled))
    return registry


def test_text_is_the_librarys() -> None:
    """The page in the text format is what generate_latest makes of the same samples."""
    machines = fleet()

    assert page(machines, CollectorRegistry()) == generate_latest(oracle(machines))


def test_openmetrics_is_the_librarys() -> None:
    """The page in OpenMetrics is what the library makes of the same samples, and its parser takes it."""
    machines = fleet()

    actual = page(machines, CollectorRegistry(), openmetrics=True)

    assert actual == generate_openmetrics(oracle(machines))
    assert {family.name for family in text_string_to_metric_families(actual.decode())} >= {"ssh_up", "node_cpu_seconds"}


@pytest.mark.parametrize("name", ["up", "down", "näw"])
def test_one_machine_is_the_librarys(name: str) -> None:
    """The page of one machine is what the library makes of its samples without its labels, in both formats."""
    standing = fleet()[name]

    assert exposition.of_machine(standing) == generate_latest(oracle([standing], labelled=False))
    assert exposition.of_machine(standing, True) == generate_openmetrics(oracle([standing], labelled=False))


def test_one_machine_is_its_part_of_the_page() -> None:
    """A machine's own page has each of its series of the whole page, less the labels, and changes nothing of that."""
    machines = fleet()
    for standing in machines:
        standing.block = render(standing)
    before = page(machines, CollectorRegistry())
    for standing in machines:
        alone = exposition.of_machine(standing).decode().splitlines()
        assert [line.split("{")[0].split()[0] for line in alone if line[0] != "#"] == [
            line.split("{")[0]
            for line in before.decode().splitlines()
            if f'instance="{standing.machine.name}"' in line and line[0] != "#"
        ]

    assert before == page(machines, CollectorRegistry())


@given(st.floats() | st.integers(-(2**53), 2**53).map(float))
def test_numbers_are_the_librarys(value: float) -> None:
    """A value is rendered as floatToGoString does."""
    assert number(value) == floatToGoString(value)


@given(
    st.dictionaries(st.from_regex(r"[a-z]{1,5}", fullmatch=True), st.text(st.characters(codec="utf-8"))), st.floats()
)
def test_labels_are_the_librarys(labels: dict[str, str], value: float) -> None:
    """Whatever text a label has, the line is the library's."""
    few = Fleet()
    few.replace([Standing(machine("x", **labels), Snapshot(1.0, 0.0, Samples.of([Gauge("g", "h")(value)])), 1)])

    assert page(few, CollectorRegistry()) == generate_latest(oracle(few))


SERIES = [Gauge("g", "h"), Counter("c_total", "h", "l"), Counter("d_total", "h", "l"), CPU]
SAMPLE = st.builds(
    lambda metric, label, value: metric(value, *[label] * len(metric.labels)),
    st.sampled_from(SERIES),
    st.sampled_from(["", "a", "b\n"]),
    st.sampled_from([0.0, -0.0, 1.0, 1e6, 123456789.0, float("inf")]),
)


@given(st.lists(st.lists(SAMPLE, max_size=8, unique_by=lambda sample: (sample.metric, sample.labels)), min_size=2))
def test_what_was_rendered_before_changes_nothing(polls: list[list[Sample]]) -> None:
    """Poll after poll the page is what the library makes of the last one, whatever lines could be taken over."""
    standing = Standing(machine("x", dc="eu"))
    few = Fleet()
    few.replace([standing])

    for found in polls:
        standing.snapshot = Snapshot(1.0, 0.0, Samples.of(found))
        standing.polls += 1
        standing.block = render(standing)
        assert page(few, CollectorRegistry()) == generate_latest(oracle(few))


def test_a_failed_machine_keeps_only_its_standing() -> None:
    """After a failure a machine has its ssh_ series, and none of what it said before."""
    standing = replace(next(iter(fleet())), snapshot=Snapshot(1.0, 0.1, failure=Failure("closed", "")))

    names = [name for lines in render(standing) for name in lines.shape.families]

    assert not [name for name in names if name.startswith("node_") or "offset" in name or "gather" in name]
    assert "ssh_up" in names


def test_machines_of_one_shape_share_its_table() -> None:
    """Two machines that say the same kinds of things share the table of their series: it would cost 5 kB a machine."""
    one, two = render(Standing(machine("a"))), render(Standing(machine("b")))

    assert [lines.shape for lines in one] == [lines.shape for lines in two]


def test_tables_that_nobody_uses_are_forgotten() -> None:
    """A machine that fails in ever new ways leaves no table behind: half an hour of faults would leave 4 MB."""
    standing = Standing(machine("a"))
    reasons = [f"reason {count}" for count in range(100)]
    for reason in reasons:
        standing.snapshot = Snapshot(1.0, 0.1, failure=Failure(reason, ""))
        standing.block = render(standing)

    assert {label for series in SHAPES for _, labels in series for label in labels}.intersection(reasons) == {
        reasons[-1]
    }


@pytest.mark.needs("promtool")
def test_promtool_is_content() -> None:
    """Promtool finds nothing wrong with the whole page but the camelCase that node_exporter's own names have."""
    registry = Telemetry(CollectorRegistry()).registry
    text = page(fleet(), registry)

    found = subprocess.run(["promtool", "check", "metrics"], input=text, capture_output=True, check=False)

    lines = found.stderr.decode().splitlines()
    assert [
        line for line in lines if "metric names should be written in 'snake_case' not 'camelCase'" not in line
    ] == []
