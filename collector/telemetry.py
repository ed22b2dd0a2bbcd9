"""The daemon's own metrics, on a registry of prometheus_client that is passed in."""

import platform
from collections.abc import Callable, Iterator
from importlib.metadata import version
from time import monotonic, time

import gevent
from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, disable_created_metrics
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.platform_collector import PlatformCollector
from prometheus_client.process_collector import ProcessCollector
from prometheus_client.registry import Collector

from collector import logs
from collector.polling import Polling
from collector.ssh.connector import Connector
from collector.ssh.hostkeys import HostKeys
from collector.ssh.jump import Jump
from collector.sweep import Figures
from collector.turns import count

LAG_EVERY = 0.1
LAG_BUCKETS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0)

disable_created_metrics()


class FleetCollector(Collector):
    """How many machines there are, and how many are up and connected; counted at the scrape."""

    def __init__(self, polling: Polling) -> None:
        self._polling = polling

    def collect(self) -> Iterator[GaugeMetricFamily]:
        """Yield the families, with the numbers of this moment."""
        fleet = self._polling.fleet
        yield GaugeMetricFamily("collector_machines", "Machines that are polled.", len(fleet))
        up = count(standing.up for standing in fleet)
        yield GaugeMetricFamily("collector_machines_up", "Machines that answered their last poll.", up)
        yield GaugeMetricFamily("collector_sessions", "SSH connections that are open.", self._polling.sessions)


class KnownHostsCollector(Collector):
    """How the known_hosts files are; looked at at the scrape."""

    def __init__(self, host_keys: HostKeys) -> None:
        self._host_keys = host_keys

    def collect(self) -> Iterator[GaugeMetricFamily]:
        """Yield the families, with a sample for each file."""
        readable = GaugeMetricFamily(
            "collector_known_hosts_readable",
            "Whether known_hosts is in force as it is; if not, what was read before is, as far as there was anything.",
            labels=("file",),
        )
        bad_lines = GaugeMetricFamily(
            "collector_known_hosts_bad_lines",
            "Lines of known_hosts that cannot be read, and are ignored.",
            labels=("file",),
        )
        for file in self._host_keys:
            readable.add_metric((str(file.path),), not file.problem)
            if file.index is not None:
                bad_lines.add_metric((str(file.path),), len(file.index.problems))
        yield readable
        yield bad_lines


class JumpCollector(Collector):
    """The health of each jump host; counted at the scrape.

    One that is reached in several ways has a connection for each: it is up when all of these are.
    """

    def __init__(self, connector: Connector) -> None:
        self._connector = connector

    def collect(self) -> Iterator[Metric]:
        """Yield the families, with the numbers of this moment."""
        up = GaugeMetricFamily("ssh_jump_up", "Whether there is a connection to the jump host.", labels=["jump"])
        behind = GaugeMetricFamily("ssh_jump_machines", "Machines configured behind the jump host.", labels=["jump"])
        logins = CounterMetricFamily(
            "ssh_jump_logins", "Logins to the jump host itself that succeeded.", labels=["jump"]
        )
        by_name: dict[str, list[Jump]] = {}
        for jump in self._connector.jumps:
            by_name.setdefault(jump.name, []).append(jump)
        for name, jumps in by_name.items():
            up.add_metric([name], all(jump.is_up for jump in jumps))
            behind.add_metric([name], sum(jump.machines for jump in jumps))
            logins.add_metric([name], sum(jump.logins for jump in jumps))
        yield from (up, behind, logins)


class LogCollector(Collector):
    """What the log could not take; counted at the scrape."""

    def collect(self) -> Iterator[Metric]:
        """Yield the family, with the number of this moment."""
        yield CounterMetricFamily(
            "collector_log_lines_lost",
            "Log lines that could not be written: nobody reads them, or the disk is full.",
            logs.lost(),
        )


class Telemetry:
    """The metrics of the daemon, on a registry."""

    def __init__(self, registry: CollectorRegistry) -> None:
        self.registry = registry
        build = Gauge(
            "collector_build_info",
            "The versions of the collector and of what it is made of; always 1.",
            ("version", "python", "paramiko", "gevent"),
            registry=registry,
        )
        build.labels(version("collector"), platform.python_version(), version("paramiko"), version("gevent")).set(1)
        self._duration = Gauge(
            "collector_sweep_duration_seconds",
            "The last sweep: the greatest time from a poll's due moment to its end.",
            ("interval",),
            registry=registry,
        )
        self._sequential = Gauge(
            "collector_sweep_sequential_seconds",
            "The last sweep: the sum of its polls' durations, which is what one after another would have cost.",
            ("interval",),
            registry=registry,
        )
        self.missed = Counter(
            "collector_polls_missed_total",
            "Due moments that passed while the last poll or login was under way, or the collector stood still.",
            registry=registry,
        )
        self._lag = Histogram(
            "collector_hub_lag_seconds",
            "How late a timer fires: how long everything waits while something computes.",
            buckets=LAG_BUCKETS,
            registry=registry,
        )
        self.clock_jumps = Counter(
            "collector_clock_jumps_total",
            "Steps of the collector's wall clock of over half a second.",
            registry=registry,
        )
        self._reload_successful = Gauge(
            "collector_config_last_reload_successful",
            "Whether the last attempt to load the configuration succeeded.",
            registry=registry,
        )
        self._reload_success_time = Gauge(
            "collector_config_last_reload_success_timestamp_seconds",
            "When the configuration was last loaded.",
            registry=registry,
        )
        registry.register(LogCollector())
        ProcessCollector(registry=registry)
        PlatformCollector(registry=registry)

    def swept(self, figures: Figures) -> None:
        """Take the figures of a sweep that is over."""
        self._duration.labels(figures.interval).set(figures.duration)
        self._sequential.labels(figures.interval).set(figures.sequential)

    def forget_intervals(self, but: set[str]) -> None:
        """Drop the figures of intervals that no machine has any more."""
        for gauge in (self._duration, self._sequential):
            for interval in [sample.labels["interval"] for family in gauge.collect() for sample in family.samples]:
                if interval not in but:
                    gauge.remove(interval)

    def loaded(self, successful: bool) -> None:
        """Note an attempt to load the configuration."""
        self._reload_successful.set(successful)
        if successful:
            self._reload_success_time.set(time())

    def watch_web_config(self, readable: Callable[[], bool]) -> None:
        """Show whether the web configuration, as it is in its files now, is in force."""
        Gauge(
            "collector_web_config_readable",
            "Whether the web configuration and its certificates could be used when they last changed.",
            registry=self.registry,
        ).set_function(readable)

    def measure_lag(self) -> None:
        """Measure for ever how late timers fire."""
        while True:
            due = monotonic() + LAG_EVERY
            gevent.sleep(LAG_EVERY)
            self._lag.observe(max(0.0, monotonic() - due))
