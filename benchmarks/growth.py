"""How the cost grows with the fleet: the collector on one core, simulated machines on the other.

    .venv/bin/python -m benchmarks.growth --sizes 100 1000 5000 --interval 15 --seconds 60
    .venv/bin/python -m benchmarks.growth --sizes 10000 --profile /tmp/profile.txt

For each size: the ramp (how long until every machine has answered, what a login costs), then a window in which the page
is scraped once an interval, as Prometheus would. Processor times include the scrapes. A py-spy profile of the window
(`--profile`, printed as a table too) slows the collector down: take the figures from another run.
"""

import argparse
import json
import os
import sys
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from dataclasses import asdict, dataclass
from pathlib import Path
from time import monotonic, sleep

from rig.logins import write_ini

from benchmarks import stacks
from benchmarks.daemon import Daemon, Scrape
from benchmarks.fleet import Fleet
from benchmarks.processor import used
from benchmarks.table import quantile, table

SIMULATOR, COLLECTOR = 0, 1
"""The cores."""

RAMP = 600.0
"""Seconds within which every machine must have answered once."""

SINGLES = 3
"""Scrapes of each encoding that are weighed one by one."""

FORGOTTEN = 1.2
"""Seconds after which the daemon no longer has the page of the scrape before, which it keeps for a second."""


@dataclass(frozen=True, slots=True)
class Window:
    """What is measured: so many machines, polled and scraped every `interval` seconds, for `seconds`."""

    machines: int
    interval: float
    seconds: float


@dataclass(frozen=True, slots=True)
class Ramp:
    """From the start until every machine has answered: seconds (`loading`: until it serves), seconds of processor."""

    loading: float
    seconds: float
    used: float
    logins: float
    answers: float


@dataclass(frozen=True, slots=True)
class Row:
    """One size of fleet. Shares are of a core; `…_ms` milliseconds, `…_mb` megabytes; the rest are counts."""

    machines: int
    interval: float
    seconds: float
    polls: int
    share: float
    poll_ms: float
    rss_mb: float
    loading_seconds: float
    ramp_seconds: float
    ramp_missed: float
    login_ms: float
    logins: float
    gzip_ms: float
    gzip_mb: float
    gzip_used_ms: float
    plain_ms: float
    plain_mb: float
    plain_used_ms: float
    lag_p50_ms: float
    lag_p99_ms: float
    lag_most_ms: float
    latency_p50_ms: float
    latency_p99_ms: float
    gap_least: float
    gap_greatest: float
    missed: float
    failed: float
    simulator_share: float


def main() -> int:
    """Measure the sizes asked for, print them, and write them as JSON if asked to; return 1 when one failed."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--sizes", type=int, nargs="+", default=[100, 1000, 5000])
    parser.add_argument("--interval", type=float, default=15.0, help="seconds from poll to poll, and scrape to scrape")
    parser.add_argument("--seconds", type=float, default=60.0, help="how long each size is measured")
    parser.add_argument(
        "--longest", type=float, nargs=2, default=(0, 0), metavar=("SIZE", "SECONDS"), help="another time for one size"
    )
    parser.add_argument("--json", type=Path)
    parser.add_argument("--profile", type=Path, help="a file for py-spy's raw stacks of the last window")
    options = parser.parse_args()
    size, longest = options.longest
    times = {number: longest if number == size else options.seconds for number in options.sizes}
    rows: list[Row] = []
    for size, seconds in times.items():
        try:
            rows.append(measure(Window(size, options.interval, seconds), options.profile))
        except (AssertionError, OSError, RuntimeError) as error:
            print(f"{size} machines: {error}", file=sys.stderr)
    print(show(rows))
    if options.profile:
        print(stacks.show(options.profile))
    if options.json:
        options.json.write_text(json.dumps([asdict(row) for row in rows], indent=1))
    return 0 if len(rows) == len(times) else 1


def measure(window: Window, profile: Path | None = None) -> Row:
    """Measure one size of fleet."""
    cores = os.sched_getaffinity(0)
    with ExitStack() as stack:
        if len(cores) > 1:
            os.sched_setaffinity(0, {SIMULATOR})
            stack.callback(os.sched_setaffinity, 0, cores)
        directory = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        fleet = stack.enter_context(Fleet(window.machines, directory))
        ini = directory / "collector.ini"
        write_ini(ini, fleet.logins(), listen="127.0.0.1:0", interval=f"{window.interval:g}s")
        began = monotonic()
        daemon = stack.enter_context(Daemon(ini, COLLECTOR if len(cores) > 1 else None))
        ramp = climb(daemon, fleet, window.machines, monotonic() - began)
        with stacks.spied(daemon.pid, window.interval + window.seconds, profile):
            return watch(daemon, fleet, ramp, window)


def climb(daemon: Daemon, fleet: Fleet, machines: int, loading: float) -> Ramp:
    """Wait until every machine has answered. The simulator counts: a scrape would be work for the collector."""
    began, before = monotonic(), daemon.used
    logins = answers = answering = 0.0
    while answering < machines:
        if monotonic() - began > RAMP:
            raise RuntimeError(f"only {answering:g} of {machines} machines answered in {RAMP:g} s")
        sleep(0.1)
        counts = fleet.counts()
        answering = counts["answering"]
        logins += counts.get("logins", 0)
        answers += counts.get("answers", 0)
    return Ramp(loading, monotonic() - began, daemon.used - before, logins, answers)


def watch(daemon: Daemon, fleet: Fleet, ramp: Ramp, window: Window) -> Row:
    """Measure the window, once an interval has passed since the ramp, and then a few single scrapes."""
    sleep(window.interval)
    scrapes = [daemon.scrape()]
    fleet.counts()
    began, used_before, simulator_before = monotonic(), daemon.used, used(fleet.pid)
    for number in range(1, max(1, round(window.seconds / window.interval)) + 1):
        sleep(max(0.0, began + number * window.interval - monotonic()))
        scrapes.append(daemon.scrape())
    elapsed, spent, simulator = monotonic() - began, daemon.used - used_before, used(fleet.pid) - simulator_before
    counts, resident = fleet.counts(), daemon.resident
    # A second of nothing but polls, to be taken off what the scrapes below seem to use.
    steady = spent / elapsed
    gzip = [weigh(daemon, "gzip", steady) for _ in range(SINGLES)]
    plain = [weigh(daemon, "identity", steady) for _ in range(SINGLES)]
    first, last = scrapes[0], scrapes[-1]
    polls = last.total("ssh_polls_total") - first.total("ssh_polls_total")
    lag = lags(first, last)
    latencies = sorted(value for scrape in scrapes[1:] for _, value in scrape.values("ssh_poll_duration_seconds"))
    poll_seconds = spent / polls
    return Row(
        machines=window.machines,
        interval=window.interval,
        seconds=elapsed,
        polls=int(polls),
        share=steady,
        poll_ms=1000 * poll_seconds,
        rss_mb=resident,
        loading_seconds=ramp.loading,
        ramp_seconds=ramp.seconds,
        ramp_missed=first.total("collector_polls_missed_total"),
        login_ms=1000 * (ramp.used - ramp.answers * poll_seconds) / ramp.logins,
        logins=last.total("ssh_logins_total"),
        gzip_ms=1000 * quantile(sorted(scrape.seconds for scrape in scrapes[1:]), 0.5),
        gzip_mb=len(last.body) / 1e6,
        gzip_used_ms=1000 * quantile(sorted(one for one, _ in gzip), 0.5),
        plain_ms=1000 * quantile(sorted(scrape.seconds for _, scrape in plain), 0.5),
        plain_mb=len(plain[-1][1].body) / 1e6,
        plain_used_ms=1000 * quantile(sorted(one for one, _ in plain), 0.5),
        lag_p50_ms=1000 * within(lag, 0.5),
        lag_p99_ms=1000 * within(lag, 0.99),
        lag_most_ms=1000 * within(lag, 1.0),
        latency_p50_ms=1000 * quantile(latencies, 0.5),
        latency_p99_ms=1000 * quantile(latencies, 0.99),
        gap_least=counts["gap_min"],
        gap_greatest=counts["gap_max"],
        missed=last.total("collector_polls_missed_total") - first.total("collector_polls_missed_total"),
        failed=last.total("ssh_poll_failures_total"),
        simulator_share=simulator / elapsed,
    )


def weigh(daemon: Daemon, encoding: str, steady: float) -> tuple[float, Scrape]:
    """Return what one scrape uses of the processor, in seconds besides the steady polls, and the scrape."""
    sleep(FORGOTTEN)
    before, began = daemon.used, monotonic()
    scrape = daemon.scrape(encoding)
    sleep(0.2)
    return max(0.0, daemon.used - before - steady * (monotonic() - began)), scrape


def lags(first: Scrape, last: Scrape) -> list[tuple[float, float]]:
    """Return the hub's lag between two scrapes: a bucket's greatest, and how many observations lay in it or below."""
    before = first.buckets("collector_hub_lag_seconds")
    return [(most, count - before[most]) for most, count in sorted(last.buckets("collector_hub_lag_seconds").items())]


def within(buckets: Sequence[tuple[float, float]], share: float) -> float:
    """Return the value below which a share of the observations lies, linear within its bucket, as Prometheus does.

    For the share 1 it is the upper end of the last bucket that is not empty.
    """
    wanted = share * buckets[-1][1]
    start = below = 0.0
    for most, count in buckets:
        if count >= wanted:
            return (
                most if share == 1.0 or count == below else start + (most - start) * (wanted - below) / (count - below)
            )
        start, below = most, count
    return start


def bend(points: Sequence[tuple[float, float]]) -> tuple[float, float, float]:
    """Return the straight line that fits best by relative error, as start and slope, and the greatest error."""
    sums = [sum(x**power / y**2 for x, y in points) for power in range(3)]
    first, second = sum(1 / y for _, y in points), sum(x / y for x, y in points)
    determinant = sums[0] * sums[2] - sums[1] ** 2
    start = (first * sums[2] - second * sums[1]) / determinant
    slope = (second * sums[0] - first * sums[1]) / determinant
    return start, slope, max(abs((start + slope * x) / y - 1) for x, y in points)


def show(rows: Sequence[Row]) -> str:
    """Return the rows as tables, and where the lines bend."""
    one = table(
        ("machines", "core %", "ms/poll", "RSS MB", "poll p50 ms", "p99", "lag p99 ms", "most", "missed", "failed"),
        [
            (
                f"{row.machines:,}", 100 * row.share, row.poll_ms, row.rss_mb, row.latency_p50_ms, row.latency_p99_ms,
                row.lag_p99_ms, row.lag_most_ms, int(row.missed), int(row.failed),
            )
            for row in rows
        ],
    )  # fmt: skip
    two = table(
        ("machines", "page ms", "gzip MB", "plain ms", "MB", "CPU ms, gzip", "plain", "ramp s", "login ms", "missed"),
        [
            (
                f"{row.machines:,}", row.gzip_ms, row.gzip_mb, row.plain_ms, row.plain_mb, row.gzip_used_ms,
                row.plain_used_ms, row.ramp_seconds, row.login_ms, int(row.ramp_missed),
            )
            for row in rows
        ],
    )  # fmt: skip
    return f"{one}\n\n{two}\n" + ("\n" + "\n".join(straightness(rows)) + "\n" if len(rows) > 2 else "")


def straightness(rows: Sequence[Row]) -> Iterator[str]:
    """Yield how far each cost is from growing in a straight line."""
    for name, unit, scale in (("share", "core %", 100.0), ("rss_mb", "MB", 1.0), ("gzip_ms", "ms a page", 1.0)):
        start, slope, error = bend([(row.machines, scale * getattr(row, name)) for row in rows])
        yield f"{unit}: {start:.3g} + {1000 * slope:.3g} for each 1,000 machines, right within {100 * error:.0f} %"


if __name__ == "__main__":
    sys.exit(main())
