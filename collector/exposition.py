"""Snapshots become the page of /metrics: a machine's lines are rendered once a poll, and a scrape only joins them.

`prometheus_client.generate_latest` is the oracle: the tests hold this text equal to its, byte for byte. It takes 9 µs
a sample, five seconds of a frozen hub for 10,000 machines. The daemon's own few metrics it still serves.
"""

from collections.abc import Callable, Iterable
from functools import lru_cache
from math import inf

import gevent
from prometheus_client import CollectorRegistry
from prometheus_client.exposition import generate_latest
from prometheus_client.openmetrics.exposition import generate_latest as generate_openmetrics

from collector.config import Machine
from collector.metric import Counter, Gauge, Metric, Sample
from collector.snapshot import Block, Fleet, Shape, Standing

UP = Gauge("ssh_up", "Whether the last poll of the machine succeeded; 0 before the first.")
POLL_DURATION = Gauge("ssh_poll_duration_seconds", "How long the last poll took, the login included if there was one.")
LOGIN_DURATION = Gauge("ssh_login_duration_seconds", "How long the last login took, from connecting to authenticated.")
POLLS = Counter("ssh_polls_total", "Polls attempted, the failed ones included.")
FAILURES = Counter("ssh_poll_failures_total", "Polls failed, by reason.", "reason")
LOGINS = Counter("ssh_logins_total", "Logins that succeeded.")
LAST_SUCCESS = Gauge("ssh_last_success_timestamp_seconds", "When a poll last succeeded, by the collector's clock.")
CLOCK_OFFSET = Gauge(
    "ssh_clock_offset_seconds",
    "The machine's clock less the collector's, corrected for half the round trip; positive: the machine is ahead.",
)
CLOCK_OFFSET_ERROR = Gauge("ssh_clock_offset_error_seconds", "The clock offset is right to plus or minus this.")
BACKOFF = Gauge(
    "ssh_backoff_seconds",
    "The wait after the last failure; +Inf: until a reload or a change of known_hosts. Absent while the machine is up.",
)
GATHER_SUCCESS = Gauge("ssh_gather_success", "Whether the gatherer had data in the last poll.", "gatherer")

OWN_LABELS = frozenset({"instance", *FAILURES.labels, *GATHER_SUCCESS.labels})
"""The labels of these series, which a machine's own `labels` may not use."""


def samples(standing: Standing) -> Iterable[Sample]:
    """Yield every sample of one machine: what is always there, then what its last poll said."""
    snapshot = standing.snapshot
    yield UP(float(standing.up))
    yield POLLS(float(standing.polls))
    yield LOGINS(float(standing.logins))
    for reason, count in standing.failures.items():
        yield FAILURES(float(count), reason)
    if standing.login_seconds is not None:
        yield LOGIN_DURATION(standing.login_seconds)
    if standing.last_success is not None:
        yield LAST_SUCCESS(standing.last_success)
    if standing.backoff is not None:
        yield BACKOFF(standing.backoff)
    if snapshot is None:
        return
    yield POLL_DURATION(snapshot.seconds)
    if snapshot.clock_offset is not None and snapshot.clock_offset_error is not None:
        yield CLOCK_OFFSET(snapshot.clock_offset)
        yield CLOCK_OFFSET_ERROR(snapshot.clock_offset_error)
    for gatherer, problem in snapshot.gathered:
        yield GATHER_SUCCESS(float(problem is None), gatherer)
    yield from snapshot.samples


def render(standing: Standing) -> Block:
    """Render one machine's lines, grouped by metric family."""
    own = own_labels(standing.machine)
    plain = "{" + label_text(own) + "} "
    texts: dict[Metric, str] = {}
    for metric, labels, value in samples(standing):
        if labels:
            text = "{" + label_text(own, metric.labels, labels) + "} "
            texts[metric] = f"{texts.get(metric, '')}{metric.name}{text}{number(value)}\n"
        else:
            texts[metric] = f"{metric.name}{plain}{number(value)}\n"
    return Block(_shape(tuple(texts)), tuple(texts.values()))


@lru_cache(maxsize=256)
def _shape(families: tuple[Metric, ...]) -> Shape:
    """Return where each family's text is. Machines of one kind share one such table, which saves 5 kB a machine."""
    return Shape(families, {metric.name: place for place, metric in enumerate(families)})


def own_labels(machine: Machine) -> tuple[tuple[str, str], ...]:
    """Return the labels that every series of a machine has."""
    return (("instance", machine.name), *machine.labels)


def label_text(own: Iterable[tuple[str, str]], names: Iterable[str] = (), values: Iterable[str] = ()) -> str:
    """Render labels in the order of their names, `instance="ssh0",mode="user"`."""
    pairs = sorted([*own, *zip(names, values, strict=True)])
    return ",".join(f'{name}="{escape(value)}"' for name, value in pairs)


def escape(value: str) -> str:
    """Escape a label's value as the exposition formats want it."""
    return value.replace("\\", r"\\").replace("\n", r"\n").replace('"', r"\"")


def number(value: float) -> str:
    """Render a value as Go does, with an exponent from a million on: 8.2e+09, +Inf, NaN."""
    text = repr(value)
    if -inf < value < 1e6:
        return text
    dot = text.find(".")
    if dot > 6:
        mantissa = f"{text[0]}.{text[1:dot]}{text[dot + 1 :]}".rstrip("0.")
        return f"{mantissa}e+{dot - 1:02d}"
    return {"inf": "+Inf", "-inf": "-Inf", "nan": "NaN"}.get(text, text)


def header(metric: Metric, openmetrics: bool) -> str:
    """Render the HELP and TYPE lines of a family; in OpenMetrics a counter's family has its name without `_total`."""
    name = metric.name
    help = metric.help.replace("\\", r"\\").replace("\n", r"\n")
    if openmetrics:
        help = help.replace('"', r"\"")
        name = name.removesuffix("_total") if metric.kind == "counter" else name
    return f"# HELP {name} {help}\n# TYPE {name} {metric.kind}\n"


def page(fleet: Fleet, registry: CollectorRegistry, openmetrics: bool = False) -> bytes:
    """Return the whole page: every machine's lines, family by family, then the daemon's own.

    The machines' lines are all of one moment. Other greenlets run between one family and the next.
    """
    blocks = [standing.block or render(standing) for standing in fleet]
    shapes = {id(block.shape): block.shape for block in blocks}.values()
    families = {metric.name: metric for shape in shapes for metric in shape.families}
    parts = []
    for name in sorted(families):
        lines = [texts[shape.places[name]] for shape, texts in blocks if name in shape.places]
        parts.append("".join([header(families[name], openmetrics), *lines]).encode())
        gevent.sleep(0)
    parts.append(_own(registry, openmetrics))
    return b"".join(parts)


def _own(registry: CollectorRegistry, openmetrics: bool) -> bytes:
    """Render the daemon's own metrics, which end the page."""
    generate: Callable[[CollectorRegistry], bytes] = generate_openmetrics if openmetrics else generate_latest
    return generate(registry)
