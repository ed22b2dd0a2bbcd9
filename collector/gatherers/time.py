"""The machine's clock, as the probe read it first of all in the poll."""

from collections.abc import Iterator

from collector.metric import Gauge, Sample
from collector.probe import CLOCK

TIME = Gauge("node_time_seconds", "System time in seconds since epoch (1970).")

FILES = (CLOCK,)


def parse(text: str) -> Iterator[Sample]:
    """Read seconds since the epoch, `1700000000.123456`; a clock that knows whole seconds only gives those."""
    yield TIME(float(text))
