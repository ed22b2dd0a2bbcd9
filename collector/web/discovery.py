"""GET /sd: the machines as targets for Prometheus' http_sd_configs.

https://prometheus.io/docs/prometheus/latest/http_sd/ has the format. The target is the machine's section, which
relabelling makes the parameter of /probe. A group has labels that all of its targets share, and each machine has a host
of its own among them: so each is a group.
"""

import json
from collections.abc import Iterable, Iterator
from itertools import islice

from collector.config import Machine
from collector.turns import give_way
from collector.web.probe import MARGIN

AT_A_TIME = 250
"""Machines that are put down before others have their turn: a millisecond or two."""

LONGEST = 120.0
"""Seconds between two scrapes at most: five minutes after one Prometheus takes its series for ended."""


def listing(machines: Iterable[Machine]) -> Iterator[bytes]:
    """Yield the list piece by piece, as JSON."""
    rest, before = iter(machines), "["
    while some := list(islice(rest, AT_A_TIME)):
        yield (before + ",\n".join([json.dumps(group(machine)) for machine in some])).encode()
        before = ",\n"
        give_way()
    yield b"[]\n" if before == "[" else b"]\n"


def group(machine: Machine) -> dict[str, object]:
    """Return a machine as Prometheus wants it: every value of a label is a text."""
    return {
        "targets": [machine.name],
        "labels": {
            **dict(machine.labels),
            "__scrape_interval__": duration(scrape_interval(machine)),
            "__scrape_timeout__": duration(scrape_timeout(machine)),
            "__meta_collector_interval": duration(machine.interval),
            "__meta_collector_host": machine.host,
            "__meta_collector_port": str(machine.port),
        },
    }


def scrape_interval(machine: Machine) -> float:
    """Return how often Prometheus should ask, in seconds: as often as there is something new, and often enough."""
    return min(machine.interval, LONGEST)


def scrape_timeout(machine: Machine) -> float:
    """Return for how long Prometheus should wait, in seconds: for a poll that ends at its deadline, if need be.

    It may not be longer than the interval: Prometheus would drop the target.
    """
    return min(scrape_interval(machine), machine.timeout + 2 * MARGIN)


def duration(seconds: float) -> str:
    """Render a time as Prometheus reads it: whole seconds or milliseconds, and no fractions."""
    milliseconds = round(seconds * 1000)
    return f"{milliseconds}ms" if milliseconds % 1000 else f"{milliseconds // 1000}s"
