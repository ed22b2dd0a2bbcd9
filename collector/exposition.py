"""Snapshots become the page of /metrics: a machine's lines are rendered once a poll, and a scrape only joins them.

`prometheus_client.generate_latest` is the oracle: the tests hold this text equal to its, byte for byte. It takes 9 µs
a sample, five seconds of a frozen hub for 10,000 machines. The daemon's own few metrics it still serves.
"""

import re
from array import array
from collections.abc import Callable, Container, Iterable, Iterator, Sequence
from itertools import chain
from math import inf

from prometheus_client import CollectorRegistry
from prometheus_client.exposition import generate_latest
from prometheus_client.metrics_core import Metric as Family
from prometheus_client.openmetrics.exposition import generate_latest as generate_openmetrics
from prometheus_client.registry import Collector

from collector.config import Machine
from collector.metric import NONE, Counter, Gauge, Metric, Samples, Series, Shape, shape_of
from collector.snapshot import Block, Fleet, Lines, Standing
from collector.turns import give_way

UP = Gauge("ssh_up", "Whether the last poll of the machine succeeded; 0 before the first.")
POLL_DURATION = Gauge("ssh_poll_duration_seconds", "How long the last poll took, the login included if there was one.")
LOGIN_DURATION = Gauge("ssh_login_duration_seconds", "How long the last login took, from connecting to authenticated.")
POLLS = Counter("ssh_polls_total", "Polls attempted, the failed ones included.")
FAILURE_INFO = Gauge(
    "ssh_failure_info", "Why the last poll failed; always 1. Absent while the machine is up.", "reason"
)
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
CERTIFICATE_EXPIRY = Gauge(
    "ssh_certificate_expiry_timestamp_seconds",
    "When the certificate ends that the next login shows. Absent without one, and for one without end.",
)
GATHER_SUCCESS = Gauge("ssh_gather_success", "Whether the gatherer had data in the last poll.", "gatherer")
PROBE_INFO = Gauge(
    "ssh_probe_info",
    "The probe that last started: the digest of its program, and whether it was sent, or forced by authorized_keys.",
    "sha256",
    "mode",
)
SESSION_INFO = Gauge(
    "ssh_session_info",
    "The algorithms that the last login agreed on, and what the server calls itself; always 1.",
    "kex",
    "cipher",
    "host_key_type",
    "server",
)

EXPONENTS = tuple(f"e+{digits - 1:02d}" for digits in range(18))
"""The exponent of a number by how many digits stand before its point; repr has one of its own from 17 on."""

OWN_LABELS = frozenset({"instance", *FAILURES.labels, *GATHER_SUCCESS.labels, *PROBE_INFO.labels, *SESSION_INFO.labels})
"""The labels of these series, which a machine's own `labels` may not use."""


def own_samples(standing: Standing) -> Samples:
    """Return what is known of a machine besides what it says."""
    series, values = zip(*_known(standing), strict=True)
    return Samples(shape_of(series), array("d", values))


def _known(standing: Standing) -> Iterator[tuple[Series, float]]:
    snapshot = standing.snapshot
    yield (UP, ()), float(standing.up)
    yield (POLLS, ()), float(standing.polls)
    yield (LOGINS, ()), float(standing.logins)
    if snapshot and snapshot.failure:
        yield (FAILURE_INFO, (snapshot.failure.reason,)), 1.0
    for reason, count in sorted(standing.failures.items()):
        yield (FAILURES, (reason,)), float(count)
    if standing.login_seconds is not None:
        yield (LOGIN_DURATION, ()), standing.login_seconds
    if standing.last_success is not None:
        yield (LAST_SUCCESS, ()), standing.last_success
    if standing.backoff is not None:
        yield (BACKOFF, ()), standing.backoff
    if standing.ready is not None:
        yield (PROBE_INFO, (standing.ready.sha256, standing.ready.mode)), 1.0
    if standing.agreement is not None:
        yield (SESSION_INFO, standing.agreement), 1.0
    if standing.certificate_expiry is not None:
        yield (CERTIFICATE_EXPIRY, ()), standing.certificate_expiry
    if snapshot is None:
        return
    yield (POLL_DURATION, ()), snapshot.seconds
    if snapshot.clock_offset is not None and snapshot.clock_offset_error is not None:
        yield (CLOCK_OFFSET, ()), snapshot.clock_offset
        yield (CLOCK_OFFSET_ERROR, ()), snapshot.clock_offset_error
    for gatherer, problem in snapshot.gathered:
        yield (GATHER_SUCCESS, (gatherer,)), float(problem is None)


def render(standing: Standing) -> Block:
    """Render one machine's lines; those of values that are as they were are taken over from its last block."""
    block, snapshot = standing.block, standing.snapshot
    own, said = own_samples(standing), snapshot.samples if snapshot else NONE
    if block is None:
        labels = own_labels(standing.machine)
        return Block(_rendered(labels, own), _rendered(labels, said))
    # Of ssh_up, which has none but the machine's.
    plain = _labels_of(block.own.rests[0])
    return Block(_amended(standing.machine, own, block.own, plain), _amended(standing.machine, said, block.said, plain))


def _amended(machine: Machine, now: Samples, before: Lines, plain: str) -> Lines:
    """Render the lines whose values are not as they were; `plain` are the labels of a series that has none itself."""
    if before.shape is not now.shape:
        return _rendered(own_labels(machine), now)
    rests, labelled = before.rests.copy(), now.shape.labelled
    for place, (new, old) in enumerate(zip(now.values, before.values, strict=True)):
        # 0.0 == -0.0, and they are written differently.
        if new != old or not new:
            labels = _labels_of(rests[place]) if place in labelled else plain
            rests[place] = f"{labels}{number(new)}\n"
    return Lines(now.shape, now.values, rests)


def _labels_of(rest: str) -> str:
    """Return what stands before the value."""
    return rest[: rest.rindex(" ") + 1]


def _rendered(own: Sequence[tuple[str, str]], now: Samples) -> Lines:
    """Render all lines; `own` are the labels that each of them has besides its series'."""
    plain = "{" + label_text(own) + "}" if own else ""
    rests = [
        f"{'{' + label_text(own, metric.labels, labels) + '}' if labels else plain} {number(value)}\n"
        for metric, labels, value in now
    ]
    return Lines(now.shape, now.values, rests)


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
    if -inf < value < 1e6:
        return repr(value)
    # Sizes are whole numbers, whose digits are there sooner by themselves.
    if 1e6 <= value < 1e15 and (whole := int(value)) == value:
        digits = str(whole)
        exponent = EXPONENTS[len(digits)]
    else:
        text = repr(value)
        before, dot, after = text.partition(".")
        if not dot or len(before) < 7:
            return {"inf": "+Inf", "-inf": "-Inf", "nan": "NaN"}.get(text, text)
        digits, exponent = before + after, EXPONENTS[len(before)]
    digits = digits.rstrip("0")
    return f"{digits[0]}.{digits[1:]}{exponent}" if len(digits) > 1 else digits + exponent


def header(metric: Metric, openmetrics: bool, names: Container[str] = ()) -> str:
    """Render the HELP and TYPE lines of a family; in OpenMetrics a counter's family has its name without `_total`.

    `names` are those on the page. People's own can be such that a counter's is taken: it has no type there then.
    """
    name, kind = metric.name, metric.kind
    if openmetrics and kind == "counter" and name.removesuffix("_total") in names:
        kind = "untyped"
    help = metric.help.replace("\\", r"\\").replace("\n", r"\n")
    if openmetrics:
        help = help.replace('"', r"\"")
        name = name.removesuffix("_total") if kind == "counter" else name
        kind = "unknown" if kind == "untyped" else kind
    return f"# HELP {name} {help}\n# TYPE {name} {kind}\n"


AT_A_TIME = 250
"""Machines whose lines are joined, or rendered, before others have their turn: two milliseconds."""
END = "# EOF\n"
"""How a page in OpenMetrics ends."""
PIECE = 500_000
"""Characters from which a piece of the page is long enough; to join and pack them takes a millisecond."""


def page(fleet: Fleet, registry: CollectorRegistry, openmetrics: bool = False) -> Iterator[bytes]:
    """Yield the whole page piece by piece: every machine's lines, family by family, then the daemon's own.

    The machines' lines are all of one moment; in a family those of machines of one shape stand together. Everybody
    else has a turn between one piece and the next. What the daemon and machines both have, as `process_*`, is one
    family.
    """
    texts, length = [], 0
    own = _by_family(of_daemon(registry, openmetrics).decode().removesuffix(END))
    for text in _texts(_alike(fleet), openmetrics, own):
        texts.append(text)
        length += len(text)
        if length >= PIECE:
            yield "".join(texts).encode()
            texts, length = [], 0
            give_way()
    rest = [f"{head}{lines}" for head, lines in own.values()]
    yield "".join([*texts, *rest, END if openmetrics else ""]).encode()


FAMILY = re.compile(r"^# HELP (\S+) .*\n# TYPE .*\n", re.MULTILINE)
"""What a family of the daemon's own begins with."""


def _by_family(text: str) -> dict[str, tuple[str, str]]:
    """Return what a family of a page begins with, and its lines, by what it is called there."""
    heads = list(FAMILY.finditer(text))
    ends = [*[head.start() for head in heads], len(text)][1:]
    return {head[1]: (head[0], text[head.end() : end]) for head, end in zip(heads, ends, strict=True)}


def of_machine(standing: Standing, openmetrics: bool = False) -> bytes:
    """Return the page of one machine, without `instance` and its section's labels: who asks for it gives it its own."""
    said = standing.snapshot.samples if standing.snapshot else NONE
    rendered = [_rendered((), samples) for samples in (own_samples(standing), said)]
    texts = _texts([(lines.shape, [lines]) for lines in rendered], openmetrics)
    return "".join([*texts, END if openmetrics else ""]).encode()


def _texts(
    some: Iterable[tuple[Shape, list[Lines]]], openmetrics: bool, own: dict[str, tuple[str, str]] | None = None
) -> Iterator[str]:
    """Yield each family's header, and then its lines, those of some machines at a time, which are of one shape.

    Those that are in `own` too, by what they are called on the page, are taken out there, and end with its lines.
    """
    families: dict[str, list[str]] = {}
    metrics: dict[str, Metric] = {}
    for shape, alike in some:
        # Joined at once: the garbage collector looks into what holds single lines, and not into texts.
        columns = list(zip(*[lines.rests for lines in alike], strict=True))
        for name, (metric, places) in shape.families.items():
            if name not in families:
                families[name], metrics[name] = [], metric
            families[name] += name, name.join(_rests_of(places, columns))
        give_way()
    for name in sorted(families):
        head = header(metrics[name], openmetrics, metrics)
        yield head
        yield from families.pop(name)
        if own and (more := own.pop(head.split(" ", 3)[2], None)):
            yield more[1]


def _alike(fleet: Fleet) -> Iterator[tuple[Shape, list[Lines]]]:
    """Yield the lines of one moment, those of some machines and of one shape at a time.

    Nobody shall keep them for long: that keeps the samples of polls that are over, too.
    """
    early = _early(fleet)
    # The moment.
    now = [standing.block or early.get(standing) or render(standing) for standing in fleet]
    give_way()
    shapes: dict[Shape, list[Lines]] = {}
    for lines in chain.from_iterable(now):
        shapes.setdefault(lines.shape, []).append(lines)
    for shape, alike in shapes.items():
        for start in range(0, len(alike), AT_A_TIME):
            yield shape, alike[start : start + AT_A_TIME]


def _early(fleet: Fleet) -> dict[Standing, Block]:
    """Render what was not polled yet: to do that for a whole fleet would take too long for one moment."""
    early = {}
    for number, standing in enumerate(fleet, 1):
        if not standing.block:
            early[standing] = render(standing)
        if number % AT_A_TIME == 0:
            give_way()
    return early


def _rests_of(places: Sequence[int], columns: Sequence[tuple[str, ...]]) -> Iterable[str]:
    """Return what follows the name in the lines of one family, machine by machine; mostly it has but one for each."""
    if len(places) == 1:
        return columns[places[0]]
    return chain.from_iterable(zip(*[columns[place] for place in places], strict=True))


def of_daemon(registry: CollectorRegistry, openmetrics: bool = False) -> bytes:
    """Return the daemon's own metrics, which end the page, and are one themselves."""
    generate: Callable[[Collector], bytes] = generate_openmetrics if openmetrics else generate_latest
    return generate(_InTurns(registry))


class _InTurns(Collector):
    """Another collector's families: everybody else has a turn between one and the next."""

    def __init__(self, collector: Collector) -> None:
        self._collector = collector

    def collect(self) -> Iterator[Family]:
        """Yield them."""
        for family in self._collector.collect():
            give_way()
            yield family
