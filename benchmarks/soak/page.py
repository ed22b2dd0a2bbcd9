"""One page of the daemon's, as numbers."""

import http.client
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from time import monotonic

SERIES = re.compile(r"^((?:ssh|collector)_\w+(?:\{.*\})?) (\S+)$", re.MULTILINE)
INSTANCE = re.compile(r'instance="(\w+)"')
REASON = re.compile(r'reason="(\w+)"')
DATA = re.compile(r'^node_\w+\{.*?instance="(\w+)"', re.MULTILINE)

FAILURES = "ssh_poll_failures_total"


@dataclass(frozen=True, slots=True)
class Page:
    """`at`: monotonic seconds when it was asked for; `seconds`: how long it took to the last byte.

    `values` are the collector's own series; `with_data` are the machines that have series of node_exporter's names.
    """

    at: float
    seconds: float = 0.0
    status: int = 200
    values: Mapping[str, float] = field(default_factory=dict)
    with_data: frozenset[str] = frozenset()

    def of(self, instance: str, name: str) -> float:
        """The value of a machine's series; 0 when there is none."""
        return self.values.get(f'{name}{{instance="{instance}"}}', 0.0)

    def total(self, name: str) -> float:
        """The sum of a family."""
        return sum(value for _, value in self.family(name))

    def family(self, name: str) -> Iterator[tuple[str, float]]:
        """Yield the series of a family and their values."""
        for series, value in self.values.items():
            if series.startswith(name) and series[len(name) :][:1] in ("", "{"):
                yield series, value

    def failures(self, instance: str) -> dict[str, float]:
        """How many polls of a machine have failed, by reason."""
        return {
            found[1]: value
            for series, value in self.family(FAILURES)
            if f'instance="{instance}"' in series and (found := REASON.search(series))
        }

    @property
    def lag(self) -> dict[float, float]:
        """The hub's lag: how many observations were at most so many seconds."""
        buckets = self.family("collector_hub_lag_seconds_bucket")
        return {float(series.split('"')[1]): value for series, value in buckets}


def fetch(host: str, port: int) -> Page:
    """Fetch the page; one that does not come within 20 s has the status 0."""
    began = monotonic()
    connection = http.client.HTTPConnection(host, port, timeout=20)
    try:
        connection.request("GET", "/metrics")
        response = connection.getresponse()
        text = response.read().decode()
    except (OSError, http.client.HTTPException):
        return Page(began, monotonic() - began, 0)
    finally:
        connection.close()
    took = monotonic() - began
    values = {series: float(value) for series, value in SERIES.findall(text)}
    return Page(began, took, response.status, values, frozenset(DATA.findall(text)))
